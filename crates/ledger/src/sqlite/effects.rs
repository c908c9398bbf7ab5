use std::time::Duration;

use jiff::Timestamp;
use rusqlite::{OptionalExtension, Row, params};

use super::{Book, millis, timeline, timestamp, unique};
use crate::{AttemptId, Begin, Effect, Outcome, What};

/// What the row of an effect says of its attempts.
struct Found {
    attempt: Option<String>,
    owner: Option<String>,
    began_at: Option<i64>,
    deadline: Option<i64>,
    begun: u32,
    outcome: Option<String>,
}

fn found(row: &Row<'_>) -> rusqlite::Result<Found> {
    Ok(Found {
        attempt: row.get(0)?,
        owner: row.get(1)?,
        began_at: row.get(2)?,
        deadline: row.get(3)?,
        begun: row.get(4)?,
        outcome: row.get(5)?,
    })
}

pub(crate) fn begin(book: &Book<'_>, effect: &Effect, lease: Duration) -> rusqlite::Result<Begin> {
    let select = "SELECT attempt, owner, began_at, deadline, begun, outcome FROM effects WHERE family = ?1 AND id = ?2";
    let known = book
        .connection
        .prepare_cached(select)?
        .query_row(params![effect.family.word(), effect.id.as_str()], found)
        .optional()?;
    let Some(known) = known else {
        insert(book, effect)?;
        timeline::write(book, effect, What::Received, "", effect.received_at)?;
        return open(book, effect, lease).map(Begin::First);
    };
    if let Some(outcome) = known.outcome.as_deref() {
        return Ok(Begin::Done(read_outcome(outcome)?));
    }
    let Some(attempt) = known.attempt else { return open(book, effect, lease).map(Begin::First) };
    let dead = book.sole_owner && known.owner.as_deref() != Some(book.owner);
    let until = if dead { book.now } else { timestamp(known.deadline.unwrap_or_default()) };
    let began = timestamp(known.began_at.unwrap_or_default());
    if until <= book.now {
        timeline::write(book, effect, What::Interrupted, &format!("attempt {attempt}"), book.now)?;
    }
    Ok(Begin::Interrupted { attempt: AttemptId(attempt), began, until, begun: known.begun })
}

fn insert(book: &Book<'_>, effect: &Effect) -> rusqlite::Result<()> {
    let statement = "INSERT INTO effects
        (family, id, channel, target, consumer, foreign_id, trace, received_at, touched_at)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
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
    ])?;
    Ok(())
}

fn open(book: &Book<'_>, effect: &Effect, lease: Duration) -> rusqlite::Result<AttemptId> {
    let attempt = unique()[..12].to_owned();
    let deadline = book.now.saturating_add(lease).unwrap_or(Timestamp::MAX);
    let statement =
        "UPDATE effects SET attempt = ?3, owner = ?4, began_at = ?5, deadline = ?6, begun = begun + 1, touched_at = ?5
        WHERE family = ?1 AND id = ?2";
    book.connection.prepare_cached(statement)?.execute(params![
        effect.family.word(),
        effect.id.as_str(),
        attempt,
        book.owner,
        millis(book.now),
        millis(deadline),
    ])?;
    timeline::write(book, effect, What::Began, &format!("attempt {attempt}"), book.now)?;
    Ok(AttemptId(attempt))
}

pub(crate) fn finish(book: &Book<'_>, effect: &Effect, attempt: &AttemptId, outcome: &Outcome) -> rusqlite::Result<()> {
    let statement =
        "UPDATE effects SET outcome = ?3, attempt = NULL, owner = NULL, deadline = NULL, begun = 0, touched_at = ?4
        WHERE family = ?1 AND id = ?2 AND outcome IS NULL";
    let written = serde_json::to_string(outcome).expect("an outcome has a JSON form");
    let changed = book.connection.prepare_cached(statement)?.execute(params![
        effect.family.word(),
        effect.id.as_str(),
        written,
        millis(book.now),
    ])?;
    if changed == 0 {
        return Ok(());
    }
    let (what, detail) = match outcome {
        Outcome::Sent { foreign_id: Some(id) } => (What::Sent, format!("attempt {}, called {id} there", attempt.0)),
        Outcome::Sent { foreign_id: None } => (What::Sent, format!("attempt {}", attempt.0)),
        Outcome::Failed { code, reason } => (What::Failed, format!("{}: {reason}", code.number())),
        Outcome::SameAs(id) => (What::Sent, format!("nothing: it is the same message as {id}")),
    };
    timeline::write(book, effect, what, &detail, book.now)
}

pub(crate) fn release(book: &Book<'_>, effect: &Effect, attempt: &AttemptId, cause: &str) -> rusqlite::Result<()> {
    let statement = "UPDATE effects SET attempt = NULL, owner = NULL, deadline = NULL, begun = 0, touched_at = ?4
        WHERE family = ?1 AND id = ?2 AND attempt = ?3";
    let arguments = params![effect.family.word(), effect.id.as_str(), attempt.0, millis(book.now)];
    if book.connection.prepare_cached(statement)?.execute(arguments)? == 0 {
        return Ok(());
    }
    timeline::write(book, effect, What::Released, &format!("attempt {}: {cause}", attempt.0), book.now)
}

pub(crate) fn lapse(book: &Book<'_>, effect: &Effect, attempt: &AttemptId, cause: &str) -> rusqlite::Result<()> {
    let statement = "UPDATE effects SET deadline = ?4, begun = 0, touched_at = ?4
        WHERE family = ?1 AND id = ?2 AND attempt = ?3 AND outcome IS NULL";
    let arguments = params![effect.family.word(), effect.id.as_str(), attempt.0, millis(book.now)];
    if book.connection.prepare_cached(statement)?.execute(arguments)? == 0 {
        return Ok(());
    }
    timeline::write(book, effect, What::Interrupted, &format!("attempt {}: {cause}", attempt.0), book.now)
}

pub(crate) fn retake(
    book: &Book<'_>,
    effect: &Effect,
    interrupted: &AttemptId,
    lease: Duration,
) -> rusqlite::Result<Option<AttemptId>> {
    let select = "SELECT 1 FROM effects WHERE family = ?1 AND id = ?2 AND attempt = ?3 AND outcome IS NULL";
    let arguments = params![effect.family.word(), effect.id.as_str(), interrupted.0];
    if !book.connection.prepare_cached(select)?.exists(arguments)? {
        return Ok(None);
    }
    timeline::write(book, effect, What::Released, &format!("attempt {}: taken as not made", interrupted.0), book.now)?;
    open(book, effect, lease).map(Some)
}

fn read_outcome(text: &str) -> rusqlite::Result<Outcome> {
    serde_json::from_str(text)
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Text, error.into()))
}
