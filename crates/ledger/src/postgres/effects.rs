use std::time::Duration;

use jiff::Timestamp;
use model::{Family, MessageId};
use uuid::Uuid;

use super::book::{Attempts, Kept, effect_key};
use super::{Book, Wants, millis, receipts, text, timestamp, unknown};
use crate::common::told;
use crate::{AttemptId, Begin, Effect, Entry, Outcome, Reopened, Standing, What};

pub(crate) fn wants(effect: &Effect) -> Wants {
    Wants::default().effect(effect.family, &effect.id)
}

pub(crate) fn begin(book: &mut Book<'_>, effect: &Effect, lease: Duration) -> Result<Begin, String> {
    let Some(known) = row(book, effect) else {
        return Ok(Begin::First(open_new(book, effect, lease)));
    };
    if let Some(outcome) = &known.outcome {
        let read = serde_json::from_str(outcome).map_err(|_| unknown("an outcome"))?;
        return Ok(Begin::Done(read));
    }
    let Some(attempt) = known.attempt.clone().map(AttemptId) else {
        return Ok(Begin::First(open(book, effect, lease)));
    };
    let until = timestamp(known.deadline.unwrap_or_default());
    let (began, begun) = (timestamp(known.began_at.unwrap_or_default()), known.begun);
    let silent = !known.told;
    if book.abandoned.contains(&attempt.0) {
        release(book, effect, &attempt, "the ledger did not answer, so nobody had it")?;
        return Ok(Begin::First(open(book, effect, lease)));
    }
    if until <= book.now && silent {
        book.tell(effect, What::Interrupted, &format!("attempt {}", attempt.0), book.now);
        change(book, effect, |row| row.told = true);
    }
    let begun = u32::try_from(begun).unwrap_or_default();
    Ok(Begin::Interrupted { attempt, began, until, now: book.now, begun })
}

pub(crate) fn standing(book: &mut Book<'_>, effect: &Effect) -> Result<Standing, String> {
    let Some(known) = row(book, effect) else { return Ok(Standing::Untouched) };
    Ok(match (&known.outcome, &known.attempt) {
        (Some(outcome), _) => Standing::Done(serde_json::from_str(outcome).map_err(|_| unknown("an outcome"))?),
        (None, Some(attempt)) if !book.abandoned.contains(attempt) => Standing::Open,
        (None, _) => Standing::Untouched,
    })
}

fn row<'a>(book: &'a Book<'_>, effect: &Effect) -> Option<&'a Attempts> {
    book.effects.get(&effect_key(effect.family, &effect.id)).map(|kept| &kept.row)
}

fn change(book: &mut Book<'_>, effect: &Effect, change: impl FnOnce(&mut Attempts)) {
    if let Some(kept) = book.effects.get_mut(&effect_key(effect.family, &effect.id)) {
        change(kept.change());
    }
}

/// Makes an effect known, so that its timeline is found by all that names it, also where it is never begun.
pub(super) fn know(book: &mut Book<'_>, effect: &Effect) {
    if row(book, effect).is_some() {
        return;
    }
    let made = Attempts { about: Some(effect.clone()), ..Attempts::default() };
    book.effects.insert(effect_key(effect.family, &effect.id), Kept::made(made));
    // A receipt is made by the house, for a reply that has a line of its own.
    if effect.family != Family::Receipts {
        book.tell(effect, What::Received, "", effect.received_at);
    }
}

/// Whether an effect was done, and all else about it erased.
pub(super) fn is_erased(book: &Book<'_>, family: Family, id: &MessageId) -> bool {
    book.effects.get(&effect_key(family, id)).is_some_and(|kept| kept.row.erased)
}

/// Whether an effect is known.
pub(super) fn is_known(book: &Book<'_>, family: Family, id: &MessageId) -> bool {
    book.effects.contains_key(&effect_key(family, id))
}

