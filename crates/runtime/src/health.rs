use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use serde::Serialize;

use crate::Clock;
use crate::alarm::{Alarm, AlarmKind, Raised};

/// What a component's trouble means for readiness.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// The process is unready without it.
    Required,
    /// The process stays ready; the trouble is in the body of `/readyz`.
    Reported,
}

/// The state of everything a process consists of. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Health {
    state: Arc<Mutex<State>>,
    clock: Clock,
}

#[derive(Debug, Default)]
struct State {
    draining: bool,
    components: BTreeMap<(String, String), Line>,
    alarms: BTreeMap<(AlarmKind, String), Option<Raised>>,
}

#[derive(Debug, Clone)]
struct Line {
    required: bool,
    trouble: Option<String>,
}

/// The hand of one component on its own line of the report.
#[derive(Clone, Debug)]
pub struct Component {
    health: Health,
    key: (String, String),
}

/// A snapshot: the body of `/readyz`.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Whether every required component is well and the process is not draining.
    pub ready: bool,
    /// Whether the process is on its way out.
    pub draining: bool,
    /// Every component.
    pub components: Vec<ComponentReport>,
    /// Every alarm that is raised.
    pub alarms: Vec<AlarmReport>,
}

/// One component of a [`Report`].
#[derive(Debug, Clone, Serialize)]
pub struct ComponentReport {
    /// The role that stands on it.
    pub role: String,
    /// Its name.
    pub name: String,
    /// Whether it is well.
    pub ready: bool,
    /// Whether the process is unready without it.
    pub required: bool,
    /// What is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// One raised alarm of a [`Report`].
#[derive(Debug, Clone, Serialize)]
pub struct AlarmReport {
    /// What it is about.
    pub alarm: &'static str,
    /// Which neighbour, channel or part.
    pub target: String,
    /// What happened and what to do.
    pub detail: String,
    /// Since when.
    pub since: jiff::Timestamp,
}

impl Health {
    /// Nothing registered, ready.
    pub fn new(clock: Clock) -> Self {
        Self { state: Arc::default(), clock }
    }

    /// Registers a component of a role, in trouble until it says otherwise.
    pub fn component(&self, role: &str, name: &str, need: Need) -> Component {
        let key = (role.to_owned(), name.to_owned());
        let line = Line { required: need == Need::Required, trouble: Some("not started yet".to_owned()) };
        let mut state = self.lock();
        state.components.insert(key.clone(), line);
        state.publish(role);
        Component { health: self.clone(), key }
    }

    /// The alarm of a kind about a target; asking again gives the same one.
    pub fn alarm(&self, kind: AlarmKind, target: &str) -> Alarm {
        self.lock().alarms.entry((kind, target.to_owned())).or_default();
        kind.publish(target, self.lock().alarms[&(kind, target.to_owned())].is_some());
        Alarm::new(self.clone(), kind, target)
    }

    /// Drops readiness for good: the process drains.
    pub fn draining(&self) {
        self.lock().draining = true;
    }

    /// The state now.
    pub fn report(&self) -> Report {
        let state = self.lock();
        let component = |((role, name), line): (&(String, String), &Line)| ComponentReport {
            role: role.clone(),
            name: name.clone(),
            ready: line.trouble.is_none(),
            required: line.required,
            detail: line.trouble.clone(),
        };
        let alarm = |((kind, target), raised): (&(AlarmKind, String), &Option<Raised>)| {
            let raised = raised.clone()?;
            Some(AlarmReport { alarm: kind.word(), target: target.clone(), detail: raised.detail, since: raised.since })
        };
        let well = state.components.values().all(|line| !line.required || line.trouble.is_none());
        Report {
            ready: well && !state.draining,
            draining: state.draining,
            components: state.components.iter().map(component).collect(),
            alarms: state.alarms.iter().filter_map(alarm).collect(),
        }
    }

    /// Sets an alarm and says whether that changed anything.
    pub(crate) fn set_alarm(&self, kind: AlarmKind, target: &str, detail: Option<String>) -> bool {
        let since = self.clock.now();
        let mut state = self.lock();
        let raised = state.alarms.entry((kind, target.to_owned())).or_default();
        let changed = raised.is_some() != detail.is_some();
        *raised = detail.map(|detail| Raised { detail, since: raised.as_ref().map_or(since, |raised| raised.since) });
        changed
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nobody panics while holding the report")
    }
}

impl State {
    /// `causeway_role_ready{role}`: whether everything the role stands on is well.
    fn publish(&self, role: &str) {
        let of_role = |((owner, _), line): (&(String, String), &Line)| owner != role || line.trouble.is_none();
        let ready = self.components.iter().all(of_role);
        metrics::gauge!("causeway_role_ready", "role" => role.to_owned()).set(f64::from(u8::from(ready)));
    }
}

impl Component {
    /// All is well.
    pub fn well(&self) {
        self.set(None);
    }

    /// Something is wrong, in words for the person who must act.
    pub fn trouble(&self, detail: impl Into<String>) {
        self.set(Some(detail.into()));
    }

    fn set(&self, trouble: Option<String>) {
        let mut state = self.health.lock();
        let line = state.components.get_mut(&self.key).expect("a component stays registered");
        let (was, is) = (line.trouble.is_some(), trouble.is_some());
        let (role, name) = &self.key;
        match &trouble {
            Some(detail) if line.trouble != trouble => tracing::warn!(role, component = name, detail, "a component is in trouble"),
            None if was => tracing::info!(role, component = name, "a component is well"),
            _ => {}
        }
        line.trouble = trouble;
        if was != is {
            state.publish(role);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_required_components_make_the_process_unready() {
        let health = Health::new(Clock::system());
        let broker = health.component("ingress", "broker", Need::Required);
        let ledger = health.component("receipt-emitter", "ledger", Need::Reported);
        assert!(!health.report().ready);
        broker.well();
        ledger.trouble("the disk is full");
        let report = health.report();
        assert!(report.ready);
        assert_eq!(report.components[1].detail.as_deref(), Some("the disk is full"));
        health.draining();
        assert!(!health.report().ready);
    }

    #[test]
    fn an_alarm_is_one_line_until_it_is_cleared() {
        let health = Health::new(Clock::system());
        let alarm = health.alarm(AlarmKind::ChannelFault, "sales");
        assert!(health.report().alarms.is_empty());
        alarm.raise("401: check the secret");
        alarm.raise("401: check the secret");
        let same = health.alarm(AlarmKind::ChannelFault, "sales");
        let alarms = health.report().alarms;
        assert_eq!((alarms.len(), alarms[0].alarm), (1, "channel-fault"));
        same.clear();
        assert!(health.report().alarms.is_empty());
    }
}
