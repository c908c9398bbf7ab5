use std::collections::{BTreeMap, VecDeque};

use jiff::{SignedDuration, Timestamp};
use tokio::sync::oneshot;

use super::command::Batch;
use super::database::Database;
use crate::QueueName;
use crate::source::Lost;

/// How long a subscriber may keep a message before it counts as stuck and its messages go to the next one. The engine
/// hands back long before.
pub(super) const LEASE: SignedDuration = SignedDuration::from_mins(30);

/// A fetch gives at most this many, so that the thread is never long with one queue.
const FETCH: usize = 256;

/// One work queue: who reads it, and how far.
pub(super) struct Queue {
    pub(super) name: QueueName,
    pub(super) key: i64,
    pub(super) length: u64,
    /// Everything up to here was given to the active subscriber.
    pub(super) cursor: i64,
    /// What it has not settled, with the end of the lease. Leases are given in the order of ids, so the first ends first.
    pub(super) in_hand: BTreeMap<i64, Timestamp>,
    /// The first is active; the others wait for their turn.
    pub(super) subscribers: VecDeque<Subscriber>,
}

pub(super) struct Subscriber {
    pub(super) id: u64,
    pub(super) prefetch: usize,
    /// A fetch that waits for a message, a settlement, or its turn.
    pub(super) parked: Option<oneshot::Sender<Batch>>,
}

impl Queue {
    pub(super) fn new(name: QueueName, key: i64, length: u64) -> Self {
        Self { name, key, length, cursor: 0, in_hand: BTreeMap::new(), subscribers: VecDeque::new() }
    }

    /// Takes a message out of the hand of the active subscriber, when it is there.
    pub(super) fn take(&mut self, subscriber: u64, id: i64) -> Result<(), Lost> {
        let active = self.subscribers.front().is_some_and(|front| front.id == subscriber);
        if active && self.in_hand.remove(&id).is_some() {
            return Ok(());
        }
        Err(Lost(format!("{}: the message is not in the hand of this subscription", self.name)))
    }

    /// Ends a subscription; what the active one held goes to the next, from the start.
    pub(super) fn remove(&mut self, subscriber: u64, why: &str) {
        let Some(position) = self.subscribers.iter().position(|one| one.id == subscriber) else { return };
        if position == 0 {
            self.in_hand.clear();
            self.cursor = 0;
        }
        if let Some(removed) = self.subscribers.remove(position)
            && let Some(parked) = removed.parked
        {
            // Its subscription may have gone away by itself, and then nobody listens.
            drop(parked.send(Err(Lost(format!("{}: {why}", self.name)))));
        }
    }

    /// A subscriber that keeps a message beyond its lease is stuck.
    pub(super) fn end_expired_lease(&mut self, now: Timestamp) {
        let expired = self.in_hand.first_key_value().is_some_and(|(_, until)| *until <= now);
        if expired && let Some(active) = self.subscribers.front() {
            tracing::warn!(queue = %self.name, "a consumer kept a message beyond its lease; its messages are given back");
            self.remove(active.id, "the lease of a message has ended");
        }
    }

    /// Answers the active subscriber's fetch when there is something for it.
    pub(super) fn serve(&mut self, database: &Database, now: Timestamp) {
        let Some(active) = self.subscribers.front_mut() else { return };
        let room = active.prefetch.saturating_sub(self.in_hand.len()).min(FETCH);
        if room == 0 || self.length <= self.in_hand.len() as u64 {
            return;
        }
        let Some(parked) = active.parked.take() else { return };
        match database.read(self.key, self.cursor, room) {
            Ok(batch) => {
                let until = now + LEASE;
                for delivery in &batch {
                    let id = delivery.tag.0.cast_signed();
                    self.cursor = id;
                    self.in_hand.insert(id, until);
                }
                // A subscription that is gone gives everything back with the `Unsubscribe` that follows.
                drop(parked.send(Ok(batch)));
            }
            Err(error) => {
                active.parked = Some(parked);
                let (id, why) = (active.id, super::database::explain(&error));
                self.remove(id, &why);
            }
        }
    }
}
