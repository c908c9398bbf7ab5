use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::anyhow;
use lapin::options::{ConfirmSelectOptions, QueueDeclareOptions};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel};
use model::Family;
use runtime::Shutdown;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use uuid::Uuid;

use super::consuming::{Consuming, Consumption};
use super::link::{self, News, RECONNECT, Watch, answered};
use super::presence::{Mouth, Presence};
use super::share::Wish;
use super::subscription::Subscription;
use super::topology::{Surveyor, Wrong, code};
use super::{greeting, properties, publisher, told};
use crate::source::Lost;
use crate::{Envelope, OpenError, PublishError, QueueName, QueueReport, RabbitMqConfig, State, Topology};

/// RabbitMQ, by two connections: a broker that blocks publishers must not hold back acks. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Connection {
    shared: Arc<Shared>,
}

struct Shared {
    config: RabbitMqConfig,
    topology: Topology,
    stop: Shutdown,
    state: watch::Receiver<State>,
    publishing: Publishers,
    consuming: Consumption,
    /// A message could not be stored though the topology was right when it was looked at.
    doubt: Arc<Notify>,
    /// This replica, among those that play the same role.
    replica: String,
    replicas: Mutex<HashMap<Family, watch::Receiver<BTreeSet<String>>>>,
    supervisors: Mutex<JoinSet<()>>,
}

/// The publishing connections, one after the other.
pub(super) type Publishers = watch::Receiver<Option<Publisher>>;
#[derive(Clone)]
pub(super) struct Publisher {
    pub(super) link: Arc<lapin::Connection>,
    /// With confirms, for messages.
    messages: Channel,
}

/// A topology that is wrong is looked at again this often, for somebody may have mended it.
pub(super) const LOOK_AGAIN: Duration = Duration::from_secs(5);

impl Connection {
    pub(crate) async fn open(config: &RabbitMqConfig, topology: Topology) -> Result<Self, OpenError> {
        // A provider that is there already is as good: the tree holds no other than ring.
        let _already = rustls::crypto::ring::default_provider().install_default();
        let not_yet = "the first connection is being made".to_owned();
        let (state_sender, state) = watch::channel(State::Connecting(not_yet));
        let (publishing_sender, publishing) = watch::channel(None);
        // The connections outlive the soft stage, in which messages in hand are still settled; `close` ends them.
        let stop = Shutdown::new();
        let mut supervisors = JoinSet::new();
        let publish = Publishing {
            config: config.clone(),
            topology: topology.clone(),
            state: state_sender,
            publisher: publishing_sender,
            stop: stop.clone(),
        };
        supervisors.spawn(publish.supervise());
        let doubt = Arc::new(Notify::new());
        let (consume, consuming) = Consuming::new(config, &topology, &doubt, &stop);
        supervisors.spawn(consume.supervise());
        let supervisors = Mutex::new(supervisors);
        let config = config.clone();
        let (replica, replicas) = (Uuid::new_v4().simple().to_string(), Mutex::default());
        let shared =
            Shared { config, topology, stop, state, publishing, consuming, doubt, replica, replicas, supervisors };
        Ok(Self { shared: Arc::new(shared) })
    }

    pub(crate) async fn publish(&self, queue: &QueueName, envelope: Envelope) -> Result<(), PublishError> {
        self.publish_raw(queue, properties::of_envelope(&envelope), &envelope.body).await
    }

    pub(super) async fn publish_raw(
        &self,
        queue: &QueueName,
        properties: BasicProperties,
        body: &[u8],
    ) -> Result<(), PublishError> {
        let mut state = self.state();
        match &*state.borrow() {
            State::Blocked(why) => return Err(PublishError::Blocked(why.clone())),
            State::Connecting(why) => return Err(PublishError::Unavailable(why.clone())),
            State::Topology(why) => return Err(PublishError::Refused(why.clone())),
            State::Ready => {}
        }
        let publisher = self.shared.publishing.borrow().clone();
        let publisher =
            publisher.ok_or_else(|| PublishError::Unavailable("the connection is being made".to_owned()))?;
        let published = publisher::publish(&publisher.messages, &mut state, queue, properties, body).await;
        if matches!(published, Err(PublishError::Refused(_))) {
            self.shared.doubt.notify_one();
        }
        published
    }

