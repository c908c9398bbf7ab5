use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, ensure};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

use crate::tls;

/// A certificate and its key, ready to serve with.
#[derive(Clone)]
pub struct Tls {
    pub(super) acceptor: TlsAcceptor,
}

impl Tls {
    /// Reads PEM files.
    ///
    /// # Errors
    /// A file that cannot be read or holds nothing of the kind, or a key that is not the certificate's.
    pub fn load(cert_file: &Path, key_file: &Path) -> anyhow::Result<Self> {
        tls::install_provider();
        let chain = CertificateDer::pem_file_iter(cert_file).and_then(Iterator::collect::<Result<Vec<_>, _>>);
        let chain = chain.with_context(|| format!("{} cannot be read as PEM certificates", cert_file.display()))?;
        ensure!(!chain.is_empty(), "{} holds no PEM certificate", cert_file.display());
        let key = PrivateKeyDer::from_pem_file(key_file);
        let key = key.with_context(|| format!("{} cannot be read as a PEM private key", key_file.display()))?;
        let config = rustls::ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key);
        let mut config =
            config.with_context(|| format!("{} and {} do not fit", cert_file.display(), key_file.display()))?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { acceptor: TlsAcceptor::from(Arc::new(config)) })
    }
}
