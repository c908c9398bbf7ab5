//! One call of whatever the vendor's index has.

use bytes::Bytes;
use http::{Method, StatusCode};

use super::account::Account;
use super::answer;
use crate::SendError;

/// An answer as it came.
#[derive(Clone)]
pub struct RawAnswer {
    /// Its status.
    pub status: StatusCode,
    /// Its body, cut off at 1 MiB.
    pub body: Bytes,
}

/// A path that might lead elsewhere than below the base URL.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the path must begin with one slash and stay below base_url: no host, no \"..\", no \"#\", no spaces")]
pub struct Elsewhere;

/// Whether the token stays where it belongs, whatever becomes of the path on its way.
fn is_below(path: &str) -> bool {
    let plain = path.split('?').next().unwrap_or_default().to_lowercase().replace("%2e", ".");
    path.starts_with('/')
        && !path.starts_with("//")
        && !path.contains(['\\', '#'])
        && !path.chars().any(|one| one.is_whitespace() || one.is_control())
        && !plain.split(['/']).any(|segment| segment == "." || segment == "..")
}

impl Account {
    /// One call with the account's token, on a path below its base URL; any answer is given as it came.
    ///
    /// # Errors
    /// [`Elsewhere`] before anything is called; [`SendError`]: there was no answer.
    pub async fn raw(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<Result<RawAnswer, SendError>, Elsewhere> {
        if !is_below(path) {
            return Err(Elsewhere);
        }
        let answered = self.exchange("request", method, path, body).await;
        Ok(answer::raw(self.name(), answered).map(|answer| RawAnswer { status: answer.status, body: answer.body }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_goes_nowhere_but_below_the_base_url() {
        for path in ["/version", "/domains/~/users/~", "/apikeys/~?limit=5", "/domains/a.b/x%2Fy", "/x?next=../y"] {
            assert!(is_below(path), "{path}");
        }
        for path in [
            "",
            "version",
            "//evil.example/x",
            "https://evil.example/",
            "@evil.example/",
            "/../../admin",
            "/a/%2e%2E/b",
            "/a/.",
            "/a\\b",
            "/a b",
            "/a#b",
            "/a\r\nHost: evil",
        ] {
            assert!(!is_below(path), "{path}");
        }
    }
}
