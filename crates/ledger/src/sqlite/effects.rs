use std::time::Duration;

use jiff::Timestamp;
use model::{Family, MessageId};
use rusqlite::{OptionalExtension, Row, ToSql, params};

use super::{Book, millis, receipts, timeline, timestamp, unique};
use crate::common::told;
use crate::passport;
use crate::{AttemptId, Begin, Effect, Outcome, Reopened, Standing, What};

/// Where the lines of a timeline belong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RowId(pub(super) i64);

fn row_id(row: &Row<'_>) -> rusqlite::Result<RowId> {
    row.get(0).map(RowId)
}

/// What the row of an effect says of its attempts.
struct Found {
    row: RowId,
    attempt: Option<String>,
    owner: Option<String>,
    began_at: Option<i64>,
    deadline: Option<i64>,
    begun: u32,
    outcome: Option<String>,
}

const FIND: &str =
    "SELECT row, attempt, owner, began_at, deadline, begun, outcome FROM effects WHERE family = ?1 AND id = ?2";

fn found(row: &Row<'_>) -> rusqlite::Result<Found> {
    Ok(Found {
        row: row_id(row)?,
        attempt: row.get(1)?,
        owner: row.get(2)?,
        began_at: row.get(3)?,
        deadline: row.get(4)?,
        begun: row.get(5)?,
        outcome: row.get(6)?,
    })
}

pub(crate) fn begin(book: &Book<'_>, effect: &Effect, lease: Duration) -> rusqlite::Result<Begin> {
    if let Some(attempt) = open_new(book, effect, lease)? {
        return Ok(Begin::First(attempt));
    }
    let key = params![effect.family.word(), effect.id.as_str()];
    let known = book.connection.prepare_cached(FIND)?.query_row(key, found)?;
    if let Some(outcome) = known.outcome.as_deref() {
        return Ok(Begin::Done(read_outcome(outcome)?));
    }
    let Some(attempt) = known.attempt else {
        timeline::write_out(book, known.row)?;
        return open(book, effect, lease).map(Begin::First);
    };
    let until = until(book, known.owner.as_deref(), known.deadline);
    let began = timestamp(known.began_at.unwrap_or_default());
    let detail = format!("attempt {attempt}");
    if until <= book.now && !timeline::told(book, known.row, What::Interrupted, &detail)? {
        timeline::write(book, known.row, What::Interrupted, &detail, book.now)?;
    }
    Ok(Begin::Interrupted { attempt: AttemptId(attempt), began, until, now: book.now, begun: known.begun })
}

