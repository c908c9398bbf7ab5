//! Exchange, queues and bindings: declared, or verified, and named exactly where they are wrong.

use lapin::options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, ErrorKind, ExchangeKind};

use super::link::answered;
use super::{greeting, told};
use crate::topology::EXCHANGE;
use crate::{QueueName, RabbitMqConfig, Topology};

/// Reply codes of AMQP 0-9-1.
pub(super) const ACCESS_REFUSED: u16 = 403;
pub(super) const NOT_FOUND: u16 = 404;
const PRECONDITION_FAILED: u16 = 406;

/// How often a message may come back. A poisoned one is caught elsewhere, so it may come back as often as it must, also out of
/// the dead letters, where every look hands it back.
const LIMIT: &str = "x-delivery-limit";
/// From 4.0 on; see [`Version::has_unlimited`].
const UNLIMITED: i32 = -1;
/// What to do about another limit.
const REMEDY: &str = "From RabbitMQ 4.0 on, set a policy with delivery-limit=-1 where that is not its limit already. Before 4.0 a \
                      limit of -1 drops what is handed back: delete such a queue when it is empty";

/// Why a topology cannot be worked with.
pub(super) enum Wrong {
    /// Something is missing or different: an operator must act.
    Topology(String),
    /// The connection failed meanwhile: it is tried again.
    Connection(String),
}

/// Walks through the topology of one connection. A refused declaration closes its channel, so channels come and go.
pub(super) struct Surveyor<'a> {
    connection: &'a lapin::Connection,
    config: &'a RabbitMqConfig,
    channel: Option<Channel>,
    lines: Vec<String>,
    /// Whether this version has to be told that there is no delivery limit.
    unlimited: bool,
}

impl<'a> Surveyor<'a> {
    pub(super) fn new(connection: &'a lapin::Connection, config: &'a RabbitMqConfig) -> Self {
        Self { connection, config, channel: None, lines: Vec::new(), unlimited: false }
    }

    /// Declares what is missing, or only verifies where the topology is owned elsewhere; tells what it did, line by line.
    pub(super) async fn walk(mut self, topology: &Topology) -> Result<Vec<String>, Wrong> {
        if self.config.declare {
            let version = greeting::version(self.config).await;
            let version = version.map_err(|error| Wrong::Connection(format!("its version is not known: {error:#}")))?;
            self.unlimited = version.has_unlimited();
        }
        self.exchange().await?;
        self.check_partitions(topology).await?;
        // The highest partition first: a queue of partition 0 then says that all of them were made.
        let mut queues = topology.work_queues();
        queues.reverse();
        for queue in queues.iter().chain(&Topology::dead_queues()) {
            self.queue(queue).await?;
        }
        if let Some(channel) = self.channel.take() {
            let _closed_or_gone = answered(self.connection, channel.close(200, "surveyed".into())).await;
        }
        Ok(self.lines)
    }

    async fn channel(&mut self) -> Result<Channel, Wrong> {
        if let Some(channel) = self.channel.take_if(|channel| channel.status().connected()) {
            return Ok(channel);
        }
        let created = answered(self.connection, self.connection.create_channel()).await;
        created.map_err(|error| Wrong::Connection(told(&error)))
    }

    async fn exchange(&mut self) -> Result<(), Wrong> {
        let channel = self.channel().await?;
        let options = ExchangeDeclareOptions { passive: !self.config.declare, durable: true, ..Default::default() };
        let declared = channel.exchange_declare(EXCHANGE.into(), ExchangeKind::Direct, options, FieldTable::default());
        match answered(self.connection, declared).await {
            Ok(()) => {
                self.lines.push(format!("exchange {EXCHANGE}: there"));
                self.channel = Some(channel);
                Ok(())
            }
            Err(error) => Err(match code(&error) {
                Some(NOT_FOUND) => {
                    Wrong::Topology(format!("exchange {EXCHANGE} is missing: run `causeway topology apply`"))
                }
                Some(_) => Wrong::Topology(format!("exchange {EXCHANGE} is not direct and durable: {}", told(&error))),
                None => Wrong::Connection(told(&error)),
            }),
        }
    }

