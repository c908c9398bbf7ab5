//! How an account logs in, and the token it holds then (section 2).

mod grant;
mod keeper;
mod record;
mod store;

use std::fmt;

use secrecy::SecretString;

pub(super) use grant::Door;
pub(super) use keeper::Keeper;
pub use store::{Stored, TokenStore};

/// How an account logs in.
#[derive(Debug, Clone)]
pub enum Auth {
    /// With a key, which is the token itself.
    ApiKey(SecretString),
    /// With a password, for a token that is renewed by another one which changes each time.
    OAuth(Login),
    /// With a password, for a JSON Web Token.
    Jwt(Login),
}

/// What a login takes.
#[derive(Clone)]
pub struct Login {
    /// Issued by whoever runs the platform.
    pub client_id: String,
    /// Issued by whoever runs the platform.
    pub client_secret: SecretString,
    /// `1001@example.com`
    pub username: String,
    /// Its password.
    pub password: SecretString,
}

impl fmt::Debug for Login {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Login(***)")
    }
}

#[cfg(test)]
mod tests;
