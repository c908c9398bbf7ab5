use std::collections::{BTreeMap, BTreeSet, HashSet};

use jiff::Timestamp;
use model::{Arrival, ChannelName, Family, MessageId, ReceiptStatus};

use super::{millis, text};
use crate::common::begun;
use crate::marks::MarkRow;
use crate::passport::Passport;
use crate::receipts::{State, Tries};
use crate::{Effect, What};

/// An effect's key: its family's word, and its id.
pub(super) type EffectKey = (&'static str, String);

pub(super) fn effect_key(family: Family, id: &MessageId) -> EffectKey {
    (family.word(), text(id.as_str()))
}

/// The rows a job must have before it; it works with no others.
#[derive(Default)]
pub(crate) struct Wants {
    pub(super) effects: BTreeSet<EffectKey>,
    pub(super) receipts: BTreeSet<Vec<u8>>,
    /// By channel and id.
    pub(super) arrived: BTreeSet<(String, String)>,
    /// By channel and fingerprint: from when to when.
    pub(super) twins: BTreeMap<(String, String), (i64, i64)>,
    pub(super) sessions: BTreeSet<Vec<u8>>,
    /// Messages by the digest of a provider and the id it gave them: what was sent under it, and what was reported of it.
    pub(super) sent: BTreeSet<Vec<u8>>,
    pub(super) marks: BTreeSet<String>,
    pub(super) consents: BTreeSet<Vec<u8>>,
}

impl Wants {
    pub(super) fn effect(mut self, family: Family, id: &MessageId) -> Self {
        self.effects.insert(effect_key(family, id));
        self
    }

    pub(super) fn arrival(mut self, channel: &ChannelName, id: &MessageId, arrival: &Arrival, around: i64) -> Self {
        let channel = text(channel.as_str());
        if let Some(at) = arrival.sent_at.map(millis) {
            let range = (at.saturating_sub(around), at.saturating_add(around));
            self.twins.insert((channel.clone(), text(&arrival.fingerprint)), range);
        }
        self.arrived.insert((channel, text(id.as_str())));
        self
    }

    /// What two jobs want, in one look.
    pub(super) fn and(&mut self, other: &Self) {
        self.effects.extend(other.effects.iter().cloned());
        self.receipts.extend(other.receipts.iter().cloned());
        self.arrived.extend(other.arrived.iter().cloned());
        self.sessions.extend(other.sessions.iter().cloned());
        self.sent.extend(other.sent.iter().cloned());
        self.marks.extend(other.marks.iter().cloned());
        self.consents.extend(other.consents.iter().cloned());
        for (key, (low, high)) in &other.twins {
            let range = self.twins.entry(key.clone()).or_insert((*low, *high));
            *range = (range.0.min(*low), range.1.max(*high));
        }
    }
}

/// Where a row in hand comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// Read, and as it was read.
    Read,
    /// Read and changed since.
    Changed,
    /// Made here.
    Made,
}

/// A row in hand.
pub(super) struct Kept<T> {
    pub(super) row: T,
    pub(super) origin: Origin,
}

impl<T> Kept<T> {
    pub(super) fn read(row: T) -> Self {
        Self { row, origin: Origin::Read }
    }

    pub(super) fn made(row: T) -> Self {
        Self { row, origin: Origin::Made }
    }

    /// The row, to be changed.
    pub(super) fn change(&mut self) -> &mut T {
        if self.origin == Origin::Read {
            self.origin = Origin::Changed;
        }
        &mut self.row
    }
}

/// What an effect's row says of its attempts.
#[derive(Default)]
pub(super) struct Attempts {
    pub(super) attempt: Option<String>,
    pub(super) owner: Option<String>,
    pub(super) began_at: Option<i64>,
    pub(super) deadline: Option<i64>,
    pub(super) begun: i32,
    pub(super) outcome: Option<String>,
    /// Whether the timeline says already that this attempt was interrupted.
    pub(super) told: bool,
    /// Whether it was done, and all else about it erased.
    pub(super) erased: bool,
    /// The attempt whose lines the row tells itself (`common::Walk`), and when it ended.
    pub(super) walk: Option<String>,
    pub(super) ended_at: Option<i64>,
    /// The effect, where its row is made here.
    pub(super) about: Option<Effect>,
}

pub(super) struct ReceiptRow {
    pub(super) state: Result<State, String>,
    pub(super) emitted: bool,
    pub(super) tries: Tries,
    /// Channel, foreign id and recipient, where it is made here.
    pub(super) about: Option<[String; 3]>,
}