    pub(crate) async fn subscribe(&self, queue: &QueueName, prefetch: u16) -> Result<Subscription, Lost> {
        let mut links = self.shared.consuming.links();
        let link = self.shared.consuming.connected(&mut links).await.map_err(|error| Lost(error.to_string()))?;
        Subscription::open(self.clone(), &link, links, queue, prefetch).await
    }

    /// How much this replica wants to be the active consumer of a queue, and news of when that changes.
    pub(super) fn wish(&self, queue: &QueueName) -> Wish {
        let QueueName::Work { family, .. } = queue else { return Wish::none() };
        let of_family = |queue: &&QueueName| matches!(queue, QueueName::Work { family: other, .. } if other == family);
        let queues = self.shared.topology.work_queues();
        let queues = queues.iter().filter(of_family).map(ToString::to_string).collect();
        Wish::new(self.shared.replica.clone(), queue.to_string(), queues, self.replicas(*family))
    }

    /// The replicas that play the role of a family; the first question makes this one known to the others.
    fn replicas(&self, family: Family) -> watch::Receiver<BTreeSet<String>> {
        let mut known = self.shared.replicas.lock().expect("nobody panics while asking for replicas");
        let started = known.entry(family).or_insert_with(|| {
            let id = self.shared.replica.clone();
            let (replicas, seen) = watch::channel(BTreeSet::from([id.clone()]));
            let mouth = Mouth::new(family, id, self.shared.publishing.clone(), self.state());
            let (links, stop) = (self.shared.consuming.links(), self.shared.stop.clone());
            let presence = Presence { mouth, links, replicas, stop };
            self.shared.supervisors.lock().expect("nobody panics while starting").spawn(presence.run());
            seen
        });
        started.clone()
    }

    pub(super) async fn consuming(&self) -> anyhow::Result<Arc<lapin::Connection>> {
        self.shared.consuming.connected(&mut self.shared.consuming.links()).await
    }

    pub(super) fn topology(&self) -> &Topology {
        &self.shared.topology
    }

    pub(crate) fn state(&self) -> watch::Receiver<State> {
        self.shared.state.clone()
    }

    pub(crate) async fn apply_topology(&self) -> anyhow::Result<Vec<String>> {
        let link = self.consuming().await?;
        let config = RabbitMqConfig { declare: true, ..self.shared.config.clone() };
        let walked = Surveyor::new(&link, &config).walk(&self.shared.topology).await;
        walked.map_err(|wrong| match wrong {
            Wrong::Topology(why) | Wrong::Connection(why) => anyhow!(why),
        })
    }

    /// Consumer priorities count for a single active consumer from 4.0 on.
    pub(crate) async fn version(&self) -> anyhow::Result<(String, bool)> {
        let version = greeting::version(&self.shared.config).await?;
        Ok((version.to_string(), version.has_unlimited()))
    }

    pub(crate) async fn queues(&self) -> anyhow::Result<Vec<QueueReport>> {
        let link = self.consuming().await?;
        let mut channel = answered(&link, link.create_channel()).await?;
        let mut reports = Vec::new();
        for queue in self.shared.topology.work_queues().iter().chain(&Topology::dead_queues()) {
            let name = queue.to_string();
            let options = QueueDeclareOptions::durable().passive();
            let declared = channel.queue_declare(name.as_str().into(), options, FieldTable::default());
            match answered(&link, declared).await {
                Ok(found) => reports.push(QueueReport {
                    queue: name,
                    ready: u64::from(found.message_count()),
                    in_hand: None,
                    consumers: Some(u64::from(found.consumer_count())),
                    oldest_seconds: None,
                }),
                // A queue that is missing is told of by the state; the others are still of interest.
                Err(error) if code(&error).is_some() => channel = answered(&link, link.create_channel()).await?,
                Err(error) => return Err(anyhow!(told(&error))),
            }
        }
        let _closed_or_gone = answered(&link, channel.close(200, "looked".into())).await;
        Ok(reports)
    }

