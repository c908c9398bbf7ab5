//! The whole house in this process, between the simulated neighbours.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::ops::Deref;
use std::path::PathBuf;

use broker::QueueReport;
use causeway::config::{Source, load};
use causeway::house::{House, Opening, Role};
use model::Family;
use runtime::{Clock, Shutdown};
use serde_json::Value;
use tempfile::TempDir;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout_at};

use crate::http::Http;
use crate::neighbours::{Neighbours, SOON};
use crate::settings::{Queues, Settings};

/// A bridge and what stands around it.
pub(crate) struct World {
    neighbours: Neighbours,
    pub(crate) house: House,
    pub(crate) http: Http,
    shutdown: Shutdown,
    settings: Settings,
    folder: TempDir,
}

async fn open(neighbours: &Neighbours, settings: &Settings, folder: &TempDir) -> (House, Shutdown) {
    let text = settings.toml(folder.path(), &neighbours.genesys, &neighbours.netsapiens);
    let source = Source { file: "test.toml", text: &text, environment: Vec::new() };
    let loaded = load(&source, true).unwrap_or_else(|problems| panic!("{problems}"));
    let shutdown = Shutdown::new();
    let (clock, roles) = (Clock::system(), Role::all());
    let opening = Opening { loaded, roles, clock, reload: None, shutdown: shutdown.clone() };
    let house = House::open(opening).await.expect("the house opens");
    neighbours.point_at(house.addresses.http.expect("it plays HTTP roles"));
    (house, shutdown)
}

impl Deref for World {
    type Target = Neighbours;

    fn deref(&self) -> &Neighbours {
        &self.neighbours
    }
}

impl World {
    pub(crate) async fn on(queues: Queues) -> Self {
        Self::with(Settings::on(queues)).await
    }

    pub(crate) async fn with(settings: Settings) -> Self {
        Self::among(Neighbours::start().await, settings).await
    }

    /// Opens the house between neighbours that are there already.
    pub(crate) async fn among(neighbours: Neighbours, settings: Settings) -> Self {
        let folder = TempDir::new().expect("a folder");
        let (house, shutdown) = open(&neighbours, &settings, &folder).await;
        let world = Self { neighbours, house, http: Http::new(), shutdown, settings, folder };
        world.until("a house that is ready", async |world| (world.readyz().await.0 == 200).then_some(())).await;
        world
    }

    /// Closes the house as an upgrade does, and opens it again on what it kept; meanwhile `absence` happens.
    pub(crate) async fn reopened(self, absence: impl AsyncFnOnce(&Neighbours)) -> Self {
        let Self { neighbours, house, http, shutdown, settings, folder } = self;
        shutdown.begin();
        house.closed().await.expect("the house closes well");
        absence(&neighbours).await;
        let (house, shutdown) = open(&neighbours, &settings, &folder).await;
        let world = Self { neighbours, house, http, shutdown, settings, folder };
        world.until("a house that is ready", async |world| (world.readyz().await.0 == 200).then_some(())).await;
        world
    }

    /// Where the files of messages are kept.
    pub(crate) fn blobs(&self) -> PathBuf {
        self.folder.path().join("blobs")
    }

    /// Where Genesys and providers reach the bridge.
    pub(crate) fn bridge(&self) -> SocketAddr {
        self.house.addresses.http.expect("it plays HTTP roles")
    }

    /// Status and body of `/readyz`.
    pub(crate) async fn readyz(&self) -> (u16, Value) {
        self.http.readyz(self.house.addresses.admin).await.expect("the admin listener answers")
    }

    /// The text of `/metrics`.
    pub(crate) async fn metrics(&self) -> String {
        let url = format!("http://{}/metrics", self.house.addresses.admin);
        let answer = self.http.get(url).await.expect("the admin listener answers");
        String::from_utf8(answer.body.to_vec()).expect("it is text")
    }

    /// Looks until there is something to see.
    pub(crate) async fn until<T>(&self, what: &str, mut look: impl AsyncFnMut(&Self) -> Option<T>) -> T {
        let deadline = Instant::now() + SOON;
        let mut ticks = interval(std::time::Duration::from_millis(50));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            match timeout_at(deadline, look(self)).await {
                Ok(Some(seen)) => return seen,
                Ok(None) if Instant::now() < deadline => {}
                Ok(None) | Err(_) => panic!("not in time: {what}"),
            }
        }
    }

    /// The end of every test: nothing waits in any queue, and exactly these families have dead letters.
    pub(crate) async fn end_with_dead_letters(self, expected: &[Family]) {
        let expected: BTreeSet<Family> = expected.iter().copied().collect();
        self.until("empty queues", async |world| {
            let queues = world.house.broker.queues().await.ok()?;
            let work = |queue: &&QueueReport| !queue.queue.starts_with("causeway.dead.");
            queues.iter().filter(work).all(|queue| queue.ready == 0 && queue.in_hand.unwrap_or(0) == 0).then_some(())
        })
        .await;
        let mut dead = BTreeSet::new();
        for family in [Family::Inbound, Family::Replies, Family::Receipts] {
            let letters = self.house.broker.dead_letters(family, 100).await.expect("dead letters can be read");
            if !letters.is_empty() {
                dead.insert(family);
            }
        }
        assert_eq!(dead, expected, "dead letters");
        self.shutdown.begin();
        self.house.closed().await.expect("the house closes well");
        self.neighbours.shutdown.force();
    }

    /// The end of a test after which nothing may be left anywhere.
    pub(crate) async fn end(self) {
        let refusals = self.genesys.refusals();
        assert!(refusals.is_empty(), "Genesys refused calls: {refusals:?}");
        self.end_with_dead_letters(&[]).await;
    }
}

/// Runs a scenario on both brokers.
macro_rules! on_both_brokers {
    ($($(#[$meta:meta])* $name:ident),* $(,)?) => {
        mod embedded {
            $($(#[$meta])* #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() { super::$name($crate::settings::Queues::Embedded).await; })*
        }
        mod rabbitmq {
            $($(#[$meta])* #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() { super::$name($crate::settings::Queues::rabbitmq()).await; })*
        }
    };
}
pub(crate) use on_both_brokers;
