//! Links to files: signed, so that none can be made up, and good for a while.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use model::Private;
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;
use subtle::ConstantTimeEq;

use crate::BlobId;

/// Keys that sign tokens: the first signs, all verify.
#[derive(Debug, Clone)]
pub struct Keys {
    keys: Vec<SecretString>,
}

/// Why a token opens nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// It is none of ours.
    #[error("the token is none of ours")]
    Unknown,
    /// It is ours, and its time is over.
    #[error("the token has expired")]
    Expired,
}

/// Version, id, expiry in seconds.
const CLAIM: usize = 1 + 16 + 4;
/// Of the MAC. A token is short, for it travels in a text message; 128 bits are still none to guess.
const TAG: usize = 16;
const VERSION: u8 = 1;

impl Keys {
    /// At least one key.
    ///
    /// # Errors
    /// There is none, or one is empty.
    pub fn new(keys: Vec<SecretString>) -> Result<Self, String> {
        match keys.iter().position(|key| key.expose_secret().is_empty()) {
            _ if keys.is_empty() => Err("there is no signing key".to_owned()),
            Some(position) => Err(format!("signing key number {} is empty", position + 1)),
            None => Ok(Self { keys }),
        }
    }

    /// A token that opens a file until then.
    pub fn sign(&self, id: &BlobId, until: Timestamp) -> String {
        let mut token = [0; CLAIM + TAG];
        token[0] = VERSION;
        token[1..17].copy_from_slice(id.bytes());
        // Seconds in 32 bits last until 2106; a time beyond is as good as the last one.
        let until = u32::try_from(until.as_second()).unwrap_or(u32::MAX);
        token[17..CLAIM].copy_from_slice(&until.to_be_bytes());
        let tag = tag(&self.keys[0], &token[..CLAIM]);
        token[CLAIM..].copy_from_slice(&tag);
        URL_SAFE_NO_PAD.encode(token)
    }

    /// The file a token opens.
    ///
    /// # Errors
    /// [`LinkError`]; that a token has expired is told only of one that was ours.
    pub fn verify(&self, token: &str, now: Timestamp) -> Result<BlobId, LinkError> {
        let mut bytes = [0; CLAIM + TAG];
        let length = URL_SAFE_NO_PAD.decode_slice(token, &mut bytes).map_err(|_| LinkError::Unknown)?;
        if length != bytes.len() || bytes[0] != VERSION {
            return Err(LinkError::Unknown);
        }
        let (claim, given) = bytes.split_at(CLAIM);
        // Every key is tried whatever came before, so that time tells nothing about which one matched.
        let ours =
            self.keys.iter().fold(subtle::Choice::from(0), |found, key| found | tag(key, claim)[..].ct_eq(given));
        if !bool::from(ours) {
            return Err(LinkError::Unknown);
        }
        let mut id = [0; 16];
        id.copy_from_slice(&claim[1..17]);
        let mut until = [0; 4];
        until.copy_from_slice(&claim[17..]);
        if i64::from(u32::from_be_bytes(until)) <= now.as_second() {
            return Err(LinkError::Expired);
        }
        Ok(BlobId::from_bytes(id))
    }
}

fn tag(key: &SecretString, claim: &[u8]) -> [u8; TAG] {
    let mut mac =
        Hmac::<Sha256>::new_from_slice(key.expose_secret().as_bytes()).expect("HMAC takes keys of any length");
    // What is signed is named, so that a key used for two things by mistake signs no second thing.
    mac.update(b"causeway media link\0");
    mac.update(claim);
    let mut tag = [0; TAG];
    tag.copy_from_slice(&mac.finalize().into_bytes()[..TAG]);
    tag
}

/// Makes links as the outside sees them.
#[derive(Debug, Clone)]
pub struct Links {
    /// What signs.
    pub keys: Keys,
    /// The bridge's public address, without a slash at its end.
    pub public_url: String,
    /// How long a link is good.
    pub ttl: Duration,
}

impl Links {
    /// A link to a file, good from `now` on.
    pub fn link(&self, id: &BlobId, now: Timestamp) -> Private<String> {
        let until = now.saturating_add(self.ttl).unwrap_or(Timestamp::MAX);
        Private::new(format!("{}/media/{}", self.public_url, self.keys.sign(id, until)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(keys: &[&str]) -> Keys {
        Keys::new(keys.iter().map(|key| SecretString::from(*key)).collect()).unwrap()
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn a_token_opens_its_file_until_it_expires() {
        let id = BlobId::derive(&["a"]);
        let token = keys(&["one"]).sign(&id, at(1000));
        assert_eq!(token.len(), 50);
        assert_eq!(keys(&["one"]).verify(&token, at(999)), Ok(id));
        assert_eq!(keys(&["one"]).verify(&token, at(1000)), Err(LinkError::Expired));
        assert_eq!(keys(&["two", "one"]).verify(&token, at(999)), Ok(id), "every key verifies");
        assert_eq!(keys(&["two"]).verify(&token, at(1000)), Err(LinkError::Unknown), "nothing is told of another's");
    }

    #[test]
    fn no_changed_token_opens_anything() {
        let keys = keys(&["one"]);
        let token = keys.sign(&BlobId::derive(&["a"]), at(1000));
        for position in 0..token.len() {
            for other in ['A', 'b', '_', '=', '/', 'é'] {
                let changed: String =
                    token.chars().enumerate().map(|(at, kept)| if at == position { other } else { kept }).collect();
                if changed != token {
                    assert_eq!(keys.verify(&changed, at(0)), Err(LinkError::Unknown), "{changed}");
                }
            }
        }
        for odd in ["", "AQ", &token[1..], &format!("{token}A"), &"A".repeat(10_000)] {
            assert_eq!(keys.verify(odd, at(0)), Err(LinkError::Unknown));
        }
    }

    #[test]
    fn a_key_is_needed_and_none_may_be_empty() {
        assert!(Keys::new(Vec::new()).is_err());
        assert!(Keys::new(vec![SecretString::from("")]).is_err());
    }
}
