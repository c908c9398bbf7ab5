//! RabbitMQ.

use model::Family;
use runtime::{Clock, Shutdown};
use tokio::sync::watch;

use crate::source::{DeadLetter, Delivery, Lost, Tag};
use crate::{
    DeadLetterReport, Envelope, OpenError, PublishError, QueueName, QueueReport, RabbitMqConfig, State, Topology,
};

#[derive(Clone)]
pub(crate) struct Connection;
pub(crate) struct Subscription;

impl Connection {
    pub(crate) async fn open(_: &RabbitMqConfig, _: Topology, _: Clock, _: Shutdown) -> Result<Self, OpenError> {
        unimplemented!()
    }
    pub(crate) async fn publish(&self, _: &QueueName, _: Envelope) -> Result<(), PublishError> {
        unimplemented!()
    }
    pub(crate) async fn subscribe(&self, _: &QueueName, _: u16) -> Result<Subscription, Lost> {
        unimplemented!()
    }
    pub(crate) fn state(&self) -> watch::Receiver<State> {
        unimplemented!()
    }
    pub(crate) async fn apply_topology(&self) -> anyhow::Result<Vec<String>> {
        unimplemented!()
    }
    pub(crate) async fn queues(&self) -> anyhow::Result<Vec<QueueReport>> {
        unimplemented!()
    }
    pub(crate) async fn dead_letters(&self, _: Family, _: usize) -> anyhow::Result<Vec<DeadLetterReport>> {
        unimplemented!()
    }
    pub(crate) async fn close(self) {}
}

impl Subscription {
    pub(crate) async fn next(&mut self) -> Result<Delivery, Lost> {
        unimplemented!()
    }
    pub(crate) async fn ack(&self, _: Tag) -> Result<(), Lost> {
        unimplemented!()
    }
    pub(crate) async fn dead_letter(&self, _: &Delivery, _: &DeadLetter) -> Result<(), Lost> {
        unimplemented!()
    }
    pub(crate) async fn close(self) {}
}
