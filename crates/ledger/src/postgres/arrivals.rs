use std::collections::HashSet;

use model::{Arrival, ArrivalPath, ChannelName, MessageId};

use super::book::{ArrivalRow, Kept};
use super::{Book, Wants, millis, text};
use crate::ArrivalVerdict;
use crate::common::{APART, path_word, sight_id};

/// Whoever may be a twin, and whoever took that twin before.
pub(crate) fn wants(channel: &ChannelName, id: &MessageId, arrival: &Arrival) -> Wants {
    let wants = Wants::default().arrival(channel, id, arrival, 2 * APART);
    wants.arrival(channel, &sight_id(id, arrival.path), arrival, 2 * APART)
}

/// The rows, and whoever else stands for one of them.
pub(crate) fn wants_sight(
    channel: &ChannelName,
    (id, path): (&MessageId, ArrivalPath),
    rows: &[(MessageId, Arrival)],
) -> Wants {
    let mut wants = wants_known(channel, &[sight_id(id, path)]);
    for (row, arrival) in rows {
        wants.and(&Wants::default().arrival(channel, row, arrival, 2 * APART));
    }
    wants
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
    if let Some(same_as) = find(book, channel, id).cloned() {
        see_again(book, channel, id, arrival);
        return Ok(verdict(same_as));
    }
    if let Some(row) = find(book, channel, &sight_id(id, arrival.path)) {
        return Ok(verdict(row.clone()));
    }
    let same_as = twin(near(book, channel, arrival), arrival).map(|twin| twin.id.clone());
    insert(book, channel, id, arrival, same_as.clone());
    Ok(verdict(same_as))
}

/// The row that an arrival of another kind is like, where it did not arrive before.
pub(crate) fn like_a_row(
    book: &Book<'_>,
    channel: &ChannelName,
    id: &MessageId,
    arrival: &Arrival,
) -> Option<MessageId> {
    if find(book, channel, id).is_some() || find(book, channel, &sight_id(id, arrival.path)).is_some() {
        return None;
    }
    let twin = twin(near(book, channel, arrival), arrival)?;
    (twin.path == path_word(ArrivalPath::StoredRow)).then(|| MessageId::new(twin.id.clone()))
}

/// Notes that another path told of a message under its id: it is no twin of anything else on that path.
pub(crate) fn see_again(book: &mut Book<'_>, channel: &ChannelName, id: &MessageId, arrival: &Arrival) {
    let Some(same_as) = find(book, channel, id).cloned() else { return };
    let sight = sight_id(id, arrival.path);
    let known = near(book, channel, arrival).iter().find(|kept| kept.row.id == text(id.as_str()));
    let by_another = known.is_some_and(|kept| kept.row.path != path_word(arrival.path));
    if by_another && find(book, channel, &sight).is_none() {
        let first = same_as.unwrap_or_else(|| text(id.as_str()));
        insert(book, channel, &sight, arrival, Some(first));
    }
}

pub(crate) fn sight(
    book: &mut Book<'_>,
    channel: &ChannelName,
    (id, path): (&MessageId, ArrivalPath),
    rows: &[(MessageId, Arrival)],
) -> bool {
    let sight = sight_id(id, path);
    if find(book, channel, &sight).is_some() {
        return true;
    }
    for (row, arrival) in rows {
        let first = find(book, channel, row).cloned().flatten().unwrap_or_else(|| text(row.as_str()));
        let stands = |kept: &Kept<ArrivalRow>| {
            let one = &kept.row;
            one.path == path_word(path) && (one.id == first || one.same_as.as_ref() == Some(&first))
        };
        if first == text(id.as_str()) || !near(book, channel, arrival).iter().any(stands) {
            let told = Arrival { path, ..arrival.clone() };
            insert(book, channel, &sight, &told, Some(first));
            return true;
        }
    }
    false
}

/// Of an arrival that is known, what it is the same as.
fn find<'a>(book: &'a Book<'_>, channel: &ChannelName, id: &MessageId) -> Option<&'a Option<String>> {
    book.arrived.get(&(text(channel.as_str()), text(id.as_str())))
}

fn near<'a>(book: &'a Book<'_>, channel: &ChannelName, arrival: &Arrival) -> &'a [Kept<ArrivalRow>] {
    let print = (text(channel.as_str()), text(&arrival.fingerprint));
    book.arrivals.get(&print).map_or(&[], Vec::as_slice)
}

fn insert(book: &mut Book<'_>, channel: &ChannelName, id: &MessageId, arrival: &Arrival, same_as: Option<String>) {
    let row = ArrivalRow {
        channel: text(channel.as_str()),
        id: text(id.as_str()),
        path: path_word(arrival.path).to_owned(),
        fingerprint: text(&arrival.fingerprint),
        sent_at: arrival.sent_at.map(millis),
        same_as: same_as.clone(),
    };
    book.arrived.insert((row.channel.clone(), row.id.clone()), same_as);
    book.arrivals.entry((row.channel.clone(), row.fingerprint.clone())).or_default().push(Kept::made(row));
}

/// The nearest arrival by another path that no arrival of this path was matched with before: one to one, so that two equal
/// texts sent twice stay two.
fn twin<'a>(near: &'a [Kept<ArrivalRow>], arrival: &Arrival) -> Option<&'a ArrivalRow> {
    let (sent_at, path) = (arrival.sent_at.map(millis)?, path_word(arrival.path));
    let rows = || near.iter().map(|kept| &kept.row);
    let taken = |id: &str| rows().any(|other| other.path == path && other.same_as.as_deref() == Some(id));
    let beside = |id: &str| arrival.beside.iter().any(|other| text(other.as_str()) == id);
    let apart = |row: &ArrivalRow| row.sent_at.map(|at| at.abs_diff(sent_at)).filter(|apart| *apart <= APART as u64);
    let may = |row: &&ArrivalRow| row.path != path && row.same_as.is_none() && !taken(&row.id) && !beside(&row.id);
    let twins = rows().filter(may).filter_map(|row| apart(row).map(|apart| (apart, row)));
    twins.min_by(|(one, this), (two, that)| (one, &this.id).cmp(&(two, &that.id))).map(|(_, row)| row)
}
