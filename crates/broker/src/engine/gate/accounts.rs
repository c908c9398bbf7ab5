//! An account is refused where all of its channels are.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::{Gate, Pass};

/// Of how long the calls count that say whether an account or one of its channels is refused.
pub(super) const ACCOUNT_WINDOW: Duration = Duration::from_secs(60);
/// One refused channel says nothing about the account it belongs to.
const CHANNELS: usize = 2;
/// Told that an account pauses, or goes on.
pub(in crate::engine) type Paused = Box<dyn Fn(&str, bool) + Send + Sync>;

/// The account of a call's channel, which comes after it. What is wider is a provider that is asked beside it.
pub(super) fn account_of(passes: &[Pass]) -> Option<&Pass> {
    passes.get(1)
}

/// What was called on the channels of each account lately.
pub(super) struct Accounts {
    known: Mutex<HashMap<String, Account>>,
    paused: Paused,
}

#[derive(Default)]
struct Account {
    /// Each channel, when it was called last, and whether it was refused.
    channels: HashMap<String, (Arc<Gate>, Instant, bool)>,
    paused: bool,
}

impl Accounts {
    pub(super) fn new(paused: Paused) -> Self {
        Self { known: Mutex::default(), paused }
    }

    /// Takes note of a call, and says whether its account is to be taken for refused: every channel called lately was.
    pub(super) fn is_refused(&self, passes: &[Pass], fault: bool) -> bool {
        let (Some(channel), Some(account)) = (passes.first(), account_of(passes)) else { return false };
        let now = Instant::now();
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let of = known.entry(account.gate.name.clone()).or_default();
        of.channels.retain(|_, (_, at, _)| *at + ACCOUNT_WINDOW > now);
        of.channels.insert(channel.gate.name.clone(), (Arc::clone(&channel.gate), now, fault));
        if !fault {
            if std::mem::take(&mut of.paused) {
                (self.paused)(&account.gate.name, false);
            }
            return false;
        }
        of.paused || (of.channels.len() >= CHANNELS && of.channels.values().all(|(_, _, refused)| *refused))
    }

    /// Pauses an account; the gates of its channels.
    pub(super) fn pause(&self, account: &str) -> Vec<Arc<Gate>> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let of = known.entry(account.to_owned()).or_default();
        of.paused = true;
        let gates = of.channels.values().map(|(gate, ..)| Arc::clone(gate)).collect();
        drop(known);
        // Said again with every probe: another role of this process may have said that all is well.
        (self.paused)(account, true);
        gates
    }
}
