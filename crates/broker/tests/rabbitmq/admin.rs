//! An operator's hands: a connection of its own, which knows nothing of the crate under test.

use std::time::Duration;

use lapin::options::{
    BasicConsumeOptions, BasicGetOptions, BasicPublishOptions, ExchangeDeclareOptions, QueueDeclareOptions,
    QueueDeleteOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, ConnectionProperties, Consumer, ExchangeKind};

/// Nothing takes as long as this unless it is broken.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

pub(crate) struct Admin {
    connection: lapin::Connection,
    pub(crate) channel: Channel,
}

impl Admin {
    pub(crate) async fn connect(url: &str) -> Self {
        let connection = lapin::Connection::connect(url, ConnectionProperties::default()).await.unwrap();
        let channel = connection.create_channel().await.unwrap();
        Self { connection, channel }
    }

    /// Declares a durable queue with exactly these arguments.
    pub(crate) async fn declare(&self, queue: &str, arguments: FieldTable) {
        self.channel.queue_declare(queue.into(), QueueDeclareOptions::durable(), arguments).await.unwrap();
    }

    pub(crate) async fn declare_exchange(&self, exchange: &str) {
        let options = ExchangeDeclareOptions { durable: true, ..Default::default() };
        let kind = ExchangeKind::Direct;
        self.channel.exchange_declare(exchange.into(), kind, options, FieldTable::default()).await.unwrap();
    }

    pub(crate) async fn delete(&self, queue: &str) {
        self.channel.queue_delete(queue.into(), QueueDeleteOptions::default()).await.unwrap();
    }

    pub(crate) async fn consume(&self, queue: &str) -> Consumer {
        let options = BasicConsumeOptions::default();
        self.channel.basic_consume(queue.into(), "admin".into(), options, FieldTable::default()).await.unwrap()
    }

    /// Takes a message, without settling it.
    pub(crate) async fn get(&self, queue: &str) -> lapin::message::Delivery {
        self.channel.basic_get(queue.into(), BasicGetOptions::default()).await.unwrap().unwrap().delivery
    }

    /// Puts bytes into a queue.
    pub(crate) async fn put(&self, queue: &str, body: &[u8], properties: BasicProperties) {
        let options = BasicPublishOptions::default();
        self.channel.basic_publish("".into(), queue.into(), options, body, properties).await.unwrap();
    }

    /// Waits until as many consumers hang on a queue.
    pub(crate) async fn until_consumers(&self, queue: &str, count: u32) {
        let looks = async {
            let mut ticks = tokio::time::interval(Duration::from_millis(50));
            loop {
                ticks.tick().await;
                let options = QueueDeclareOptions::durable().passive();
                let found = self.channel.queue_declare(queue.into(), options, FieldTable::default()).await.unwrap();
                if found.consumer_count() == count {
                    return;
                }
            }
        };
        tokio::time::timeout(DEADLINE, looks).await.expect("as many consumers in time");
    }

    pub(crate) async fn close(self) {
        self.connection.close(200, "done".into()).await.unwrap();
    }
}

/// Arguments as design 3.4 has them, but for the limit.
pub(crate) fn quorum(single_active: bool) -> FieldTable {
    let mut arguments = FieldTable::default();
    arguments.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
    if single_active {
        arguments.insert("x-single-active-consumer".into(), AMQPValue::Boolean(true));
    }
    arguments
}
