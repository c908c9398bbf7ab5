//! One connection to RabbitMQ, made again and again.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use futures_util::{Stream, StreamExt};
use lapin::runtime::default_runtime;
use lapin::tcp::OwnedTLSConfig;
use lapin::uri::AMQPUri;
use lapin::{ConnectionProperties, Event};
use runtime::{Backoff, Shutdown};
use secrecy::ExposeSecret;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use super::told;
use crate::RabbitMqConfig;

/// Waits between tries to connect.
pub(super) const RECONNECT: Backoff = Backoff { base: Duration::from_millis(200), cap: Duration::from_secs(5) };
/// For a whole connection, with its handshakes.
const CONNECT: Duration = Duration::from_secs(10);
/// Seconds between heartbeats. A peer that is silent for two of them is gone: with the 60 that RabbitMQ proposes, a connection
/// into nowhere would hold its partitions for two minutes.
const HEARTBEAT: u16 = 10;
/// How soon a connection that died without a word is noticed, beside its heartbeats.
const LOOK: Duration = Duration::from_secs(1);
/// For one answer. A queue of a cluster that has just come up takes its time to elect a leader.
const ANSWER: Duration = Duration::from_secs(30);
/// For a goodbye, which a peer that is gone never answers.
const GOODBYE: Duration = Duration::from_secs(5);

/// Connects under a name that RabbitMQ's management shows.
pub(super) async fn connect(config: &RabbitMqConfig, name: &str) -> anyhow::Result<Arc<lapin::Connection>> {
    let properties = ConnectionProperties::default().with_connection_name(name.into());
    let tls = OwnedTLSConfig { identity: None, cert_chain: authorities(config)? };
    let connecting = lapin::Connection::connect_uri_with_config(uri(config)?, properties, tls, default_runtime()?);
    let connected = timeout(CONNECT, connecting).await.context("no answer in time")?;
    Ok(Arc::new(connected.map_err(|error| anyhow::anyhow!(told(&error)))?))
}

/// The answer to what was asked over a connection, or an error in time.
///
/// lapin forgets a question that is put to a connection just as it dies (`create_channel` behind the end of its queue of
/// commands, 4.12), and who asked would wait for ever.
pub(super) async fn answered<T>(
    link: &lapin::Connection,
    asked: impl Future<Output = lapin::Result<T>>,
) -> lapin::Result<T> {
    tokio::select! {
        biased;
        answer = asked => answer,
        () = lost(link) => Err(io::Error::new(io::ErrorKind::ConnectionAborted, "the connection was lost").into()),
        () = sleep(ANSWER) => {
            let why = format!("RabbitMQ did not answer within {} seconds", ANSWER.as_secs());
            Err(io::Error::new(io::ErrorKind::TimedOut, why).into())
        }
    }
}

/// Waits for the end of a connection, and a little for the error that says why.
async fn lost(link: &lapin::Connection) {
    while link.status().connected() {
        sleep(LOOK).await;
    }
    sleep(LOOK).await;
}

/// Closes a connection; one that is gone is as good as closed.
pub(super) async fn close(link: &lapin::Connection) {
    let _closed_or_gone = timeout(GOODBYE, link.close(200, "closed".into())).await;
}

/// The URL as it was given; where it says nothing of heartbeats, ours.
pub(super) fn uri(config: &RabbitMqConfig) -> anyhow::Result<AMQPUri> {
    let parsed = config.url.expose_secret().parse::<AMQPUri>();
    let Ok(mut uri) = parsed else { anyhow::bail!("broker.url is no AMQP URL") };
    uri.query.heartbeat.get_or_insert(HEARTBEAT);
    Ok(uri)
}

pub(super) fn authorities(config: &RabbitMqConfig) -> anyhow::Result<Option<String>> {
    let read = |file: &std::path::PathBuf| {
        std::fs::read_to_string(file).with_context(|| format!("broker.tls.ca_file {} cannot be read", file.display()))
    };
    config.ca_file.as_ref().map(read).transpose()
}

/// What a connection tells of itself.
pub(super) enum News {
    Blocked(String),
    Unblocked,
    /// It is gone, and why.
    Gone(String),
    /// The process stops.
    Stopped,
}

/// The news of one connection, in order.
pub(super) struct Watch {
    connection: Arc<lapin::Connection>,
    events: std::pin::Pin<Box<dyn Stream<Item = Event> + Send>>,
    ticks: tokio::time::Interval,
}

impl Watch {
    pub(super) fn new(connection: Arc<lapin::Connection>) -> Self {
        let events = Box::pin(connection.events_listener());
        let mut ticks = interval(LOOK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { connection, events, ticks }
    }

    pub(super) async fn next(&mut self, shutdown: &Shutdown) -> News {
        loop {
            tokio::select! {
                () = shutdown.stopping() => return News::Stopped,
                event = self.events.next() => match event {
                    Some(Event::ConnectionBlocked(why)) => return News::Blocked(why),
                    Some(Event::ConnectionUnblocked) => return News::Unblocked,
                    Some(Event::Error(error)) if !self.connection.status().connected() => return News::Gone(told(&error)),
                    Some(_) => {}
                    None => return News::Gone("the connection ended".to_owned()),
                },
                _ = self.ticks.tick() => {
                    if !self.connection.status().connected() {
                        return News::Gone("the connection was lost".to_owned());
                    }
                }
            }
        }
    }
}
