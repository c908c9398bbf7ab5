use model::{ChannelName, Family, MessageId, NeighbourName, Receipt, ReceiptStatus, TraceId};
use tokio_postgres::{Error, Row};

use super::book::{Kept, ReportRow, SentRow};
use super::{Book, Wants, digest, effects, millis, text, timestamp};
use crate::passport::Passport;
use crate::receipts::State;
use crate::{AttemptId, Effect, Outcome, Reported};

/// The key of a provider's message.
pub(super) fn key(provider: &NeighbourName, foreign_id: &str) -> Vec<u8> {
    digest(&[provider.as_str(), foreign_id])
}

pub(crate) fn wants(provider: &NeighbourName, foreign_id: &str) -> Wants {
    let mut wants = Wants::default();
    wants.sent.insert(key(provider, foreign_id));
    wants
}

pub(crate) fn wants_sent(effect: &Effect, foreign_id: Option<&str>) -> Wants {
    let mut wants = Wants::default().effect(Family::Replies, &effect.id).effect(effect.family, &effect.id);
    wants.sent.extend(foreign_id.map(|foreign_id| key(&effect.target, foreign_id)));
    wants
}

/// The outcome of a reply that was sent, under the id the provider gave it, and what the provider reported before.
pub(crate) fn sent(
    book: &mut Book<'_>,
    effect: &Effect,
    attempt: &AttemptId,
    foreign_id: Option<&str>,
) -> Result<Vec<Receipt>, String> {
    let told = foreign_id.map(|foreign_id| key(&effect.target, foreign_id));
    let statuses = told.as_ref().map_or_else(|| Ok(Vec::new()), |key| held(book, key))?;
    effects::finish(book, effect, attempt, &Outcome::Sent { foreign_id: foreign_id.map(str::to_owned) })?;
    let (Some(key), Some(foreign_id)) = (told, foreign_id) else { return Ok(Vec::new()) };
    let about = Some([effect.target.as_str(), foreign_id, effect.id.as_str()].map(text));
    let passport = Passport::of(effect);
    book.sent.insert(key, Kept::made(SentRow { passport: passport.clone(), about }));
    Ok(receipts(passport, statuses))
}

/// What was reported under a key, in the order in which it came.
fn held(book: &Book<'_>, key: &[u8]) -> Result<Vec<ReceiptStatus>, String> {
    let of_key = book.reports.range((key.to_vec(), String::new())..).take_while(|((of, _), _)| of == key);
    let mut rows: Vec<&ReportRow> = of_key.map(|(_, kept)| &kept.row).collect();
    rows.sort_by_key(|row| row.reported_at);
    rows.into_iter().map(|row| row.status.clone()).collect()
}

pub(super) fn receipts(passport: Option<Passport>, statuses: Vec<ReceiptStatus>) -> Vec<Receipt> {
    let Some(passport) = passport else { return Vec::new() };
    statuses.into_iter().map(|status| passport.clone().receipt(status)).collect()
}

pub(crate) fn report(
    book: &mut Book<'_>,
    provider: &NeighbourName,
    foreign_id: &str,
    status: &ReceiptStatus,
) -> Result<Reported, String> {
    let key = key(provider, foreign_id);
    if let Some(passport) = book.sent.get(&key).and_then(|kept| kept.row.passport.clone()) {
        return Ok(Reported::Matched(Box::new(passport.receipt(status.clone()))));
    }
    let (reported_at, about) = (millis(book.now), Some(text(provider.as_str())));
    let row = || Kept::made(ReportRow { status: Ok(status.clone()), reported_at, about });
    book.reports.entry((key, State::of(status).word().to_owned())).or_insert_with(row);
    Ok(Reported::Held)
}

/// A row of a key and what the receipts of a reply are made of; `None` where its addresses were never written down, or erased.
pub(super) fn passport(row: &Row) -> Result<Option<Passport>, Error> {
    let Some(parties) = row.try_get::<_, Option<&str>>(6)? else { return Ok(None) };
    // What cannot be read can be told to nobody.
    let Ok(parties) = serde_json::from_str(parties) else { return Ok(None) };
    Ok(Some(Passport {
        id: MessageId::new(row.try_get::<_, String>(1)?),
        channel: ChannelName::new(row.try_get::<_, String>(2)?),
        genesys_message_id: row.try_get(3)?,
        trace: TraceId::new(row.try_get::<_, String>(4)?),
        received_at: timestamp(row.try_get(5)?),
        parties,
    }))
}
