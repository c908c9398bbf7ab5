use jiff::Timestamp;
use model::ChannelName;
use rusqlite::{OptionalExtension, Row, params};

use super::{Book, millis, unknown};
use crate::interactions::{IDLE, KeptInteraction, Put, Raw, written};

pub(crate) fn find(
    book: &Book<'_>,
    channel: &ChannelName,
    consumer: &str,
) -> rusqlite::Result<Option<KeptInteraction>> {
    let select = "SELECT consumer, value, version FROM interactions WHERE channel = ?1 AND consumer = ?2";
    book.connection.prepare_cached(select)?.query_row([channel.as_str(), consumer], read).optional()
}

pub(crate) fn put(book: &Book<'_>, put: &Put) -> rusqlite::Result<Option<u64>> {
    let statement = match put.expected {
        0 => {
            "INSERT INTO interactions (channel, consumer, value, state, version, touched_at)
            VALUES (?1, ?2, ?3, ?4, ?5 + 1, ?6) ON CONFLICT DO NOTHING RETURNING version"
        }
        _ => {
            "UPDATE interactions SET value = ?3, state = ?4, version = version + 1, touched_at = ?6
            WHERE channel = ?1 AND consumer = ?2 AND version = ?5 RETURNING version"
        }
    };
    let state = put.interaction.state.word();
    let value = written(&put.interaction);
    let parameters = params![put.channel.as_str(), put.consumer, value, state, put.expected, millis(book.now)];
    let version: Option<i64> =
        book.connection.prepare_cached(statement)?.query_row(parameters, |row| row.get(0)).optional()?;
    Ok(version.and_then(|version| u64::try_from(version).ok()))
}

pub(crate) fn idle(book: &Book<'_>, channel: &ChannelName, since: Timestamp) -> rusqlite::Result<Vec<KeptInteraction>> {
    let select = "SELECT consumer, value, version FROM interactions
        WHERE channel = ?1 AND (state = 'ending' OR (state = 'open' AND touched_at < ?2)) ORDER BY touched_at LIMIT ?3";
    let parameters = params![channel.as_str(), millis(since), IDLE];
    book.connection.prepare_cached(select)?.query_map(parameters, read)?.collect()
}

fn read(row: &Row<'_>) -> rusqlite::Result<KeptInteraction> {
    let raw = Raw { consumer: row.get(0)?, value: row.get(1)?, version: row.get(2)? };
    raw.read().ok_or_else(|| unknown(1, "an interaction"))
}
