//! Watches what the roles stand on, for `/readyz` and the metrics.

use std::collections::BTreeSet;
use std::time::Duration;

use blobs::Store;
use broker::{Broker, State};
use jiff::{SignedDuration, Timestamp};
use ledger::Ledger;
use runtime::{Alarm, AlarmKind, Clock, Component, Health, Need, Shutdown, Tasks};
use tokio::time::{MissedTickBehavior, interval};

use super::{Role, consumers};

const LEDGER_EVERY: Duration = Duration::from_secs(5);
const QUEUES_EVERY: Duration = Duration::from_secs(10);
const STORE_EVERY: Duration = Duration::from_secs(10);
/// How the store of files is called among the components.
const HOUSE_STORE: &str = "blobs";

pub(super) fn spawn(
    tasks: &mut Tasks,
    roles: &BTreeSet<Role>,
    broker: &Broker,
    ledger: Option<&Ledger>,
    clock: &Clock,
    health: &Health,
    shutdown: &Shutdown,
) {
    // A process that answers HTTP is unready only when it cannot store what comes in; its queue roles' troubles are told,
    // but must not turn away what can be stored.
    let answers_http = roles.iter().any(|role| role.answers_http());
    let need = |role: &Role| if answers_http && !role.answers_http() { Need::Reported } else { Need::Required };
    let of_broker = roles.iter().map(|role| health.component_of(role.word(), "broker", need(role))).collect();
    tasks.spawn("broker watch", watch_broker(broker.clone(), of_broker, shutdown.clone()));
    if let Some(ledger) = ledger {
        let queue_roles = roles.iter().filter(|role| !role.answers_http());
        // The doors of ingress do without it, its watch over the providers does not.
        let watching = roles.contains(&Role::Ingress).then_some((&Role::Ingress, Need::Reported));
        let of_ledger = queue_roles.map(|role| (role, need(role))).chain(watching);
        let of_ledger = of_ledger.map(|(role, need)| health.component_of(role.word(), "ledger", need)).collect();
        let apart = health.alarm(AlarmKind::Clock, "ledger");
        tasks.spawn("ledger watch", watch_ledger(ledger.clone(), clock.clone(), of_ledger, apart, shutdown.clone()));
    }
    consumers::spawn(tasks, roles, need, broker, clock, health, shutdown);
    tasks.spawn("queue watch", watch_dead_letters(broker.clone(), health.clone(), shutdown.clone()));
    tasks.spawn("alarm watch", fade(health.clone(), shutdown.clone()));
    tasks.spawn("drain", drain(health.clone(), shutdown.clone()));
}

/// Watches the store of files. Texts do without it, so that nobody is unready for it.
pub(super) fn spawn_store(
    tasks: &mut Tasks,
    roles: &BTreeSet<Role>,
    store: &Store,
    health: &Health,
    shutdown: &Shutdown,
) {
    let users = roles.iter().filter(|role| role.keeps_files());
    let components: Vec<_> = users.map(|role| health.component_of(role.word(), HOUSE_STORE, Need::Reported)).collect();
    if !components.is_empty() {
        tasks.spawn("store watch", watch_store(store.clone(), components, shutdown.clone()));
    }
}

async fn watch_store(store: Store, components: Vec<Component>, shutdown: Shutdown) -> anyhow::Result<()> {
    let mut ticks = interval(STORE_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = shutdown.stopping() => return Ok(()),
            _ = ticks.tick() => {}
        }
        let answer = tokio::select! {
            () = shutdown.stopping() => return Ok(()),
            answer = store.check() => answer,
        };
        for component in &components {
            match &answer {
                Ok(()) => component.well(),
                Err(error) => component.trouble(format!("{error}; messages with files wait")),
            }
        }
    }
}

async fn watch_broker(broker: Broker, components: Vec<Component>, shutdown: Shutdown) -> anyhow::Result<()> {
    let mut state = broker.state();
    loop {
        let now = state.borrow_and_update().clone();
        for component in &components {
            match &now {
                State::Ready => component.well(),
                State::Connecting(why) => component.trouble(format!("not connected: {why}")),
                State::Blocked(why) => component.trouble(format!("the broker blocks publishers: {why}")),
                State::Topology(why) => component.trouble(why.clone()),
            }
        }
        tokio::select! {
            () = shutdown.stopping() => return Ok(()),
            changed = state.changed() => changed?,
        }
    }
}

