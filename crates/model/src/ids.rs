use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// An id that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// The id is empty.
    #[error("must not be empty")]
    Empty,
    /// The id is longer than any system it has to pass through accepts.
    #[error("must be at most {limit} bytes, has {len}")]
    TooLong {
        /// Bytes found.
        len: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// The id holds a character that is not safe in a URL, a queue name or a metric label.
    #[error("may hold letters, digits, '.', '_', '@', '+' and '-' only")]
    Character,
}

macro_rules! opaque {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, Debug)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// Wraps an id as it is.
            pub fn new(id: impl Into<String>) -> Self {
                Self(id.into())
            }

            /// The id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(&self.0)
            }
        }
    };
}

opaque! {
    /// The name of a channel: in the webhook's URL, in metrics and in logs. The id, where no name is configured.
    ChannelName
}
opaque! {
    /// The id Genesys gave a channel; opaque (for SMS the company's number, for mail the domain).
    ChannelId
}
opaque! {
    /// A neighbour of the house: a Genesys tenant or a provider account, by its configured name.
    NeighbourName
}
opaque! {
    /// A provider's id of a conversation; opaque.
    SessionId
}
opaque! {
    /// The identity of a message in the house, derived from the foreign id, so that the same event is the
    /// same message wherever it reappears.
    MessageId
}
opaque! {
    /// The trace id a message carries from end to end, verbatim as it came in.
    TraceId
}

const NAME_LIMIT: usize = 120;
const TRACE_LIMIT: usize = 128;

impl ChannelName {
    /// Accepts a name that is safe in a URL path, a queue name and a metric label.
    ///
    /// # Errors
    /// [`IdError`] says what is wrong with it.
    pub fn parse(name: &str) -> Result<Self, IdError> {
        check_name(name).map(|()| Self::new(name))
    }
}

impl NeighbourName {
    /// Accepts a name that is safe in a queue name and a metric label.
    ///
    /// # Errors
    /// [`IdError`] says what is wrong with it.
    pub fn parse(name: &str) -> Result<Self, IdError> {
        check_name(name).map(|()| Self::new(name))
    }
}

fn check_name(name: &str) -> Result<(), IdError> {
    if name.is_empty() {
        return Err(IdError::Empty);
    }
    if name.len() > NAME_LIMIT {
        return Err(IdError::TooLong { len: name.len(), limit: NAME_LIMIT });
    }
    let safe = |byte: u8| byte.is_ascii_alphanumeric() || b"._@+-".contains(&byte);
    if name.bytes().all(safe) { Ok(()) } else { Err(IdError::Character) }
}

impl MessageId {
    /// Derives an id from what identifies the message abroad. The parts are framed by their length, so
    /// `("a", "bc")` and `("ab", "c")` differ.
    pub fn derive(prefix: &str, parts: &[&str]) -> Self {
        Self(format!("{prefix}-{}", &hash_parts(parts)[..32]))
    }
}

impl TraceId {
    /// Takes a foreign trace id verbatim where it is printable ASCII of at most 128 bytes. Nobody's message is
    /// refused for its trace id, so anything else counts as absent.
    pub fn from_foreign(id: &str) -> Option<Self> {
        let id = id.trim();
        let usable = !id.is_empty() && id.len() <= TRACE_LIMIT && id.bytes().all(|byte| byte.is_ascii_graphic());
        usable.then(|| Self::new(id))
    }
}

/// SHA-256 in hex over length-framed parts.
pub(crate) fn hash_parts(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    hex::encode(hash.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn derived_ids_frame_their_parts() {
        assert_ne!(MessageId::derive("in", &["a", "bc"]), MessageId::derive("in", &["ab", "c"]));
        assert_eq!(MessageId::derive("in", &["a", "bc"]), MessageId::derive("in", &["a", "bc"]));
    }

    #[test]
    fn names_are_safe_in_urls_and_queues() {
        assert!(ChannelName::parse("sales-sms").is_ok());
        assert!(ChannelName::parse("company.com").is_ok());
        assert_eq!(ChannelName::parse(""), Err(IdError::Empty));
        assert_eq!(ChannelName::parse("a/b"), Err(IdError::Character));
    }

    #[test]
    fn odd_trace_ids_are_dropped_not_refused() {
        let sample = "5767ea58-1511-4a98-bc56-7f34c43e3a51";
        assert_eq!(TraceId::from_foreign(sample).unwrap().as_str(), sample);
        assert_eq!(TraceId::from_foreign("a\nb"), None);
        assert_eq!(TraceId::from_foreign(&"x".repeat(129)), None);
    }
}
