//! The gate before every call abroad: pace, and a breaker for each target (a tenant or account, a channel, a number), and
//! how many calls a tenant or account gets at a time.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep_until};

use crate::Paces;
use accounts::{Accounts, Paused, account_of};
use lamps::Lamp;
pub(crate) use lamps::Lamps;
use pass::Pass;
use turns::{Turn, Turns, turns};

mod accounts;
mod lamps;
mod pass;
mod turns;

/// Failures in a row that open a breaker.
const IN_A_ROW: u32 = 5;
/// The share of failures that opens one, over this long and at least so many calls.
const WINDOW: Duration = Duration::from_secs(10);
const ENOUGH: usize = 20;
/// The window is a sample: what is older than its newest so many calls does not matter.
const SAMPLE: usize = 1_000;
/// Until the first probe; doubled by each that fails.
const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(60);
/// The longest a `Retry-After` is believed.
pub(super) const LONGEST_ASKED: Duration = Duration::from_secs(300);
/// How long a refused target holds its messages.
const FAULT_HOLDS: Duration = Duration::from_secs(300);
/// How often a refused target is tried.
const FAULT_PROBE: Duration = Duration::from_secs(60);

/// Every gate of a consuming role.
pub(super) struct Gates {
    accounts: Arc<Accounts>,
    gates: Mutex<HashMap<String, Arc<Gate>>>,
    paces: Paces,
    lamps: Lamps,
    /// Messages a refused target may hold.
    held: usize,
    /// Calls at a time on one tenant or account. All that is in hand of all partitions would be a connection each.
    calls: usize,
}

/// One target refuses what is called on it, and holds as much as it may.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Faulty {
    pub(super) target: String,
}

