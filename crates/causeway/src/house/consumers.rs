//! Watches whether the queue roles are subscribed to their queues, for `/readyz` and the metrics.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use broker::{Away, Broker, QueueName};
use jiff::{SignedDuration, Timestamp};
use model::Family;
use runtime::{Clock, Component, Health, Need, Shutdown, Tasks};
use tokio::time::{MissedTickBehavior, interval};

use super::Role;

/// Whoever hands a queue back, because replicas came or went, is subscribed anew within this, and so is who lost it for a moment.
const GRACE: SignedDuration = SignedDuration::from_secs(5);
const EVERY: Duration = Duration::from_secs(1);

pub(super) fn spawn(
    tasks: &mut Tasks,
    roles: &BTreeSet<Role>,
    need: impl Fn(&Role) -> Need,
    broker: &Broker,
    clock: &Clock,
    health: &Health,
    shutdown: &Shutdown,
) {
    let of_role = |role: &Role| {
        let family = role.takes_from()?;
        Some((family, health.component_of(role.word(), "consumers", need(role))))
    };
    let components: Vec<_> = roles.iter().filter_map(of_role).collect();
    if !components.is_empty() {
        tasks.spawn("consumer watch", watch(broker.clone(), clock.clone(), components, shutdown.clone()));
    }
}

async fn watch(
    broker: Broker,
    clock: Clock,
    components: Vec<(Family, Component)>,
    shutdown: Shutdown,
) -> anyhow::Result<()> {
    let mut consumers = broker.consumers();
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let known = consumers.borrow_and_update().clone();
        for (family, component) in &components {
            // Before its role has begun, a component says so by itself.
            let Some(queues) = known.of(*family) else { continue };
            match Judgement::of(queues, clock.now()) {
                Judgement::Well => component.well(),
                Judgement::Soon => {}
                Judgement::Trouble(detail) => component.trouble(detail),
            }
        }
        tokio::select! {
            () = shutdown.stopping() => return Ok(()),
            changed = consumers.changed() => changed?,
            _ = ticks.tick() => {}
        }
    }
}

/// How the consumers of one role are.
#[derive(Debug, PartialEq, Eq)]
enum Judgement {
    /// Every queue is subscribed.
    Well,
    /// Some are not, and not for long: nothing is told anew.
    Soon,
    /// What to tell.
    Trouble(String),
}

impl Judgement {
    fn of(queues: &BTreeMap<QueueName, Option<Away>>, now: Timestamp) -> Self {
        let away: Vec<_> = queues.iter().filter_map(|(queue, away)| Some((queue, away.as_ref()?))).collect();
        let long = |(_, away): &&(&QueueName, &Away)| now.duration_since(away.since) >= GRACE;
        match away.iter().find(long) {
            None if away.is_empty() => Self::Well,
            None => Self::Soon,
            Some((queue, Away { why, .. })) => Self::Trouble(format!(
                "{} of {} queues are not consumed, {queue} for one: {why}; it is tried again all the time",
                away.len(),
                queues.len()
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use model::NeighbourName;

    use super::*;

    fn queue(partition: u16) -> QueueName {
        QueueName::Work { family: Family::Replies, neighbour: NeighbourName::new("crexendo"), partition }
    }

    #[test]
    fn a_queue_that_is_not_consumed_is_told_when_it_has_lasted() {
        let now = Timestamp::UNIX_EPOCH;
        let mut queues: BTreeMap<_, _> = (0..4).map(|partition| (queue(partition), None)).collect();
        assert_eq!(Judgement::of(&queues, now), Judgement::Well);
        let away = |since, why: &str| Some(Away { since, why: why.to_owned() });
        queues.insert(queue(2), away(now, "no queue; run `causeway topology apply`"));
        assert_eq!(Judgement::of(&queues, now + GRACE - SignedDuration::from_millis(1)), Judgement::Soon);
        queues.insert(queue(0), away(now + GRACE, "it was handed back"));
        let told = "2 of 4 queues are not consumed, causeway.replies.crexendo.2 for one: no queue; run `causeway topology \
                    apply`; it is tried again all the time";
        assert_eq!(Judgement::of(&queues, now + GRACE), Judgement::Trouble(told.to_owned()));
        queues.insert(queue(2), None);
        assert_eq!(Judgement::of(&queues, now + GRACE), Judgement::Soon, "the other has just begun");
        assert_eq!(Judgement::of(&BTreeMap::new(), now), Judgement::Well, "no neighbours, no queues");
    }
}
