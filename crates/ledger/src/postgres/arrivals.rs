use std::collections::HashSet;

use model::{Arrival, ChannelName, MessageId};

use super::book::{ArrivalRow, Kept};
use super::{Book, Wants, millis, text};
use crate::ArrivalVerdict;
use crate::common::{APART, path_word};

/// Whoever may be a twin, and whoever took that twin before.
pub(crate) fn wants(channel: &ChannelName, id: &MessageId, arrival: &Arrival) -> Wants {
    Wants::default().arrival(channel, id, arrival, 2 * APART)
}

/// Whoever is known already; nobody's lock is waited for.
pub(crate) fn wants_known(channel: &ChannelName, ids: &[MessageId]) -> Wants {
    let mut wants = Wants::default();
    wants.arrived.extend(ids.iter().map(|id| (text(channel.as_str()), text(id.as_str()))));
    wants
}

pub(crate) fn known(book: &Book<'_>, channel: &ChannelName, ids: &[MessageId]) -> HashSet<MessageId> {
    let arrived = |id: &MessageId| book.arrived.contains_key(&(text(channel.as_str()), text(id.as_str())));
    ids.iter().filter(|id| arrived(id)).cloned().collect()
}

pub(crate) fn arrive(
    book: &mut Book<'_>,
    channel: &ChannelName,
    id: &MessageId,
    arrival: &Arrival,
) -> Result<ArrivalVerdict, String> {
    let verdict = |same_as: Option<String>| match same_as {
        None => ArrivalVerdict::New,
        Some(id) => ArrivalVerdict::SameAs(MessageId::new(id)),
    };
    let key = (text(channel.as_str()), text(id.as_str()));
    if let Some(same_as) = book.arrived.get(&key) {
        return Ok(verdict(same_as.clone()));
    }
    let print = (key.0.clone(), text(&arrival.fingerprint));
    let near = book.arrivals.entry(print).or_default();
    let same_as = twin(near, arrival);
    near.push(Kept::made(ArrivalRow {
        channel: key.0.clone(),
        id: key.1.clone(),
        path: path_word(arrival.path).to_owned(),
        fingerprint: text(&arrival.fingerprint),
        sent_at: arrival.sent_at.map(millis),
        same_as: same_as.clone(),
    }));
    book.arrived.insert(key, same_as.clone());
    Ok(verdict(same_as))
}

/// The nearest arrival by another path that no arrival of this path was matched with before: one to one, so that two equal
/// texts sent twice stay two.
fn twin(near: &[Kept<ArrivalRow>], arrival: &Arrival) -> Option<String> {
    let (sent_at, path) = (arrival.sent_at.map(millis)?, path_word(arrival.path));
    let rows = || near.iter().map(|kept| &kept.row);
    let taken = |id: &str| rows().any(|other| other.path == path && other.same_as.as_deref() == Some(id));
    let apart = |row: &ArrivalRow| row.sent_at.map(|at| at.abs_diff(sent_at)).filter(|apart| *apart <= APART as u64);
    let may = |row: &&ArrivalRow| row.path != path && row.same_as.is_none() && !taken(&row.id);
    let twins = rows().filter(may).filter_map(|row| apart(row).map(|apart| (apart, &row.id)));
    twins.min().map(|(_, id)| id.clone())
}