    /// A number of partitions is fixed at installation: with another one, two lanes of one conversation could be alive.
    async fn check_partitions(&mut self, topology: &Topology) -> Result<(), Wrong> {
        let last = topology.partitions.saturating_sub(1);
        for queue in topology.work_queues() {
            let QueueName::Work { family, neighbour, partition: 0 } = queue else { continue };
            let at = |partition| QueueName::Work { family, neighbour: neighbour.clone(), partition };
            let remedy = format!(
                "to resize, or if one was deleted: stop what publishes, let every queue run empty, delete the {} queues of \
                 {neighbour}, and run `causeway topology apply`",
                family.word(),
            );
            let (beyond, first, last) = (at(topology.partitions), at(0), at(last));
            if self.exists(&beyond).await? {
                return Err(Wrong::Topology(format!(
                    "queue {beyond} is there, so the {} queues of {neighbour} were made with more partitions than \
                     broker.partitions = {}; {remedy}",
                    family.word(),
                    topology.partitions,
                )));
            }
            if first != last && self.exists(&first).await? && !self.exists(&last).await? {
                return Err(Wrong::Topology(format!(
                    "queue {first} is there and queue {last} is missing, so the {} queues of {neighbour} were made with fewer \
                     partitions than broker.partitions = {}; {remedy}",
                    family.word(),
                    topology.partitions,
                )));
            }
        }
        Ok(())
    }

    async fn exists(&mut self, queue: &QueueName) -> Result<bool, Wrong> {
        match self.passive(queue).await {
            Ok(_) => Ok(true),
            Err(error) if code(&error) == Some(NOT_FOUND) => Ok(false),
            Err(error) => Err(Wrong::Connection(told(&error))),
        }
    }

    async fn passive(&mut self, queue: &QueueName) -> lapin::Result<lapin::Queue> {
        let channel = match self.channel.take_if(|channel| channel.status().connected()) {
            Some(channel) => channel,
            None => answered(self.connection, self.connection.create_channel()).await?,
        };
        let options = QueueDeclareOptions::durable().passive();
        let name = queue.to_string();
        let declared = channel.queue_declare(name.as_str().into(), options, FieldTable::default());
        let found = answered(self.connection, declared).await?;
        self.channel = Some(channel);
        Ok(found)
    }

    async fn queue(&mut self, queue: &QueueName) -> Result<(), Wrong> {
        if !self.config.declare {
            self.passive(queue).await.map_err(|error| missing_or_lost(queue, &error))?;
            self.lines.push(format!("queue {queue}: there"));
            return Ok(());
        }
        let wanted = arguments(queue, self.config.replicas, self.unlimited);
        let mut arguments = wanted.clone();
        let mut differences = Vec::new();
        // A refusal names one argument and what the queue has there; declared with that, it names the next one.
        while let Err(refused) = self.declare(queue, arguments.clone()).await? {
            let next = Difference::of(&refused).filter(|_| differences.len() < wanted.inner().len());
            let Some(next) = next else {
                differences.push(Difference { argument: String::new(), told: refused, found: None });
                break;
            };
            arguments = next.applied_to(&arguments);
            differences.push(next);
        }
        let told: Vec<&str> = differences.iter().map(|one| one.told.as_str()).collect();
        let told = told.join(", ");
        if differences.iter().any(|one| one.argument != LIMIT) {
            return Err(Wrong::Topology(format!(
                "queue {queue} was declared otherwise: {told}; when it is empty, delete it, and run `causeway topology apply`"
            )));
        }
        if !differences.is_empty() {
            let line = format!("queue {queue} was declared with another limit: {told}; it is used as it is. {REMEDY}");
            tracing::warn!("{line}");
            self.lines.push(line);
        }
        self.bind(queue).await
    }

    /// The inner error is what the broker said to a declaration it refused.
    async fn declare(&mut self, queue: &QueueName, arguments: FieldTable) -> Result<Result<(), String>, Wrong> {
        let channel = self.channel().await?;
        let options = QueueDeclareOptions::durable();
        let name = queue.to_string();
        let declared = channel.queue_declare(name.as_str().into(), options, arguments);
        match answered(self.connection, declared).await {
            Ok(_) => {
                self.channel = Some(channel);
                Ok(Ok(()))
            }
            Err(error) if code(&error) == Some(PRECONDITION_FAILED) => Ok(Err(told(&error))),
            Err(error) => Err(missing_or_lost(queue, &error)),
        }
    }

