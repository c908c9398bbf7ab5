use std::path::Path;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use secrecy::{ExposeSecret, SecretString};
use tokio::task::JoinSet;
use tokio_postgres::config::TargetSessionAttrs;
use tokio_postgres::{Client, Config, Error};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::PostgresConfig;

/// How long one host may take to answer.
const CONNECT_WITHIN: Duration = Duration::from_millis(1_000);

/// Whom to connect to, and how.
pub(super) struct Dial {
    config: Config,
    tls: MakeRustlsConnect,
}

impl Dial {
    /// Reads the URL; what is wrong with it is told without quoting it.
    pub(super) fn new(settings: &PostgresConfig) -> Result<Self, String> {
        let mut config = read_url(&settings.url).map_err(|what| {
            let instead = "postgresql://user:password@host:5432/database?sslmode=require, with special characters of the \
                           password as %xx";
            format!("ledger.url {what}; write {instead}")
        })?;
        config.application_name("causeway").connect_timeout(CONNECT_WITHIN).keepalives_idle(Duration::from_secs(30));
        if config.get_target_session_attrs() == TargetSessionAttrs::Any {
            config.target_session_attrs(TargetSessionAttrs::ReadWrite);
        }
        Ok(Self { config, tls: MakeRustlsConnect::new(tls(settings.ca_file.as_deref())?) })
    }

    /// How long all its hosts may take, and the first questions to one of them.
    pub(super) fn patience(&self) -> Duration {
        let hosts = u32::try_from(self.config.get_hosts().len()).unwrap_or(1);
        CONNECT_WITHIN * hosts + Duration::from_millis(400)
    }

    /// A connection, and the task that drives it; it ends with the task.
    pub(super) async fn connect(&self) -> Result<(Client, JoinSet<()>), Error> {
        let (client, connection) = self.config.connect(self.tls.clone()).await?;
        let mut driver = JoinSet::new();
        driver.spawn(async move {
            // Whoever waits for an answer is told by the client why there is none.
            let _told = connection.await;
        });
        Ok((client, driver))
    }
}

/// Whom a URL names; what is wrong with it is told without quoting it.
pub(crate) fn read_url(url: &SecretString) -> Result<Config, &'static str> {
    // Every certificate is verified, chain and name, so the two stricter words of libpq say no more than `require`.
    let url = url.expose_secret().replace("sslmode=verify-full", "sslmode=require");
    let url = url.replace("sslmode=verify-ca", "sslmode=require");
    let config: Config = url.parse().map_err(|_| "cannot be read")?;
    if config.get_hosts().is_empty() {
        return Err("names no host");
    }
    Ok(config)
}

fn tls(ca_file: Option<&Path>) -> Result<ClientConfig, String> {
    let mut roots = RootCertStore::empty();
    match ca_file {
        Some(file) => {
            let told = || format!("ledger.tls.ca_file: {} holds no certificate in PEM", file.display());
            let found: Result<Vec<_>, _> = CertificateDer::pem_file_iter(file).and_then(Iterator::collect);
            if roots.add_parsable_certificates(found.map_err(|_| told())?).0 == 0 {
                return Err(told());
            }
        }
        None => {
            // Where the machine has none, no certificate is trusted, and plain connections work all the same.
            let found = rustls_native_certs::load_native_certs();
            let (_used, _unusable) = roots.add_parsable_certificates(found.certs);
        }
    }
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config.map_err(|error| format!("TLS cannot be set up: {error}"))?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}
