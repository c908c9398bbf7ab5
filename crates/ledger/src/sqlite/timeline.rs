use jiff::Timestamp;
use model::{ChannelName, Family, MessageId, TraceId};
use rusqlite::{Row, params};

use super::{Book, effects, millis, timestamp, unknown};
use crate::{Effect, Entry, Line, What};

/// Lines a listing holds at the most; the newest count.
const LINES: u32 = 500;

/// Adds a line.
pub(super) fn write(book: &Book<'_>, effect: &Effect, what: What, detail: &str, at: Timestamp) -> rusqlite::Result<()> {
    let statement = "INSERT INTO timeline (at, id, family, channel, foreign_id, trace, what, detail)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
    book.connection.prepare_cached(statement)?.execute(params![
        millis(at),
        effect.id.as_str(),
        effect.family.word(),
        effect.channel.as_str(),
        effect.foreign_id,
        effect.trace.as_str(),
        what.word(),
        detail,
    ])?;
    Ok(())
}

pub(crate) fn note(book: &Book<'_>, entry: &Entry) -> rusqlite::Result<()> {
    effects::know(book, &entry.effect)?;
    write(book, &entry.effect, entry.what, &entry.detail, book.now)
}

/// Whether a line that begins with `detail` is there.
pub(super) fn told(book: &Book<'_>, effect: &Effect, what: What, detail: &str) -> rusqlite::Result<bool> {
    let select = "SELECT 1 FROM timeline WHERE id = ?1 AND family = ?2 AND what = ?3 AND instr(detail, ?4) = 1";
    let arguments = params![effect.id.as_str(), effect.family.word(), what.word(), detail];
    book.connection.prepare_cached(select)?.exists(arguments)
}

pub(crate) fn find(book: &Book<'_>, query: &str) -> rusqlite::Result<Vec<Line>> {
    let statement = "SELECT at, id, family, channel, foreign_id, trace, what, detail FROM timeline WHERE id IN (
            SELECT ?1 UNION SELECT id FROM effects WHERE foreign_id = ?1
            UNION SELECT id FROM effects WHERE trace = ?1 UNION SELECT id FROM effects WHERE consumer IN (?1, ?2, ?3)
        ) ORDER BY seq DESC LIMIT ?4";
    let mut statement = book.connection.prepare_cached(statement)?;
    let (digits, with_one) = numbers(query);
    let lines = statement.query_map(params![query, digits, with_one, LINES], line)?;
    let mut lines: Vec<Line> = lines.collect::<Result<_, _>>()?;
    lines.reverse();
    lines.sort_by(|one, other| (one.at, &one.id).cmp(&(other.at, &other.id)));
    Ok(group(lines))
}

pub(crate) fn recent(book: &Book<'_>, limit: u32) -> rusqlite::Result<Vec<Line>> {
    let statement =
        "SELECT at, id, family, channel, foreign_id, trace, what, detail FROM timeline ORDER BY seq DESC LIMIT ?1";
    let mut statement = book.connection.prepare_cached(statement)?;
    let mut lines: Vec<Line> = statement.query_map([limit], line)?.collect::<Result<_, _>>()?;
    lines.reverse();
    Ok(lines)
}

/// The least read that needs the file.
pub(crate) fn look(book: &Book<'_>) -> rusqlite::Result<Timestamp> {
    book.connection.query_row("PRAGMA user_version", [], |row| row.get::<_, i64>(0))?;
    Ok(book.now)
}

/// Each message's lines together, messages in the order of their first line.
fn group(lines: Vec<Line>) -> Vec<Line> {
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
fn numbers(query: &str) -> (String, String) {
    let written = query.chars().all(|c| c.is_ascii_digit() || "+-.() /".contains(c));
    let digits: String = query.chars().filter(char::is_ascii_digit).collect();
    if !written || digits.is_empty() {
        return (query.to_lowercase(), query.to_owned());
    }
    let with_one = if digits.len() == 10 { format!("1{digits}") } else { digits.clone() };
    (digits, with_one)
}

fn line(row: &Row<'_>) -> rusqlite::Result<Line> {
    let family: String = row.get(2)?;
    let what: String = row.get(6)?;
    Ok(Line {
        at: timestamp(row.get(0)?),
        id: MessageId::new(row.get::<_, String>(1)?),
        family: Family::ALL.into_iter().find(|one| one.word() == family).ok_or_else(|| unknown(2, &family))?,
        channel: ChannelName::new(row.get::<_, String>(3)?),
        foreign_id: row.get(4)?,
        trace: TraceId::new(row.get::<_, String>(5)?),
        what: What::ALL.into_iter().find(|one| one.word() == what).ok_or_else(|| unknown(6, &what))?,
        detail: row.get(7)?,
    })
}
