//! What both stores have in common: words, spans of time, and the order of the lines of a timeline.

use jiff::Timestamp;
use model::{ArrivalPath, ChannelName, Family, MessageId, TraceId};

use crate::{AttemptId, Line, Outcome, What};

/// Lines a listing holds at the most; the newest count.
pub(crate) const LINES: u32 = 500;
/// Ids a listing of what was claimed holds at the most; the newest count.
pub(crate) const CLAIMED: u32 = 200;

/// A session in use is touched at most once in this time, in milliseconds, so that reading it seldom writes.
pub(crate) const TOUCH_EVERY: i64 = 86_400_000;

/// Two arrivals of one message tell times that differ by at most this, in milliseconds (design 4).
pub(crate) const APART: i64 = 2_000;

/// Under which a path's sight of a message that came in by another one is kept, or of a message that has no row of its own: so
/// that the message stands for no other message of that path.
pub(crate) fn sight_id(id: &MessageId, path: ArrivalPath) -> MessageId {
    MessageId::new(format!("{id}~{}", path_word(path)))
}

/// A report without a message is kept so long: longer than a reply waits for its provider, unless told otherwise.
pub(crate) const REPORT_HELD: i64 = 86_400_000;
/// Reports that are kept at the most; the newest count.
pub(crate) const REPORTS: u32 = 100_000;

/// Counts reports that nobody ever sent a message for.
pub(crate) fn count_unmatched(provider: &str) {
    metrics::counter!("causeway_unmatched_reports_total", "provider" => provider.to_owned()).increment(1);
}

/// The word of a path.
pub(crate) const fn path_word(path: ArrivalPath) -> &'static str {
    match path {
        ArrivalPath::MessageEvent => "message-event",
        ArrivalPath::SessionEvent => "session-event",
        ArrivalPath::StoredRow => "stored-row",
    }
}

/// A line as a store holds it.
pub(crate) struct Raw {
    pub(crate) at: i64,
    pub(crate) id: String,
    pub(crate) family: String,
    pub(crate) channel: String,
    pub(crate) foreign_id: String,
    pub(crate) trace: String,
    pub(crate) what: String,
    pub(crate) detail: String,
}

impl Raw {
    /// The line; the word this build does not know, where there is one.
    pub(crate) fn read(self) -> Result<Line, String> {
        Ok(Line {
            at: Timestamp::from_millisecond(self.at).unwrap_or(Timestamp::UNIX_EPOCH),
            id: MessageId::new(self.id),
            family: Family::ALL.into_iter().find(|one| one.word() == self.family).ok_or(self.family)?,
            channel: ChannelName::new(self.channel),
            foreign_id: self.foreign_id,
            trace: TraceId::new(self.trace),
            what: What::ALL.into_iter().find(|one| one.word() == self.what).ok_or(self.what)?,
            detail: self.detail,
        })
    }
}

/// What the row of an effect tells of itself: that it was received, begun, and made by that one attempt.
///
/// Nearly every effect is that and nothing else, and three lines beside its row would cost more than the row. So a row that
/// names its `walk` has no such lines. Where anything else happens, they are written down first, and the row tells no more.
pub(crate) struct Walk {
    pub(crate) family: String,
    pub(crate) received_at: i64,
    pub(crate) began_at: i64,
    pub(crate) attempt: String,
    /// When it was made, and the outcome as a store holds it.
    pub(crate) ended: Option<(i64, String)>,
}

impl Walk {
    /// Its lines, the oldest first.
    pub(crate) fn lines(self) -> Result<Vec<(i64, What, String)>, serde_json::Error> {
        let mut lines = begun(&self.family, self.received_at, self.began_at, &self.attempt);
        if let Some((at, outcome)) = self.ended {
            let (what, detail) = told(&serde_json::from_str(&outcome)?, &AttemptId(self.attempt));
            lines.push((at, what, detail));
        }
        Ok(lines)
    }
}

/// The lines of an effect that was received and begun.
pub(crate) fn begun(family: &str, received_at: i64, began_at: i64, attempt: &str) -> Vec<(i64, What, String)> {
    let received = (received_at, What::Received, String::new());
    let began = (began_at, What::Began, format!("attempt {attempt}"));
    // A receipt is made by the house, for a reply that has a line of its own.
    if family == Family::Receipts.word() { vec![began] } else { vec![received, began] }
}

/// The newest of what effects tell of themselves and of what was written beside them, the oldest first.
pub(crate) fn newest(own: Vec<Line>, written: Vec<Line>, limit: u32) -> Vec<Line> {
    let mut lines = own;
    lines.extend(written);
    lines.sort_by_key(|line| line.at);
    lines.split_off(lines.len().saturating_sub(limit as usize))
}

/// What an outcome says in a timeline.
pub(crate) fn told(outcome: &Outcome, attempt: &AttemptId) -> (What, String) {
    match outcome {
        Outcome::Sent { foreign_id: Some(id) } => (What::Sent, format!("attempt {}, called {id} there", attempt.0)),
        Outcome::Sent { foreign_id: None } => (What::Sent, format!("attempt {}", attempt.0)),
        Outcome::Failed { code, reason, .. } => (What::Failed, format!("{}: {reason}", code.number())),
        Outcome::Recorded => (What::Consent, format!("attempt {}: nothing to answer", attempt.0)),
        Outcome::SameAs(id) => (What::Sent, format!("nothing: it is the same message as {id}")),
    }
}

/// Each message's lines together, messages in the order of their first line.
pub(crate) fn by_message(mut lines: Vec<Line>) -> Vec<Line> {
    lines.sort_by(|one, other| (one.at, &one.id).cmp(&(other.at, &other.id)));
    let mut order: Vec<(MessageId, Vec<Line>)> = Vec::new();
    for line in lines {
        match order.iter_mut().find(|(id, _)| *id == line.id) {
            Some((_, lines)) => lines.push(line),
            None => order.push((line.id.clone(), vec![line])),
        }
    }
    order.into_iter().flat_map(|(_, lines)| lines).collect()
}

/// A number as people write it, as its digits, and with the leading 1 that North Americans leave out.
pub(crate) fn numbers(query: &str) -> (String, String) {
    let written = query.chars().all(|c| c.is_ascii_digit() || "+-.() /".contains(c));
    let digits: String = query.chars().filter(char::is_ascii_digit).collect();
    if !written || digits.is_empty() {
        return (query.to_lowercase(), query.to_owned());
    }
    let with_one = if digits.len() == 10 { format!("1{digits}") } else { digits.clone() };
    (digits, with_one)
}

/// How the outcome of something sent begins in both stores, where the far side gave it an id.
pub(crate) const SENT_WITH_AN_ID: &str = "{\"Sent\":{\"foreign_id\":\"%";

/// The far side's id in an outcome as a store holds it.
pub(crate) fn foreign_id(outcome: &str) -> Result<Option<String>, serde_json::Error> {
    match serde_json::from_str(outcome)? {
        Outcome::Sent { foreign_id } => Ok(foreign_id),
        Outcome::Failed { .. } | Outcome::SameAs(_) | Outcome::Recorded => Ok(None),
    }
}
