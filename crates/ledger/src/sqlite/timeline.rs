use jiff::Timestamp;
use model::{Address, ChannelName, Family};
use rusqlite::types::Type;
use rusqlite::{Error, OptionalExtension, Row, ToSql, params};

use super::effects::RowId;
use super::{Book, effects, millis, unknown};
use crate::common::{CLAIMED, LINES, Raw, SENT_WITH_AN_ID, Walk, begun, by_message, foreign_id, newest, numbers};
use crate::{Entry, Line, What};

/// What names the message of a line. It stands once, with the effect.
const NAMES: &str = "e.id, e.family, e.channel, e.foreign_id, e.trace";

/// Adds a line. It comes after those its effect tells of itself, also where all are of one moment.
pub(super) fn write(book: &Book<'_>, row: RowId, what: What, detail: &str, at: Timestamp) -> rusqlite::Result<()> {
    write_out(book, row)?;
    insert(book, row, what, detail, millis(at))
}

fn insert(book: &Book<'_>, row: RowId, what: What, detail: &str, at: i64) -> rusqlite::Result<()> {
    let statement = "INSERT INTO timeline (effect, at, what, detail) VALUES (?1, ?2, ?3, ?4)";
    book.connection.prepare_cached(statement)?.execute(params![row.0, at, what.word(), detail])?;
    Ok(())
}

/// Writes down what an effect tells of itself ([`Walk`]), before that is changed or another line comes between.
pub(super) fn write_out(book: &Book<'_>, row: RowId) -> rusqlite::Result<()> {
    let select = "SELECT family, received_at, coalesce(began_at, received_at), walk FROM effects
        WHERE row = ?1 AND walk IS NOT NULL AND ended_at IS NULL";
    let read = |row: &Row<'_>| {
        let (family, attempt): (String, String) = (row.get(0)?, row.get(3)?);
        Ok(begun(&family, row.get(1)?, row.get(2)?, &attempt))
    };
    let Some(lines) = book.connection.prepare_cached(select)?.query_row([row.0], read).optional()? else {
        return Ok(());
    };
    book.connection.prepare_cached("UPDATE effects SET walk = NULL WHERE row = ?1")?.execute([row.0])?;
    lines.into_iter().try_for_each(|(at, what, detail)| insert(book, row, what, &detail, at))
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
    let (digits, with_one) = numbers(query);
    let named = "SELECT row FROM effects WHERE id IN (
            SELECT ?1 UNION SELECT id FROM effects WHERE foreign_id = ?1 AND foreign_id <> id
            UNION SELECT id FROM effects WHERE trace = ?1 UNION SELECT id FROM effects WHERE consumer IN (?1, ?2, ?3)
        )";
    of_effects(book, named, params![query, digits, with_one], LINES)
}

/// The newest lines of every message of a consumer, the oldest first.
pub(super) fn of_consumer(book: &Book<'_>, consumer: &str, limit: u32) -> rusqlite::Result<Vec<Line>> {
    of_effects(book, "SELECT row FROM effects WHERE consumer = ?1", params![consumer], limit)
}

/// The newest lines of some effects, message by message.
fn of_effects(book: &Book<'_>, rows: &str, arguments: &[&dyn ToSql], limit: u32) -> rusqlite::Result<Vec<Line>> {
    let own = own(book, rows, arguments, limit)?;
    let beside = written(book, &format!("WHERE line.effect IN ({rows})"), arguments, limit)?;
    Ok(by_message(newest(own, beside, limit)))
}

pub(crate) fn recent(book: &Book<'_>, limit: u32) -> rusqlite::Result<Vec<Line>> {
    // What began last, and what ended last.
    let rows = format!(
        "SELECT row FROM (SELECT row FROM effects ORDER BY row DESC LIMIT {limit})
        UNION SELECT row FROM (SELECT row FROM effects WHERE attempt IS NULL ORDER BY touched_at DESC LIMIT {limit})"
    );
    let own = own(book, &rows, &[], limit.saturating_mul(2))?;
    Ok(newest(own, written(book, "", &[], limit)?, limit))
}

/// What effects tell of themselves, of so many effects at most. A build that knows no `walk` may have taken the time of the begin
/// away.
fn own(book: &Book<'_>, rows: &str, arguments: &[&dyn ToSql], limit: u32) -> rusqlite::Result<Vec<Line>> {
    let select = format!(
        "SELECT e.received_at, {NAMES}, coalesce(e.began_at, e.received_at), e.walk, e.ended_at, e.outcome FROM effects AS e
        WHERE e.walk IS NOT NULL AND e.row IN ({rows}) ORDER BY e.row DESC LIMIT {limit}"
    );
    let mut select = book.connection.prepare_cached(&select)?;
    let mut lines = Vec::new();
    let mut found = select.query(arguments)?;
    while let Some(row) = found.next()? {
        let ended = row.get::<_, Option<i64>>(8)?.zip(row.get(9)?);
        let walk =
            Walk { family: row.get(2)?, received_at: row.get(0)?, began_at: row.get(6)?, attempt: row.get(7)?, ended };
        for (at, what, detail) in walk.lines().map_err(|error| unreadable(9, error))? {
            lines.push(line(row, at, what.word().to_owned(), detail)?);
        }
    }
    Ok(lines)
}

/// What was written beside them, the oldest first.
fn written(book: &Book<'_>, which: &str, arguments: &[&dyn ToSql], limit: u32) -> rusqlite::Result<Vec<Line>> {
    let select = format!(
        "SELECT line.at, {NAMES}, line.what, line.detail FROM timeline AS line JOIN effects AS e ON e.row = line.effect
        {which} ORDER BY line.seq DESC LIMIT {limit}"
    );
    let mut select = book.connection.prepare_cached(&select)?;
    let read = |row: &Row<'_>| line(row, row.get(0)?, row.get(6)?, row.get(7)?);
    let mut lines: Vec<Line> = select.query_map(arguments, read)?.collect::<Result<_, _>>()?;
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
    let read = |outcome: String| foreign_id(&outcome).map_err(|error| unreadable(0, error));
    found.map(|outcome| outcome.and_then(read)).filter_map(Result::transpose).collect()
}

/// A line of the message that stands in the columns from the second on.
fn line(row: &Row<'_>, at: i64, what: String, detail: String) -> rusqlite::Result<Line> {
    let raw = Raw {
        at,
        id: row.get(1)?,
        family: row.get(2)?,
        channel: row.get(3)?,
        foreign_id: row.get(4)?,
        trace: row.get(5)?,
        what,
        detail,
    };
    raw.read().map_err(|word| unknown(2, &word))
}

fn unreadable(column: usize, error: serde_json::Error) -> Error {
    Error::FromSqlConversionFailure(column, Type::Text, error.into())
}
