//! Attempts at a reply: the record before the effect, and the time that is left for it.

use std::time::{Duration, Instant};

use anyhow::anyhow;
use broker::{Done, Failure};
use jiff::Timestamp;
use ledger::{AttemptId, Begin, Effect, MARGIN, Outcome, POISON};
use model::AgentReply;
use sms::SendRequest;

use crate::handler::{Room, Walk, ledger_down};

/// A call with less time than this would only be cut off, and nobody would know what it did.
const LEAST: Duration = Duration::from_secs(1);
/// How soon a reply is begun anew for which everything before the call took too long.
const ANEW: Duration = Duration::from_secs(1);

/// An attempt this replica holds, or one that nobody knows the end of.
pub(crate) enum Begun {
    /// Asked for at `since`, so that its deadline is a call's time and the margin later, if not more.
    First { attempt: AttemptId, since: Instant },
    Interrupted {
        attempt: AttemptId,
        began: Timestamp,
        until: Timestamp,
        /// By the ledger's clock, like the others.
        now: Timestamp,
        begun: u32,
    },
}

impl Begun {
    /// What the ledger found that was asked at `since`; the outcome of what was done before.
    pub(crate) fn of(begin: Begin, since: Instant) -> Result<Self, Outcome> {
        match begin {
            Begin::First(attempt) => Ok(Self::First { attempt, since }),
            Begin::Interrupted { attempt, began, until, now, begun } => {
                Ok(Self::Interrupted { attempt, began, until, now, begun })
            }
            Begin::Done(outcome) => Err(outcome),
        }
    }

    /// The attempt.
    pub(crate) const fn attempt(&self) -> &AttemptId {
        match self {
            Self::First { attempt, .. } | Self::Interrupted { attempt, .. } => attempt,
        }
    }
}

/// The time a call may take whose attempt was asked for so long ago: past its deadline others look for it, and repeat it.
pub(crate) fn time_left(call: Duration, gone: Duration) -> Option<Duration> {
    let left = call.saturating_add(MARGIN).saturating_sub(gone).min(call);
    Some(left).filter(|left| *left >= LEAST)
}

impl Room {
    /// The record before the effect; `None` when the effect was made before and its outcome has been told again.
    pub(crate) async fn begin(
        &self,
        reply: &AgentReply,
        effect: &Effect,
        time: Duration,
    ) -> Result<Option<Begun>, Failure> {
        let since = Instant::now();
        match Begun::of(self.deps.ledger.begin(effect.clone(), time).await.map_err(ledger_down)?, since) {
            Ok(begun) => Ok(Some(begun)),
            Err(outcome) => self.told_once_more(reply, &outcome).await.map(|()| None),
        }
    }

    /// Goes on from where an effect stands.
    pub(crate) async fn attempt(&self, walk: &Walk<'_>, request: &SendRequest, begun: Begun) -> Result<Done, Failure> {
        match begun {
            Begun::First { attempt, since } => self.send(walk, request, attempt, since).await,
            Begun::Interrupted { until, begun, now, .. } if begun >= POISON && until <= now => {
                let cause = anyhow!("begun {begun} times and never ended; look at what it crashed before replaying it");
                Err(Failure::Reject { code: "poison", cause })
            }
            Begun::Interrupted { attempt, began, until, now, .. } => {
                self.reconcile(walk, request, attempt, (began, until, now)).await
            }
        }
    }

    /// Everything before the call took so long that the call would outlive its attempt. Nothing was sent.
    pub(crate) async fn too_slow(
        &self,
        reply: &AgentReply,
        effect: &Effect,
        attempt: &AttemptId,
    ) -> Result<Failure, Failure> {
        let told = "what comes before the call took too long; begun anew";
        tracing::warn!(channel = %reply.channel, "a reply was not sent: {told}");
        self.deps.ledger.release(effect, attempt, told).await.map_err(ledger_down)?;
        Ok(Failure::NotYet { after: ANEW })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_ends_before_its_attempt_does() {
        let (call, second) = (Duration::from_secs(15), Duration::from_secs(1));
        assert_eq!(time_left(call, Duration::ZERO), Some(call));
        assert_eq!(time_left(call, MARGIN), Some(call));
        assert_eq!(time_left(call, MARGIN + second), Some(call - second));
        assert_eq!(time_left(call, MARGIN + call - second), Some(second));
        for late in [MARGIN + call - second / 2, MARGIN + call, MARGIN + call * 100] {
            assert_eq!(time_left(call, late), None, "{late:?}");
        }
    }
}
