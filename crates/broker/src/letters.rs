use bytes::Bytes;
use jiff::Timestamp;
use model::MessageId;

use crate::DeadLetterReport;

/// One dead letter, whole. It has no `Debug`: its body is private.
#[derive(Clone, PartialEq, Eq)]
pub struct Letter {
    /// Its id, and its cause. A letter without a `message_id` has an id made from its bytes.
    pub report: DeadLetterReport,
    /// `type`, where it has one.
    pub kind: Option<String>,
    /// Header `conversation`, where it has one.
    pub conversation: Option<String>,
    /// Header `trace-id`, where it has one.
    pub trace: Option<String>,
    /// Header `received-at`, where it has one.
    pub received_at: Option<Timestamp>,
    /// The bytes, as they came.
    pub body: Bytes,
}

/// What is to become of a dead letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sift {
    /// It goes back to the queue it died in.
    Requeue,
    /// It is removed for good.
    Discard,
}

/// What became of a dead letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sifted {
    /// It stands in the queue it died in, which is named.
    Requeued(String),
    /// It is gone.
    Discarded,
    /// It stays a dead letter, and why.
    Refused(String),
}

/// How far a walk through the dead letters came.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Sifting {
    /// Every letter there was a decision for, by id, in the order of the letters.
    pub settled: Vec<(String, Sifted)>,
    /// Why it ended early; what is not in `settled` is where it was.
    pub stopped: Option<String>,
}

/// The id of a letter: its own, or one that its bytes always give.
pub(crate) fn id_of(own: Option<String>, body: &[u8]) -> String {
    let derived = || MessageId::derive("bytes", &[&hex::encode(body)]).to_string();
    own.filter(|id| !id.is_empty()).unwrap_or_else(derived)
}

/// What a letter is refused with that came from a queue nobody consumes any more.
pub(crate) fn no_such_queue(from: &str) -> Sifted {
    let from = if from.is_empty() { "no queue that it names" } else { from };
    Sifted::Refused(format!("it came from {from}, which is not configured here"))
}
