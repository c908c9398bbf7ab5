//! Channels that have been quiet for too long: the alarm `no-inbound`.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use broker::{Broker, QueueReport};
use jiff::Timestamp;
use ledger::{Ledger, LedgerError};
use model::{BusinessHours, ChannelName, NeighbourName};
use runtime::{Alarm, Clock};
use tokio::time::{MissedTickBehavior, interval};

/// A channel of which silence is told.
#[derive(Clone)]
pub struct QuietChannel {
    /// Its name.
    pub name: ChannelName,
    /// Its tenant, in whose queues its messages come.
    pub genesys: NeighbourName,
    /// How long it may be quiet.
    pub after: Duration,
    /// The hours that count; all of them, where there are none.
    pub hours: Option<BusinessHours>,
    /// What rises.
    pub alarm: Alarm,
}

/// Looks at each are so far apart, whatever the configuration.
const SELDOM: Duration = Duration::from_secs(60);
const OFTEN: Duration = Duration::from_secs(1);

/// When each of these channels last had a message. Replicas share it by a mark in the ledger, which each moves forward no more
/// often than it looks.
pub(crate) struct Quiet {
    channels: Vec<QuietChannel>,
    last: Mutex<HashMap<ChannelName, Timestamp>>,
}

impl Quiet {
    pub(crate) fn new(channels: Vec<QuietChannel>) -> Self {
        Self { channels, last: Mutex::default() }
    }

    /// A message came in.
    pub(crate) fn note(&self, channel: &ChannelName, at: Timestamp) {
        if self.channels.iter().any(|one| one.name == *channel) {
            let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
            let known = last.entry(channel.clone()).or_insert(at);
            *known = at.max(*known);
        }
    }

    /// Raises and clears the alarms until it is dropped.
    pub(crate) async fn watch(&self, broker: &Broker, ledger: &Ledger, clock: &Clock) -> Infallible {
        let Some(shortest) = self.channels.iter().map(|channel| channel.after).min() else {
            return std::future::pending().await;
        };
        let mut ticks = interval((shortest / 10).clamp(OFTEN, SELDOM));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            // What waits in the queues came in; a broker that does not answer is told of by its own component.
            let Ok(queues) = broker.queues().await else { continue };
            for channel in &self.channels {
                if let Err(error) = self.look(channel, &queues, ledger, clock.now()).await {
                    tracing::warn!(channel = %channel.name, %error, "when the channel last had a message is not known; it is looked at again");
                }
            }
        }
    }

    async fn look(
        &self,
        channel: &QuietChannel,
        queues: &[QueueReport],
        ledger: &Ledger,
        now: Timestamp,
    ) -> Result<(), LedgerError> {
        let last = self.last(channel, ledger, now).await?;
        let its = format!("causeway.inbound.{}.", channel.genesys);
        let waiting = queues.iter().any(|queue| queue.queue.starts_with(&its) && queue.ready > 0);
        if waiting || !channel.is_quiet(last, now) {
            channel.alarm.clear();
            return Ok(());
        }
        channel.alarm.raise(format!(
            "no consumer's message came in on channel {} since {last}, which is longer than its quiet_alarm; look at the \
             provider's event subscription and at the number or mailbox: `causeway doctor` tells what it finds",
            channel.name
        ));
        Ok(())
    }

    /// The latest that any replica knows of; the first look at a channel ever is where its silence begins.
    async fn last(&self, channel: &QuietChannel, ledger: &Ledger, now: Timestamp) -> Result<Timestamp, LedgerError> {
        let name = format!("last-in/{}", channel.name);
        let mark = ledger.mark(&name).await?;
        let marked: Option<Timestamp> = mark.as_ref().and_then(|mark| mark.value.parse().ok());
        let seen = self.last.lock().unwrap_or_else(PoisonError::into_inner).get(&channel.name).copied();
        let last = seen.max(marked).unwrap_or(now);
        if marked != Some(last) {
            // Who lost against another replica moves it at the next look.
            ledger.put_mark(&name, mark.map_or(0, |mark| mark.version), &last.to_string()).await?;
        }
        Ok(last)
    }
}

impl QuietChannel {
    fn is_quiet(&self, last: Timestamp, now: Timestamp) -> bool {
        let passed = match &self.hours {
            Some(hours) => hours.passed(last, now, self.after),
            None => now.duration_since(last).try_into().unwrap_or_default(),
        };
        passed >= self.after
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;
    use jiff::tz::TimeZone;
    use ledger::SqliteConfig;
    use runtime::{AlarmKind, Health};

    use super::*;

    fn channel(health: &Health, hours: Option<&str>) -> QuietChannel {
        QuietChannel {
            name: ChannelName::new("sales"),
            genesys: NeighbourName::new("main"),
            after: Duration::from_hours(4),
            hours: hours.map(|hours| BusinessHours::parse([hours], TimeZone::UTC).unwrap()),
            alarm: health.alarm(AlarmKind::NoInbound, "sales"),
        }
    }

    fn queue(name: &str, ready: u64) -> QueueReport {
        QueueReport { queue: name.to_owned(), ready, in_hand: None, consumers: None, oldest_seconds: None }
    }

    async fn ledger(folder: &tempfile::TempDir, clock: &Clock) -> Ledger {
        let path = folder.path().join("ledger.db");
        let config =
            ledger::Config::Sqlite(SqliteConfig { path, retain: Duration::from_hours(720), sole_owner: false });
        Ledger::open(config, clock.clone()).await.unwrap()
    }

    #[tokio::test]
    async fn silence_raises_the_alarm_and_a_message_at_any_replica_clears_it() {
        let folder = tempfile::tempdir().unwrap();
        // A Friday.
        let (clock, hand) = Clock::manual("2026-11-20T12:00:00Z".parse().unwrap());
        let (ledger, health) = (ledger(&folder, &clock).await, Health::new(clock.clone()));
        let (one, other) = (Quiet::new(vec![channel(&health, None)]), Quiet::new(vec![channel(&health, None)]));
        let channel = channel(&health, None);
        let raised = || health.report().alarms.len();
        one.look(&channel, &[], &ledger, clock.now()).await.unwrap();
        assert_eq!(raised(), 0, "its silence begins with the first look");
        hand.advance(SignedDuration::from_hours(4));
        one.look(&channel, &[queue("causeway.inbound.main.2", 1)], &ledger, clock.now()).await.unwrap();
        assert_eq!(raised(), 0, "something waits");
        one.look(&channel, &[queue("causeway.inbound.other.2", 1)], &ledger, clock.now()).await.unwrap();
        assert_eq!(raised(), 1);
        other.note(&channel.name, clock.now());
        other.look(&channel, &[], &ledger, clock.now()).await.unwrap();
        hand.advance(SignedDuration::from_hours(3));
        one.look(&channel, &[], &ledger, clock.now()).await.unwrap();
        assert_eq!(raised(), 0, "the other replica had one");
        hand.advance(SignedDuration::from_hours(1));
        one.look(&channel, &[], &ledger, clock.now()).await.unwrap();
        assert_eq!(raised(), 1);
    }

    #[tokio::test]
    async fn only_business_hours_count() {
        let (clock, _hand) = Clock::manual("2026-11-20T17:00:00Z".parse().unwrap());
        let channel = channel(&Health::new(clock.clone()), Some("Mon-Fri 08:00-18:00"));
        let monday = |time: &str| format!("2026-11-23T{time}Z").parse().unwrap();
        assert!(!channel.is_quiet(clock.now(), monday("10:59:00")), "one hour on Friday, less than three on Monday");
        assert!(channel.is_quiet(clock.now(), monday("11:00:00")));
    }
}