pub(crate) fn standing(book: &Book<'_>, effect: &Effect) -> rusqlite::Result<Standing> {
    let select = "SELECT attempt, outcome FROM effects WHERE family = ?1 AND id = ?2";
    let key = params![effect.family.word(), effect.id.as_str()];
    let found: Option<(Option<String>, Option<String>)> =
        book.connection.prepare_cached(select)?.query_row(key, |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
    Ok(match found {
        Some((_, Some(outcome))) => Standing::Done(read_outcome(&outcome)?),
        Some((Some(_), None)) => Standing::Open,
        Some((None, None)) | None => Standing::Untouched,
    })
}

/// When an attempt's owner is certainly no longer at it.
fn until(book: &Book<'_>, owner: Option<&str>, deadline: Option<i64>) -> Timestamp {
    let dead = book.sole_owner && owner != Some(book.owner);
    if dead { book.now } else { timestamp(deadline.unwrap_or_default()) }
}

/// Makes an effect known, so that its timeline is found by all that names it, also where it is never begun.
pub(super) fn know(book: &Book<'_>, effect: &Effect) -> rusqlite::Result<RowId> {
    if let Some(row) = row(book, effect.family, &effect.id)? {
        return Ok(row);
    }
    let statement = "INSERT INTO effects
        (family, id, channel, target, consumer, foreign_id, trace, received_at, touched_at, parties)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";
    book.connection.prepare_cached(statement)?.execute(params![
        effect.family.word(),
        effect.id.as_str(),
        effect.channel.as_str(),
        effect.target.as_str(),
        effect.consumer.normalised(),
        effect.foreign_id,
        effect.trace.as_str(),
        millis(effect.received_at),
        millis(book.now),
        passport::written(effect.parties.as_ref()),
    ])?;
    let row = RowId(book.connection.last_insert_rowid());
    // A receipt is made by the house, for a reply that has a line of its own.
    if effect.family != Family::Receipts {
        timeline::write(book, row, What::Received, "", effect.received_at)?;
    }
    Ok(row)
}

/// Whether an effect was done, and all else about it erased.
pub(super) fn is_erased(book: &Book<'_>, family: Family, id: &MessageId) -> rusqlite::Result<bool> {
    let select = "SELECT 1 FROM effects WHERE family = ?1 AND id = ?2 AND erased_at IS NOT NULL";
    book.connection.prepare_cached(select)?.exists(params![family.word(), id.as_str()])
}

/// [`know`] and [`open`] of an effect nobody knows, which is what nearly every effect is: one row, which tells its own lines
/// (see [`timeline`]); `None` where it is known.
fn open_new(book: &Book<'_>, effect: &Effect, lease: Duration) -> rusqlite::Result<Option<AttemptId>> {
    let attempt = unique()[..12].to_owned();
    let deadline = book.now.saturating_add(lease).unwrap_or(Timestamp::MAX);
    let statement = "INSERT INTO effects
        (family, id, channel, target, consumer, foreign_id, trace, received_at, touched_at,
         attempt, owner, began_at, deadline, begun, parties, walk)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?9, ?12, 1, ?13, ?10) ON CONFLICT DO NOTHING";
    let made = book.connection.prepare_cached(statement)?.execute(params![
        effect.family.word(),
        effect.id.as_str(),
        effect.channel.as_str(),
        effect.target.as_str(),
        effect.consumer.normalised(),
        effect.foreign_id,
        effect.trace.as_str(),
        millis(effect.received_at),
        millis(book.now),
        attempt,
        book.owner,
        millis(deadline),
        passport::written(effect.parties.as_ref()),
    ])?;
    Ok((made > 0).then_some(AttemptId(attempt)))
}

/// The row of an effect, where it is known.
pub(super) fn row(book: &Book<'_>, family: Family, id: &MessageId) -> rusqlite::Result<Option<RowId>> {
    let select = "SELECT row FROM effects WHERE family = ?1 AND id = ?2";
    book.connection.prepare_cached(select)?.query_row(params![family.word(), id.as_str()], row_id).optional()
}

fn open(book: &Book<'_>, effect: &Effect, lease: Duration) -> rusqlite::Result<AttemptId> {
    let attempt = unique()[..12].to_owned();
    let deadline = book.now.saturating_add(lease).unwrap_or(Timestamp::MAX);
    let statement =
        "UPDATE effects SET attempt = ?3, owner = ?4, began_at = ?5, deadline = ?6, begun = begun + 1, touched_at = ?5
        WHERE family = ?1 AND id = ?2 RETURNING row";
    let arguments =
        params![effect.family.word(), effect.id.as_str(), attempt, book.owner, millis(book.now), millis(deadline),];
    let row = book.connection.prepare_cached(statement)?.query_row(arguments, row_id)?;
    timeline::write(book, row, What::Began, &format!("attempt {attempt}"), book.now)?;
    Ok(AttemptId(attempt))
}

