use jiff::Timestamp;

use crate::{AgentReply, ConsentChange, DecodeError, DeliveryReport, Family, Queued, decode};

/// What a role takes from the queues of a family: messages of one type, or of several.
pub trait Taken: Sized + Send + Sync + 'static {
    /// The family of its queues.
    const QUEUES: Family;

    /// Reads a body of the type that the `type` property names.
    ///
    /// # Errors
    /// [`DecodeError`]: a type that does not belong there, or a body that cannot be read.
    fn read(kind: &str, body: &[u8]) -> Result<Self, DecodeError>;

    /// When the house accepted what caused it.
    fn since(&self) -> Timestamp;

    /// Whether it is given up when it is too old.
    fn expires(&self) -> bool {
        true
    }

    /// Whether messages of a type are looked at as soon as they are in hand, ahead of their turn.
    fn is_foreseen(kind: &str) -> bool {
        let _of_no_type = kind;
        false
    }
}

impl<M: Queued> Taken for M {
    const QUEUES: Family = M::FAMILY;

    fn read(kind: &str, body: &[u8]) -> Result<Self, DecodeError> {
        if kind != M::TYPE {
            return Err(DecodeError::Type { known: M::TYPE });
        }
        decode(body)
    }

    fn since(&self) -> Timestamp {
        self.received_at()
    }
}

/// What stands in the queues `replies`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Errand {
    /// An agent's reply.
    Reply(AgentReply),
    /// A consumer's keyword.
    Consent(ConsentChange),
    /// What a provider says became of a reply.
    Report(DeliveryReport),
}

impl Taken for Errand {
    const QUEUES: Family = Family::Replies;

    fn read(kind: &str, body: &[u8]) -> Result<Self, DecodeError> {
        match kind {
            ConsentChange::TYPE => decode(body).map(Self::Consent),
            DeliveryReport::TYPE => decode(body).map(Self::Report),
            _ => AgentReply::read(kind, body).map(Self::Reply),
        }
    }

    fn since(&self) -> Timestamp {
        match self {
            Self::Reply(reply) => reply.received_at,
            Self::Consent(change) => change.received_at,
            Self::Report(report) => report.received_at,
        }
    }

    /// What a consumer asked for is not void because it came late.
    fn expires(&self) -> bool {
        matches!(self, Self::Reply(_))
    }

    fn is_foreseen(kind: &str) -> bool {
        kind == ConsentChange::TYPE
    }
}
