use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use ipnet::IpNet;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

use super::refusals::Refusals;

/// What the listener takes, and from whom.
#[derive(Clone)]
pub struct ListenConfig {
    /// Our name in the greeting.
    pub name: String,
    /// Who may send; nobody else is talked to.
    pub allowed: Vec<IpNet>,
    /// The domains mail is taken for, in lower case.
    pub domains: Vec<String>,
    /// The address bounces are sent to, which is taken with any token whatever its domain.
    pub bounce_address: Option<String>,
    /// For STARTTLS.
    pub tls: Option<ServerTls>,
    /// Whether mail is taken over TLS only.
    pub require_tls: bool,
    /// Where large mails wait while they come in.
    pub spool: PathBuf,
    /// What is bounded.
    pub limits: SmtpLimits,
    /// Counts what is turned away.
    pub refusals: Refusals,
}

/// How much of everything there may be.
#[derive(Debug, Clone)]
pub struct SmtpLimits {
    /// Connections at a time; more are told to come later.
    pub connections: usize,
    /// Bytes of a mail.
    pub mail_bytes: u64,
    /// Bytes of a mail that wait in memory; larger ones wait in a file.
    pub memory_bytes: usize,
    /// Recipients of a mail; for more the sender makes another one.
    pub recipients: usize,
    /// Mails over one connection.
    pub mails: usize,
    /// Mistakes before a connection is closed.
    pub mistakes: usize,
    /// Until a command has come in whole.
    pub command: Duration,
    /// Until a mail has come in whole.
    pub mail: Duration,
    /// Until a mail is stored.
    pub store: Duration,
}

impl Default for SmtpLimits {
    fn default() -> Self {
        Self {
            connections: 1000,
            mail_bytes: 25 * 1024 * 1024,
            memory_bytes: 128 * 1024,
            recipients: 100,
            mails: 1000,
            mistakes: 20,
            command: Duration::from_secs(300),
            mail: Duration::from_secs(600),
            store: Duration::from_secs(30),
        }
    }
}

/// A certificate and its key.
#[derive(Clone)]
pub struct ServerTls {
    pub(super) acceptor: TlsAcceptor,
}

impl ServerTls {
    /// Reads PEM files.
    ///
    /// # Errors
    /// A file that cannot be read or holds nothing of the kind, or a key that is not the certificate's.
    pub fn load(cert_file: &Path, key_file: &Path) -> anyhow::Result<Self> {
        let chain = CertificateDer::pem_file_iter(cert_file).and_then(Iterator::collect::<Result<Vec<_>, _>>);
        let chain = chain.with_context(|| format!("{} cannot be read as PEM certificates", cert_file.display()))?;
        ensure!(!chain.is_empty(), "{} holds no PEM certificate", cert_file.display());
        let key = PrivateKeyDer::from_pem_file(key_file);
        let key = key.with_context(|| format!("{} cannot be read as a PEM private key", key_file.display()))?;
        let config = rustls::ServerConfig::builder_with_provider(crate::tls::provider())
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(chain, key);
        let config =
            config.with_context(|| format!("{} and {} do not fit", cert_file.display(), key_file.display()))?;
        Ok(Self { acceptor: TlsAcceptor::from(Arc::new(config)) })
    }
}