pub(crate) fn finish(book: &Book<'_>, effect: &Effect, attempt: &AttemptId, outcome: &Outcome) -> rusqlite::Result<()> {
    // What failed may be tried anew, and what is told of a second walk must not take the place of the first.
    let plain = !matches!(outcome, Outcome::Failed { .. });
    let statement =
        "UPDATE effects SET outcome = ?3, attempt = NULL, owner = NULL, deadline = NULL, begun = 0, touched_at = ?4,
        ended_at = iif(?5 AND walk = ?6, ?4, NULL) WHERE family = ?1 AND id = ?2 AND outcome IS NULL
        RETURNING row, ended_at IS NOT NULL";
    let written = serde_json::to_string(outcome).expect("an outcome has a JSON form");
    let arguments = params![effect.family.word(), effect.id.as_str(), written, millis(book.now), plain, attempt.0];
    let mut statement = book.connection.prepare_cached(statement)?;
    let ended = statement.query_row(arguments, |row| Ok((row_id(row)?, row.get::<_, bool>(1)?))).optional()?;
    let Some((row, false)) = ended else { return Ok(()) };
    let (what, detail) = told(outcome, attempt);
    timeline::write(book, row, what, &detail, book.now)
}

pub(crate) fn release(book: &Book<'_>, effect: &Effect, attempt: &AttemptId, cause: &str) -> rusqlite::Result<()> {
    let statement = "UPDATE effects SET begun = begun - (owner IS NOT NULL), attempt = NULL, owner = NULL,
        deadline = NULL, touched_at = ?4 WHERE family = ?1 AND id = ?2 AND attempt = ?3 RETURNING row";
    let arguments = params![effect.family.word(), effect.id.as_str(), attempt.0, millis(book.now)];
    changed(book, statement, arguments, What::Released, &format!("attempt {}: {cause}", attempt.0))
}

/// An attempt that lapsed has no owner: it came to a verdict, so it counts no more, and it counts out only once.
pub(crate) fn lapse(book: &Book<'_>, effect: &Effect, attempt: &AttemptId, cause: &str) -> rusqlite::Result<()> {
    let statement = "UPDATE effects SET deadline = ?4, owner = NULL, begun = begun - 1, touched_at = ?4
        WHERE family = ?1 AND id = ?2 AND attempt = ?3 AND owner IS NOT NULL AND outcome IS NULL RETURNING row";
    let arguments = params![effect.family.word(), effect.id.as_str(), attempt.0, millis(book.now)];
    changed(book, statement, arguments, What::Interrupted, &format!("attempt {}: {cause}", attempt.0))
}

/// As [`lapse`], and it goes on counting.
pub(crate) fn doubt(book: &Book<'_>, effect: &Effect, attempt: &AttemptId, cause: &str) -> rusqlite::Result<()> {
    let statement = "UPDATE effects SET deadline = ?4, owner = NULL, touched_at = ?4
        WHERE family = ?1 AND id = ?2 AND attempt = ?3 AND owner IS NOT NULL AND outcome IS NULL RETURNING row";
    let arguments = params![effect.family.word(), effect.id.as_str(), attempt.0, millis(book.now)];
    changed(book, statement, arguments, What::Interrupted, &format!("attempt {}: {cause}", attempt.0))
}

/// An attempt that lapsed has no owner who could still be at it.
pub(crate) fn extend(book: &Book<'_>, effect: &Effect, attempt: &AttemptId, lease: Duration) -> rusqlite::Result<()> {
    let deadline = book.now.saturating_add(lease).unwrap_or(Timestamp::MAX);
    let statement = "UPDATE effects SET deadline = ?4, touched_at = ?5
        WHERE family = ?1 AND id = ?2 AND attempt = ?3 AND owner IS NOT NULL AND outcome IS NULL";
    let arguments = params![effect.family.word(), effect.id.as_str(), attempt.0, millis(deadline), millis(book.now)];
    book.connection.prepare_cached(statement)?.execute(arguments).map(drop)
}

/// Changes one effect, and writes a line about it where there was something to change.
fn changed(
    book: &Book<'_>,
    statement: &str,
    arguments: &[&dyn ToSql],
    what: What,
    detail: &str,
) -> rusqlite::Result<()> {
    let row = book.connection.prepare_cached(statement)?.query_row(arguments, row_id).optional()?;
    row.map_or(Ok(()), |row| timeline::write(book, row, what, detail, book.now))
}

