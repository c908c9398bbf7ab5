//! `causeway_breaker_open{target}`: one gauge for every gate of a target in this process, lit while one of them is open.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// The gauges of all targets. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Lamps {
    open: Arc<Mutex<HashMap<String, OpenGates>>>,
}

/// How many gates of a target are open.
type OpenGates = Arc<Mutex<usize>>;

/// One gate's hand on the gauge of its target.
pub(super) struct Lamp {
    gauge: metrics::Gauge,
    open: OpenGates,
    /// Whether this gate is among them.
    lit: Mutex<bool>,
}

impl Lamps {
    pub(super) fn of(&self, target: &str) -> Lamp {
        let mut known = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let open = Arc::clone(known.entry(target.to_owned()).or_default());
        let gauge = metrics::gauge!("causeway_breaker_open", "target" => target.to_owned());
        let lamp = Lamp { gauge, open, lit: Mutex::new(false) };
        lamp.set(false);
        lamp
    }
}

impl Lamp {
    /// This gate is open, or is not; the gauge tells the worse of all of them.
    pub(super) fn set(&self, lit: bool) {
        // Published under the lock, so that of two changes at once the gauge shows the later one.
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let was = std::mem::replace(&mut *self.lit.lock().unwrap_or_else(PoisonError::into_inner), lit);
        *open = *open + usize::from(lit) - usize::from(was);
        self.gauge.set(if *open > 0 { 1.0 } else { 0.0 });
    }
}

impl Drop for Lamp {
    fn drop(&mut self) {
        self.set(false);
    }
}