/// [`know`] and [`open`] of an effect nobody knows: its row tells its own lines (`common::Walk`).
fn open_new(book: &mut Book<'_>, effect: &Effect, lease: Duration) -> AttemptId {
    let mut made = Attempts { about: Some(effect.clone()), ..Attempts::default() };
    let attempt = made.open(book, lease);
    made.walk = Some(attempt.0.clone());
    book.effects.insert(effect_key(effect.family, &effect.id), Kept::made(made));
    attempt
}

fn open(book: &mut Book<'_>, effect: &Effect, lease: Duration) -> AttemptId {
    book.write_out(effect);
    let Some(mut kept) = book.effects.remove(&effect_key(effect.family, &effect.id)) else {
        return open_new(book, effect, lease);
    };
    let attempt = kept.change().open(book, lease);
    book.effects.insert(effect_key(effect.family, &effect.id), kept);
    book.tell(effect, What::Began, &format!("attempt {}", attempt.0), book.now);
    attempt
}

impl Attempts {
    fn open(&mut self, book: &mut Book<'_>, lease: Duration) -> AttemptId {
        let attempt = Uuid::new_v4().simple().to_string()[..12].to_owned();
        let deadline = book.now.saturating_add(lease).unwrap_or(Timestamp::MAX);
        self.attempt = Some(attempt.clone());
        self.owner = Some(book.owner.to_owned());
        self.began_at = Some(millis(book.now));
        self.deadline = Some(millis(deadline));
        self.begun += 1;
        self.told = false;
        book.opened.push(attempt.clone());
        AttemptId(attempt)
    }
}

/// A standby that took over may never have heard of the record before a call. Without it the record after the call would find
/// nothing to change, and the call be made again as if nobody had made it.
fn write_anew(book: &mut Book<'_>, effect: &Effect, attempt: &AttemptId) {
    if row(book, effect).is_some() {
        return;
    }
    know(book, effect);
    let (now, owner) = (millis(book.now), book.owner.to_owned());
    change(book, effect, |row| {
        row.attempt = Some(attempt.0.clone());
        row.owner = Some(owner);
        row.began_at = Some(now);
        row.deadline = Some(now);
        row.begun = 1;
    });
}

pub(crate) fn finish(
    book: &mut Book<'_>,
    effect: &Effect,
    attempt: &AttemptId,
    outcome: &Outcome,
) -> Result<(), String> {
    write_anew(book, effect, attempt);
    if row(book, effect).is_none_or(|row| row.outcome.is_some()) {
        return Ok(());
    }
    let written = serde_json::to_string(outcome).expect("an outcome has a JSON form");
    let now = millis(book.now);
    // What failed may be tried anew, and what is told of a second walk must not take the place of the first.
    let plain = !matches!(outcome, Outcome::Failed { .. })
        && row(book, effect).is_some_and(|row| row.walk.as_ref() == Some(&attempt.0));
    change(book, effect, |row| {
        row.ended_at = plain.then_some(now);
        row.outcome = Some(text(&written));
        row.attempt = None;
        row.owner = None;
        row.deadline = None;
        row.begun = 0;
    });
    if !plain {
        let (what, detail) = told(outcome, attempt);
        book.tell(effect, what, &detail, book.now);
    }
    Ok(())
}

pub(crate) fn release(book: &mut Book<'_>, effect: &Effect, attempt: &AttemptId, cause: &str) -> Result<(), String> {
    if row(book, effect).is_none_or(|row| row.attempt.as_ref() != Some(&attempt.0)) {
        return Ok(());
    }
    change(book, effect, |row| {
        row.begun -= i32::from(row.owner.is_some());
        row.attempt = None;
        row.owner = None;
        row.deadline = None;
    });
    book.tell(effect, What::Released, &format!("attempt {}: {cause}", attempt.0), book.now);
    Ok(())
}

/// An attempt that lapsed has no owner: it came to a verdict, so it counts no more, and it counts out only once.
pub(crate) fn lapse(book: &mut Book<'_>, effect: &Effect, attempt: &AttemptId, cause: &str) -> Result<(), String> {
    write_anew(book, effect, attempt);
    if is_at_work(book, effect, attempt) {
        change(book, effect, |row| row.begun -= 1);
    }
    doubt(book, effect, attempt, cause)
}

