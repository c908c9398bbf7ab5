//! One channel with one consumer.

use std::sync::Mutex;
use std::time::Duration;

use futures_util::StreamExt;
use lapin::options::{BasicAckOptions, BasicCancelOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, Consumer};
use tokio::time::timeout;
use uuid::Uuid;

use super::acks::{Frame, Window};
use super::connection::Connection;
use super::consuming::Links;
use super::link::answered;
use super::share::Wish;
use super::topology::{ACCESS_REFUSED, NOT_FOUND, code};
use super::{properties, told};
use crate::QueueName;
use crate::source::{DeadLetter, Delivery, Lost, Tag};

/// One subscription; dropping it closes its channel too.
pub(crate) struct Subscription {
    connection: Connection,
    channel: Channel,
    consumer: Consumer,
    /// Tells when its connection is not the one there is any more.
    links: Links,
    queue: QueueName,
    wish: Wish,
    priority: i32,
    window: Mutex<Window>,
    /// The broker ended it: what it did not give back by itself is no longer ours to settle.
    ended: bool,
}

/// How long closing waits for acks to arrive. What comes back although it was settled is a duplicate, not a loss.
pub(super) const SETTLED: Duration = Duration::from_secs(5);
/// Below every consumer of work: what only asks must not become the active consumer.
const LAST: i32 = -1000;

impl Subscription {
    pub(super) async fn open(
        connection: Connection,
        link: &lapin::Connection,
        links: Links,
        queue: &QueueName,
        prefetch: u16,
    ) -> Result<Self, Lost> {
        let lost = |error: lapin::Error| Lost(refused(&error));
        let channel = answered(link, link.create_channel()).await.map_err(lost)?;
        answered(link, channel.basic_qos(prefetch, BasicQosOptions::default())).await.map_err(lost)?;
        // A tag is never used twice: after a consumer timeout the broker still knows the old one.
        let tag = format!("causeway-{}", Uuid::new_v4().simple());
        let name = queue.to_string();
        let options = BasicConsumeOptions::default();
        let mut wish = connection.wish(queue);
        let priority = wish.priority();
        let mut arguments = FieldTable::default();
        arguments.insert("x-priority".into(), AMQPValue::LongInt(priority));
        let consumer = channel.basic_consume(name.as_str().into(), tag.as_str().into(), options, arguments);
        let consumer = answered(link, consumer).await.map_err(lost)?;
        let window = Mutex::new(Window::default());
        Ok(Self { connection, channel, consumer, links, queue: queue.clone(), wish, priority, window, ended: false })
    }

    /// The next message, or `None` when the partition is another replica's from now on, or has become this one's.
    pub(crate) async fn next(&mut self) -> Result<Option<Delivery>, Lost> {
        let lost = tokio::select! {
            received = self.consumer.next() => match received {
                Some(Ok(received)) => {
                    let tag = Tag(received.delivery_tag);
                    return Ok(Some(Delivery { tag, content: properties::content(received) }));
                }
                Some(Err(error)) => told(&error),
                // A clean end is what lapin makes of a cancelled consumer, and the channel still says that it is connected.
                None => "the broker ended the consumer (a time-out, or the queue was deleted)".to_owned(),
            },
            // A connection that dies does not always end its consumers' streams, and who does not know goes on working.
            () = self.wish.turned(self.priority) => return Ok(None),
            _changed_or_closed = self.links.changed() => "its connection was lost".to_owned(),
        };
        self.ended = true;
        Err(Lost(lost))
    }

    /// Acks in as few frames as can be, because each is a command of its own to the queue.
    pub(crate) async fn ack(&self, tags: &[Tag]) -> Result<(), Lost> {
        let frames = self.window.lock().expect("nobody panics while acking").settle(tags);
        for Frame { tag, multiple } in frames {
            let acked = timeout(SETTLED, self.channel.basic_ack(tag, BasicAckOptions { multiple })).await;
            let acked = acked.map_err(|_| Lost("an ack could not be written in time".to_owned()))?;
            acked.map_err(|error| Lost(told(&error)))?;
        }
        Ok(())
    }

    pub(crate) async fn dead_letter(&self, delivery: &Delivery, letter: &DeadLetter) -> Result<(), Lost> {
        let (properties, body) = properties::of_dead(delivery, letter);
        let QueueName::Work { family, .. } = letter.from else {
            return Err(Lost("a dead letter cannot die again".to_owned()));
        };
        let stored = self.connection.publish_raw(&QueueName::Dead(family), properties, &body).await;
        stored.map_err(|error| Lost(format!("the dead letter could not be stored: {error}")))?;
        self.ack(&[delivery.tag]).await
    }

    /// Closing the channel is the one thing that gives messages back in order on every version (design 5).
    pub(crate) async fn close(self) {
        if self.window.lock().expect("nobody panics while acking").is_used() && !self.ended {
            match timeout(SETTLED, acks_arrived(&self.channel, &self.queue)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::debug!(error = told(&error), "a channel was lost before its acks arrived"),
                Err(_) => {
                    tracing::warn!(queue = %self.queue, "the acks did not arrive in time; some messages may come again")
                }
            }
        }
        close(&self.channel, "handed back").await;
    }
}

/// Why a queue cannot be subscribed to, and what to do.
fn refused(error: &lapin::Error) -> String {
    let told = told(error);
    match code(error) {
        Some(NOT_FOUND) => format!("{told}; run `causeway topology apply`"),
        Some(ACCESS_REFUSED) => {
            format!("{told}; let the user of broker.url read it (`rabbitmqctl set_permissions`)")
        }
        _ => told,
    }
}

/// Closes a channel. One that nobody answers for is gone with its connection.
pub(super) async fn close(channel: &Channel, why: &str) {
    match timeout(SETTLED, channel.close(200, why.into())).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(error = told(&error), "a channel was gone before it was closed"),
        Err(_) => tracing::debug!("a channel was not closed in time"),
    }
}

/// Waits until the queue has everything that was acked.
///
/// An ack has no answer. The broker's channel process passes it to the quorum queue as a command, and above 32 commands
/// under way it keeps what comes until some are through; what it keeps is lost when the channel closes, and those messages
/// would come back although they were settled. A new consumer is a command that is answered, behind all that were sent
/// before it. By then the channel process knows that they are through, so it sends what it kept before it looks at the
/// next request, which is the cancellation; and that passes through the queue as well.
pub(super) async fn acks_arrived(channel: &Channel, queue: &QueueName) -> lapin::Result<()> {
    // Among the consumers of a channel it is the last by its tag, as it is by its making: see `letters`.
    let tag = format!("causeway-z{}", Uuid::new_v4().simple());
    let mut arguments = FieldTable::default();
    arguments.insert("x-priority".into(), AMQPValue::LongInt(LAST));
    let name = queue.to_string();
    let options = BasicConsumeOptions::default();
    let _asking = channel.basic_consume(name.as_str().into(), tag.as_str().into(), options, arguments).await?;
    channel.basic_cancel(tag.as_str().into(), BasicCancelOptions::default()).await
}
