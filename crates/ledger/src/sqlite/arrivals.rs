use std::collections::HashSet;

use model::{Arrival, ChannelName, MessageId};
use rusqlite::{OptionalExtension, params};

use super::{Book, millis};
use crate::ArrivalVerdict;
use crate::common::{APART, path_word};

pub(crate) fn arrive(
    book: &Book<'_>,
    channel: &ChannelName,
    id: &MessageId,
    arrival: &Arrival,
) -> rusqlite::Result<ArrivalVerdict> {
    let select = "SELECT same_as FROM arrivals WHERE channel = ?1 AND id = ?2";
    let key = params![channel.as_str(), id.as_str()];
    let known: Option<Option<String>> =
        book.connection.prepare_cached(select)?.query_row(key, |row| row.get(0)).optional()?;
    if let Some(same_as) = known {
        return Ok(same_as.map_or(ArrivalVerdict::New, |id| ArrivalVerdict::SameAs(MessageId::new(id))));
    }
    let twin = twin(book, channel, arrival)?;
    let insert = "INSERT INTO arrivals (channel, id, path, fingerprint, sent_at, same_as, arrived_at)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
    book.connection.prepare_cached(insert)?.execute(params![
        channel.as_str(),
        id.as_str(),
        path_word(arrival.path),
        arrival.fingerprint,
        arrival.sent_at.map(millis),
        twin,
        millis(book.now),
    ])?;
    Ok(twin.map_or(ArrivalVerdict::New, |id| ArrivalVerdict::SameAs(MessageId::new(id))))
}

/// The nearest arrival by another path that no arrival of this path was matched with before: one to one, so that two equal
/// texts sent twice stay two.
fn twin(book: &Book<'_>, channel: &ChannelName, arrival: &Arrival) -> rusqlite::Result<Option<String>> {
    let Some(sent_at) = arrival.sent_at.map(millis) else { return Ok(None) };
    let select = "SELECT id FROM arrivals AS first
        WHERE channel = ?1 AND fingerprint = ?2 AND sent_at BETWEEN ?3 AND ?4 AND path <> ?5 AND same_as IS NULL
        AND NOT EXISTS (SELECT 1 FROM arrivals AS other WHERE other.channel = ?1 AND other.fingerprint = ?2
            AND other.path = ?5 AND other.same_as = first.id)
        ORDER BY abs(sent_at - ?6), id LIMIT 1";
    let arguments = params![
        channel.as_str(),
        arrival.fingerprint,
        sent_at - APART,
        sent_at + APART,
        path_word(arrival.path),
        sent_at,
    ];
    book.connection.prepare_cached(select)?.query_row(arguments, |row| row.get(0)).optional()
}

pub(crate) fn known(book: &Book<'_>, channel: &ChannelName, ids: &[MessageId]) -> rusqlite::Result<HashSet<MessageId>> {
    let mut select = book.connection.prepare_cached("SELECT 1 FROM arrivals WHERE channel = ?1 AND id = ?2")?;
    let mut known = HashSet::new();
    for id in ids {
        if select.exists(params![channel.as_str(), id.as_str()])? {
            known.insert(id.clone());
        }
    }
    Ok(known)
}
