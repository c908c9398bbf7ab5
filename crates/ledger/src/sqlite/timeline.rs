use jiff::Timestamp;
use model::{Address, ChannelName, Family};
use rusqlite::types::Type;
use rusqlite::{Error, Row, params};

use super::effects::RowId;
use super::{Book, effects, millis, unknown};
use crate::common::{CLAIMED, LINES, Raw, SENT_WITH_AN_ID, by_message, foreign_id, numbers};
use crate::{Entry, Line, What};

/// A line as [`line`] reads it. What names its message stands once, with the effect.
const LINE: &str = "SELECT line.at, e.id, e.family, e.channel, e.foreign_id, e.trace, line.what, line.detail
    FROM timeline AS line JOIN effects AS e ON e.row = line.effect";

/// Adds a line.
pub(super) fn write(book: &Book<'_>, row: RowId, what: What, detail: &str, at: Timestamp) -> rusqlite::Result<()> {
    let statement = "INSERT INTO timeline (effect, at, what, detail) VALUES (?1, ?2, ?3, ?4)";
    book.connection.prepare_cached(statement)?.execute(params![row.0, millis(at), what.word(), detail])?;
    Ok(())
}

pub(crate) fn note(book: &Book<'_>, entry: &Entry) -> rusqlite::Result<()> {
    let row = effects::know(book, &entry.effect)?;
    write(book, row, entry.what, &entry.detail, book.now)
}

/// Whether a line that begins with `detail` is there.
pub(super) fn told(book: &Book<'_>, row: RowId, what: What, detail: &str) -> rusqlite::Result<bool> {
    let select = "SELECT 1 FROM timeline WHERE effect = ?1 AND what = ?2 AND instr(detail, ?3) = 1";
    book.connection.prepare_cached(select)?.exists(params![row.0, what.word(), detail])
}

pub(crate) fn find(book: &Book<'_>, query: &str) -> rusqlite::Result<Vec<Line>> {
    let statement = format!(
        "{LINE} WHERE line.effect IN (SELECT row FROM effects WHERE id IN (
            SELECT ?1 UNION SELECT id FROM effects WHERE foreign_id = ?1 AND foreign_id <> id
            UNION SELECT id FROM effects WHERE trace = ?1 UNION SELECT id FROM effects WHERE consumer IN (?1, ?2, ?3)
        )) ORDER BY line.seq DESC LIMIT ?4"
    );
    let mut statement = book.connection.prepare_cached(&statement)?;
    let (digits, with_one) = numbers(query);
    let lines = statement.query_map(params![query, digits, with_one, LINES], line)?;
    Ok(by_message(lines.collect::<Result<_, _>>()?))
}

/// The newest lines of every message of a consumer, the oldest first.
pub(super) fn of_consumer(book: &Book<'_>, consumer: &str, limit: u32) -> rusqlite::Result<Vec<Line>> {
    let statement = format!(
        "{LINE} WHERE line.effect IN (SELECT row FROM effects WHERE consumer = ?1) ORDER BY line.seq DESC LIMIT ?2"
    );
    let mut statement = book.connection.prepare_cached(&statement)?;
    let lines = statement.query_map(params![consumer, limit], line)?;
    Ok(by_message(lines.collect::<Result<_, _>>()?))
}

pub(crate) fn recent(book: &Book<'_>, limit: u32) -> rusqlite::Result<Vec<Line>> {
    let statement = format!("{LINE} ORDER BY line.seq DESC LIMIT ?1");
    let mut statement = book.connection.prepare_cached(&statement)?;
    let mut lines: Vec<Line> = statement.query_map([limit], line)?.collect::<Result<_, _>>()?;
    lines.reverse();
    Ok(lines)
}

/// The least read that needs the file.
pub(crate) fn look(book: &Book<'_>) -> rusqlite::Result<Timestamp> {
    book.connection.query_row("PRAGMA user_version", [], |row| row.get::<_, i64>(0))?;
    Ok(book.now)
}

/// The far side's ids of the replies of a conversation that were recorded as sent since then, newest first.
pub(crate) fn claimed(
    book: &Book<'_>,
    channel: &ChannelName,
    consumer: &Address,
    since: Timestamp,
) -> rusqlite::Result<Vec<String>> {
    // The plus keeps SQLite from walking through the whole family by its primary key: of one consumer there are few rows.
    let select =
        "SELECT outcome FROM effects WHERE consumer = ?3 AND +family = ?1 AND channel = ?2 AND touched_at >= ?4
        AND outcome LIKE ?5 ORDER BY touched_at DESC LIMIT ?6";
    let arguments = params![
        Family::Replies.word(),
        channel.as_str(),
        consumer.normalised(),
        millis(since),
        SENT_WITH_AN_ID,
        CLAIMED,
    ];
    let mut statement = book.connection.prepare_cached(select)?;
    let found = statement.query_map(arguments, |row| row.get::<_, String>(0))?;
    let read = |outcome: String| {
        foreign_id(&outcome).map_err(|error| Error::FromSqlConversionFailure(0, Type::Text, error.into()))
    };
    found.map(|outcome| outcome.and_then(read)).filter_map(Result::transpose).collect()
}

fn line(row: &Row<'_>) -> rusqlite::Result<Line> {
    let raw = Raw {
        at: row.get(0)?,
        id: row.get(1)?,
        family: row.get(2)?,
        channel: row.get(3)?,
        foreign_id: row.get(4)?,
        trace: row.get(5)?,
        what: row.get(6)?,
        detail: row.get(7)?,
    };
    raw.read().map_err(|word| unknown(2, &word))
}
