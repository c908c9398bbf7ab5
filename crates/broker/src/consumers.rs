//! Which queues this process is to consume, and which of them it does not.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use model::Family;
use runtime::Clock;
use tokio::sync::watch;

use crate::QueueName;

/// The queues that this process consumes, by family. Being subscribed counts, whoever is the active consumer.
#[derive(Debug, Clone, Default)]
pub struct Consumers {
    families: BTreeMap<Family, BTreeMap<QueueName, Option<Away>>>,
}

/// A queue that is to be consumed, and to which there is no subscription.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Away {
    /// Since when.
    pub since: Timestamp,
    /// What stood in the way last, and what to do; nothing private.
    pub why: String,
}

impl Consumers {
    /// Every queue of a family, those without a subscription with the cause; `None` before somebody began to consume it.
    pub fn of(&self, family: Family) -> Option<&BTreeMap<QueueName, Option<Away>>> {
        self.families.get(&family)
    }
}

/// What the loops tell of their queues. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Roster {
    known: Arc<watch::Sender<Consumers>>,
    clock: Clock,
}

impl Roster {
    pub(crate) fn new(clock: Clock) -> Self {
        Self { known: Arc::new(watch::Sender::new(Consumers::default())), clock }
    }

    pub(crate) fn watch(&self) -> watch::Receiver<Consumers> {
        self.known.subscribe()
    }

    /// A family is consumed from now on, whatever queues it has.
    pub(crate) fn begin(&self, family: Family) {
        self.known.send_modify(|known| {
            known.families.entry(family).or_default();
        });
    }

    /// The place of one queue, which is without a subscription so far.
    pub(crate) fn seat(&self, family: Family, queue: QueueName) -> Seat {
        let seat = Seat { roster: self.clone(), family, queue };
        seat.lost("it is being subscribed");
        seat
    }
}

/// The hand of one loop on the line of its queue.
pub(crate) struct Seat {
    roster: Roster,
    family: Family,
    queue: QueueName,
}

impl Seat {
    /// There is a subscription.
    pub(crate) fn subscribed(&self) {
        self.set(|away| *away = None);
    }

    /// There is none, since now or since an earlier loss, and why.
    pub(crate) fn lost(&self, why: &str) {
        let now = self.roster.clock.now();
        self.set(|away| {
            let since = away.as_ref().map_or(now, |away| away.since);
            *away = Some(Away { since, why: why.to_owned() });
        });
    }

    fn set(&self, change: impl FnOnce(&mut Option<Away>)) {
        self.roster.known.send_modify(|known| {
            change(known.families.entry(self.family).or_default().entry(self.queue.clone()).or_default());
        });
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;
    use model::NeighbourName;

    use super::*;

    #[test]
    fn a_queue_is_away_since_its_first_loss_and_for_its_last_cause() {
        let start = Timestamp::UNIX_EPOCH;
        let (clock, hand) = Clock::manual(start);
        let roster = Roster::new(clock);
        let consumers = roster.watch();
        let queue = QueueName::Work { family: Family::Inbound, neighbour: NeighbourName::new("main"), partition: 0 };
        let away = || consumers.borrow().of(Family::Inbound).expect("it has begun")[&queue].clone();

        assert!(consumers.borrow().of(Family::Inbound).is_none());
        roster.begin(Family::Inbound);
        assert!(consumers.borrow().of(Family::Inbound).is_some_and(BTreeMap::is_empty));
        let seat = roster.seat(Family::Inbound, queue.clone());
        assert_eq!(away().map(|away| away.since), Some(start));
        seat.subscribed();
        assert_eq!(away(), None);
        hand.advance(SignedDuration::from_secs(60));
        let since = start + SignedDuration::from_secs(60);
        seat.lost("its connection was lost");
        hand.advance(SignedDuration::from_secs(10));
        seat.lost("there is no such queue");
        assert_eq!(away(), Some(Away { since, why: "there is no such queue".to_owned() }));
        assert!(consumers.borrow().of(Family::Replies).is_none());
    }
}
