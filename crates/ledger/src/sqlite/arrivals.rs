use std::collections::HashSet;

use model::{Arrival, ArrivalPath, ChannelName, MessageId};
use rusqlite::{OptionalExtension, params};

use super::{Book, millis};
use crate::ArrivalVerdict;
use crate::common::{APART, path_word, sight_id};

pub(crate) fn arrive(
    book: &Book<'_>,
    channel: &ChannelName,
    id: &MessageId,
    arrival: &Arrival,
) -> rusqlite::Result<ArrivalVerdict> {
    let verdict = |same_as: Option<String>| match same_as {
        None => ArrivalVerdict::New,
        Some(id) => ArrivalVerdict::SameAs(MessageId::new(id)),
    };
    if let Some((_, same_as)) = find(book, channel, id.as_str())? {
        see_again(book, channel, id, arrival)?;
        return Ok(verdict(same_as));
    }
    if let Some((_, row)) = find(book, channel, sight_id(id, arrival.path).as_str())? {
        return Ok(verdict(row));
    }
    let twin = twin(book, channel, arrival)?.map(|(id, _)| id);
    insert(book, channel, id, arrival, twin.as_deref())?;
    Ok(verdict(twin))
}

/// The row that an arrival of another kind is like, where it did not arrive before.
pub(crate) fn like_a_row(
    book: &Book<'_>,
    channel: &ChannelName,
    id: &MessageId,
    arrival: &Arrival,
) -> rusqlite::Result<Option<MessageId>> {
    let known = |id: &str| find(book, channel, id).map(|known| known.is_some());
    if known(id.as_str())? || known(sight_id(id, arrival.path).as_str())? {
        return Ok(None);
    }
    let row = path_word(ArrivalPath::StoredRow);
    Ok(twin(book, channel, arrival)?.filter(|(_, path)| path == row).map(|(id, _)| MessageId::new(id)))
}

/// Notes that another path told of a message under its id: it is no twin of anything else on that path.
pub(crate) fn see_again(
    book: &Book<'_>,
    channel: &ChannelName,
    id: &MessageId,
    arrival: &Arrival,
) -> rusqlite::Result<()> {
    let Some((path, same_as)) = find(book, channel, id.as_str())? else { return Ok(()) };
    let sight = sight_id(id, arrival.path);
    if path == path_word(arrival.path) || find(book, channel, sight.as_str())?.is_some() {
        return Ok(());
    }
    insert(book, channel, &sight, arrival, Some(same_as.as_deref().unwrap_or(id.as_str())))
}

pub(crate) fn sight(
    book: &Book<'_>,
    channel: &ChannelName,
    (id, path): (&MessageId, ArrivalPath),
    rows: &[(MessageId, Arrival)],
) -> rusqlite::Result<bool> {
    let sight = sight_id(id, path);
    if find(book, channel, sight.as_str())?.is_some() {
        return Ok(true);
    }
    let seen = "SELECT 1 FROM arrivals WHERE channel = ?1 AND fingerprint = ?2 AND path = ?3 AND same_as = ?4";
    for (row, arrival) in rows {
        let known = find(book, channel, row.as_str())?;
        let first = known.and_then(|(_, same_as)| same_as).unwrap_or_else(|| row.to_string());
        let of_path = find(book, channel, &first)?.is_some_and(|(known, _)| known == path_word(path));
        let taken = params![channel.as_str(), arrival.fingerprint, path_word(path), first];
        if first == id.as_str() || !(of_path || book.connection.prepare_cached(seen)?.exists(taken)?) {
            let told = Arrival { path, ..arrival.clone() };
            insert(book, channel, &sight, &told, Some(&first))?;
            return Ok(true);
        }
    }
    Ok(false)
}

type Known = (String, Option<String>);

/// By which path an arrival came, and what it is the same as.
fn find(book: &Book<'_>, channel: &ChannelName, id: &str) -> rusqlite::Result<Option<Known>> {
    let select = "SELECT path, same_as FROM arrivals WHERE channel = ?1 AND id = ?2";
    let read = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?));
    book.connection.prepare_cached(select)?.query_row(params![channel.as_str(), id], read).optional()
}

fn insert(
    book: &Book<'_>,
    channel: &ChannelName,
    id: &MessageId,
    arrival: &Arrival,
    same_as: Option<&str>,
) -> rusqlite::Result<()> {
    let insert = "INSERT INTO arrivals (channel, id, path, fingerprint, sent_at, same_as, arrived_at)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
    book.connection.prepare_cached(insert)?.execute(params![
        channel.as_str(),
        id.as_str(),
        path_word(arrival.path),
        arrival.fingerprint,
        arrival.sent_at.map(millis),
        same_as,
        millis(book.now),
    ])?;
    Ok(())
}

/// The nearest arrival by another path that no arrival of this path was matched with before, and its path: one to one, so that
/// two equal texts sent twice stay two.
fn twin(book: &Book<'_>, channel: &ChannelName, arrival: &Arrival) -> rusqlite::Result<Option<(String, String)>> {
    let Some(sent_at) = arrival.sent_at.map(millis) else { return Ok(None) };
    let select = "SELECT id, path FROM arrivals AS first
        WHERE channel = ?1 AND fingerprint = ?2 AND sent_at BETWEEN ?3 AND ?4 AND path <> ?5 AND same_as IS NULL
        AND NOT EXISTS (SELECT 1 FROM arrivals AS other WHERE other.channel = ?1 AND other.fingerprint = ?2
            AND other.path = ?5 AND other.same_as = first.id)
        ORDER BY abs(sent_at - ?6), id";
    let arguments = params![
        channel.as_str(),
        arrival.fingerprint,
        sent_at - APART,
        sent_at + APART,
        path_word(arrival.path),
        sent_at,
    ];
    let mut select = book.connection.prepare_cached(select)?;
    let near = select.query_map(arguments, |row| Ok((row.get(0)?, row.get(1)?)))?;
    for twin in near {
        let twin: (String, String) = twin?;
        if !arrival.beside.iter().any(|other| other.as_str() == twin.0) {
            return Ok(Some(twin));
        }
    }
    Ok(None)
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
