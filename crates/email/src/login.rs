use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use secrecy::SecretString;

type Fetched = Pin<Box<dyn Future<Output = anyhow::Result<SecretString>> + Send>>;

/// Where the secret of a login comes from, each time a connection is made: a file that is replaced when a password changes, or a
/// token that expires.
#[derive(Clone)]
pub struct SecretSource(Arc<dyn Fn() -> Fetched + Send + Sync>);

impl SecretSource {
    /// A source that is asked each time.
    pub fn new<F, S>(source: S) -> Self
    where
        S: Fn() -> F + Send + Sync + 'static,
        F: Future<Output = anyhow::Result<SecretString>> + Send + 'static,
    {
        Self(Arc::new(move || Box::pin(source())))
    }

    /// A secret that never changes.
    pub fn fixed(secret: SecretString) -> Self {
        Self::new(move || {
            let secret = secret.clone();
            async move { Ok(secret) }
        })
    }

    pub(crate) async fn fetch(&self) -> anyhow::Result<SecretString> {
        (self.0)().await
    }
}

impl fmt::Debug for SecretSource {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("***")
    }
}

/// How we tell a mail server who we are.
#[derive(Debug, Clone)]
pub struct Login {
    /// The user.
    pub user: model::Private<String>,
    /// What the secret is.
    pub kind: LoginKind,
    /// The secret.
    pub secret: SecretSource,
}

/// What a login's secret is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoginKind {
    /// A password.
    Password,
    /// An OAuth 2.0 access token (XOAUTH2).
    Token,
}

/// How a connection is kept from others' eyes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Security {
    /// TLS from the first byte.
    Tls,
    /// TLS after STARTTLS; a server that does not offer it is not talked to.
    StartTls,
    /// None. A login is refused over it unless the server is this machine.
    Plain,
}
