use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use jiff::SignedDuration;
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

/// The role a component belongs to, where it belongs to one, and its name.
type Key = (Option<String>, String);

#[derive(Debug, Default)]
struct State {
    draining: bool,
    components: BTreeMap<Key, Line>,
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
    key: Key,
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
    /// Its name.
    pub name: String,
    /// The role that stands on it; none where the whole process does.
    pub role: Option<String>,
    /// Whether it is well.
    pub ready: bool,
    /// Whether the process is unready without it.
    pub required: bool,
    /// What is wrong.
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
    /// Nothing registered, ready. The clock dates the alarms.
    pub fn new(clock: Clock) -> Self {
        Self { state: Arc::default(), clock }
    }

    /// Registers a component of the whole process, in trouble until it says otherwise.
    pub fn component(&self, name: &str, need: Need) -> Component {
        self.register((None, name.to_owned()), need)
    }

    /// Registers a component of a role, in trouble until it says otherwise.
    pub fn component_of(&self, role: &str, name: &str, need: Need) -> Component {
        self.register((Some(role.to_owned()), name.to_owned()), need)
    }

    fn register(&self, key: Key, need: Need) -> Component {
        let line = Line { required: need == Need::Required, trouble: Some("not started yet".to_owned()) };
        let mut state = self.lock();
        state.components.insert(key.clone(), line);
        state.publish(key.0.as_deref());
        Component { health: self.clone(), key }
    }

    /// The alarm of a kind about a target; asking again gives the same one.
    pub fn alarm(&self, kind: AlarmKind, target: &str) -> Alarm {
        let mut state = self.lock();
        let raised = state.alarms.entry((kind, target.to_owned())).or_default().is_some();
        kind.publish(target, raised);
        Alarm::new(self.clone(), kind, target)
    }

    /// Drops readiness for good: the process drains, and so does every role.
    pub fn draining(&self) {
        let mut state = self.lock();
        state.draining = true;
        let roles: BTreeSet<_> = state.components.keys().map(|(role, _)| role.as_deref()).collect();
        for role in roles {
            state.publish(role);
        }
    }

    /// The state now.
    pub fn report(&self) -> Report {
        let state = self.lock();
        let component = |((role, name), line): (&Key, &Line)| ComponentReport {
            name: name.clone(),
            role: role.clone(),
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

    /// Sets an alarm and says whether that raised or cleared it.
    pub(crate) fn set_alarm(&self, kind: AlarmKind, target: &str, detail: Option<String>) -> bool {
        let now = self.clock.now();
        let mut state = self.lock();
        let raised = state.alarms.entry((kind, target.to_owned())).or_default();
        let changed = raised.is_some() != detail.is_some();
        let since = raised.as_ref().map_or(now, |raised| raised.since);
        *raised = detail.map(|detail| Raised { detail, since, again: now });
        if changed {
            // Published under the lock, so that of two changes at once the gauge shows the later one.
            kind.publish(target, raised.is_some());
        }
        changed
    }

    /// Clears the alarms of these kinds that nobody has raised again for so long: who raises them does so with every try that
    /// fails, and another process may be the one that tries by now.
    pub fn fade(&self, kinds: &[AlarmKind], quiet: Duration) {
        let (now, quiet) = (self.clock.now(), SignedDuration::try_from(quiet).unwrap_or(SignedDuration::MAX));
        let state = self.lock();
        let faded = state.alarms.iter().filter(|((kind, _), raised)| {
            kinds.contains(kind) && raised.as_ref().is_some_and(|raised| now.duration_since(raised.again) >= quiet)
        });
        let faded: Vec<_> = faded.map(|((kind, target), _)| (*kind, target.clone())).collect();
        drop(state);
        for (kind, target) in faded {
            Alarm::new(self.clone(), kind, &target).clear();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nobody panics while holding the report")
    }
}

impl State {
    /// `causeway_role_ready{role}`: whether everything the role stands on is well, required or not.
    fn publish(&self, role: Option<&str>) {
        let Some(role) = role else { return };
        let of_role = |((owner, _), line): (&Key, &Line)| owner.as_deref() != Some(role) || line.trouble.is_none();
        let ready = !self.draining && self.components.iter().all(of_role);
        metrics::gauge!("causeway_role_ready", "role" => role.to_owned()).set(f64::from(u8::from(ready)));
    }
}

impl Component {
    /// All is well.
    pub fn well(&self) {
        self.set(None);
    }

    /// Something is wrong, in words for the person who must act; nothing private.
    pub fn trouble(&self, detail: impl Into<String>) {
        self.set(Some(detail.into()));
    }

    fn set(&self, trouble: Option<String>) {
        let mut state = self.health.lock();
        let line = state.components.get_mut(&self.key).expect("a component stays registered");
        if line.trouble == trouble {
            return;
        }
        line.trouble.clone_from(&trouble);
        state.publish(self.key.0.as_deref());
        drop(state);
        let (role, name) = &self.key;
        match trouble {
            Some(detail) => tracing::warn!(role, component = name, detail, "a component is in trouble"),
            None => tracing::info!(role, component = name, "a component is well"),
        }
    }
}

#[cfg(test)]
mod tests;