pub(crate) fn retake(
    book: &Book<'_>,
    effect: &Effect,
    interrupted: &AttemptId,
    lease: Duration,
) -> rusqlite::Result<Option<AttemptId>> {
    let select =
        "SELECT row, owner, deadline FROM effects WHERE family = ?1 AND id = ?2 AND attempt = ?3 AND outcome IS NULL";
    let arguments = params![effect.family.word(), effect.id.as_str(), interrupted.0];
    let found = book
        .connection
        .prepare_cached(select)?
        .query_row(arguments, |row| Ok((row_id(row)?, row.get(1)?, row.get(2)?)));
    let Some((row, owner, deadline)) = found.optional()? else { return Ok(None) };
    let owner: Option<String> = owner;
    if until(book, owner.as_deref(), deadline) > book.now {
        return Ok(None);
    }
    timeline::write(book, row, What::Released, &format!("attempt {}: taken as not made", interrupted.0), book.now)?;
    open(book, effect, lease).map(Some)
}

/// How many messages of the conversation came in since then and up to this one, `most` at the most; nothing where this
/// one is known.
pub(crate) fn crowd(book: &Book<'_>, effect: &Effect, since: Timestamp, most: u32) -> rusqlite::Result<Option<u32>> {
    let mut known = book.connection.prepare_cached("SELECT 1 FROM effects WHERE family = ?1 AND id = ?2")?;
    if known.exists(params![effect.family.word(), effect.id.as_str()])? {
        return Ok(None);
    }
    // By the consumer: of one there are few rows, of a family many.
    let select = "SELECT count(*) FROM (SELECT 1 FROM effects WHERE consumer = ?3 AND +family = ?1 AND channel = ?2
        AND received_at > ?4 AND received_at <= ?5 LIMIT ?6)";
    let arguments = params![
        effect.family.word(),
        effect.channel.as_str(),
        effect.consumer.normalised(),
        millis(since),
        millis(effect.received_at),
        most,
    ];
    book.connection.prepare_cached(select)?.query_row(arguments, |row| row.get(0)).map(Some)
}

/// Makes an effect that was not made as if it had never been begun; `recipient` is whom its receipts name.
pub(crate) fn reopen(book: &Book<'_>, effect: &Effect, recipient: Option<&str>) -> rusqlite::Result<Reopened> {
    know(book, effect)?;
    if is_erased(book, effect.family, &effect.id)? {
        return Ok(Reopened::Erased);
    }
    let key = params![effect.family.word(), effect.id.as_str()];
    let known = book.connection.prepare_cached(FIND)?.query_row(key, found)?;
    match known.outcome.as_deref().map(read_outcome).transpose()? {
        Some(Outcome::Sent { .. } | Outcome::SameAs(_) | Outcome::Recorded) => return Ok(Reopened::AlreadySent),
        Some(Outcome::Failed { .. }) | None => {}
    }
    let until = until(book, known.owner.as_deref(), known.deadline);
    if known.attempt.is_some() && until > book.now {
        return Ok(Reopened::InHand { until });
    }
    timeline::write_out(book, known.row)?;
    let statement = "UPDATE effects SET outcome = NULL, attempt = NULL, owner = NULL, began_at = NULL, deadline = NULL,
        begun = 0, touched_at = ?3 WHERE family = ?1 AND id = ?2";
    let arguments = params![effect.family.word(), effect.id.as_str(), millis(book.now)];
    book.connection.prepare_cached(statement)?.execute(arguments)?;
    if let Some(recipient) = recipient {
        receipts::reopen(book, effect.channel.as_str(), &effect.foreign_id, recipient)?;
    }
    timeline::write(book, known.row, What::Replayed, "from the dead letters", book.now)?;
    Ok(Reopened::Fresh)
}

fn read_outcome(text: &str) -> rusqlite::Result<Outcome> {
    serde_json::from_str(text)
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Text, error.into()))
}
