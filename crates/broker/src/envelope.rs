use bytes::Bytes;
use jiff::Timestamp;
use model::{MessageId, Queued, TraceId};

/// A message as the queues see it: properties of section 3.4 of the design, and a body.
#[derive(Clone, PartialEq, Eq)]
pub struct Envelope {
    /// `message_id`.
    pub id: MessageId,
    /// `type`.
    pub kind: String,
    /// Header `conversation`.
    pub conversation: String,
    /// Header `trace-id`.
    pub trace: TraceId,
    /// Header `received-at`.
    pub received_at: Timestamp,
    /// JSON.
    pub body: Bytes,
}

impl Envelope {
    /// Wraps a message.
    pub fn of<M: Queued>(message: &M) -> Self {
        Self {
            id: message.id().clone(),
            kind: M::TYPE.to_owned(),
            conversation: message.conversation().header().to_owned(),
            trace: message.trace().clone(),
            received_at: message.received_at(),
            body: Bytes::from(model::encode(message)),
        }
    }
}
