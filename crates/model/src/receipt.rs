use serde::{Deserialize, Serialize};

/// The reason codes Genesys knows for a failed reply (`reference/genesys.md` 6.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ReasonCode {
    /// 305: it was not sent in time.
    Expired,
    /// 310: a rate limit was reached and waiting did not help.
    RateLimited,
    /// 350: not allowed: opted out, blocked, suspended, a sender that is not ours.
    NotAllowed,
    /// 500: any other failure.
    General,
    /// 510: this kind of message cannot be sent on this channel.
    Unsupported,
    /// 512: the message is not known.
    UnknownMessage,
    /// 520: the message has no usable content.
    InvalidStructure,
    /// 530: nobody can be reached there.
    InvalidDestination,
}

impl ReasonCode {
    const ALL: [Self; 8] = [
        Self::Expired,
        Self::RateLimited,
        Self::NotAllowed,
        Self::General,
        Self::Unsupported,
        Self::UnknownMessage,
        Self::InvalidStructure,
        Self::InvalidDestination,
    ];

    /// The code of a number on the wire, where there is one.
    pub fn from_number(number: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|code| code.number() == number)
    }

    /// The number on the wire.
    pub const fn number(self) -> u16 {
        match self {
            Self::Expired => 305,
            Self::RateLimited => 310,
            Self::NotAllowed => 350,
            Self::General => 500,
            Self::Unsupported => 510,
            Self::UnknownMessage => 512,
            Self::InvalidStructure => 520,
            Self::InvalidDestination => 530,
        }
    }
}

/// Why a reply failed, for the agent who reads it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReceiptReason {
    /// The code.
    pub code: ReasonCode,
    /// A sentence for the agent; no text, number or secret.
    pub message: String,
}

/// What became of an agent's reply.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ReceiptStatus {
    /// It reached the recipient, as far as the configuration lets us say so.
    Delivered,
    /// It did not, and will not.
    Failed(ReceiptReason),
    /// It was taken back.
    Removed,
}

impl ReceiptStatus {
    /// The word on the wire and in metrics.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Delivered => "Delivered",
            Self::Failed(_) => "Failed",
            Self::Removed => "Removed",
        }
    }

    /// A failure with its reason.
    pub fn failed(code: ReasonCode, message: impl Into<String>) -> Self {
        Self::Failed(ReceiptReason { code, message: message.into() })
    }
}
