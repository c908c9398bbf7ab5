//! What the doors refuse, told to whoever looks for it: counted by its cause, logged, and a line of the timeline where a message
//! can be named. The doors do without a ledger, so that line is written beside them, where one answers and nobody floods it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use ledger::{Effect, Entry, Ledger, What};
use model::{ChannelName, Family, InboundMessage, NeighbourName};
use runtime::{Clock, Shutdown};
use sms::{ConsumerText, Destination};
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};

use crate::directory::Directory;
use crate::routes::{count_dropped, new_trace};

/// Lines that wait to be written, and that are written in a minute. What comes beyond is counted and logged, as everything is.
const WAITING: usize = 64;
const A_MINUTE: u32 = 60;
/// How often callers without a secret are logged of; anybody may be one.
const SECRETS_EVERY: SignedDuration = SignedDuration::from_secs(60);
/// Stands for the channel in the line of what is for none.
const NOBODY: &str = "-";
/// The provider in the metric where the path names none that is here.
const UNKNOWN: &str = "unknown";

/// What the doors refuse.
#[derive(Debug, Clone)]
pub struct Refusals {
    clock: Clock,
    book: Option<mpsc::Sender<Entry>>,
    secrets: Arc<Mutex<Secrets>>,
}

/// Calls without a secret that were not logged yet.
#[derive(Debug, Default)]
struct Secrets {
    told_at: Option<Timestamp>,
    since: u64,
}

/// Lines that are to be written.
#[derive(Debug)]
pub struct Waiting(mpsc::Receiver<Entry>);

impl Refusals {
    /// With a timeline that somebody writes.
    pub fn with_timeline(clock: Clock) -> (Self, Waiting) {
        let (book, waiting) = mpsc::channel(WAITING);
        (Self { book: Some(book), ..Self::without_timeline(clock) }, Waiting(waiting))
    }

    /// Where there is no ledger.
    pub fn without_timeline(clock: Clock) -> Self {
        Self { clock, book: None, secrets: Arc::default() }
    }

    /// A text for a number that is no channel here.
    pub(crate) fn text(&self, directory: &Directory, provider: &NeighbourName, text: &ConsumerText) {
        nobodys(provider, "unknown-number");
        let (Some(book), Some(channel)) = (&self.book, directory.any(provider)) else { return };
        let destination = Destination { channel: ChannelName::new(NOBODY), ..channel.destination() };
        let message = destination.message(text, new_trace(), self.clock.now());
        let detail = "an event is about a number that is no channel here; nothing was done with it".to_owned();
        if book.try_send(Entry { effect: effect(message), what: What::Failed, detail }).is_err() {
            tracing::debug!(%provider, "too much is refused; a line of the timeline is left out");
        }
    }

    /// Something that happened in a session of a user who has no channel here.
    pub(crate) fn trigger(&self, provider: &NeighbourName) {
        nobodys(provider, "unknown-user");
    }

    /// A call with a wrong secret, or for a provider that is not there.
    pub(crate) fn secret(&self, provider: Option<&NeighbourName>) {
        match provider {
            Some(provider) => count_dropped(provider, "bad-secret"),
            None => count_dropped(&NeighbourName::new(UNKNOWN), "unknown-provider"),
        }
        let now = self.clock.now();
        let mut secrets = self.secrets.lock().unwrap_or_else(PoisonError::into_inner);
        secrets.since += 1;
        if secrets.told_at.is_none_or(|at| now.duration_since(at) >= SECRETS_EVERY) {
            let (calls, provider) =
                (std::mem::take(&mut secrets.since), provider.map_or(UNKNOWN, NeighbourName::as_str));
            secrets.told_at = Some(now);
            tracing::warn!(
                provider,
                calls,
                "events came with a wrong secret, or for no provider here; look at the post-url of subscriptions"
            );
        }
    }
}

fn nobodys(provider: &NeighbourName, cause: &'static str) {
    tracing::warn!(%provider, cause, "an event is about a number or user that is no channel here; add a [[channel]] or narrow the subscription");
    count_dropped(provider, cause);
}

fn effect(message: InboundMessage) -> Effect {
    Effect {
        family: Family::Inbound,
        foreign_id: message.id.to_string(),
        id: message.id,
        channel: message.channel,
        target: message.genesys,
        consumer: message.from,
        trace: message.trace,
        received_at: message.received_at,
        parties: None,
    }
}

/// Writes what the doors refused into the timeline until the shutdown. What cannot be written is left out: it was counted.
///
/// # Errors
/// None today.
pub async fn write_refusals(waiting: Waiting, ledger: Ledger, shutdown: Shutdown) -> anyhow::Result<()> {
    let Waiting(mut waiting) = waiting;
    let mut minutes = interval(Duration::from_secs(60));
    minutes.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut left = A_MINUTE;
    loop {
        let entry = tokio::select! {
            () = shutdown.stopping() => return Ok(()),
            _ = minutes.tick() => {
                left = A_MINUTE;
                continue;
            }
            entry = waiting.recv() => entry,
        };
        let Some(entry) = entry else {
            shutdown.stopping().await;
            return Ok(());
        };
        if left == 0 {
            continue;
        }
        left -= 1;
        if let Err(error) = ledger.note(entry).await {
            tracing::debug!(%error, "what was refused is not in the timeline");
        }
    }
}
