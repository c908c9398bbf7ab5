use bytes::Bytes;
use futures_util::future::try_join_all;
use jiff::Timestamp;

use crate::{Envelope, QueueName, embedded, rabbitmq};

/// One subscription to one work queue: what a backend gives the engine, which alone decides what is settled how.
pub(crate) enum Source {
    /// One channel with one consumer.
    RabbitMq(Box<rabbitmq::Subscription>),
    /// One cursor with leases.
    Embedded(embedded::Subscription),
}

/// The backend's name of a message in hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Tag(pub(crate) u64);

/// A message in hand.
pub(crate) struct Delivery {
    pub(crate) tag: Tag,
    pub(crate) content: Content,
}

/// What was found in the queue.
pub(crate) enum Content {
    /// One of ours, by its properties.
    Envelope(Envelope),
    /// Something else: a property is missing or of another type. Its bytes are kept for the dead letter.
    Foreign {
        /// What is missing.
        detail: String,
        /// `message_id`, where it has one.
        id: Option<String>,
        /// The bytes.
        body: Bytes,
    },
}

/// What a dead letter says of its cause: headers `dead-reason`, `dead-detail`, `dead-at`, `dead-from`.
pub(crate) struct DeadLetter {
    pub(crate) reason: String,
    pub(crate) detail: String,
    pub(crate) at: Timestamp,
    pub(crate) from: QueueName,
}

/// A subscription that is over; everything not settled comes back, in order. Says why.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Lost(pub(crate) String);

impl Source {
    /// The next message; cancel-safe. `None`: the queue is to be subscribed to anew, because replicas came or went. The end of
    /// a stream is [`Lost`], never a quiet end.
    pub(crate) async fn next(&mut self) -> Result<Option<Delivery>, Lost> {
        match self {
            Self::RabbitMq(subscription) => subscription.next().await,
            Self::Embedded(subscription) => subscription.next().await.map(Some),
        }
    }

    /// Done with: removes them from the queue. As many as there are at once, because RabbitMQ takes a row of them for one.
    pub(crate) async fn ack(&self, tags: &[Tag]) -> Result<(), Lost> {
        match self {
            Self::RabbitMq(subscription) => subscription.ack(tags).await,
            Self::Embedded(subscription) => {
                try_join_all(tags.iter().map(|tag| subscription.ack(*tag))).await.map(|_| ())
            }
        }
    }

    /// Stores the message in its family's dead-letter queue with its cause, durably, and only then removes it from its own.
    pub(crate) async fn dead_letter(&self, delivery: &Delivery, letter: &DeadLetter) -> Result<(), Lost> {
        match self {
            Self::RabbitMq(subscription) => subscription.dead_letter(delivery, letter).await,
            Self::Embedded(subscription) => subscription.dead_letter(delivery, letter).await,
        }
    }

    /// Hands back everything not settled, in order (RabbitMQ: by closing the channel).
    pub(crate) async fn close(self) {
        match self {
            Self::RabbitMq(subscription) => subscription.close().await,
            Self::Embedded(subscription) => subscription.close().await,
        }
    }
}
