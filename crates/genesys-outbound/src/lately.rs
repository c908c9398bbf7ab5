use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use jiff::{SignedDuration, Timestamp};
use model::{Arrival, InboundMessage, MessageId, NeighbourName, SessionId, Unread};

/// Sessions whose last read is remembered. One that is forgotten is read once more, and nothing else.
const SESSIONS: usize = 256;
/// Times of one message on two paths differ by at most this (design 4).
const APART: SignedDuration = SignedDuration::from_secs(2);

/// The sessions that were read lately, so that events which come in twos and threads cost one read.
#[derive(Default)]
pub(crate) struct Lately {
    reads: Mutex<HashMap<(NeighbourName, SessionId), Read>>,
}

struct Read {
    began: Timestamp,
    rows: Vec<(MessageId, Arrival)>,
}

impl Lately {
    pub(crate) fn remember(&self, of: (NeighbourName, SessionId), began: Timestamp, rows: &[InboundMessage]) {
        let rows = rows.iter().map(|row| (row.id.clone(), row.arrival.clone())).collect();
        let mut reads = self.reads.lock().unwrap_or_else(PoisonError::into_inner);
        if reads.len() >= SESSIONS && !reads.contains_key(&of) {
            let oldest = reads.iter().min_by_key(|(_, read)| read.began).map(|(key, _)| key.clone());
            oldest.and_then(|key| reads.remove(&key));
        }
        reads.insert(of, Read { began, rows });
    }

    /// Whether what an event tells of was seen by a read that began after the event came in. A message must have been among
    /// its rows: the platform's servers learn of it one after the other.
    pub(crate) fn covers(&self, of: &(NeighbourName, SessionId), message: &InboundMessage) -> bool {
        let reads = self.reads.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(read) = reads.get(of) else { return false };
        match message.unread {
            Some(Unread::Session) => message.received_at < read.began,
            Some(Unread::Text | Unread::Media) => read.rows.iter().any(|(id, row)| is_told(message, id, row)),
            None => false,
        }
    }
}

/// Whether a row is the message an event told of (design 4, "What is pulled").
pub(crate) fn is_told(message: &InboundMessage, id: &MessageId, row: &Arrival) -> bool {
    if message.unread == Some(Unread::Session) {
        return false;
    }
    let told = &message.arrival;
    let near = told.sent_at.zip(row.sent_at).is_some_and(|(one, other)| one.duration_since(other).abs() <= APART);
    *id == message.id || (near && told.fingerprint == row.fingerprint)
}