pub(super) struct ArrivalRow {
    pub(super) channel: String,
    pub(super) id: String,
    pub(super) path: String,
    pub(super) fingerprint: String,
    pub(super) sent_at: Option<i64>,
    pub(super) same_as: Option<String>,
}

pub(super) struct SessionRow {
    pub(super) session: String,
    pub(super) used_at: i64,
    /// Channel and consumer, where it is written here.
    pub(super) about: Option<[String; 2]>,
}

/// What was sent under a provider's id.
pub(super) struct SentRow {
    /// `None` where its addresses were never written down, or erased.
    pub(super) passport: Option<Passport>,
    /// Provider, its id, and our id, where it is made here.
    pub(super) about: Option<[String; 3]>,
}

/// What a provider reported.
pub(super) struct ReportRow {
    pub(super) status: Result<ReceiptStatus, String>,
    pub(super) reported_at: i64,
    /// The provider, where it is made here.
    pub(super) about: Option<String>,
}

pub(super) struct ConsentRow {
    pub(super) channel: String,
    pub(super) consumer: String,
    pub(super) state: String,
    pub(super) reason: String,
    pub(super) changed_by: String,
    pub(super) changed_at: i64,
    pub(super) heard_at: Option<i64>,
    pub(super) said_at: Option<i64>,
}

/// A line to write.
pub(super) struct NewLine {
    pub(super) at: i64,
    pub(super) id: String,
    pub(super) family: &'static str,
    pub(super) channel: String,
    pub(super) foreign_id: String,
    pub(super) trace: String,
    pub(super) what: &'static str,
    pub(super) detail: String,
}

/// What the jobs of one transaction work with: the rows they want, locked, and the time. Whatever they do here is written at
/// the end, in one go. A job fails before it changes anything.
pub(crate) struct Book<'a> {
    pub(super) now: Timestamp,
    /// This process.
    pub(super) owner: &'a str,
    /// Attempts of this process that nobody ever had: their callers were told that the ledger does not answer.
    pub(super) abandoned: &'a HashSet<String>,
    pub(super) effects: BTreeMap<EffectKey, Kept<Attempts>>,
    pub(super) receipts: BTreeMap<Vec<u8>, Kept<ReceiptRow>>,
    /// By channel and id: what it is the same as.
    pub(super) arrived: BTreeMap<(String, String), Option<String>>,
    /// By channel and fingerprint.
    pub(super) arrivals: BTreeMap<(String, String), Vec<Kept<ArrivalRow>>>,
    pub(super) sessions: BTreeMap<Vec<u8>, Kept<SessionRow>>,
    pub(super) sent: BTreeMap<Vec<u8>, Kept<SentRow>>,
    /// By the same key and the word of the state.
    pub(super) reports: BTreeMap<(Vec<u8>, String), Kept<ReportRow>>,
    pub(super) marks: BTreeMap<String, Kept<MarkRow>>,
    pub(super) consents: BTreeMap<Vec<u8>, Kept<ConsentRow>>,
    pub(super) lines: Vec<NewLine>,
    /// Attempts the job in hand began.
    pub(super) opened: Vec<String>,
}

impl Book<'_> {
    /// Adds a line. It comes after those its effect tells of itself, also where all are of one moment.
    pub(super) fn tell(&mut self, effect: &Effect, what: What, detail: &str, at: Timestamp) {
        self.write_out(effect);
        self.line(effect, what, detail, millis(at));
    }

    /// Writes down what an effect tells of itself (`common::Walk`), before that is changed or another line comes between.
    pub(super) fn write_out(&mut self, effect: &Effect) {
        // What is told of a receipt stands with its reply.
        let family = if effect.family == Family::Receipts { Family::Replies } else { effect.family };
        let Some(kept) = self.effects.get_mut(&effect_key(family, &effect.id)) else { return };
        if kept.row.ended_at.is_some() || kept.row.walk.is_none() {
            return;
        }
        let Some(attempt) = kept.change().walk.take() else { return };
        let received_at = millis(effect.received_at);
        // A build that knows no `walk` may have taken the time of the begin away.
        let began_at = kept.row.began_at.unwrap_or(received_at);
        let effect = Effect { family, ..effect.clone() };
        for (at, what, detail) in begun(family.word(), received_at, began_at, &attempt) {
            self.line(&effect, what, &detail, at);
        }
    }

    fn line(&mut self, effect: &Effect, what: What, detail: &str, at: i64) {
        self.lines.push(NewLine {
            at,
            id: text(effect.id.as_str()),
            family: effect.family.word(),
            channel: text(effect.channel.as_str()),
            foreign_id: text(&effect.foreign_id),
            trace: text(effect.trace.as_str()),
            what: what.word(),
            detail: text(detail),
        });
    }
}
