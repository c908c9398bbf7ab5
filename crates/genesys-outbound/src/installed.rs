use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;
use ledger::{Ledger, LedgerError};
use model::NeighbourName;

use crate::handler::Room;

/// Since when each provider is looked through; what was asked once stays.
pub(crate) struct Installed {
    started: Timestamp,
    known: Mutex<HashMap<NeighbourName, Timestamp>>,
}

impl Installed {
    pub(crate) fn new(started: Timestamp) -> Self {
        Self { started, known: Mutex::default() }
    }

    pub(crate) async fn of(&self, provider: &NeighbourName, ledger: &Ledger) -> Result<Timestamp, LedgerError> {
        let known = || self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let found = known().get(provider).copied();
        if let Some(at) = found {
            return Ok(at);
        }
        let at = ledger.installed(provider.as_str(), self.started).await?;
        known().insert(provider.clone(), at);
        Ok(at)
    }
}

impl Room {
    /// Notes the first installation before anything comes in. A ledger that is away is asked again with the first session.
    pub(crate) async fn note_installation(&self) {
        let providers: Vec<NeighbourName> = self.deps.sources.borrow().providers().cloned().collect();
        for provider in providers {
            if let Err(error) = self.installed.of(&provider, &self.deps.ledger).await {
                tracing::warn!(%provider, %error, "the moment of installation is not noted yet");
            }
        }
    }
}