    pub(crate) async fn close(self) {
        self.take_leave().await;
        self.shared.stop.force();
        let supervisors = std::mem::take(&mut *self.shared.supervisors.lock().expect("nobody panics while closing"));
        supervisors.join_all().await;
    }
}

impl Connection {
    /// Tells the other replicas at once, so that they need not miss this one before they share what it held. Who cannot be told
    /// finds out within seconds.
    async fn take_leave(&self) {
        let families: Vec<Family> = {
            let known = self.shared.replicas.lock().expect("nobody panics while asking for replicas");
            known.keys().copied().collect()
        };
        for family in families {
            let (id, publishing) = (self.shared.replica.clone(), self.shared.publishing.clone());
            if let Err(error) = Mouth::new(family, id, publishing, self.state()).say("bye").await {
                tracing::debug!(error = told(&error), "the other replicas could not be told");
            }
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.stop.force();
    }
}

/// The supervisor of the publishing connection, which also keeps the state everybody reads.
struct Publishing {
    config: RabbitMqConfig,
    topology: Topology,
    state: watch::Sender<State>,
    publisher: watch::Sender<Option<Publisher>>,
    stop: Shutdown,
}

impl Publishing {
    async fn supervise(self) {
        let mut failures = 0;
        while !self.stop.is_stopping() {
            let connected = tokio::select! {
                connected = self.connect() => connected,
                () = self.stop.stopping() => return,
            };
            let wait = match connected {
                Ok(watch) => {
                    failures = 0;
                    self.stay(watch).await;
                    RECONNECT.wait(1)
                }
                Err(Wrong::Topology(why)) => {
                    self.tell(State::Topology(why));
                    LOOK_AGAIN
                }
                Err(Wrong::Connection(why)) => {
                    failures += 1;
                    self.tell(State::Connecting(why));
                    RECONNECT.wait(failures)
                }
            };
            self.publisher.send_replace(None);
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = self.stop.stopping() => {}
            }
        }
    }

    async fn connect(&self) -> Result<(Arc<lapin::Connection>, Watch), Wrong> {
        let lost = |error: lapin::Error| Wrong::Connection(told(&error));
        let link = link::connect(&self.config, "causeway publish").await;
        let link = link.map_err(|error| Wrong::Connection(format!("{error:#}")))?;
        let watch = Watch::new(Arc::clone(&link));
        Surveyor::new(&link, &self.config).walk(&self.topology).await?;
        let messages = answered(&link, link.create_channel()).await.map_err(lost)?;
        let confirms = messages.confirm_select(ConfirmSelectOptions::default());
        answered(&link, confirms).await.map_err(lost)?;
        self.publisher.send_replace(Some(Publisher { link: Arc::clone(&link), messages }));
        Ok((link, watch))
    }

    /// Follows a connection to its end.
    async fn stay(&self, (link, mut watch): (Arc<lapin::Connection>, Watch)) {
        let blocked = link.status().blocked();
        self.tell(if blocked { State::Blocked("an alarm is in force".to_owned()) } else { State::Ready });
        loop {
            match watch.next(&self.stop).await {
                News::Blocked(why) => self.tell(State::Blocked(why)),
                News::Unblocked => self.tell(State::Ready),
                News::Gone(why) => return self.tell(State::Connecting(why)),
                News::Stopped => {
                    link::close(&link).await;
                    return;
                }
            }
        }
    }

    fn tell(&self, state: State) {
        let changed = self.state.send_if_modified(|known| {
            let changed = *known != state;
            known.clone_from(&state);
            changed
        });
        match &state {
            State::Ready if changed => tracing::info!("RabbitMQ is connected, and messages can be stored"),
            _ if changed => tracing::warn!(?state, "messages cannot be stored"),
            _ => {}
        }
    }
}