    async fn bind(&mut self, queue: &QueueName) -> Result<(), Wrong> {
        let channel = self.channel().await?;
        let name = queue.to_string();
        let bound = channel.queue_bind(
            name.as_str().into(),
            EXCHANGE.into(),
            name.as_str().into(),
            QueueBindOptions::default(),
            FieldTable::default(),
        );
        answered(self.connection, bound).await.map_err(|error| missing_or_lost(queue, &error))?;
        self.channel = Some(channel);
        self.lines.push(format!("queue {queue}: there, and bound"));
        Ok(())
    }
}

fn missing_or_lost(queue: &QueueName, error: &lapin::Error) -> Wrong {
    match code(error) {
        Some(NOT_FOUND) => Wrong::Topology(format!("queue {queue} is missing: run `causeway topology apply`")),
        Some(_) => Wrong::Topology(format!("queue {queue}: {}", told(error))),
        None => Wrong::Connection(told(error)),
    }
}

/// Exactly these, and nothing a policy can set: arguments are frozen with the queue (design 3.4).
fn arguments(queue: &QueueName, replicas: Option<u16>, unlimited: bool) -> FieldTable {
    let mut arguments = FieldTable::default();
    arguments.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
    if matches!(queue, QueueName::Work { .. }) {
        arguments.insert("x-single-active-consumer".into(), AMQPValue::Boolean(true));
    }
    if unlimited {
        arguments.insert(LIMIT.into(), AMQPValue::LongInt(UNLIMITED));
    }
    if let Some(replicas) = replicas {
        arguments.insert("x-quorum-initial-group-size".into(), AMQPValue::LongInt(i32::from(replicas)));
    }
    arguments
}

/// An argument in which a queue is not what it must be.
struct Difference {
    argument: String,
    /// In words, for an operator.
    told: String,
    /// What the queue has there; `None` for nothing.
    found: Option<AMQPValue>,
}

impl Difference {
    /// Out of what RabbitMQ says when it refuses a declaration; `None` where it says something else.
    fn of(refused: &str) -> Option<Self> {
        let (_, rest) = refused.split_once("inequivalent arg '")?;
        let (argument, rest) = rest.split_once('\'')?;
        let (_, rest) = rest.split_once(": received ")?;
        let (wanted, found) = rest.split_once(" but current is ")?;
        // The exclusive, durable and auto-delete flags are told of in the same words, and are no arguments.
        if !argument.starts_with("x-") {
            return None;
        }
        let (wanted, found) = (Printed::of(wanted)?, Printed::of(found)?);
        Some(Self {
            argument: argument.to_owned(),
            told: format!("{argument} is {} and must be {}", found.text, wanted.text),
            found: found.value,
        })
    }

    fn applied_to(&self, arguments: &FieldTable) -> FieldTable {
        let mut applied = FieldTable::default();
        for (key, value) in arguments.inner() {
            if key.as_str() != self.argument {
                applied.insert(key.clone(), value.clone());
            }
        }
        if let Some(found) = &self.found {
            applied.insert(self.argument.as_str().into(), found.clone());
        }
        applied
    }
}

/// A value as RabbitMQ prints it: `none`, `'7'`, or in older versions `the value '7' of type 'signedint'`.
struct Printed {
    text: String,
    value: Option<AMQPValue>,
}

impl Printed {
    fn of(printed: &str) -> Option<Self> {
        if printed.starts_with("none") {
            return Some(Self { text: "not set".to_owned(), value: None });
        }
        let (_, rest) = printed.split_once('\'')?;
        let (text, _) = rest.split_once('\'')?;
        let value = match (text, text.parse()) {
            (_, Ok(number)) => AMQPValue::LongLongInt(number),
            ("true" | "false", _) => AMQPValue::Boolean(text == "true"),
            _ => AMQPValue::LongString(text.into()),
        };
        Some(Self { text: text.to_owned(), value: Some(value) })
    }
}

/// The AMQP reply code of an error the broker sent.
pub(super) fn code(error: &lapin::Error) -> Option<u16> {
    match error.kind() {
        ErrorKind::ProtocolError(error) => Some(error.get_id()),
        _ => None,
    }
}
