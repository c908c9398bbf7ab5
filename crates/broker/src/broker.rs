use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use model::{Family, MessageId, Queued, Taken, TraceId};
use runtime::{Clock, Shutdown};
use tokio::sync::watch;

use crate::consumers::Roster;
use crate::engine::Lamps;
use crate::source::{Lost, Source};
use crate::{
    Config, Consume, Consumers, DeadLetterReport, Envelope, Handle, Letter, OpenError, PublishError, QueueName,
    QueueReport, Sift, Sifted, Sifting, State, Topology, embedded, engine, rabbitmq,
};

/// A webhook is answered within two seconds whatever the broker does, so storing must end before that.
const PUBLISH_DEADLINE: Duration = Duration::from_millis(1500);

/// A connection to the queues. Cheap to clone.
#[derive(Clone)]
pub struct Broker {
    inner: Inner,
    topology: Arc<Topology>,
    clock: Clock,
    roster: Roster,
    lamps: Lamps,
}

#[derive(Clone)]
enum Inner {
    RabbitMq(rabbitmq::Connection),
    Embedded(embedded::Store),
}

impl Broker {
    /// Opens the broker. RabbitMQ need not be up: a supervisor goes on connecting, and [`Broker::state`] says how far it is.
    ///
    /// # Errors
    /// The embedded store cannot be opened (its path, or another process has it), or the configuration cannot work.
    pub async fn open(config: Config, topology: Topology, clock: Clock) -> Result<Self, OpenError> {
        if topology.partitions == 0 {
            return Err(OpenError::Config("broker.partitions must be at least 1".to_owned()));
        }
        let known = Arc::new(topology.clone());
        let inner = match config {
            Config::RabbitMq(config) => Inner::RabbitMq(rabbitmq::Connection::open(&config, topology).await?),
            Config::Embedded(config) => Inner::Embedded(embedded::Store::open(&config, topology, clock.clone()).await?),
        };
        let roster = Roster::new(clock.clone());
        Ok(Self { inner, topology: known, clock, roster, lamps: Lamps::default() })
    }

    /// Publishes a message and returns when it is stored durably.
    ///
    /// # Errors
    /// [`PublishError`]: it is not certain that the message is stored; publish it again.
    pub async fn publish<M: Queued>(&self, message: &M) -> Result<(), PublishError> {
        let queue = QueueName::Work {
            family: M::FAMILY,
            neighbour: message.neighbour().clone(),
            partition: message.conversation().partition(self.topology.partitions),
        };
        self.publish_envelope(&queue, Envelope::of(message)).await
    }

    /// Keeps bytes nobody can read where a person can look at them: they stand in a work queue under a type of their own, and
    /// its consumer dead-letters them as `unreadable`.
    ///
    /// # Errors
    /// [`PublishError`]: it is not certain that they are stored.
    pub async fn quarantine(&self, queue: &QueueName, body: &[u8], trace: TraceId) -> Result<(), PublishError> {
        let now = self.clock.now();
        let envelope = Envelope {
            id: MessageId::derive("bytes", &[&String::from_utf8_lossy(body), &now.to_string()]),
            kind: "Unreadable".to_owned(),
            conversation: "unreadable".to_owned(),
            trace,
            received_at: now,
            body: Bytes::copy_from_slice(body),
        };
        self.publish_envelope(queue, envelope).await
    }

    pub(crate) async fn publish_envelope(&self, queue: &QueueName, envelope: Envelope) -> Result<(), PublishError> {
        let stored = async {
            match &self.inner {
                Inner::RabbitMq(connection) => connection.publish(queue, envelope).await,
                Inner::Embedded(store) => store.publish(queue, envelope).await,
            }
        };
        tokio::time::timeout(PUBLISH_DEADLINE, stored).await.unwrap_or(Err(PublishError::TimedOut))?;
        metrics::counter!("causeway_published_total", "queue" => queue.to_string()).increment(1);
        Ok(())
    }

    /// Consumes a family until the shutdown's soft stage, then finishes or hands back what is in hand.
    ///
    /// # Errors
    /// A fault no reconnect mends: a neighbour without queues.
    pub async fn consume<M: Taken, H: Handle<M>>(
        &self,
        consume: Consume,
        handler: Arc<H>,
        shutdown: Shutdown,
    ) -> anyhow::Result<()> {
        engine::consume::<M, H>(self.clone(), consume, handler, shutdown).await
    }