/// What a call told about its targets.
pub(super) enum Told<'a> {
    /// They answer.
    Well,
    /// Nothing: no call was made, or it was not theirs.
    Nothing,
    /// One of them is in trouble: those wider than it answered.
    Trouble { target: &'a str, after: Option<Duration> },
    /// One of them refuses us for what we are, not for what we send.
    Fault { target: &'a str },
}

impl Gates {
    pub(super) fn new(paces: Paces, prefetch: u16, paused: Paused, lamps: Lamps) -> Self {
        Self {
            accounts: Arc::new(Accounts::new(paused)),
            gates: Mutex::default(),
            paces,
            lamps,
            held: usize::from(prefetch / 4).max(1),
            calls: usize::from(prefetch).max(1),
        }
    }

    fn of(&self, target: &str) -> Arc<Gate> {
        let mut gates = self.gates.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(gate) = gates.get(target) {
            return Arc::clone(gate);
        }
        let gate =
            Arc::new(Gate::new(target, self.paces.of(target).map(Turns::new), self.lamps.of(target), self.calls));
        gates.insert(target.to_owned(), Arc::clone(&gate));
        gate
    }

    /// Waits until a call on these targets may be made; the narrowest first. Nobody waits with a probe in hand: who waits for
    /// a provider would keep everybody else of a tenant that is to be probed waiting with him.
    pub(super) async fn pass(&self, targets: &[String]) -> Result<Passes, Faulty> {
        let mut passes = Vec::with_capacity(targets.len());
        for target in targets {
            let pass = Gate::pass(&self.of(target), self.held, &mut passes).await?;
            passes.push(pass);
        }
        let place = self.turn_and_place(&mut passes).await?;
        Ok(Passes { passes, accounts: Arc::clone(&self.accounts), _place: place })
    }

    /// Waits for a turn of every pace, and for a place among the calls on the account. Nobody waits for a breaker or a pace with
    /// a place in hand, or a channel that is down or slow would take all places of its neighbours; and what goes by the pace is
    /// the call, so it is asked behind the breakers, or all that waited for one would go at once.
    async fn turn_and_place(&self, passes: &mut [Pass]) -> Result<Option<OwnedSemaphorePermit>, Faulty> {
        let Some(account) = passes.last().map(|pass| Arc::clone(&pass.gate)) else { return Ok(None) };
        let mut held = Vec::new();
        loop {
            turns(passes, &mut held).await;
            let place = match Arc::clone(&account.places).try_acquire_owned() {
                Ok(place) => Some(place),
                Err(_) => {
                    give_back(passes);
                    // Another role of this process may call it meanwhile: its places are its own.
                    held.iter_mut().for_each(Turn::lend);
                    Arc::clone(&account.places).acquire_owned().await.ok()
                }
            };
            // With the place in hand: who gave it up for each probe would never come to probe a crowded account.
            let leave = passes.iter_mut().all(Pass::holds_again);
            if leave && held.iter_mut().all(Turn::holds_again) {
                held.into_iter().for_each(Turn::take);
                return Ok(place);
            }
            drop(place);
            if leave {
                continue;
            }
            held.clear();
            for index in 0..passes.len() {
                if !passes[index].holds_again() {
                    give_back(passes);
                    passes[index].probe = passes[index].gate.wait_for_leave(self.held).await?;
                }
            }
        }
    }
}

fn give_back(passes: &mut [Pass]) {
    passes.iter_mut().for_each(Pass::give_back);
}

/// The leave to make one call.
pub(super) struct Passes {
    passes: Vec<Pass>,
    accounts: Arc<Accounts>,
    _place: Option<OwnedSemaphorePermit>,
}

impl Passes {
    /// Whether this call is a probe of a target that was in trouble: its failure says nothing about the message.
    pub(super) fn is_probe(&self) -> bool {
        self.passes.iter().any(|pass| pass.probe)
    }

    pub(super) fn told(self, told: &Told<'_>) {
        let concerned = |target: &str| self.passes.iter().position(|pass| pass.gate.name == target);
        let (at, after, fault) = match told {
            Told::Well => (None, None, false),
            Told::Nothing => return,
            Told::Trouble { target, after } => (concerned(target), *after, false),
            Told::Fault { target } => (concerned(target), Some(FAULT_PROBE), true),
        };
        if at.is_none() && !matches!(told, Told::Well) {
            return;
        }
        // Only a channel is refused for its account; what else is refused is a provider's.
        if (at.is_none() || (fault && at == Some(0))) && self.accounts.is_refused(&self.passes, fault) {
            return self.pause();
        }
        for (index, pass) in self.passes.into_iter().enumerate() {
            match at {
                None => pass.well(),
                Some(at) if index > at => pass.well(),
                Some(at) if index == at => pass.failed(after, fault),
                Some(_) => {}
            }
        }
    }
}

impl Passes {
    /// The account is refused, not one of its channels: these are as good as any other, and wait for the account.
    fn pause(self) {
        let Some(account) = account_of(&self.passes).map(|pass| Arc::clone(&pass.gate)) else { return };
        for gate in self.accounts.pause(&account.name) {
            gate.forgive();
        }
        for pass in self.passes.into_iter().filter(|pass| pass.gate.name == account.name) {
            pass.failed(Some(FAULT_PROBE), false);
        }
    }
}

struct Gate {
    name: String,
    turns: Option<Turns>,
    state: Mutex<State>,
    changed: Notify,
    places: Arc<Semaphore>,
    open: Lamp,
}

struct State {
    mode: Mode,
    in_a_row: u32,
    recent: VecDeque<(Instant, bool)>,
    /// How long it will be open when it opens next.
    wait: Duration,
    /// Since when it refuses us.
    fault: Option<Instant>,
    waiting: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Closed,
    Open {
        until: Instant,
    },
    /// One call is under way that decides.
    Probing,
}

/// One more waits.
struct Waiting<'a>(&'a Gate);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.lock().waiting -= 1;
    }
}

