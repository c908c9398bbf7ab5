use sha2::{Digest, Sha256};

use super::MESSAGE_ID_PREFIX;

/// A Message-ID that can stand in a header: printable ASCII, no space, no angle bracket. Without its brackets.
#[derive(Clone, PartialEq, Eq)]
pub struct MessageRef(String);

impl MessageRef {
    /// Takes an id with or without its brackets, or none where it cannot stand in a header.
    pub fn parse(id: &str) -> Option<Self> {
        let id = id.trim().trim_start_matches('<').trim_end_matches('>');
        let usable = id.bytes().all(|byte| byte.is_ascii_graphic() && !b"<>".contains(&byte));
        (usable && id.contains('@') && id.len() <= 250).then(|| Self(id.to_owned()))
    }

    /// The id without brackets.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The id as headers have it.
    pub(crate) fn bracketed(&self) -> String {
        format!("<{}>", self.0)
    }
}

impl std::fmt::Debug for MessageRef {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("***")
    }
}

/// The Message-ID of an agent's mail to one recipient. It is the same however often it is sent, so that a copy sent after an
/// interruption can be told by the recipient's server to be one.
pub fn message_id(ccid: &str, channel_id: &str, genesys_message_id: &str, recipient: &str) -> MessageRef {
    let hash = hash(&[ccid, channel_id, genesys_message_id, &recipient.to_lowercase()]);
    let domain: String = channel_id.chars().filter(|c| c.is_ascii_alphanumeric() || ".-".contains(*c)).collect();
    let domain = if domain.is_empty() { "invalid".to_owned() } else { domain };
    MessageRef(format!("{MESSAGE_ID_PREFIX}{}@{domain}", base32(&hash)))
}

/// The short name of one of our mails, which stands in its Message-ID and behind the plus of its bounce and reply addresses: so
/// a report that tells either of them tells it.
pub fn message_token(ccid: &str, channel_id: &str, genesys_message_id: &str, recipient: &str) -> String {
    let hash = hash(&[ccid, channel_id, genesys_message_id, &recipient.to_lowercase()]);
    base32(&hash[..TOKEN_BYTES])
}

/// The token in a Message-ID of ours, with or without its brackets; `None` for another's.
pub fn token_of(message_id: &str) -> Option<String> {
    let id = message_id.trim().trim_start_matches('<').to_ascii_lowercase();
    let token = id.strip_prefix(MESSAGE_ID_PREFIX)?.split('@').next()?.get(..TOKEN_BYTES * 8 / 5)?;
    token.bytes().all(|byte| ALPHABET.contains(&byte)).then(|| token.to_owned())
}

/// An address with a token behind its plus: `bounces@company.com` becomes `bounces+token@company.com`.
pub fn envelope_sender(base: &str, token: &str) -> String {
    base.rsplit_once('@').map_or_else(|| base.to_owned(), |(local, domain)| format!("{local}+{token}@{domain}"))
}

fn hash(parts: &[&str]) -> [u8; 32] {
    Sha256::digest(parts.join("|").as_bytes()).into()
}

/// Of the hash: 120 bits, which are 24 characters and none to guess.
const TOKEN_BYTES: usize = 15;
const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// RFC 4648 in lower case and without padding: it survives servers that change the case of addresses.
pub(crate) fn base32(bytes: &[u8]) -> String {
    let mut out = String::new();
    let (mut buffer, mut bits) = (0u32, 0);
    for byte in bytes {
        buffer = (buffer << 8) | u32::from(*byte);
        bits += 8;
        while bits >= 5 {
            bits -= 5;
            out.push(char::from(ALPHABET[(buffer >> bits) as usize & 31]));
        }
        buffer &= (1 << bits) - 1;
    }
    if bits > 0 {
        out.push(char::from(ALPHABET[(buffer << (5 - bits)) as usize & 31]));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base32_is_that_of_the_standard() {
        let vectors =
            [("", ""), ("f", "my"), ("fo", "mzxq"), ("foo", "mzxw6"), ("foob", "mzxw6yq"), ("foobar", "mzxw6ytboi")];
        for (text, encoded) in vectors {
            assert_eq!(base32(text.as_bytes()), encoded);
        }
    }

    #[test]
    fn ids_are_the_same_each_time_and_differ_by_recipient() {
        let id = |to| message_id("ccid", "company.com", "m-1", to);
        assert_eq!(id("a@b.example"), id("A@b.example"));
        assert_ne!(id("a@b.example"), id("c@b.example"));
        assert!(id("a@b.example").as_str().starts_with("nx.") && id("a@b.example").as_str().ends_with("@company.com"));
        let token = message_token("ccid", "company.com", "m-1", "a@b.example");
        assert_eq!(envelope_sender("bounces@company.com", &token), format!("bounces+{token}@company.com"));
        assert_eq!(token.len(), 24);
        let id = id("a@b.example");
        assert_eq!(token_of(id.as_str()), Some(token.clone()), "a report may tell either of them");
        assert_eq!(token_of(&format!("<{}>", id.as_str().to_uppercase())), Some(token));
        assert_eq!(token_of("<nx.short@company.com>"), None);
        assert_eq!(token_of("<CAF1234567890123456789012345@mail.example>"), None);
    }

    #[test]
    fn what_would_break_a_header_is_no_id() {
        for bad in ["a", "", "a@b\r\nBcc: x@y.example", "a b@c", "a@b><c@d", "ü@b"] {
            assert_eq!(MessageRef::parse(bad), None, "{bad:?}");
        }
        assert_eq!(MessageRef::parse(" <a@b> ").unwrap().as_str(), "a@b");
    }
}
