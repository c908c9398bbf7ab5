use std::borrow::Cow;

use jiff::Timestamp;
use serde::Serialize;

/// The cause on a dead letter (`dead-reason`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeadReason {
    /// Older than it may be.
    Expired,
    /// Every try failed.
    AttemptsExhausted,
    /// Not a message of this queue, or of a version this build does not read.
    Unreadable,
    /// Refused by the handler, with its code.
    Rejected(Cow<'static, str>),
}

impl DeadReason {
    /// The word in the header and in listings.
    pub fn word(&self) -> &str {
        match self {
            Self::Expired => "expired",
            Self::AttemptsExhausted => "attempts-exhausted",
            Self::Unreadable => "unreadable",
            Self::Rejected(code) => code,
        }
    }

    /// The reason of a word.
    pub(crate) fn of_word(word: String) -> Self {
        match [Self::Expired, Self::AttemptsExhausted, Self::Unreadable].into_iter().find(|one| one.word() == word) {
            Some(own) => own,
            None => Self::Rejected(word.into()),
        }
    }
}

/// One dead letter, without its body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DeadLetterReport {
    /// `message_id`; empty where it had none.
    pub id: String,
    /// `dead-reason`.
    pub reason: String,
    /// `dead-detail`.
    pub detail: String,
    /// `dead-at`.
    pub at: Timestamp,
    /// `dead-from`: the queue it came from.
    pub from: String,
}
