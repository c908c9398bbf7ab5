//! The pace of a target: its calls go one after the other, with an interval between them.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, OwnedMutexGuard};
use tokio::time::{Instant, sleep_until};

use super::give_back;
use super::pass::Pass;

/// Whose turn it is, in the order in which they asked.
pub(super) struct Turns {
    interval: Duration,
    /// When the next call may be made; held by the one that makes it.
    next: Arc<Mutex<Instant>>,
}

/// The next turn of one pace. Only a call that is made takes it: who gives up waiting has spent nothing, or turns that nobody
/// used would put off those who come for ever.
pub(super) struct Turn {
    next: OwnedMutexGuard<Instant>,
    due: Instant,
    interval: Duration,
}

impl Turns {
    pub(super) fn new(interval: Duration) -> Self {
        Self { interval, next: Arc::new(Mutex::new(Instant::now())) }
    }

    fn at_once(&self) -> Option<Turn> {
        let next = Arc::clone(&self.next).try_lock_owned().ok()?;
        let due = Instant::now();
        (*next <= due).then(|| Turn { next, due, interval: self.interval })
    }

    async fn wait(&self) -> Turn {
        let next = Arc::clone(&self.next).lock_owned().await;
        let due = (*next).max(Instant::now());
        sleep_until(due).await;
        Turn { next, due, interval: self.interval }
    }
}

impl Turn {
    /// The call is made now.
    pub(super) fn take(mut self) {
        // A timer that wakes late does not slow the pace, and who waited long for a place does not make the next one follow
        // at once.
        *self.next = (self.due + self.interval).max(Instant::now() + self.interval / 2);
    }
}

/// Waits for the turn at every pace that a call keeps to; nobody probes meanwhile.
pub(super) async fn turns(passes: &mut [Pass]) -> Vec<Turn> {
    let mut held = Vec::new();
    for index in 0..passes.len() {
        let gate = Arc::clone(&passes[index].gate);
        let Some(turns) = &gate.turns else { continue };
        held.push(match turns.at_once() {
            Some(turn) => turn,
            None => {
                give_back(passes);
                turns.wait().await
            }
        });
    }
    held
}
