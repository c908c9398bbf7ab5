use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

use crate::tls;

/// A certificate and its key, ready to serve with.
#[derive(Clone)]
pub struct Tls {
    pub(super) acceptor: TlsAcceptor,
}

/// Why a certificate or its key does not serve. What a file holds is never quoted.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The certificate chain.
    #[error("{} {what}", file.display())]
    Certificate {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// The private key.
    #[error("{} {what}", file.display())]
    Key {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// Each can be read, and the key is not the certificate's or of no kind that serves.
    #[error("{} and {} do not fit: {cause}", cert_file.display(), key_file.display())]
    Apart {
        /// The certificate chain.
        cert_file: PathBuf,
        /// The private key.
        key_file: PathBuf,
        /// Why.
        cause: rustls::Error,
    },
}

impl Tls {
    /// Reads PEM files.
    ///
    /// # Errors
    /// A file that cannot be read or holds nothing of the kind, or a key that is not the certificate's.
    pub fn load(cert_file: &Path, key_file: &Path) -> Result<Self, TlsError> {
        let mut config =
            read_chain(cert_file).and_then(|chain| serve_with(cert_file, chain, key_file, read_key(key_file)?))?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { acceptor: TlsAcceptor::from(Arc::new(config)) })
    }

    /// Everything that is wrong with the files of [`Tls::load`], of both at once.
    pub fn check(cert_file: &Path, key_file: &Path) -> Vec<TlsError> {
        match (read_chain(cert_file), read_key(key_file)) {
            (Ok(chain), Ok(key)) => serve_with(cert_file, chain, key_file, key).err().into_iter().collect(),
            (chain, key) => chain.err().into_iter().chain(key.err()).collect(),
        }
    }
}

fn read_chain(file: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    tls::read_certificates(file)
        .map_err(|error| TlsError::Certificate { file: file.to_owned(), what: error.to_string() })
}

fn read_key(file: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_file(file).map_err(|error| {
        let what = match error {
            pem::Error::Io(error) => format!("cannot be read: {error}"),
            // Others quote a line of the file.
            _ => "holds no private key in PEM".to_owned(),
        };
        TlsError::Key { file: file.to_owned(), what }
    })
}

fn serve_with(
    cert_file: &Path,
    chain: Vec<CertificateDer<'static>>,
    key_file: &Path,
    key: PrivateKeyDer<'static>,
) -> Result<ServerConfig, TlsError> {
    tls::install_provider();
    let config = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key);
    config.map_err(|cause| match cause {
        rustls::Error::InvalidCertificate(_) => {
            let what = format!("holds a certificate that cannot be read: {cause}");
            TlsError::Certificate { file: cert_file.to_owned(), what }
        }
        cause => TlsError::Apart { cert_file: cert_file.to_owned(), key_file: key_file.to_owned(), cause },
    })
}