impl Gate {
    fn new(name: &str, turns: Option<Turns>, open: Lamp, calls: usize) -> Self {
        let state =
            State { mode: Mode::Closed, in_a_row: 0, recent: VecDeque::new(), wait: FIRST, fault: None, waiting: 0 };
        let places = Arc::new(Semaphore::new(calls));
        Self { name: name.to_owned(), turns, state: Mutex::new(state), changed: Notify::new(), places, open }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for its leave. What was passed `before` it is not probed meanwhile.
    async fn pass(gate: &Arc<Self>, held: usize, before: &mut [Pass]) -> Result<Pass, Faulty> {
        let probe = match gate.leave_at_once() {
            Some(probe) => probe,
            None => {
                give_back(before);
                gate.wait_for_leave(held).await?
            }
        };
        Ok(Pass { gate: Arc::clone(gate), probe, told: false })
    }

    /// Whether the breaker lets a call through now; `true` when that call is its probe.
    fn leave_at_once(&self) -> Option<bool> {
        self.lock().leave(Instant::now())
    }

    /// Waits until the breaker lets a call through; `true` when that call is its probe.
    async fn wait_for_leave(&self, held: usize) -> Result<bool, Faulty> {
        if let Some(probe) = self.leave_at_once() {
            return Ok(probe);
        }
        self.lock().waiting += 1;
        let _waiting = Waiting(self);
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            let until = {
                let now = Instant::now();
                let mut state = self.lock();
                if let Some(probe) = state.leave(now) {
                    return Ok(probe);
                }
                match state.mode {
                    Mode::Open { until } => {
                        if state.holds_too_much(held, now) {
                            return Err(Faulty { target: self.name.clone() });
                        }
                        Some(state.fault.map_or(until, |since| until.min((since + FAULT_HOLDS).max(now + FIRST))))
                    }
                    Mode::Closed | Mode::Probing => None,
                }
            };
            match until {
                Some(until) => tokio::select! {
                    () = changed => {}
                    () = sleep_until(until) => {}
                },
                None => changed.await,
            }
        }
    }

    /// It is refused no more than the account it belongs to, so it holds nothing back by itself.
    fn forgive(&self) {
        let mut state = self.lock();
        state.fault = None;
        state.wait = FIRST;
        state.recent.clear();
        state.in_a_row = 0;
        self.set(&mut state, Mode::Closed);
    }

    fn set(&self, state: &mut State, mode: Mode) {
        state.mode = mode;
        self.open.set(mode != Mode::Closed);
        self.changed.notify_waiters();
    }
}

impl State {
    /// Whether a call may be made now; `true` when it is the probe.
    fn leave(&mut self, now: Instant) -> Option<bool> {
        match self.mode {
            Mode::Closed => Some(false),
            Mode::Open { until } if until <= now => {
                self.mode = Mode::Probing;
                Some(true)
            }
            Mode::Open { .. } | Mode::Probing => None,
        }
    }

    /// Whether a refused target has held a message long enough, or as many as it may; one stays as its probe.
    fn holds_too_much(&self, held: usize, now: Instant) -> bool {
        let long = self.fault.is_some_and(|since| since + FAULT_HOLDS <= now);
        self.fault.is_some() && self.waiting > if long { 1 } else { held }
    }

    fn record(&mut self, well: bool) {
        let now = Instant::now();
        self.recent.push_back((now, well));
        while self.recent.len() > SAMPLE || self.recent.front().is_some_and(|(at, _)| *at + WINDOW < now) {
            self.recent.pop_front();
        }
        self.in_a_row = if well { 0 } else { self.in_a_row.saturating_add(1) };
    }

    fn fails_often(&self) -> bool {
        let failed = self.recent.iter().filter(|(_, well)| !well).count();
        self.in_a_row >= IN_A_ROW || (self.recent.len() >= ENOUGH && failed * 2 >= self.recent.len())
    }
}

#[cfg(test)]
mod tests;
