//! How a recipient leaves: tokens that are signed, so that nobody is unsubscribed by somebody who was not written to.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use model::{Address, ChannelName};
use ring::hmac;
use secrecy::{ExposeSecret, SecretString};
use subtle::ConstantTimeEq;

use crate::outgoing::base32;

/// What stands before the plus of the address that takes the wish as a mail.
pub const LEAVE_ADDRESS: &str = "unsubscribe";

/// Keys that sign such tokens: the first signs, all verify.
#[derive(Debug, Clone)]
pub struct LeaveKeys {
    keys: Vec<SecretString>,
}

/// Bytes of a signature.
const TAG: usize = 15;
const VERSION: u8 = 1;
/// The longest token that is looked at.
const LONGEST: usize = 1024;

impl LeaveKeys {
    /// At least one key; `None` where there is none.
    pub fn new(keys: Vec<SecretString>) -> Option<Self> {
        (!keys.is_empty()).then_some(Self { keys })
    }

    /// A token for a URL: it says who leaves what.
    pub fn url_token(&self, channel: &ChannelName, consumer: &Address) -> String {
        let claim = claim(channel, consumer);
        let mut token = vec![VERSION];
        token.extend_from_slice(&tag(&self.keys[0], "url", &claim));
        token.extend_from_slice(claim.as_bytes());
        URL_SAFE_NO_PAD.encode(token)
    }

    /// Who leaves what; `None` for a token that is none of ours.
    pub fn read_url(&self, token: &str) -> Option<(ChannelName, Address)> {
        let token = Some(token).filter(|token| token.len() <= LONGEST)?;
        let token = URL_SAFE_NO_PAD.decode(token).ok()?;
        let (version, rest) = token.split_first()?;
        let (given, claim) = rest.split_at_checked(TAG)?;
        let claim = std::str::from_utf8(claim).ok().filter(|_| *version == VERSION)?;
        if !self.is_ours("url", claim, given) {
            return None;
        }
        let (channel, consumer) = claim.split_once('\n')?;
        Some((ChannelName::new(channel), Address::mail(consumer).ok()?))
    }

    /// The address of a domain that takes the wish as a mail. It does not say who leaves: that is the mail's sender.
    pub fn address(&self, channel: &ChannelName, consumer: &Address, domain: &str) -> String {
        let tag = tag(&self.keys[0], "mail", &claim(channel, consumer));
        format!("{LEAVE_ADDRESS}+{}@{domain}", base32(&tag))
    }

    /// Whether the token behind the plus of such an address was given to this consumer.
    pub fn is_from(&self, channel: &ChannelName, consumer: &Address, token: &str) -> bool {
        let claim = claim(channel, consumer);
        let token = token.to_ascii_lowercase();
        let matches = |key: &SecretString| same(base32(&tag(key, "mail", &claim)).as_bytes(), token.as_bytes());
        self.keys.iter().fold(false, |found, key| found | matches(key))
    }

    fn is_ours(&self, what: &str, claim: &str, given: &[u8]) -> bool {
        self.keys.iter().fold(false, |found, key| found | same(&tag(key, what, claim), given))
    }
}

/// Channel names hold no line end, and neither do addresses.
fn claim(channel: &ChannelName, consumer: &Address) -> String {
    format!("{channel}\n{}", consumer.normalised())
}

fn tag(key: &SecretString, what: &str, claim: &str) -> [u8; TAG] {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key.expose_secret().as_bytes());
    let mut context = hmac::Context::with_key(&key);
    // What is signed is named, so that a key used for two things signs no second thing.
    context.update(format!("causeway unsubscribe {what}\0").as_bytes());
    context.update(claim.as_bytes());
    let mut tag = [0; TAG];
    tag.copy_from_slice(&context.sign().as_ref()[..TAG]);
    tag
}

/// In a time that tells nothing about where they differ.
fn same(one: &[u8], other: &[u8]) -> bool {
    bool::from(one.ct_eq(other))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(keys: &[&str]) -> LeaveKeys {
        LeaveKeys::new(keys.iter().map(|key| SecretString::from(*key)).collect()).unwrap()
    }

    fn ann() -> (ChannelName, Address) {
        (ChannelName::new("company.com"), Address::mail("Ann@consumer.example").unwrap())
    }

    #[test]
    fn a_url_says_who_leaves_what() {
        let (channel, consumer) = ann();
        let token = keys(&["one"]).url_token(&channel, &consumer);
        assert_eq!(keys(&["two", "one"]).read_url(&token), Some((channel, consumer)), "every key verifies");
        assert_eq!(keys(&["two"]).read_url(&token), None);
        for position in 0..token.len() {
            let changed = |at: usize, kept: char| if at == position && kept != 'A' { 'A' } else { kept };
            let changed: String = token.chars().enumerate().map(|(at, kept)| changed(at, kept)).collect();
            assert!(changed == token || keys(&["one"]).read_url(&changed).is_none(), "{changed}");
        }
        for odd in ["", "AQ", &token[1..], &"A".repeat(10_000)] {
            assert_eq!(keys(&["one"]).read_url(odd), None);
        }
    }

    #[test]
    fn an_address_works_for_whom_it_was_given_to() {
        let (channel, consumer) = ann();
        let address = keys(&["one"]).address(&channel, &consumer, "company.com");
        let token = address.strip_prefix("unsubscribe+").unwrap().strip_suffix("@company.com").unwrap();
        assert!(address.len() <= 64 && keys(&["two", "one"]).is_from(&channel, &consumer, &token.to_uppercase()));
        let bob = Address::mail("bob@consumer.example").unwrap();
        assert!(!keys(&["one"]).is_from(&channel, &bob, token) && !keys(&["two"]).is_from(&channel, &consumer, token));
    }
}
