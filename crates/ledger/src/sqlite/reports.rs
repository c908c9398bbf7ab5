use model::{NeighbourName, Receipt, ReceiptStatus};
use rusqlite::types::Type;
use rusqlite::{Error, OptionalExtension, Row, params};

use super::{Book, effects, millis, receipts, timestamp};
use crate::passport::{Passport, status_written};
use crate::receipts::{State, verdict};
use crate::{AttemptId, Effect, Outcome, Parties, ReceiptVerdict, Reported};
use model::{ChannelName, Family, MessageId, TraceId};

const PASSPORT: &str = "e.id, e.channel, e.foreign_id, e.trace, e.received_at, e.parties";

/// The outcome of a reply that was sent, under the id the provider gave it, and what the provider reported before.
pub(crate) fn sent(
    book: &Book<'_>,
    effect: &Effect,
    attempt: &AttemptId,
    foreign_id: Option<&str>,
) -> rusqlite::Result<Vec<Receipt>> {
    effects::finish(book, effect, attempt, &Outcome::Sent { foreign_id: foreign_id.map(str::to_owned) })?;
    let Some(foreign_id) = foreign_id else { return Ok(Vec::new()) };
    let insert = "INSERT INTO sent (provider, foreign_id, id, made_at) VALUES (?1, ?2, ?3, ?4)
        ON CONFLICT DO UPDATE SET id = excluded.id, made_at = excluded.made_at";
    let row = params![effect.target.as_str(), foreign_id, effect.id.as_str(), millis(book.now)];
    book.connection.prepare_cached(insert)?.execute(row)?;
    found(book, &effect.target, foreign_id)
}

/// What a provider reported of one of our replies.
pub(crate) fn found(book: &Book<'_>, provider: &NeighbourName, foreign_id: &str) -> rusqlite::Result<Vec<Receipt>> {
    let select = "SELECT status FROM reports WHERE provider = ?1 AND foreign_id = ?2 ORDER BY reported_at, state";
    let mut select = book.connection.prepare_cached(select)?;
    let statuses = select.query_map(params![provider.as_str(), foreign_id], |row| json(row, 0))?;
    let statuses: Vec<ReceiptStatus> = statuses.collect::<Result<_, _>>()?;
    if statuses.is_empty() {
        return Ok(Vec::new());
    }
    let Some(known) = sent_as(book, provider, foreign_id)? else { return Ok(Vec::new()) };
    Ok(statuses.into_iter().map(|status| known.clone().receipt(status)).collect())
}

pub(crate) fn report(
    book: &Book<'_>,
    provider: &NeighbourName,
    foreign_id: &str,
    status: &ReceiptStatus,
) -> rusqlite::Result<Reported> {
    if let Some(known) = sent_as(book, provider, foreign_id)? {
        return Ok(Reported::Matched(Box::new(known.receipt(status.clone()))));
    }
    let insert = "INSERT INTO reports (provider, foreign_id, state, status, reported_at) VALUES (?1, ?2, ?3, ?4, ?5)
        ON CONFLICT DO NOTHING";
    let word = State::of(status).word();
    let row = params![provider.as_str(), foreign_id, word, status_written(status), millis(book.now)];
    book.connection.prepare_cached(insert)?.execute(row)?;
    Ok(Reported::Held)
}

fn sent_as(book: &Book<'_>, provider: &NeighbourName, foreign_id: &str) -> rusqlite::Result<Option<Passport>> {
    let select = format!(
        "SELECT {PASSPORT} FROM sent JOIN effects AS e ON e.family = ?3 AND e.id = sent.id
        WHERE sent.provider = ?1 AND sent.foreign_id = ?2"
    );
    let key = params![provider.as_str(), foreign_id, Family::Replies.word()];
    Ok(book.connection.prepare_cached(&select)?.query_row(key, passport).optional()?.flatten())
}

/// The receipts that would tell this of a reply, one for each of its recipients.
pub(crate) fn about(
    book: &Book<'_>,
    channel: &ChannelName,
    message: &str,
    status: &ReceiptStatus,
) -> rusqlite::Result<Vec<(Receipt, ReceiptVerdict)>> {
    let select = format!(
        "SELECT {PASSPORT} FROM effects AS e WHERE e.foreign_id = ?1 AND e.foreign_id <> e.id AND e.channel = ?2 AND e.family = ?3
        ORDER BY e.id"
    );
    let mut select = book.connection.prepare_cached(&select)?;
    let known = select.query_map(params![message, channel.as_str(), Family::Replies.word()], passport)?;
    let known: Vec<Option<Passport>> = known.collect::<Result<_, _>>()?;
    let judged = |known: Passport| {
        let receipt = known.receipt(status.clone());
        let last = receipts::last(book, &receipt)?.map(|last| (last.state, last.emitted));
        Ok((receipt, verdict(last, State::of(status))))
    };
    known.into_iter().flatten().map(judged).collect()
}

/// `None` where its addresses were never written down, or erased.
fn passport(row: &Row<'_>) -> rusqlite::Result<Option<Passport>> {
    let Some(parties) = row.get::<_, Option<String>>(5)? else { return Ok(None) };
    let parties: Parties = serde_json::from_str(&parties).map_err(|error| unreadable(5, error))?;
    Ok(Some(Passport {
        id: MessageId::new(row.get::<_, String>(0)?),
        channel: ChannelName::new(row.get::<_, String>(1)?),
        genesys_message_id: row.get(2)?,
        trace: TraceId::new(row.get::<_, String>(3)?),
        received_at: timestamp(row.get(4)?),
        parties,
    }))
}

fn json<T: serde::de::DeserializeOwned>(row: &Row<'_>, column: usize) -> rusqlite::Result<T> {
    serde_json::from_str(&row.get::<_, String>(column)?).map_err(|error| unreadable(column, error))
}

fn unreadable(column: usize, error: serde_json::Error) -> Error {
    Error::FromSqlConversionFailure(column, Type::Text, error.into())
}
