use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::{ConversationKey, MessageId, NeighbourName, TraceId};

/// The three queue families, one to each message type; a consumer's keyword stands with the replies it may forbid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// Consumer messages on their way to Genesys.
    Inbound,
    /// Agents' replies on their way to consumers.
    Replies,
    /// Receipts on their way to Genesys.
    Receipts,
}

impl Family {
    /// All three.
    pub const ALL: [Self; 3] = [Self::Inbound, Self::Replies, Self::Receipts];

    /// The word in queue names.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Inbound => "inbound",
            Self::Replies => "replies",
            Self::Receipts => "receipts",
        }
    }
}

/// A message that knows its queue and carries its passport.
pub trait Queued: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// The family it belongs to.
    const FAMILY: Family;
    /// The `type` property.
    const TYPE: &'static str;
    /// The version in its body.
    const VERSION: u32;

    /// Its identity.
    fn id(&self) -> &MessageId;
    /// The neighbour whose queue it stands in.
    fn neighbour(&self) -> &NeighbourName;
    /// The conversation that keeps it in order.
    fn conversation(&self) -> ConversationKey;
    /// The trace it belongs to.
    fn trace(&self) -> &TraceId;
    /// When the house accepted what caused it.
    fn received_at(&self) -> Timestamp;
}

#[derive(Serialize)]
struct Outgoing<'a, M> {
    v: u32,
    message: &'a M,
}

#[derive(Deserialize)]
struct Version {
    v: u32,
}

#[derive(Deserialize)]
struct Incoming<M> {
    message: M,
}

/// A body that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// Its `type` does not belong in this queue.
    #[error("its type is not {known}")]
    Type {
        /// The type that does.
        known: &'static str,
    },
    /// Written by a version of the house that this one does not know.
    #[error("body has version {found}, this build reads {known}")]
    Version {
        /// The version in the body.
        found: u32,
        /// The version this build reads.
        known: u32,
    },
    /// Not one of ours. What serde says of it is left out: it may quote the message.
    #[error("body is not a message of this queue (line {line}, column {column})")]
    Unreadable {
        /// Line of the fault, from 1.
        line: usize,
        /// Column of the fault.
        column: usize,
    },
}

/// Writes a message as the JSON body of a queue message: `{"v": 1, "message": {…}}`.
pub fn encode<M: Queued>(message: &M) -> Vec<u8> {
    serde_json::to_vec(&Outgoing { v: M::VERSION, message })
        .expect("the messages have string keys and no failing serializer")
}

/// Reads what [`encode`] wrote; unknown fields are ignored, so that old and new binaries run side by side.
///
/// # Errors
/// [`DecodeError`] tells an unknown version from bytes that are not ours.
pub fn decode<M: Queued>(body: &[u8]) -> Result<M, DecodeError> {
    let unreadable = |error: serde_json::Error| DecodeError::Unreadable { line: error.line(), column: error.column() };
    let Version { v } = serde_json::from_slice(body).map_err(unreadable)?;
    if v != M::VERSION {
        return Err(DecodeError::Version { found: v, known: M::VERSION });
    }
    let incoming: Incoming<M> = serde_json::from_slice(body).map_err(unreadable)?;
    Ok(incoming.message)
}