/// An attempt that lapsed has no owner who could still be at it.
fn is_at_work(book: &Book<'_>, effect: &Effect, attempt: &AttemptId) -> bool {
    row(book, effect)
        .is_some_and(|row| row.attempt.as_ref() == Some(&attempt.0) && row.owner.is_some() && row.outcome.is_none())
}

/// As [`lapse`], and it goes on counting.
pub(crate) fn doubt(book: &mut Book<'_>, effect: &Effect, attempt: &AttemptId, cause: &str) -> Result<(), String> {
    write_anew(book, effect, attempt);
    if !is_at_work(book, effect, attempt) {
        return Ok(());
    }
    let now = millis(book.now);
    change(book, effect, |row| {
        row.deadline = Some(now);
        row.owner = None;
        row.told = true;
    });
    book.tell(effect, What::Interrupted, &format!("attempt {}: {cause}", attempt.0), book.now);
    Ok(())
}

pub(crate) fn extend(book: &mut Book<'_>, effect: &Effect, attempt: &AttemptId, lease: Duration) -> Result<(), String> {
    if is_at_work(book, effect, attempt) {
        let deadline = millis(book.now.saturating_add(lease).unwrap_or(Timestamp::MAX));
        change(book, effect, |row| row.deadline = Some(deadline));
    }
    Ok(())
}

pub(crate) fn retake(
    book: &mut Book<'_>,
    effect: &Effect,
    interrupted: &AttemptId,
    lease: Duration,
) -> Result<Option<AttemptId>, String> {
    let over = |row: &Attempts| {
        let until = timestamp(row.deadline.unwrap_or_default());
        row.attempt.as_ref() == Some(&interrupted.0) && row.outcome.is_none() && until <= book.now
    };
    if !row(book, effect).is_some_and(over) {
        return Ok(None);
    }
    book.tell(effect, What::Released, &format!("attempt {}: taken as not made", interrupted.0), book.now);
    Ok(Some(open(book, effect, lease)))
}

/// What [`reopen`] wants.
pub(crate) fn wants_reopened(effect: &Effect, recipient: Option<&str>) -> Wants {
    let mut wants = wants(effect);
    wants.receipts.extend(recipient.map(|recipient| receipts::key_of(effect, recipient)));
    wants
}

/// Makes an effect that was not made as if it had never been begun; `recipient` is whom its receipts name.
pub(crate) fn reopen(book: &mut Book<'_>, effect: &Effect, recipient: Option<&str>) -> Result<Reopened, String> {
    if row(book, effect).is_some_and(|row| row.erased) {
        return Ok(Reopened::Erased);
    }
    let (outcome, attempt, deadline) =
        row(book, effect).map(|row| (row.outcome.clone(), row.attempt.clone(), row.deadline)).unwrap_or_default();
    let outcome = outcome.map(|outcome| serde_json::from_str(&outcome).map_err(|_| unknown("an outcome")));
    match outcome.transpose()? {
        Some(Outcome::Sent { .. } | Outcome::SameAs(_) | Outcome::Recorded) => return Ok(Reopened::AlreadySent),
        Some(Outcome::Failed { .. }) | None => {}
    }
    let until = timestamp(deadline.unwrap_or_default());
    let in_hand = |attempt: String| until > book.now && !book.abandoned.contains(&attempt);
    if attempt.is_some_and(in_hand) {
        return Ok(Reopened::InHand { until });
    }
    know(book, effect);
    book.write_out(effect);
    change(book, effect, |row| {
        let about = row.about.take();
        *row = Attempts { about, ..Attempts::default() };
    });
    if let Some(recipient) = recipient {
        receipts::reopen(book, &receipts::key_of(effect, recipient));
    }
    book.tell(effect, What::Replayed, "from the dead letters", book.now);
    Ok(Reopened::Fresh)
}

pub(crate) fn note(book: &mut Book<'_>, entry: &Entry) -> Result<(), String> {
    know(book, &entry.effect);
    book.tell(&entry.effect, entry.what, &entry.detail, book.now);
    Ok(())
}
