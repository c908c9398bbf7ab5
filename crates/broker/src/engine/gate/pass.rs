//! The leave that one gate gave, and what its call tells the gate.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::{FIRST, Gate, LONGEST, LONGEST_ASKED, Mode};

/// The leave of one gate.
pub(super) struct Pass {
    pub(super) gate: Arc<Gate>,
    pub(super) probe: bool,
    pub(super) told: bool,
}

impl Pass {
    /// Whether the breaker has not opened since it let this call through.
    pub(super) fn still_holds(&self) -> bool {
        self.probe || self.gate.lock().mode == Mode::Closed
    }

    /// Lets somebody else probe. Whoever waits for anything holds no probe meanwhile, or a gate would stand still for what
    /// another one lacks.
    pub(super) fn give_back(&mut self) {
        if !std::mem::take(&mut self.probe) {
            return;
        }
        let mut state = self.gate.lock();
        if state.mode == Mode::Probing {
            self.gate.set(&mut state, Mode::Open { until: Instant::now() });
        }
    }

    /// Whether it holds, or can be had again without a wait.
    pub(super) fn holds_again(&mut self) -> bool {
        if self.still_holds() {
            return true;
        }
        let leave = self.gate.leave_at_once();
        self.probe = leave == Some(true);
        leave.is_some()
    }

    pub(super) fn well(mut self) {
        self.told = true;
        let gate = Arc::clone(&self.gate);
        let mut state = gate.lock();
        state.record(true);
        // A call that began before the breaker opened does not close it: its probe decides.
        if self.probe {
            state.wait = FIRST;
            state.fault = None;
            state.recent.clear();
            gate.set(&mut state, Mode::Closed);
            tracing::info!(target = gate.name, "answers again");
        }
    }

    pub(super) fn failed(mut self, after: Option<Duration>, fault: bool) {
        self.told = true;
        let gate = Arc::clone(&self.gate);
        let now = Instant::now();
        let mut state = gate.lock();
        state.record(false);
        if fault {
            state.fault.get_or_insert(now);
        }
        let asked = after.map(|after| now + after.min(LONGEST_ASKED));
        match state.mode {
            // Others that were under way when it opened: they only prolong it, where they were told for how long.
            Mode::Open { until } if !self.probe => {
                if let Some(asked) = asked.filter(|asked| *asked > until) {
                    gate.set(&mut state, Mode::Open { until: asked });
                }
            }
            Mode::Probing if !self.probe => {}
            Mode::Closed | Mode::Open { .. } | Mode::Probing => {
                if self.probe || asked.is_some() || state.fails_often() {
                    let until = asked.unwrap_or(now + state.wait);
                    state.wait = (state.wait * 2).min(LONGEST);
                    gate.set(&mut state, Mode::Open { until });
                    if !self.probe {
                        let seconds = until.duration_since(now).as_secs();
                        tracing::warn!(target = gate.name, seconds, "in trouble; calls to it wait");
                    }
                }
            }
        }
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        // A probe that told nothing decides nothing: the next one does.
        if !self.told {
            self.give_back();
        }
    }
}
