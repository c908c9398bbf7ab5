use jiff::Timestamp;

use crate::Health;

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
