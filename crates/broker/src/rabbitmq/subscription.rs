//! One channel with one consumer.

use std::sync::Mutex;

use futures_util::StreamExt;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::types::FieldTable;
use lapin::{Channel, Consumer};
use uuid::Uuid;

use super::acks::{Frame, Window};
use super::connection::Connection;
use super::{properties, told};
use crate::QueueName;
use crate::source::{DeadLetter, Delivery, Lost, Tag};

/// One subscription; dropping it closes its channel too.
pub(crate) struct Subscription {
    connection: Connection,
    channel: Channel,
    consumer: Consumer,
    window: Mutex<Window>,
}

impl Subscription {
    pub(super) async fn open(
        connection: Connection,
        link: &lapin::Connection,
        queue: &QueueName,
        prefetch: u16,
    ) -> Result<Self, Lost> {
        let lost = |error: lapin::Error| Lost(format!("queue {queue}: {}", told(&error)));
        let channel = link.create_channel().await.map_err(lost)?;
        channel.basic_qos(prefetch, BasicQosOptions::default()).await.map_err(lost)?;
        // A tag is never used twice: after a consumer timeout the broker still knows the old one.
        let tag = format!("causeway-{}", Uuid::new_v4().simple());
        let name = queue.to_string();
        let options = BasicConsumeOptions::default();
        let consumer = channel.basic_consume(name.as_str().into(), tag.as_str().into(), options, FieldTable::default());
        let consumer = consumer.await.map_err(lost)?;
        Ok(Self { connection, channel, consumer, window: Mutex::new(Window::default()) })
    }

    pub(crate) async fn next(&mut self) -> Result<Delivery, Lost> {
        match self.consumer.next().await {
            Some(Ok(received)) => {
                let tag = Tag(received.delivery_tag);
                Ok(Delivery { tag, content: properties::content(received) })
            }
            Some(Err(error)) => Err(Lost(told(&error))),
            // A clean end is what lapin makes of a cancelled consumer, and the channel still says that it is connected.
            None => Err(Lost("the broker ended the consumer (a time-out, or the queue was deleted)".to_owned())),
        }
    }

    /// Acks in as few frames as can be. A quorum queue holds acks back when many come one by one, and what it holds back is
    /// lost with the channel: those messages would come back although they were settled.
    pub(crate) async fn ack(&self, tags: &[Tag]) -> Result<(), Lost> {
        let frames = self.window.lock().expect("nobody panics while acking").settle(tags);
        for Frame { tag, multiple } in frames {
            let acked = self.channel.basic_ack(tag, BasicAckOptions { multiple }).await;
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
        if let Err(error) = self.channel.close(200, "handed back".into()).await {
            tracing::debug!(error = told(&error), "a channel was gone before it was closed");
        }
    }
}
