//! Watches what the roles stand on, for `/readyz` and the metrics.

use std::collections::BTreeSet;
use std::time::Duration;

use broker::{Broker, State};
use ledger::Ledger;
use runtime::{AlarmKind, Component, Health, Need, Shutdown, Tasks};
use tokio::time::{MissedTickBehavior, interval};

use super::Role;

const LEDGER_EVERY: Duration = Duration::from_secs(5);
const QUEUES_EVERY: Duration = Duration::from_secs(10);

pub(super) fn spawn(
    tasks: &mut Tasks,
    roles: &BTreeSet<Role>,
    broker: &Broker,
    ledger: Option<&Ledger>,
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
        let of_ledger = queue_roles.map(|role| health.component_of(role.word(), "ledger", need(role))).collect();
        tasks.spawn("ledger watch", watch_ledger(ledger.clone(), of_ledger, shutdown.clone()));
    }
    tasks.spawn("queue watch", watch_dead_letters(broker.clone(), health.clone(), shutdown.clone()));
    tasks.spawn("drain", drain(health.clone(), shutdown.clone()));
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

async fn watch_ledger(ledger: Ledger, components: Vec<Component>, shutdown: Shutdown) -> anyhow::Result<()> {
    let mut ticks = interval(LEDGER_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = shutdown.stopping() => return Ok(()),
            _ = ticks.tick() => {}
        }
        let answer = ledger.check().await;
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
    let mut ticks = interval(QUEUES_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = shutdown.stopping() => return Ok(()),
            _ = ticks.tick() => {}
        }
        // A broker that does not answer is told of by its own component.
        let Ok(queues) = broker.queues().await else { continue };
        let dead = queues.iter().filter(|queue| queue.queue.starts_with("causeway.dead."));
        let mut all = 0;
        for queue in dead {
            metrics::gauge!("causeway_dead_letters", "queue" => queue.queue.clone()).set(queue.ready as f64);
            all += queue.ready;
        }
        if all > 0 {
            alarm.raise("messages are in the dead letters; look at `causeway dead-letters list`");
        } else {
            alarm.clear();
        }
    }
}

/// Readiness drops with the first signal, while the listener still accepts.
async fn drain(health: Health, shutdown: Shutdown) -> anyhow::Result<()> {
    shutdown.stopping().await;
    health.draining();
    Ok(())
}
