//! Dead letters are looked at by a consumer that acks only what is done with: closing its channel puts the others back in their
//! place. By `basic.get` they would not: each get is a consumer of its own to a quorum queue, and more than 32 of them come back
//! in any order.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{anyhow, bail};
use futures_util::StreamExt;
use lapin::message::Delivery;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicGetOptions, BasicQosOptions};
use lapin::types::FieldTable;
use lapin::{Channel, Consumer};
use model::Family;
use tokio::time::timeout;
use uuid::Uuid;

use super::connection::Connection;
use super::link::answered;
use super::subscription::{SETTLED, acks_arrived, close};
use super::{properties, told};
use crate::letters::no_such_queue;
use crate::{Letter, QueueName, Sift, Sifted, Sifting};

/// How long no letter comes before the queue is asked whether that was all, and after its answer: on a cluster, letters come from
/// a node that may be behind the one that answers.
const QUIET: Duration = Duration::from_millis(150);

/// A walk through the dead letters of a family, from the oldest on.
struct Walk {
    link: Arc<lapin::Connection>,
    channel: Channel,
    queue: QueueName,
    consumer: Consumer,
    /// Letters that may still be looked at.
    left: usize,
}

impl Walk {
    async fn begin(connection: &Connection, family: Family, limit: usize) -> anyhow::Result<Self> {
        let link = connection.consuming().await?;
        let failed = |error: lapin::Error| anyhow!(told(&error));
        let channel = answered(&link, link.create_channel()).await.map_err(failed)?;
        let queue = QueueName::Dead(family);
        let name = queue.to_string();
        // What is kept stays in hand to the end, so all of it must fit there.
        let in_hand = u16::try_from(limit).unwrap_or(u16::MAX);
        answered(&link, channel.basic_qos(in_hand, BasicQosOptions::default())).await.map_err(failed)?;
        // Consumers that end with a channel give back what they hold in the order of their tags (3.x) or of their making, and
        // this one is to be the first by both. Tags of gets are numbers.
        let tag = format!("!causeway-{}", Uuid::new_v4().simple());
        let options = BasicConsumeOptions::default();
        let consuming =
            channel.basic_consume(name.as_str().into(), tag.as_str().into(), options, FieldTable::default());
        let consumer = answered(&link, consuming).await.map_err(failed)?;
        Ok(Self { link, channel, queue, consumer, left: usize::from(in_hand) })
    }

    /// The next letter; `None` after the last.
    async fn next(&mut self) -> anyhow::Result<Option<Delivery>> {
        if self.left == 0 {
            return Ok(None);
        }
        let mut come = self.come().await?;
        if come.is_none() {
            // Its answer comes after everything the consumer was given before it.
            let name = self.queue.to_string();
            let asked = self.channel.basic_get(name.as_str().into(), BasicGetOptions::default());
            answered(&self.link, asked).await.map_err(|error| anyhow!(told(&error)))?;
            come = self.come().await?;
        }
        self.left -= 1;
        Ok(come)
    }

    async fn come(&mut self) -> anyhow::Result<Option<Delivery>> {
        match timeout(QUIET, self.consumer.next()).await {
            Ok(Some(Ok(delivery))) => Ok(Some(delivery)),
            Ok(Some(Err(error))) => Err(anyhow!(told(&error))),
            Ok(None) => bail!("the queue {} was taken away", self.queue),
            Err(_) => Ok(None),
        }
    }

    /// Gives back what was not acked.
    async fn end(self, acked: bool) {
        if acked {
            // What a consumer that only asks is given comes back after what the walk gives back, and that is little.
            let narrow = self.channel.basic_qos(1, BasicQosOptions::default());
            let arrived = async { narrow.await.and(acks_arrived(&self.channel, &self.queue).await) };
            if !matches!(timeout(SETTLED, arrived).await, Ok(Ok(()))) {
                tracing::warn!(queue = %self.queue, "the acks did not arrive in time; some dead letters may still be there");
            }
        }
        close(&self.channel, "walked").await;
    }
}

impl Connection {
    /// Shows the oldest dead letters of a family, in order.
    pub(crate) async fn letters(
        &self,
        family: Family,
        limit: usize,
        see: &mut (dyn FnMut(&Letter) -> ControlFlow<()> + Send),
    ) -> anyhow::Result<()> {
        let mut walk = Walk::begin(self, family, limit).await?;
        let walked = loop {
            match walk.next().await {
                Ok(Some(delivery)) => {
                    if see(&properties::letter(delivery)).is_break() {
                        break Ok(());
                    }
                }
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        walk.end(false).await;
        walked
    }

    /// Walks through the oldest dead letters of a family and does what was decided about each.
    pub(crate) async fn sift(
        &self,
        family: Family,
        limit: usize,
        decisions: &HashMap<String, Sift>,
    ) -> anyhow::Result<Sifting> {
        let mut walk = Walk::begin(self, family, limit).await?;
        let mut sifting = Sifting::default();
        loop {
            let stepped = match walk.next().await {
                Ok(None) => break,
                Ok(Some(delivery)) => self.sift_one(&walk.link, delivery, decisions, &mut sifting).await,
                Err(error) => Err(error),
            };
            if let Err(error) = stepped {
                sifting.stopped = Some(format!("{error:#}"));
                break;
            }
        }
        walk.end(!sifting.settled.is_empty()).await;
        Ok(sifting)
    }

    /// An error here leaves the letter in the queue.
    async fn sift_one(
        &self,
        link: &lapin::Connection,
        delivery: Delivery,
        decisions: &HashMap<String, Sift>,
        sifting: &mut Sifting,
    ) -> anyhow::Result<()> {
        let acker = delivery.acker.clone();
        let original = properties::without_cause(&delivery.properties);
        let letter = properties::letter(delivery);
        let id = letter.report.id.clone();
        let outcome = match decisions.get(&id) {
            None => return Ok(()),
            Some(Sift::Discard) => Sifted::Discarded,
            Some(Sift::Requeue) => match self.work_queue(&letter.report.from) {
                Some(queue) => {
                    self.publish_raw(&queue, original, &letter.body).await?;
                    Sifted::Requeued(queue.to_string())
                }
                None => no_such_queue(&letter.report.from),
            },
        };
        if !matches!(outcome, Sifted::Refused(_)) {
            let acked = answered(link, acker.ack(BasicAckOptions::default())).await;
            acked.map_err(|error| anyhow!("{} may still be there as well: {}", letter.report.id, told(&error)))?;
        }
        sifting.settled.push((id, outcome));
        Ok(())
    }

    fn work_queue(&self, name: &str) -> Option<QueueName> {
        self.topology().work_queues().into_iter().find(|queue| queue.to_string() == name)
    }
}
