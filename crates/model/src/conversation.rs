use crate::ids::hash_parts;
use crate::{Address, ChannelName};

/// What keeps messages in order: one consumer on one channel.
///
/// The hash is SHA-256 over the length-framed channel name and normalised address. The first 16 bytes in hex
/// are the `conversation` header; the first 8 bytes, big-endian, modulo the number of partitions are the
/// partition. Every version and replica must agree on both, so neither may ever change.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ConversationKey {
    hash: String,
}

impl ConversationKey {
    /// The key of a consumer on a channel.
    pub fn new(channel: &ChannelName, consumer: &Address) -> Self {
        Self { hash: hash_parts(&[channel.as_str(), consumer.normalised()]) }
    }

    /// The `conversation` header: 32 hex characters that name the conversation and nobody.
    pub fn header(&self) -> &str {
        &self.hash[..32]
    }

    /// The partition among `partitions`.
    pub fn partition(&self, partitions: u16) -> u16 {
        partition_of(&self.hash, partitions)
    }
}

fn partition_of(hash: &str, partitions: u16) -> u16 {
    let head = u64::from_str_radix(&hash[..16], 16).expect("a SHA-256 in hex has 16 hex characters");
    u16::try_from(head % u64::from(partitions.max(1))).expect("a remainder of a u16 is a u16")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::PhoneNumber;

    #[test]
    fn the_hash_is_a_contract_between_versions() {
        let consumer = Address::Phone(PhoneNumber::normalise("+1 650 466 1149", None).unwrap());
        let key = ConversationKey::new(&ChannelName::new("0123456789"), &consumer);
        assert_eq!(key.header(), "ec6b9d58f0185c7654d071c6fa68459a");
        assert_eq!((key.partition(4), key.partition(1)), (2, 0));
    }
}
