use jiff::Timestamp;
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::Login;

/// How long a refused login is not repeated: platforms lock a user out who tries too often.
const REFUSED_FOR: i64 = 30 * 60_000;
/// A token that is refused so soon after it was made would be refused again: another login mends nothing.
const SETTLING: i64 = 60_000;

/// What is known of a login, as replicas share it. It is never logged.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Record {
    /// Which login it is of: another password makes it void.
    login: String,
    /// The token, unless the login was refused.
    pub(super) access: Option<String>,
    /// What the next one is had for.
    pub(super) refresh: Option<String>,
    /// When it was made.
    at: i64,
    /// When the token ends.
    until: i64,
    /// Why the login was refused.
    refused: Option<String>,
}

/// What a record is good for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Worth {
    /// Its token.
    Good,
    /// Its token, while the next one is fetched.
    Fading,
    /// Its token is no good any more.
    Spent,
    /// Nobody logs in again before the pause is over; why.
    Refused(String),
}

impl Record {
    pub(super) fn token(login: &str, access: String, refresh: Option<String>, at: Timestamp, seconds: i64) -> Self {
        let at = at.as_millisecond();
        let until = at.saturating_add(seconds.max(0).saturating_mul(1_000));
        Self { login: login.to_owned(), access: Some(access), refresh, at, until, refused: None }
    }

    pub(super) fn refused(login: &str, why: &str, at: Timestamp) -> Self {
        let at = at.as_millisecond();
        Self {
            login: login.to_owned(),
            access: None,
            refresh: None,
            at,
            until: at.saturating_add(REFUSED_FOR),
            refused: Some(why.to_owned()),
        }
    }

    /// A record that another build wrote in another form, or of another login, is none.
    pub(super) fn read(text: &str, login: &str) -> Option<Self> {
        serde_json::from_str::<Self>(text).ok().filter(|record| record.login == login)
    }

    pub(super) fn written(&self) -> String {
        serde_json::to_string(self).expect("texts and numbers have a JSON form")
    }

    /// `spent` is a token that was refused just now.
    pub(super) fn worth(&self, spent: Option<&str>, now: Timestamp) -> Worth {
        let now = now.as_millisecond();
        if let Some(why) = &self.refused {
            return if now < self.until { Worth::Refused(why.clone()) } else { Worth::Spent };
        }
        let Some(access) = &self.access else { return Worth::Spent };
        if spent == Some(access.as_str()) {
            if now < self.at.saturating_add(SETTLING) {
                return Worth::Refused("a token it gave just now is refused; check the user's scope".to_owned());
            }
            return Worth::Spent;
        }
        // At 80 % of its time (section 2.1).
        let due = self.at.saturating_add(self.until.saturating_sub(self.at) / 5 * 4);
        match now {
            now if now >= self.until => Worth::Spent,
            now if now >= due => Worth::Fading,
            _ => Worth::Good,
        }
    }
}

/// Names a login without giving it away: the client's secret, which nobody guesses, covers the password.
pub(super) fn fingerprint(login: &Login, kind: &str, base_url: &str) -> String {
    let mut hash = Sha256::new();
    let parts = [
        kind,
        base_url,
        login.client_secret.expose_secret(),
        &login.client_id,
        &login.username,
        login.password.expose_secret(),
    ];
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hex::encode(hash.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_renewed_ahead_of_its_end_and_a_refusal_rests() {
        let at = |second: i64| Timestamp::from_second(second).unwrap();
        let token = Record::token("l", "a".to_owned(), None, at(1_000), 100);
        let refused = Record::refused("l", "no", at(1_000));
        let worth = |record: &Record, spent: Option<&str>, second| record.worth(spent, at(second));
        assert_eq!(worth(&token, None, 1_079), Worth::Good);
        assert_eq!(worth(&token, None, 1_080), Worth::Fading);
        assert_eq!(worth(&token, None, 1_100), Worth::Spent);
        assert_eq!(worth(&token, Some("other"), 1_010), Worth::Good, "another one was refused");
        assert!(matches!(worth(&token, Some("a"), 1_059), Worth::Refused(_)));
        assert_eq!(worth(&token, Some("a"), 1_060), Worth::Spent);
        assert_eq!(worth(&refused, None, 1_000 + 1_799), Worth::Refused("no".to_owned()));
        assert_eq!(worth(&refused, None, 1_000 + 1_800), Worth::Spent);
        assert!(Record::read(&token.written(), "l").is_some() && Record::read(&token.written(), "m").is_none());
        assert!(Record::read("{}", "l").is_none());
    }
}
