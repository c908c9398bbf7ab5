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
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::connection::Links;
use super::link::answered;
use super::told;

const EXCHANGE: &str = "amq.topic";
const EVERY: Duration = Duration::from_secs(2);
/// Three words missed, and a little.
const GONE_AFTER: Duration = Duration::from_secs(7);
const AGAIN: Backoff = Backoff { base: Duration::from_millis(500), cap: Duration::from_secs(10) };

/// The replicas of a role, this one among them.
pub(super) type Replicas = watch::Sender<BTreeSet<String>>;
/// One replica of one role.
pub(super) struct Presence {
    pub(super) family: Family,
    pub(super) id: String,
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
                    family = self.family.word(),
                    error,
                    "replicas do not hear of each other; partitions stay where they are"
                );
            } else {
                tracing::debug!(family = self.family.word(), error, "replicas still do not hear of each other");
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
        let mut seen = HashMap::from([(self.id.clone(), Instant::now())]);
        self.say(&channel, "hello").await?;
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
                        if word == "hello" && id != self.id {
                            self.say(&channel, "here").await?;
                        }
                    }
                }
                _ = ticks.tick() => self.say(&channel, "here").await?,
            }
            seen.insert(self.id.clone(), Instant::now());
            seen.retain(|_, at| at.elapsed() < GONE_AFTER);
            let found: BTreeSet<String> = seen.keys().cloned().collect();
            self.replicas.send_if_modified(|known| {
                let changed = *known != found;
                *known = found;
                changed
            });
        }
    }

    async fn listen(&self, channel: &Channel) -> lapin::Result<Consumer> {
        let options = QueueDeclareOptions { exclusive: true, auto_delete: true, ..QueueDeclareOptions::default() };
        let queue = channel.queue_declare("".into(), options, FieldTable::default()).await?;
        let (name, key) = (queue.name().clone(), key(self.family));
        let bind = QueueBindOptions::default();
        channel.queue_bind(name.clone(), EXCHANGE.into(), key.as_str().into(), bind, FieldTable::default()).await?;
        let options = BasicConsumeOptions { no_ack: true, ..BasicConsumeOptions::default() };
        channel.basic_consume(name, "".into(), options, FieldTable::default()).await
    }

    async fn say(&self, channel: &Channel, word: &str) -> anyhow::Result<()> {
        say(channel, self.family, word, &self.id).await.map_err(|error| anyhow::anyhow!(told(&error)))
    }
}

/// Says a word to all replicas of a role.
pub(super) async fn say(channel: &Channel, family: Family, word: &str, id: &str) -> lapin::Result<()> {
    let (key, body) = (key(family), format!("{word} {id}"));
    let properties = BasicProperties::default().with_content_type("text/plain".into());
    let options = BasicPublishOptions::default();
    let said = channel.basic_publish(EXCHANGE.into(), key.as_str().into(), options, body.as_bytes(), properties).await;
    said.map(|_unconfirmed| ())
}

fn key(family: Family) -> String {
    format!("causeway.presence.{}", family.word())
}

/// The word and who said it; others may use the exchange too.
fn read(body: &[u8]) -> Option<(&str, &str)> {
    let (word, id) = std::str::from_utf8(body).ok()?.split_once(' ')?;
    (["hello", "here", "bye"].contains(&word) && !id.is_empty() && id.len() <= 64).then_some((word, id))
}
