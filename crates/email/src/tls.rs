use std::sync::Arc;

use anyhow::{Context, ensure};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

/// The one crypto provider of the tree.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// TLS towards a server whose authority is the system's, or one of those given in PEM.
pub(crate) fn client(authorities: &[Vec<u8>]) -> anyhow::Result<Arc<ClientConfig>> {
    let mut roots = RootCertStore::empty();
    let (_, _unreadable) = roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    for pem in authorities {
        let mut found = false;
        for certificate in CertificateDer::pem_slice_iter(pem) {
            roots
                .add(certificate.context("an authority is no PEM certificate")?)
                .context("an authority cannot be used")?;
            found = true;
        }
        ensure!(found, "an authority is no PEM certificate");
    }
    let config = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions()?;
    Ok(Arc::new(config.with_root_certificates(roots).with_no_client_auth()))
}
