//! The consuming connection, made again and again.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::anyhow;
use runtime::Shutdown;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use super::connection::LOOK_AGAIN;
use super::link::{self, News, RECONNECT, Watch};
use super::topology::{Surveyor, Wrong};
use crate::{RabbitMqConfig, Topology};

/// How long a subscription waits for a connection before it says that there is none.
const CONNECTED: Duration = Duration::from_secs(10);

/// The consuming connections, one after the other.
pub(super) type Links = watch::Receiver<Option<Arc<lapin::Connection>>>;
/// Why there was none the last time.
type Trouble = Arc<Mutex<Option<String>>>;

/// What consumers know of their connection.
pub(super) struct Consumption {
    links: Links,
    trouble: Trouble,
}

impl Consumption {
    pub(super) fn links(&self) -> Links {
        self.links.clone()
    }

    /// The connection there is, or will be soon. What comes after it is news to this receiver.
    pub(super) async fn connected(&self, links: &mut Links) -> anyhow::Result<Arc<lapin::Connection>> {
        let alive = |link: &Option<Arc<lapin::Connection>>| link.as_ref().is_some_and(|link| link.status().connected());
        let found = tokio::time::timeout(CONNECTED, links.wait_for(alive)).await;
        let found = found.map_err(|_| self.missing())?.map_err(|_| anyhow!("the connection is closed"))?;
        found.clone().ok_or_else(|| self.missing())
    }

    fn missing(&self) -> anyhow::Error {
        let trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        let why = trouble.as_deref().unwrap_or("it is being made");
        anyhow!(
            "RabbitMQ is not connected for consuming: {why}; look at whether it runs, and at its limits of connections"
        )
    }
}

/// The supervisor of the consuming connection. As nothing blocks this one, it also sees to a topology that is in doubt.
pub(super) struct Consuming {
    config: RabbitMqConfig,
    topology: Topology,
    sender: watch::Sender<Option<Arc<lapin::Connection>>>,
    trouble: Trouble,
    doubt: Arc<Notify>,
    stop: Shutdown,
}

impl Consuming {
    pub(super) fn new(
        config: &RabbitMqConfig,
        topology: &Topology,
        doubt: &Arc<Notify>,
        stop: &Shutdown,
    ) -> (Self, Consumption) {
        let (sender, links) = watch::channel(None);
        let trouble = Trouble::default();
        let consumption = Consumption { links, trouble: Arc::clone(&trouble) };
        let (config, topology) = (config.clone(), topology.clone());
        (Self { config, topology, sender, trouble, doubt: Arc::clone(doubt), stop: stop.clone() }, consumption)
    }

    pub(super) async fn supervise(self) {
        let mut failures = 0;
        while !self.stop.is_stopping() {
            match link::connect(&self.config, "causeway consume").await {
                Ok(link) => {
                    failures = 0;
                    self.stay(link).await;
                }
                Err(error) => {
                    failures += 1;
                    let error = format!("{error:#}");
                    tracing::debug!(error, "the consuming connection could not be made");
                    self.tell(error);
                }
            }
            tokio::select! {
                () = tokio::time::sleep(RECONNECT.wait(failures.max(1))) => {}
                () = self.stop.stopping() => {}
            }
        }
    }

    /// Follows a connection to its end.
    async fn stay(&self, link: Arc<lapin::Connection>) {
        let mut watch = Watch::new(Arc::clone(&link));
        self.sender.send_replace(Some(Arc::clone(&link)));
        let mut looked: Option<Instant> = None;
        let why = loop {
            tokio::select! {
                news = watch.next(&self.stop) => match news {
                    News::Blocked(_) | News::Unblocked => {}
                    News::Gone(why) => break Some(why),
                    News::Stopped => break None,
                },
                () = self.doubtful(looked) => {
                    self.look(&link).await;
                    looked = Some(Instant::now());
                }
            }
        };
        self.sender.send_replace(None);
        match why {
            Some(why) => {
                tracing::warn!(why, "the consuming connection was lost; it is made again");
                self.tell(why);
            }
            None => {
                link::close(&link).await;
            }
        }
    }

    /// Waits until the topology is in doubt, and until it was last looked at long enough ago.
    async fn doubtful(&self, looked: Option<Instant>) {
        if let Some(looked) = looked {
            tokio::time::sleep_until(looked + LOOK_AGAIN).await;
        }
        self.doubt.notified().await;
    }

    fn tell(&self, why: String) {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = Some(why);
    }

    /// A queue may have been deleted. What may be declared is declared again; else it is named where an operator looks.
    async fn look(&self, link: &lapin::Connection) {
        let walk = Surveyor::new(link, &self.config).walk(&self.topology);
        match tokio::time::timeout(LOOK_AGAIN, walk).await {
            Ok(Ok(_)) => {}
            Ok(Err(Wrong::Topology(why))) => tracing::error!(why, "messages for some queues cannot be stored"),
            Ok(Err(Wrong::Connection(why))) => tracing::debug!(why, "the topology could not be looked at"),
            Err(_) => tracing::debug!("the topology was not looked at in time"),
        }
    }
}
