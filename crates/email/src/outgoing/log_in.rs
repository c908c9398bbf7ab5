//! How we tell a server who we are, and how often it is asked again once it has refused us.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use lettre::transport::smtp::Error;
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::AsyncSmtpConnection;
use lettre::transport::smtp::response::Response;
use secrecy::ExposeSecret;
use tokio::time::Instant;

use crate::{Login, LoginKind};

/// A server locks out whoever keeps trying: after a refusal nobody tries for so long. Whoever sends asks again after a minute.
const REFUSED_FOR: Duration = Duration::from_secs(30);

/// Why there is no login.
pub(super) enum LoginError {
    /// Its secret cannot be read.
    NoSecret,
    /// The server offers none of the ways.
    NoWay,
    /// The server refused it.
    Refused,
    /// The conversation broke.
    Broken(Error),
}

impl From<Error> for LoginError {
    fn from(error: Error) -> Self {
        if error.is_client() {
            Self::NoWay
        } else if error.is_permanent() {
            Self::Refused
        } else {
            Self::Broken(error)
        }
    }
}

/// Logs in, once.
pub(super) async fn log_in(connection: &mut AsyncSmtpConnection, login: &Login) -> Result<(), LoginError> {
    let secret = login.secret.fetch().await.map_err(|_| LoginError::NoSecret)?;
    let (user, secret) = (login.user.expose(), secret.expose_secret());
    match login.kind {
        LoginKind::Password => {
            let credentials = Credentials::new(user.clone(), secret.to_owned());
            connection.auth(&[Mechanism::Plain, Mechanism::Login], &credentials).await?;
        }
        LoginKind::Token => {
            if !connection.server_info().supports_auth_mechanism(Mechanism::Xoauth2) {
                return Err(LoginError::NoWay);
            }
            if present_token(connection, user, secret).await?.has_code(334) {
                return Err(LoginError::Refused);
            }
        }
    }
    Ok(())
}

/// XOAUTH2. The library takes the challenge that tells why a token is refused for a fault of its own.
async fn present_token(connection: &mut AsyncSmtpConnection, user: &str, token: &str) -> Result<Response, Error> {
    let told = STANDARD.encode(format!("user={user}\x01auth=Bearer {token}\x01\x01"));
    let answer = connection.command(format!("AUTH XOAUTH2 {told}\r\n")).await?;
    if !answer.has_code(334) {
        return Ok(answer);
    }
    // The refusal itself follows once its reason has been heard.
    connection.command("\r\n").await
}

/// What became of the logins so far.
#[derive(Default)]
pub(super) struct Logins {
    known: Mutex<Known>,
    one_by_one: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Known {
    good: bool,
    refused: Option<Instant>,
}

impl Logins {
    /// Until a login is known to be good, they are tried one at a time.
    pub(super) async fn turn(&self) -> Option<tokio::sync::MutexGuard<'_, ()>> {
        if self.lock().good { None } else { Some(self.one_by_one.lock().await) }
    }

    /// Whether one was refused a moment ago.
    pub(super) fn was_refused(&self) -> bool {
        self.lock().refused.is_some_and(|at| at.elapsed() < REFUSED_FOR)
    }

    pub(super) fn told(&self, good: bool, refused: bool) {
        let mut known = self.lock();
        if good || refused {
            *known = Known { good, refused: refused.then(Instant::now) };
        }
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
