use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;
use model::{Arrival, InboundMessage, MessageId, NeighbourName, SessionId, Unread};

/// Sessions whose last read is remembered. One that is forgotten is read once more, and nothing else.
const SESSIONS: usize = 256;

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
    pub(crate) fn remember(&self, of: (NeighbourName, SessionId), began: Timestamp, rows: Vec<(MessageId, Arrival)>) {
        let mut reads = self.reads.lock().unwrap_or_else(PoisonError::into_inner);
        if reads.len() >= SESSIONS && !reads.contains_key(&of) {
            let oldest = reads.iter().min_by_key(|(_, read)| read.began).map(|(key, _)| key.clone());
            oldest.and_then(|key| reads.remove(&key));
        }
        reads.insert(of, Read { began, rows });
    }

    /// What a read that began after an event came in has seen of it; `None` where there was none. The platform's servers learn of
    /// a message one after the other, so it must have been among the rows.
    pub(crate) fn seen(&self, of: &(NeighbourName, SessionId), message: &InboundMessage) -> Option<Seen> {
        let reads = self.reads.lock().unwrap_or_else(PoisonError::into_inner);
        let read = reads.get(of)?;
        let after = message.received_at < read.began;
        let seen = match message.unread {
            Some(Unread::Session) if after => Seen::Session,
            Some(Unread::Session) | None => return None,
            Some(Unread::Text | Unread::Media) => Seen::Rows(told_by(message, &read.rows)),
        };
        // Under its own id it is there whenever that read was. One that is merely like it may be another one's, and its own be new.
        let own = matches!(&seen, Seen::Rows(rows) if rows.iter().any(|(id, _)| *id == message.id));
        (after || own).then_some(seen)
    }
}

/// What was seen of an event.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    /// All that it tells of: that there is something in the session.
    Session,
    /// The rows that may be its message.
    Rows(Vec<(MessageId, Arrival)>),
}

/// The rows that may be the message of an event: the one that has its id, or those like it, the nearest first.
pub(crate) fn told_by<'a>(
    message: &InboundMessage,
    rows: impl IntoIterator<Item = &'a (MessageId, Arrival)>,
) -> Vec<(MessageId, Arrival)> {
    let like = rows.into_iter().filter(|(id, row)| is_told(message, id, row));
    let mut like: Vec<_> = like.cloned().collect();
    if let Some(own) = like.iter().position(|(id, _)| *id == message.id) {
        return vec![like.swap_remove(own)];
    }
    let apart =
        |row: &Arrival| row.sent_at.zip(message.arrival.sent_at).map(|(one, two)| one.duration_since(two).abs());
    like.sort_by_key(|(_, row)| apart(row));
    like
}

/// Whether a row may be the message an event told of (design 4, "What is pulled").
pub(crate) fn is_told(message: &InboundMessage, id: &MessageId, row: &Arrival) -> bool {
    message.unread != Some(Unread::Session) && (*id == message.id || message.arrival.may_be(row))
}

#[cfg(test)]
mod tests {
    use model::{Address, ArrivalPath, ChannelName, InboundFiles, Private, TraceId};

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("it is a time")
    }

    fn row(id: &str, fingerprint: &str, second: i64) -> (MessageId, Arrival) {
        let fingerprint = fingerprint.to_owned();
        let arrival =
            Arrival { path: ArrivalPath::StoredRow, fingerprint, sent_at: Some(at(second)), beside: Vec::new() };
        (MessageId::new(id), arrival)
    }

    fn picture(id: &str, fingerprint: &str, received: i64) -> InboundMessage {
        InboundMessage {
            id: MessageId::new(id),
            channel: ChannelName::new("sales"),
            genesys: NeighbourName::new("main"),
            from: Address::Invalid("somebody".to_owned()),
            text: Private::default(),
            files: InboundFiles::default(),
            session: Some(SessionId::new("s")),
            arrival: Arrival { path: ArrivalPath::MessageEvent, ..row(id, fingerprint, 0).1 },
            unread: Some(Unread::Media),
            mail: None,
            trace: TraceId::new("t"),
            received_at: at(received),
        }
    }

    #[test]
    fn a_row_that_is_like_a_picture_says_nothing_of_one_that_came_later() {
        let (lately, of) = (Lately::default(), (NeighbourName::new("crexendo"), SessionId::new("s")));
        assert_eq!(lately.seen(&of, &picture("1", "p ? ?", 0)), None, "nothing was read");
        let rows = [row("2", "p image/png 5", 2), row("1", "p image/png 5", 0), row("3", "p image/png 6", 0)];
        lately.remember(of.clone(), at(10), rows.to_vec());
        let seen = |picture: InboundMessage| lately.seen(&of, &picture);
        let [two, one, three] = rows;
        assert_eq!(seen(picture("1", "p image/png 5", 11)), Some(Seen::Rows(vec![one.clone()])), "there it is");
        assert_eq!(seen(picture("m-1", "p image/png 5", 9)), Some(Seen::Rows(vec![one.clone(), two.clone()])));
        assert_eq!(seen(picture("m-1", "p ? ?", 9)), Some(Seen::Rows(vec![one, three, two])), "the nearest first");
        assert_eq!(seen(picture("m-1", "p image/png 5", 11)), None, "its row may be a new one");
        assert_eq!(seen(picture("m-1", "p image/png 7", 9)), Some(Seen::Rows(Vec::new())));
    }
}
