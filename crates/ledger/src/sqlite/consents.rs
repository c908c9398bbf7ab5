use model::{Address, ChannelName, Private};
use rusqlite::{OptionalExtension, Row, params};

use super::{Book, effects, millis, timeline, timestamp, unknown};
use crate::consent::{Asked, Consent, ConsentRecord};
use crate::{Effect, What};

const COLUMNS: &str = "channel, consumer, state, reason, changed_by, changed_at, heard_at, said_at";

/// What is recorded after the change.
pub(crate) fn set(book: &Book<'_>, effect: &Effect, asked: &Asked) -> rusqlite::Result<Option<ConsentRecord>> {
    let known = find(book, &effect.channel, &effect.consumer)?;
    let weighed = asked.weigh(known.as_ref(), book.now);
    if let Some(next) = asked.next(known.as_ref(), &weighed, effect) {
        let statement =
            "INSERT INTO consents (channel, consumer, state, reason, changed_by, changed_at, heard_at, said_at)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT DO UPDATE SET state = excluded.state,
            reason = excluded.reason, changed_by = excluded.changed_by, changed_at = excluded.changed_at,
            heard_at = excluded.heard_at, said_at = excluded.said_at";
        book.connection.prepare_cached(statement)?.execute(params![
            next.channel.as_str(),
            next.consumer.expose(),
            next.consent.word(),
            next.reason,
            next.by,
            millis(next.at),
            next.heard_at.map(millis),
            next.said_at.map(millis),
        ])?;
    }
    if let Some(told) = asked.told(&weighed) {
        let row = effects::know(book, effect)?;
        timeline::write(book, row, What::Consent, &told, book.now)?;
    }
    find(book, &effect.channel, &effect.consumer)
}

pub(crate) fn find(
    book: &Book<'_>,
    channel: &ChannelName,
    consumer: &Address,
) -> rusqlite::Result<Option<ConsentRecord>> {
    let select = format!("SELECT {COLUMNS} FROM consents WHERE channel = ?1 AND consumer = ?2");
    let key = params![channel.as_str(), consumer.normalised()];
    book.connection.prepare_cached(&select)?.query_row(key, record).optional()
}

/// What is recorded of a consumer on every channel.
pub(crate) fn of(book: &Book<'_>, consumer: &str) -> rusqlite::Result<Vec<ConsentRecord>> {
    let select = format!("SELECT {COLUMNS} FROM consents WHERE consumer = ?1 ORDER BY channel");
    book.connection.prepare_cached(&select)?.query_map([consumer], record)?.collect()
}

/// Forgets what is recorded of a consumer on every channel; how much that was.
pub(crate) fn forget(book: &Book<'_>, consumer: &str) -> rusqlite::Result<u64> {
    let delete = "DELETE FROM consents WHERE consumer = ?1";
    Ok(book.connection.prepare_cached(delete)?.execute([consumer])? as u64)
}

/// The next records behind a channel and consumer.
pub(crate) fn after(book: &Book<'_>, after: &(String, String), limit: u32) -> rusqlite::Result<Vec<ConsentRecord>> {
    let select = format!(
        "SELECT {COLUMNS} FROM consents WHERE (channel, consumer) > (?1, ?2) ORDER BY channel, consumer LIMIT ?3"
    );
    let mut statement = book.connection.prepare_cached(&select)?;
    statement.query_map(params![after.0, after.1, limit], record)?.collect()
}

fn record(row: &Row<'_>) -> rusqlite::Result<ConsentRecord> {
    let state: String = row.get(2)?;
    Ok(ConsentRecord {
        channel: ChannelName::new(row.get::<_, String>(0)?),
        consumer: Private::new(row.get(1)?),
        consent: Consent::from_word(&state).ok_or_else(|| unknown(2, &state))?,
        reason: row.get(3)?,
        by: row.get(4)?,
        at: timestamp(row.get(5)?),
        heard_at: row.get::<_, Option<i64>>(6)?.map(timestamp),
        said_at: row.get::<_, Option<i64>>(7)?.map(timestamp),
    })
}
