use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Between two lines of one cause in the log: whoever tries a port tries it often.
const QUIET: Duration = Duration::from_secs(60);

/// Counts whoever and whatever a listener turns away, and tells of it in the log now and then.
#[derive(Debug, Clone)]
pub struct Refusals {
    provider: Arc<str>,
    told: Arc<Mutex<BTreeMap<&'static str, Instant>>>,
}

impl Refusals {
    /// Those of one provider account, none yet.
    pub fn new(provider: &str) -> Self {
        Self { provider: provider.into(), told: Arc::default() }
    }

    pub(super) fn host(&self) {
        self.count("unknown-host");
        if self.is_due("unknown-host", Instant::now()) {
            tracing::warn!(provider = %self.provider, "a host that is not in the list of senders was turned away; if it is your mail server, add it to allow");
        }
    }

    pub(super) fn domain(&self) {
        self.count("unknown-domain");
        if self.is_due("unknown-domain", Instant::now()) {
            tracing::warn!(provider = %self.provider, "mail for a domain that is none of ours was refused; look at domains, and at what your mail server relays here");
        }
    }

    fn count(&self, cause: &'static str) {
        metrics::counter!("causeway_events_dropped_total", "provider" => self.provider.to_string(), "cause" => cause)
            .increment(1);
    }

    fn is_due(&self, cause: &'static str, now: Instant) -> bool {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let due = told.get(cause).is_none_or(|last| now.duration_since(*last) >= QUIET);
        if due {
            told.insert(cause, now);
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cause_is_told_once_a_minute() {
        let (refusals, now) = (Refusals::new("mail"), Instant::now());
        assert!(refusals.is_due("unknown-host", now));
        assert!(!refusals.is_due("unknown-host", now + Duration::from_secs(59)), "less than a minute later");
        assert!(refusals.is_due("unknown-domain", now));
        assert!(refusals.is_due("unknown-host", now + QUIET));
    }
}
