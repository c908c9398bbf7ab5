//! Which replica of a role works on which partition. Every replica works it out alone, from the same names, so that they agree
//! without a coordinator: each queue goes to the replica that scores highest on it (rendezvous hashing), as long as that one has
//! no more than its share. When a replica comes or goes, few queues move.

use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest, Sha256};
use tokio::sync::watch;

/// The consumer priority of a queue's own replica. The others follow by their score, so that what a replica leaves behind is
/// spread as well.
const OWN: i32 = 100;
const OTHERS: i32 = 50;

/// How much a replica wants to be the active consumer of one queue.
pub(super) struct Wish {
    replica: String,
    queue: String,
    queues: Vec<String>,
    replicas: Option<watch::Receiver<BTreeSet<String>>>,
}

impl Wish {
    pub(super) const fn new(
        replica: String,
        queue: String,
        queues: Vec<String>,
        replicas: watch::Receiver<BTreeSet<String>>,
    ) -> Self {
        Self { replica, queue, queues, replicas: Some(replicas) }
    }

    /// Nobody else is asked.
    pub(super) const fn none() -> Self {
        Self { replica: String::new(), queue: String::new(), queues: Vec::new(), replicas: None }
    }

    /// The consumer priority now.
    pub(super) fn priority(&mut self) -> i32 {
        match &mut self.replicas {
            Some(replicas) => priority(&self.replica, &self.queue, &replicas.borrow_and_update(), &self.queues),
            None => OWN,
        }
    }

    /// Waits until the queue has become this replica's own, or has ceased to be. What only changes the order of the others is
    /// not worth a new subscription.
    pub(super) async fn turned(&mut self, from: i32) {
        loop {
            let Some(replicas) = &mut self.replicas else { return std::future::pending().await };
            if replicas.changed().await.is_err() {
                return std::future::pending().await;
            }
            if (self.priority() == OWN) != (from == OWN) {
                return;
            }
        }
    }
}

/// The priority with which `replica` subscribes to `queue`.
fn priority(replica: &str, queue: &str, replicas: &BTreeSet<String>, queues: &[String]) -> i32 {
    if assign(replicas, queues).get(queue).is_some_and(|owner| *owner == replica) {
        return OWN;
    }
    let own = score(replica, queue);
    let before = replicas.iter().filter(|other| score(other, queue) > own).count();
    (OTHERS - i32::try_from(before).unwrap_or(OTHERS)).max(0)
}

/// Every queue's own replica.
fn assign<'a>(replicas: &'a BTreeSet<String>, queues: &'a [String]) -> BTreeMap<&'a str, &'a str> {
    let mut owners = BTreeMap::new();
    if replicas.is_empty() {
        return owners;
    }
    let mut wishes: Vec<([u8; 32], &str, &str)> = Vec::with_capacity(replicas.len() * queues.len());
    for replica in replicas {
        wishes.extend(queues.iter().map(|queue| (score(replica, queue), replica.as_str(), queue.as_str())));
    }
    wishes.sort_unstable_by(|one, other| other.cmp(one));
    // Everybody's share first, so that nobody is left with nothing; then what does not divide.
    let share = queues.len() / replicas.len();
    let mut held: BTreeMap<&str, usize> = BTreeMap::new();
    for most in [share, share + 1] {
        for (_, replica, queue) in &wishes {
            let count = held.entry(replica).or_default();
            if *count < most && !owners.contains_key(queue) {
                owners.insert(*queue, *replica);
                *count += 1;
            }
        }
    }
    owners
}

fn score(replica: &str, queue: &str) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in [replica, queue] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn queues(count: usize) -> Vec<String> {
        (0..count).map(|partition| format!("causeway.replies.crexendo.{partition}")).collect()
    }

    proptest! {
        #[test]
        fn nobody_holds_more_than_one_over_its_share(
            replicas in proptest::collection::btree_set("[a-z0-9-]{1,12}", 1..9),
            count in 1usize..40,
        ) {
            let queues = queues(count);
            let owners = assign(&replicas, &queues);
            prop_assert_eq!(owners.len(), count, "every queue has an owner");
            for replica in &replicas {
                let held = owners.values().filter(|owner| **owner == replica).count();
                let share = count / replicas.len();
                prop_assert!(held == share || held == share + 1, "{} holds {} of {}", replica, held, count);
            }
        }

        #[test]
        fn exactly_one_replica_has_the_highest_priority(
            replicas in proptest::collection::btree_set("[a-z0-9-]{1,12}", 1..9),
            count in 1usize..20,
        ) {
            let queues = queues(count);
            for queue in &queues {
                let own = replicas.iter().filter(|replica| priority(replica, queue, &replicas, &queues) == OWN);
                prop_assert_eq!(own.count(), 1);
            }
        }
    }

    #[test]
    fn a_newcomer_moves_little_more_than_it_takes() {
        let queues = queues(24);
        let before: BTreeSet<String> = ["a", "b", "c"].map(str::to_owned).into();
        let after: BTreeSet<String> = ["a", "b", "c", "d"].map(str::to_owned).into();
        let (old, new) = (assign(&before, &queues), assign(&after, &queues));
        let moved = queues.iter().filter(|queue| old[queue.as_str()] != new[queue.as_str()]).count();
        assert!((6..=12).contains(&moved), "{moved} of 24 moved");
    }
}
