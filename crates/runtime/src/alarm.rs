use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::{Clock, Health};

/// What an alarm is about (design 3.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AlarmKind {
    /// An account's key is refused.
    AccountPaused,
    /// A channel is refused.
    ChannelFault,
    /// An event subscription ends soon.
    SubscriptionExpiring,
    /// Nothing has come in for longer than it should take.
    NoInbound,
    /// Messages are in the dead letters.
    DeadLetters,
    /// Nobody knows whether something was sent.
    MaybeSent,
    /// Two clocks disagree.
    Clock,
    /// Something answers itself.
    Loop,
}

impl AlarmKind {
    /// The word in metrics, logs and reports.
    pub const fn word(self) -> &'static str {
        match self {
            Self::AccountPaused => "account-paused",
            Self::ChannelFault => "channel-fault",
            Self::SubscriptionExpiring => "subscription-expiring",
            Self::NoInbound => "no-inbound",
            Self::DeadLetters => "dead-letters",
            Self::MaybeSent => "maybe-sent",
            Self::Clock => "clock",
            Self::Loop => "loop",
        }
    }

    pub(crate) fn publish(self, target: &str, raised: bool) {
        let gauge = metrics::gauge!("causeway_alarm", "alarm" => self.word(), "target" => target.to_owned());
        gauge.set(f64::from(u8::from(raised)));
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Raised {
    pub(crate) detail: String,
    pub(crate) since: Timestamp,
    /// When it was raised last.
    pub(crate) again: Timestamp,
}

/// The hand on one alarm: a line in `/readyz`, the gauge `causeway_alarm{alarm,target}`, and an ERROR log when it rises.
#[derive(Debug, Clone)]
pub struct Alarm {
    health: Health,
    kind: AlarmKind,
    target: String,
}

impl Alarm {
    pub(crate) fn new(health: Health, kind: AlarmKind, target: &str) -> Self {
        Self { health, kind, target: target.to_owned() }
    }

    /// Raises it, with what happened and what to do; nothing private.
    pub fn raise(&self, detail: impl Into<String>) {
        let detail = detail.into();
        if self.health.set_alarm(self.kind, &self.target, Some(detail.clone())) {
            tracing::error!(alarm = self.kind.word(), about = self.target, detail, "alarm");
        }
    }

    /// Clears it.
    pub fn clear(&self) {
        if self.health.set_alarm(self.kind, &self.target, None) {
            tracing::info!(alarm = self.kind.word(), about = self.target, "alarm cleared");
        }
    }
}

/// An alarm about what ends by not happening any more: it clears itself when nothing has raised it for a while.
#[derive(Debug, Clone)]
pub struct Fading {
    alarm: Alarm,
    clock: Clock,
    quiet: SignedDuration,
    last: Arc<Mutex<Option<Timestamp>>>,
}

impl Fading {
    /// One that is quiet after so long. Somebody has to let it [`Fading::fade`].
    pub fn new(alarm: Alarm, clock: Clock, quiet: Duration) -> Self {
        let quiet = SignedDuration::try_from(quiet).unwrap_or(SignedDuration::MAX);
        Self { alarm, clock, quiet, last: Arc::default() }
    }

    /// Raises it, with what happened and what to do; nothing private.
    pub fn raise(&self, detail: impl Into<String>) {
        *self.last.lock().expect("nobody panics while holding a time") = Some(self.clock.now());
        self.alarm.raise(detail);
    }

    /// Clears it where it has been quiet for long enough.
    pub fn fade(&self) {
        let now = self.clock.now();
        let mut last = self.last.lock().expect("nobody panics while holding a time");
        if last.is_some_and(|last| now.duration_since(last) >= self.quiet) {
            *last = None;
            self.alarm.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_happen_again_fades() {
        let (clock, time) = Clock::manual(Timestamp::from_second(1_795_169_730).unwrap());
        let health = Health::new(clock.clone());
        let fading = Fading::new(health.alarm(AlarmKind::Loop, "mail"), clock, Duration::from_secs(60));
        let raised = || !health.report().alarms.is_empty();
        fading.fade();
        fading.raise("it answers itself");
        time.advance(SignedDuration::from_secs(50));
        fading.fade();
        fading.raise("again");
        time.advance(SignedDuration::from_secs(50));
        fading.fade();
        assert!(raised());
        time.advance(SignedDuration::from_secs(10));
        fading.fade();
        assert!(!raised());
    }
}
