//! Replicas of a role tell each other that they are there. A message on `amq.topic`, which every virtual host has; nothing is
//! stored, and nothing but the spread of partitions depends on it.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use futures_util::StreamExt;
use lapin::options::{BasicConsumeOptions, BasicPublishOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, Consumer};
use model::Family;
use runtime::{Backoff, Shutdown};
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use super::connection::Publishers;
use super::consuming::Links;
use super::link::answered;
use super::told;
use crate::State;

const EXCHANGE: &str = "amq.topic";
const EVERY: Duration = Duration::from_secs(2);
/// Three words missed, and a little.
const GONE_AFTER: Duration = Duration::from_secs(7);
/// For one word; the next comes soon.
const SAID: Duration = Duration::from_secs(1);
const AGAIN: Backoff = Backoff { base: Duration::from_millis(500), cap: Duration::from_secs(10) };

/// The replicas of a role, this one among them.
pub(super) type Replicas = watch::Sender<BTreeSet<String>>;
/// One replica of one role.
pub(super) struct Presence {
    pub(super) mouth: Mouth,
    pub(super) links: Links,
    pub(super) replicas: Replicas,
    pub(super) stop: Shutdown,
}

impl Presence {
    /// Says that it is there and listens to the others, until the connection is closed for good.
    pub(super) async fn run(mut self) {
        let mut failed = 0;
        let stop = self.stop.clone();
        while !stop.is_stopping() {
            let ended = tokio::select! {
                ended = self.over_one_connection() => ended,
                () = stop.stopping() => return,
            };
            failed += 1;
            let error = format!("{ended:#}");
            if failed == 1 {
                tracing::warn!(
                    family = self.mouth.family.word(),
                    error,
                    "replicas do not hear of each other; partitions stay where they are"
                );
            } else {
                tracing::debug!(family = self.mouth.family.word(), error, "replicas still do not hear of each other");
            }
            tokio::select! {
                () = tokio::time::sleep(AGAIN.wait(failed)) => {}
                () = stop.stopping() => return,
            }
        }
    }

    async fn over_one_connection(&mut self) -> anyhow::Error {
        match self.converse().await {
            Ok(()) => anyhow::anyhow!("the subscription ended"),
            Err(error) => error,
        }
    }

    async fn converse(&mut self) -> anyhow::Result<()> {
        let alive = |link: &Option<Arc<lapin::Connection>>| link.as_ref().is_some_and(|link| link.status().connected());
        let link = self.links.wait_for(alive).await.context("the connection is closed")?.clone();
        let link = link.context("the connection is gone again")?;
        let channel = answered(&link, link.create_channel()).await.map_err(|error| anyhow::anyhow!(told(&error)))?;
        let mut words = answered(&link, self.listen(&channel)).await.map_err(|error| anyhow::anyhow!(told(&error)))?;
        let own = self.mouth.id.clone();
        let mut seen = HashMap::from([(own.clone(), Instant::now())]);
        let mut publishing = self.mouth.publishing.clone();
        publishing.mark_unchanged();
        self.say("hello").await?;
        let mut ticks = interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                word = words.next() => {
                    let Some(Ok(word)) = word else { return Ok(()) };
                    if let Some((word, id)) = read(&word.data) {
                        if word == "bye" {
                            seen.remove(id);
                        } else {
                            seen.insert(id.to_owned(), Instant::now());
                        }
                        // A newcomer is told at once who else is there.
                        if word == "hello" && id != own {
                            self.say("here").await?;
                        }
                    }
                }
                _ = ticks.tick() => self.say("here").await?,
                Ok(()) = publishing.changed() => self.say("hello").await?,
            }
            // An alarm silences everybody: who was there is there still, as far as anybody can tell.
            if self.mouth.is_silenced() {
                seen.values_mut().for_each(|at| *at = Instant::now());
            }
            seen.insert(own.clone(), Instant::now());
            seen.retain(|_, at| at.elapsed() < GONE_AFTER);
            let found: BTreeSet<String> = seen.keys().cloned().collect();
            self.replicas.send_if_modified(|known| {
                let changed = *known != found;
                *known = found;
                changed
            });
        }
    }

    async fn say(&mut self, word: &str) -> anyhow::Result<()> {
        self.mouth.say(word).await.map_err(|error| anyhow::anyhow!(told(&error)))
    }

    async fn listen(&self, channel: &Channel) -> lapin::Result<Consumer> {
        let options = QueueDeclareOptions { exclusive: true, auto_delete: true, ..QueueDeclareOptions::default() };
        let queue = channel.queue_declare("".into(), options, FieldTable::default()).await?;
        let (name, key) = (queue.name().clone(), key(self.mouth.family));
        let bind = QueueBindOptions::default();
        channel.queue_bind(name.clone(), EXCHANGE.into(), key.as_str().into(), bind, FieldTable::default()).await?;
        let options = BasicConsumeOptions { no_ack: true, ..BasicConsumeOptions::default() };
        channel.basic_consume(name, "".into(), options, FieldTable::default()).await
    }
}

/// What one replica of one role says. An alarm blocks whoever publishes, with its whole connection, so this goes over the
/// publishing one and not beside the acks.
pub(super) struct Mouth {
    family: Family,
    id: String,
    publishing: Publishers,
    state: watch::Receiver<State>,
    channel: Option<Channel>,
}

impl Mouth {
    pub(super) const fn new(family: Family, id: String, publishing: Publishers, state: watch::Receiver<State>) -> Self {
        Self { family, id, publishing, state, channel: None }
    }

    /// Whether an alarm of the broker keeps it from speaking.
    fn is_silenced(&self) -> bool {
        matches!(*self.state.borrow(), State::Blocked(_))
    }

    /// Says a word to all replicas of the role. What cannot be said now is made good by the next word, or found out without it.
    pub(super) async fn say(&mut self, word: &str) -> lapin::Result<()> {
        let Some(publisher) = self.publishing.borrow().clone() else { return Ok(()) };
        if self.is_silenced() {
            return Ok(());
        }
        let channel = match self.channel.take_if(|channel| channel.status().connected()) {
            Some(channel) => channel,
            None => answered(&publisher.link, publisher.link.create_channel()).await?,
        };
        let (key, body) = (key(self.family), format!("{word} {}", self.id));
        let properties = BasicProperties::default().with_content_type("text/plain".into());
        let (options, body) = (BasicPublishOptions::default(), body.as_bytes());
        let said = channel.basic_publish(EXCHANGE.into(), key.as_str().into(), options, body, properties);
        // The first word in an alarm stays where it is until the alarm ends.
        if let Ok(said) = timeout(SAID, said).await {
            let _unconfirmed = said?;
        }
        self.channel = Some(channel);
        Ok(())
    }
}

fn key(family: Family) -> String {
    format!("causeway.presence.{}", family.word())
}

/// The word and who said it; others may use the exchange too.
fn read(body: &[u8]) -> Option<(&str, &str)> {
    let (word, id) = std::str::from_utf8(body).ok()?.split_once(' ')?;
    (["hello", "here", "bye"].contains(&word) && !id.is_empty() && id.len() <= 64).then_some((word, id))
}
