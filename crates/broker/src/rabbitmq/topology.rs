//! Exchange, queues and bindings: declared, or verified, and named exactly where they are wrong.

use lapin::options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, ErrorKind, ExchangeKind};

use super::told;
use crate::topology::EXCHANGE;
use crate::{QueueName, RabbitMqConfig, Topology};

/// Reply codes of AMQP 0-9-1.
const NOT_FOUND: u16 = 404;
const PRECONDITION_FAILED: u16 = 406;

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
    /// Whether the broker takes `x-delivery-limit=-1`, as RabbitMQ does from 4.0 on; learnt from its first refusal.
    takes_no_limit: bool,
    lines: Vec<String>,
}

impl<'a> Surveyor<'a> {
    pub(super) fn new(connection: &'a lapin::Connection, config: &'a RabbitMqConfig) -> Self {
        Self { connection, config, channel: None, takes_no_limit: true, lines: Vec::new() }
    }

    /// Declares what is missing, or only verifies where the topology is owned elsewhere; tells what it did, line by line.
    pub(super) async fn walk(mut self, topology: &Topology) -> Result<Vec<String>, Wrong> {
        self.exchange().await?;
        self.check_partitions(topology).await?;
        // The highest partition first: a queue of partition 0 then says that all of them were made.
        let mut queues = topology.work_queues();
        queues.reverse();
        for queue in queues.iter().chain(&Topology::dead_queues()) {
            self.queue(queue).await?;
        }
        if let Some(channel) = self.channel.take() {
            let _closed_or_gone = channel.close(200, "surveyed".into()).await;
        }
        Ok(self.lines)
    }

    async fn channel(&mut self) -> Result<Channel, Wrong> {
        if let Some(channel) = self.channel.take_if(|channel| channel.status().connected()) {
            return Ok(channel);
        }
        self.connection.create_channel().await.map_err(|error| Wrong::Connection(told(&error)))
    }

    async fn exchange(&mut self) -> Result<(), Wrong> {
        let channel = self.channel().await?;
        let options = ExchangeDeclareOptions { passive: !self.config.declare, durable: true, ..Default::default() };
        let declared =
            channel.exchange_declare(EXCHANGE.into(), ExchangeKind::Direct, options, FieldTable::default()).await;
        match declared {
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
            let more = self.exists(&at(topology.partitions)).await?;
            let fewer = last > 0 && self.exists(&at(0)).await? && !self.exists(&at(last)).await?;
            if more || fewer {
                return Err(Wrong::Topology(format!(
                    "{family} queues of {neighbour} were made with {} partitions than broker.partitions = {}; to resize, stop \
                     what publishes, let every queue run empty, delete the queues of {neighbour}, and run `causeway topology apply`",
                    if more { "more" } else { "fewer" },
                    topology.partitions,
                    family = family.word(),
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
            None => self.connection.create_channel().await?,
        };
        let options = QueueDeclareOptions::durable().passive();
        let found = channel.queue_declare(queue.to_string().as_str().into(), options, FieldTable::default()).await?;
        self.channel = Some(channel);
        Ok(found)
    }

    async fn queue(&mut self, queue: &QueueName) -> Result<(), Wrong> {
        if !self.config.declare {
            return match self.passive(queue).await {
                Ok(_) => Ok(self.lines.push(format!("queue {queue}: there"))),
                Err(error) => Err(missing_or_lost(queue, &error)),
            };
        }
        let limited = self.takes_no_limit && matches!(queue, QueueName::Work { .. });
        let Err(refused) = self.declare(queue, limited).await? else { return self.bind(queue).await };
        let Err(again) = self.declare(queue, false).await? else {
            if refused.contains("inequivalent arg 'x-delivery-limit'") {
                let told =
                    "has a delivery limit of its own; it is used as it is, and a policy should set delivery-limit=-1";
                tracing::warn!(%queue, "queue {told}");
                self.lines.push(format!("queue {queue} {told}"));
            } else {
                self.takes_no_limit = false;
            }
            return self.bind(queue).await;
        };
        Err(Wrong::Topology(format!(
            "queue {queue} was declared otherwise: {again}; delete it when it is empty, and run `causeway topology apply`"
        )))
    }

    /// The inner error is what the broker said to a declaration it refused.
    async fn declare(&mut self, queue: &QueueName, no_limit: bool) -> Result<Result<(), String>, Wrong> {
        let channel = self.channel().await?;
        let arguments = arguments(queue, self.config.replicas, no_limit);
        let options = QueueDeclareOptions::durable();
        match channel.queue_declare(queue.to_string().as_str().into(), options, arguments).await {
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
        bound.await.map_err(|error| missing_or_lost(queue, &error))?;
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
fn arguments(queue: &QueueName, replicas: Option<u16>, no_limit: bool) -> FieldTable {
    let mut arguments = FieldTable::default();
    arguments.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
    if matches!(queue, QueueName::Work { .. }) {
        arguments.insert("x-single-active-consumer".into(), AMQPValue::Boolean(true));
    }
    if no_limit {
        arguments.insert("x-delivery-limit".into(), AMQPValue::LongInt(-1));
    }
    if let Some(replicas) = replicas {
        arguments.insert("x-quorum-initial-group-size".into(), AMQPValue::LongInt(i32::from(replicas)));
    }
    arguments
}

/// The AMQP reply code of an error the broker sent.
pub(super) fn code(error: &lapin::Error) -> Option<u16> {
    match error.kind() {
        ErrorKind::ProtocolError(error) => Some(error.get_id()),
        _ => None,
    }
}

/// The policies that belong to the topology, for whoever owns the broker to set (design 3.4).
pub(super) fn policies() -> Vec<String> {
    vec![
        "policies to set, with rabbitmqctl or your operator:".to_owned(),
        r#"  rabbitmqctl set_policy causeway-dead '^causeway\.dead\.' '{"message-ttl":1209600000}' --apply-to queues"#
            .to_owned(),
        "  (dead letters hold message bodies; 1209600000 ms are 14 days)".to_owned(),
    ]
}
