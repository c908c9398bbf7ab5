//! The pace of a target: its calls go one after the other, with an interval between them.

use std::sync::Arc;

use tokio::sync::{Mutex, OwnedMutexGuard};
use tokio::time::{Instant, sleep_until};

use super::give_back;
use super::pass::Pass;
use crate::pace::Beat;

/// Whose turn it is at one gate, in the order in which they asked.
///
/// Several gates may keep to one beat: messages and receipts call the same tenant. Of each only the first in its line asks for
/// the beat, so that they take turns, and what waits at one of them in hundreds does not hold up what comes to the other.
pub(super) struct Turns {
    line: Arc<Mutex<()>>,
    beat: Beat,
}

/// The next turn of one pace. Only a call that is made takes it: who gives up waiting has spent nothing, or turns that nobody
/// used would put off those who come for ever.
pub(super) struct Turn {
    _line: OwnedMutexGuard<()>,
    beat: Beat,
    /// `None` while it is left to the other gates.
    next: Option<OwnedMutexGuard<Instant>>,
    due: Instant,
}

impl Turns {
    pub(super) fn new(beat: Beat) -> Self {
        Self { line: Arc::default(), beat }
    }

    fn at_once(&self) -> Option<Turn> {
        let line = Arc::clone(&self.line).try_lock_owned().ok()?;
        let mut turn = Turn::of(line, &self.beat);
        turn.holds_again().then_some(turn)
    }

    async fn wait(&self) -> Turn {
        let line = Arc::clone(&self.line).lock_owned().await;
        let mut turn = Turn::of(line, &self.beat);
        turn.wait().await;
        turn
    }
}

impl Turn {
    fn of(line: OwnedMutexGuard<()>, beat: &Beat) -> Self {
        Self { _line: line, beat: beat.clone(), next: None, due: Instant::now() }
    }

    async fn wait(&mut self) {
        let next = Arc::clone(&self.beat.next).lock_owned().await;
        self.due = (*next).max(Instant::now());
        sleep_until(self.due).await;
        self.next = Some(next);
    }

    /// Leaves the turn to other gates, and keeps its place in the line of its own.
    pub(super) fn lend(&mut self) {
        self.next = None;
    }

    /// Whether it was not lent, or can be had again without a wait.
    pub(super) fn holds_again(&mut self) -> bool {
        if self.next.is_some() {
            return true;
        }
        let Ok(next) = Arc::clone(&self.beat.next).try_lock_owned() else { return false };
        if *next > Instant::now() {
            return false;
        }
        self.due = self.due.max(*next);
        self.next = Some(next);
        true
    }

    /// The call is made now.
    pub(super) fn take(mut self) {
        let interval = self.beat.interval;
        if let Some(next) = &mut self.next {
            // A timer that wakes late does not slow the pace, and who waited long for a place does not make the next one
            // follow at once.
            **next = (self.due + interval).max(Instant::now() + interval / 2);
        }
    }
}

/// Waits for the turn at every pace that a call keeps to; nobody probes meanwhile. What is `held` of them is kept.
pub(super) async fn turns(passes: &mut [Pass], held: &mut Vec<Turn>) {
    let mut paced = 0;
    for index in 0..passes.len() {
        let gate = Arc::clone(&passes[index].gate);
        let Some(turns) = &gate.turns else { continue };
        match held.get_mut(paced) {
            Some(turn) => {
                if !turn.holds_again() {
                    give_back(passes);
                    turn.wait().await;
                }
            }
            None => held.push(match turns.at_once() {
                Some(turn) => turn,
                None => {
                    give_back(passes);
                    turns.wait().await
                }
            }),
        }
        paced += 1;
    }
}

#[cfg(test)]
mod tests;