    pub(crate) async fn subscribe(&self, queue: &QueueName, prefetch: u16) -> Result<Source, Lost> {
        match &self.inner {
            Inner::RabbitMq(connection) => {
                connection.subscribe(queue, prefetch).await.map(Box::new).map(Source::RabbitMq)
            }
            Inner::Embedded(store) => store.subscribe(queue, prefetch).await.map(Source::Embedded),
        }
    }

    pub(crate) fn topology(&self) -> &Topology {
        &self.topology
    }

    pub(crate) const fn clock(&self) -> &Clock {
        &self.clock
    }

    pub(crate) const fn roster(&self) -> &Roster {
        &self.roster
    }

    pub(crate) const fn lamps(&self) -> &Lamps {
        &self.lamps
    }

    /// Which queues are consumed by way of this handle and its clones, and which are not, and why.
    pub fn consumers(&self) -> watch::Receiver<Consumers> {
        self.roster.watch()
    }

    /// Whether messages can be stored, and if not why.
    pub fn state(&self) -> watch::Receiver<State> {
        match &self.inner {
            Inner::RabbitMq(connection) => connection.state(),
            Inner::Embedded(store) => store.state(),
        }
    }

    /// Declares exchanges and queues; what was made or found is told line by line.
    ///
    /// # Errors
    /// What stands in the way, by name.
    pub async fn apply_topology(&self) -> anyhow::Result<Vec<String>> {
        match &self.inner {
            Inner::RabbitMq(connection) => connection.apply_topology().await,
            Inner::Embedded(store) => store.apply_topology().await,
        }
    }

    /// What the broker calls its version, and whether it spreads the partitions over replicas; `None` for the embedded one.
    ///
    /// # Errors
    /// The broker does not answer.
    pub async fn version(&self) -> anyhow::Result<Option<(String, bool)>> {
        match &self.inner {
            Inner::RabbitMq(connection) => connection.version().await.map(Some),
            Inner::Embedded(_) => Ok(None),
        }
    }

    /// Every queue with what waits in it.
    ///
    /// # Errors
    /// The broker does not answer.
    pub async fn queues(&self) -> anyhow::Result<Vec<QueueReport>> {
        match &self.inner {
            Inner::RabbitMq(connection) => connection.queues().await,
            Inner::Embedded(store) => store.queues().await,
        }
    }

    /// The oldest dead letters of a family, without their bodies; they stay where they are.
    ///
    /// # Errors
    /// The broker does not answer.
    pub async fn dead_letters(&self, family: Family, limit: usize) -> anyhow::Result<Vec<DeadLetterReport>> {
        let mut reports = Vec::new();
        let see = |letter: &Letter| {
            reports.push(letter.report.clone());
            ControlFlow::Continue(())
        };
        self.letters(family, limit, see).await?;
        Ok(reports)
    }

    /// Shows the oldest dead letters of a family whole, in order, until `see` has seen enough; they stay where they are.
    /// Whoever else looks meanwhile may not see them.
    ///
    /// # Errors
    /// The broker does not answer.
    pub async fn letters(
        &self,
        family: Family,
        limit: usize,
        mut see: impl FnMut(&Letter) -> ControlFlow<()> + Send,
    ) -> anyhow::Result<()> {
        match &self.inner {
            Inner::RabbitMq(connection) => connection.letters(family, limit, &mut see).await,
            Inner::Embedded(store) => store.letters(family, limit, &mut see).await,
        }
    }

    /// Walks through the oldest dead letters of a family, at most `limit`, in order. One with a decision is published to the
    /// queue it died in and then removed, or removed; one without stays where it is. Ended at any point, it loses nothing; at
    /// worst one letter stands in both queues.
    ///
    /// # Errors
    /// The broker does not answer, and nothing was done.
    pub async fn sift(
        &self,
        family: Family,
        limit: usize,
        decisions: &HashMap<String, Sift>,
    ) -> anyhow::Result<Sifting> {
        let sifting = match &self.inner {
            Inner::RabbitMq(connection) => connection.sift(family, limit, decisions).await,
            Inner::Embedded(store) => store.sift(family, limit, decisions).await,
        }?;
        for (_, outcome) in &sifting.settled {
            if let Sifted::Requeued(queue) = outcome {
                metrics::counter!("causeway_published_total", "queue" => queue.clone()).increment(1);
            }
        }
        Ok(sifting)
    }

    /// Waits until what was opened is closed: the connections, or the store.
    pub async fn close(self) {
        match self.inner {
            Inner::RabbitMq(connection) => connection.close().await,
            Inner::Embedded(store) => store.close().await,
        }
    }
}