/// How far the ledger's clock and this machine's may be apart. Deadlines are the ledger's and expiry is ours.
pub(crate) const CLOCKS_DIFFER: SignedDuration = SignedDuration::from_secs(5);

/// Raises the alarm while the ledger's time is not ours.
fn compare_clocks(ledger: Timestamp, ours: Timestamp, alarm: &Alarm) {
    let apart = ledger.duration_since(ours).abs();
    if apart > CLOCKS_DIFFER {
        let told = "set the clocks of both machines by the same time server";
        alarm.raise(format!("the ledger's clock and this machine's differ by {} s; {told}", apart.as_secs()));
    } else {
        alarm.clear();
    }
}

async fn watch_ledger(
    ledger: Ledger,
    clock: Clock,
    components: Vec<Component>,
    apart: Alarm,
    shutdown: Shutdown,
) -> anyhow::Result<()> {
    let mut ticks = interval(LEDGER_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = shutdown.stopping() => return Ok(()),
            _ = ticks.tick() => {}
        }
        let answer = ledger.check().await;
        if let Ok(at) = &answer {
            compare_clocks(*at, clock.now(), &apart);
        }
        for component in &components {
            match &answer {
                Ok(_) => component.well(),
                Err(error) => component.trouble(error.to_string()),
            }
        }
    }
}

async fn watch_dead_letters(broker: Broker, health: Health, shutdown: Shutdown) -> anyhow::Result<()> {
    let alarm = health.alarm(AlarmKind::DeadLetters, "broker");
    // A command that walks them holds them for a moment, in which none is ready.
    let mut none_before = false;
    let mut ticks = interval(QUEUES_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = shutdown.stopping() => return Ok(()),
            _ = ticks.tick() => {}
        }
        // A broker that does not answer is told of by its own component.
        let queues = tokio::select! {
            () = shutdown.stopping() => return Ok(()),
            queues = broker.queues() => queues,
        };
        let Ok(queues) = queues else { continue };
        let dead = queues.iter().filter(|queue| queue.queue.starts_with("causeway.dead."));
        let mut all = 0;
        for queue in dead {
            metrics::gauge!("causeway_dead_letters", "queue" => queue.queue.clone()).set(queue.ready as f64);
            all += queue.ready;
        }
        if all > 0 {
            alarm.raise("messages are in the dead letters; look at `causeway dead-letters list`");
        } else if none_before {
            alarm.clear();
        }
        none_before = all == 0;
    }
}

/// What is raised anew by every try that fails, at least once a minute, and cleared by one that does not: a process that lost
/// its partitions to another one tries no more.
const FADING: [AlarmKind; 3] = [AlarmKind::ChannelFault, AlarmKind::AccountPaused, AlarmKind::MaybeSent];
const FADES_AFTER: Duration = Duration::from_secs(15 * 60);
const FADE_EVERY: Duration = Duration::from_secs(30);

async fn fade(health: Health, shutdown: Shutdown) -> anyhow::Result<()> {
    let mut ticks = interval(FADE_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = shutdown.stopping() => return Ok(()),
            _ = ticks.tick() => health.fade(&FADING, FADES_AFTER),
        }
    }
}

/// Readiness drops with the first signal, while the listener still accepts.
async fn drain(health: Health, shutdown: Shutdown) -> anyhow::Result<()> {
    shutdown.stopping().await;
    health.draining();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_that_differ_raise_an_alarm_until_they_agree() {
        let now = Timestamp::UNIX_EPOCH;
        let (clock, _hand) = Clock::manual(now);
        let health = Health::new(clock);
        let alarm = health.alarm(AlarmKind::Clock, "ledger");
        let raised = || health.report().alarms.into_iter().map(|alarm| alarm.detail).collect::<Vec<_>>();
        compare_clocks(now + CLOCKS_DIFFER, now, &alarm);
        assert!(raised().is_empty());
        compare_clocks(now - SignedDuration::from_secs(90), now, &alarm);
        assert!(raised()[0].contains("differ by 90 s"), "{:?}", raised());
        compare_clocks(now, now, &alarm);
        assert!(raised().is_empty());
    }
}
