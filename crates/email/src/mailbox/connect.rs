use std::fmt;
use std::sync::Arc;

use async_imap::{Authenticator, Client, Session};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use secrecy::{ExposeSecret, SecretString};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::config::ImapConfig;
use crate::{LoginKind, Security};

/// What went wrong with a mailbox. Servers' own words are left out: they may quote mails.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ImapError {
    /// There is no talking to the server.
    #[error("the IMAP server of {target} {what}")]
    Unavailable {
        /// The provider account.
        target: String,
        /// What happened.
        what: &'static str,
    },
    /// Our login is refused: the account stops until somebody mends it.
    #[error("the IMAP server of {target} {what}")]
    LoginRefused {
        /// The provider account.
        target: String,
        /// What happened and what to do.
        what: &'static str,
    },
    /// The mailbox cannot be opened.
    #[error(
        "the IMAP server of {target} does not open the configured mailbox; look at its name and at the user's rights"
    )]
    NoMailbox {
        /// The provider account.
        target: String,
    },
    /// What came in was not stored.
    #[error("a mail of {target} was not stored; it is fetched again")]
    NotStored {
        /// The provider account.
        target: String,
    },
    /// The spool folder cannot be written to.
    #[error("mail of {target} cannot be spooled: {kind}; look at the disk of the spool folder")]
    Spool {
        /// The provider account.
        target: String,
        /// What kind of trouble it is.
        kind: std::io::ErrorKind,
    },
}

/// Whatever carries a connection.
pub(super) trait Carrier: AsyncRead + AsyncWrite + Unpin + Send + fmt::Debug {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send + fmt::Debug> Carrier for T {}

pub(super) type Stream = Box<dyn Carrier>;
pub(super) type Open = Session<Stream>;

impl ImapConfig {
    pub(super) fn unavailable(&self, what: &'static str) -> ImapError {
        ImapError::Unavailable { target: self.target.clone(), what }
    }

    fn refused(&self, what: &'static str) -> ImapError {
        ImapError::LoginRefused { target: self.target.clone(), what }
    }
}

/// Connects, protects and logs in.
pub(super) async fn connect(config: &ImapConfig, tls: &Arc<ClientConfig>) -> Result<Open, ImapError> {
    let connected = timeout(config.connect_timeout, async {
        let client = protected(config, tls).await?;
        log_in(config, client).await
    });
    connected.await.unwrap_or_else(|_| Err(config.unavailable("did not answer in time")))
}

async fn protected(config: &ImapConfig, tls: &Arc<ClientConfig>) -> Result<Client<Stream>, ImapError> {
    let stream = TcpStream::connect((config.host.as_str(), config.port)).await;
    let stream = stream.map_err(|_| config.unavailable("could not be reached"))?;
    // A connection that is gone already fails on its first read, where it is seen.
    let _gone = stream.set_nodelay(true);
    match config.security {
        Security::Plain => greeted(config, Box::new(stream)).await,
        Security::Tls => {
            let stream = over_tls(config, tls, Box::new(stream)).await?;
            greeted(config, stream).await
        }
        Security::StartTls => {
            let mut client = greeted(config, Box::new(stream)).await?;
            let agreed = client.run_command_and_check_ok("STARTTLS", None).await;
            agreed.map_err(|_| config.unavailable("does not offer STARTTLS; use imaps:// if it speaks TLS at once"))?;
            // What was read ahead in the clear is forgotten with the client, and the greeting is not repeated.
            over_tls(config, tls, client.into_inner()).await.map(Client::new)
        }
    }
}

async fn greeted(config: &ImapConfig, stream: Stream) -> Result<Client<Stream>, ImapError> {
    let mut client = Client::new(stream);
    match client.read_response().await {
        Ok(Some(_)) => Ok(client),
        _ => Err(config.unavailable("closed the connection instead of greeting")),
    }
}

async fn over_tls(config: &ImapConfig, tls: &Arc<ClientConfig>, stream: Stream) -> Result<Stream, ImapError> {
    let name = ServerName::try_from(config.host.clone());
    let name = name.map_err(|_| config.unavailable("has a name that no certificate can be for"))?;
    let stream = TlsConnector::from(Arc::clone(tls)).connect(name, stream).await;
    let stream = stream.map_err(|_| {
        config.unavailable(
            "could not be talked to over TLS; is its certificate valid for its name, and its authority known?",
        )
    })?;
    Ok(Box::new(stream))
}

async fn log_in(config: &ImapConfig, client: Client<Stream>) -> Result<Open, ImapError> {
    let login = &config.login;
    let secret = login.secret.fetch().await;
    let secret = secret.map_err(|_| config.refused("needs a secret that cannot be read"))?;
    let answered = match login.kind {
        LoginKind::Password => client.login(login.user.expose(), secret.expose_secret()).await,
        LoginKind::Token => {
            let token = Token { user: login.user.expose().clone(), secret, told: false };
            client.authenticate("XOAUTH2", token).await
        }
    };
    answered.map_err(|(error, _)| match error {
        async_imap::error::Error::No(_) | async_imap::error::Error::Bad(_) | async_imap::error::Error::Validate(_) => {
            config.refused("refused the login; look at user and secret")
        }
        _ => config.unavailable("broke off the login"),
    })
}

struct Token {
    user: String,
    secret: SecretString,
    told: bool,
}

impl Authenticator for Token {
    type Response = String;

    /// The token for the first challenge; a second one tells why it was refused, and wants to be answered by nothing.
    fn process(&mut self, _challenge: &[u8]) -> String {
        if std::mem::replace(&mut self.told, true) {
            return String::new();
        }
        format!("user={}\x01auth=Bearer {}\x01\x01", self.user, self.secret.expose_secret())
    }
}
