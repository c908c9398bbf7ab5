//! What goes wrong, chosen by a seed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rand::RngExt;
use rand::rngs::StdRng;
use runtime::Clock;
use test_support::RabbitCluster;
use tokio::task::block_in_place;
use tokio::time::{Instant, sleep_until};

use super::post::Post;
use super::troubles::{LONG_BLOCK, Troubles};
use crate::proxy::Proxy;
use crate::settings::Queues;
use crate::town::{Bridge, Town};

const ROLES: [&str; 5] = ["ingress", "genesys-outbound", "webhook-ingest", "consumer-outbound", "receipt-emitter"];

/// Time between two failures, and how long one lasts.
const BETWEEN: std::ops::Range<u64> = 200..1_500;
const LASTS: std::ops::Range<u64> = 200..2_000;
/// A black hole long enough for both ends to give the connection up by their heartbeats.
const LONG: std::ops::Range<u64> = 21_000..24_000;
/// A memory alarm that outlasts every deadline of a call.
const LONG_ALARM: std::ops::Range<u64> = 31_000..36_000;
/// Until messages wait that the alarm finds.
const BACKLOG: std::ops::Range<u64> = 3_000..6_000;
/// A queue there is whatever the number of partitions: its leader is the one that is killed.
const QUEUE: &str = "causeway.replies.crexendo.0";

/// One role, and its own way to RabbitMQ.
struct Place {
    bridge: Option<Bridge>,
    proxy: Proxy,
    queues: Queues,
}

pub(super) struct Chaos {
    random: StdRng,
    town: Arc<Town>,
    post: Arc<Post>,
    cluster: RabbitCluster,
    places: BTreeMap<&'static str, Place>,
    troubles: Arc<Troubles>,
}

impl Chaos {
    pub(super) async fn new(
        random: StdRng,
        (town, post): (Arc<Town>, Arc<Post>),
        cluster: RabbitCluster,
        troubles: Arc<Troubles>,
    ) -> Self {
        let (url, port) = (cluster.node(0).url("/"), cluster.node(0).port());
        let mut places = BTreeMap::new();
        for role in ROLES {
            let proxy = Proxy::start(port).await;
            let queues = Queues::RabbitMq(proxy.url(&url));
            let bridge = Some(town.start_replica(role, role, queues.clone()).await);
            places.insert(role, Place { bridge, proxy, queues });
        }
        Self { random, town, post, cluster, places, troubles }
    }

    async fn pause(&mut self, range: std::ops::Range<u64>) {
        let pause = Duration::from_millis(self.random.random_range(range));
        sleep_until(Instant::now() + pause).await;
    }

    /// One failure, and its end.
    pub(super) async fn strike(&mut self) {
        self.pause(BETWEEN).await;
        let began = Clock::system().now();
        let name = match self.random.random_range(0..26) {
            0..=3 => self.kill_role().await,
            4 | 5 => self.stop_role().await,
            6 => self.kill_broker().await,
            7 => self.block_broker().await,
            8 => self.reset_connections(),
            9 => self.swallow_connections().await,
            10..=14 => self.genesys_fails().await,
            15..=18 => self.mail_server_fails().await,
            19 | 20 => self.mail_network_fails().await,
            _ => self.provider_fails().await,
        };
        self.troubles.note(name, began);
    }

    fn any_role(&mut self) -> &'static str {
        ROLES[self.random.random_range(0..ROLES.len())]
    }

    fn place(&mut self, role: &'static str) -> &mut Place {
        self.places.get_mut(role).expect("every role has a place")
    }

    fn launch(&mut self, role: &'static str) {
        let queues = self.place(role).queues.clone();
        let bridge = self.town.launch_replica(role, role, queues);
        self.place(role).bridge = Some(bridge);
    }

    fn leaves(&mut self, role: &'static str) -> Bridge {
        self.place(role).bridge.take().expect("every role runs between two failures")
    }

    async fn kill_role(&mut self) -> &'static str {
        let role = self.any_role();
        self.leaves(role).kill().await;
        self.pause(0..1_500).await;
        self.launch(role);
        match role {
            "genesys-outbound" => "genesys-outbound killed",
            "consumer-outbound" => "consumer-outbound killed",
            _ => "other role killed",
        }
    }

    async fn stop_role(&mut self) -> &'static str {
        let role = self.any_role();
        let status = self.leaves(role).terminate().await;
        assert!(status.success(), "{role} ends well on SIGTERM: {status}");
        self.launch(role);
        "role stopped"
    }

    /// One node in a cluster of several, the one that leads; at times all of them, as a power cut would.
    async fn kill_broker(&mut self) -> &'static str {
        let size = self.cluster.size();
        if size > 1 && self.random.random_range(0..4) > 0 {
            let leader = block_in_place(|| self.cluster.leader(QUEUE)).unwrap_or(0);
            block_in_place(|| self.cluster.node_mut(leader).kill());
            // What a load balancer in front of a cluster does.
            let port = self.cluster.running_port();
            self.places.values().for_each(|place| place.proxy.point_at(port));
            self.pause(LASTS).await;
            block_in_place(|| self.cluster.node_mut(leader).restart());
            return "leader of the cluster killed";
        }
        for node in 0..size {
            block_in_place(|| self.cluster.node_mut(node).kill());
        }
        self.pause(LASTS).await;
        block_in_place(|| self.cluster.restart());
        "RabbitMQ killed"
    }

    /// A blocked broker takes acks and delivers all the same: what waits is worked off under a long alarm.
    async fn block_broker(&mut self) -> &'static str {
        let long = self.random.random_range(0..4) == 0;
        let town = Arc::clone(&self.town);
        if long {
            town.genesys.faults().down(true).await;
            town.netsapiens.faults().down(true).await;
            self.pause(BACKLOG).await;
        }
        block_in_place(|| self.cluster.node(0).block());
        if long {
            town.genesys.faults().down(false).await;
            town.netsapiens.faults().down(false).await;
        }
        self.pause(if long { LONG_ALARM } else { LASTS }).await;
        block_in_place(|| self.cluster.node(0).unblock());
        if long { LONG_BLOCK } else { "RabbitMQ blocked" }
    }

    fn reset_connections(&mut self) -> &'static str {
        let role = self.any_role();
        self.place(role).proxy.reset();
        "connections reset"
    }

    async fn swallow_connections(&mut self) -> &'static str {
        let role = self.any_role();
        self.place(role).proxy.swallow();
        let long = self.random.random_range(0..4) == 0;
        self.pause(if long { LONG } else { LASTS }).await;
        self.place(role).proxy.pass();
        if long { "black hole past the heartbeats" } else { "black hole" }
    }

    async fn genesys_fails(&mut self) -> &'static str {
        let calls: u32 = self.random.random_range(1..12);
        let town = Arc::clone(&self.town);
        let faults = town.genesys.faults();
        let name = match self.random.random_range(0..7) {
            0 => {
                faults.answer_500(calls);
                "Genesys answers 500"
            }
            1 => {
                faults.answer_503(calls);
                "Genesys answers 503"
            }
            2 => {
                faults.answer_429(calls, Duration::from_secs(1));
                "Genesys answers 429"
            }
            3 => {
                faults.close_after_accept(calls);
                "Genesys closes after accepting"
            }
            4 => {
                faults.cut_short(calls);
                "Genesys closes in the middle of an answer"
            }
            5 => {
                let more = self.random.random_range(1..3);
                faults.duplicate_webhooks(more);
                "Genesys delivers twice and three times"
            }
            _ => {
                faults.down(true).await;
                self.pause(LASTS).await;
                faults.down(false).await;
                "Genesys down"
            }
        };
        self.pause(LASTS).await;
        faults.duplicate_webhooks(0);
        name
    }

    async fn provider_fails(&mut self) -> &'static str {
        let calls: u32 = self.random.random_range(1..8);
        let town = Arc::clone(&self.town);
        let faults = town.netsapiens.faults();
        match self.random.random_range(0..9) {
            0 => faults.answer_500(calls),
            1 => faults.fail_after_accept(calls),
            2 => faults.answer_503(calls),
            3 => faults.answer_429(calls, Duration::from_secs(1)),
            4 => faults.close_after_accept(calls),
            5 => faults.hang_after_accept(1u32),
            6 => faults.reads_answer_500(calls),
            7 => faults.cut_short(calls),
            _ => {
                faults.down(true).await;
                self.pause(LASTS).await;
                faults.down(false).await;
            }
        }
        self.pause(LASTS).await;
        "provider failed"
    }

    /// Later, no answer, and none any more.
    async fn mail_server_fails(&mut self) -> &'static str {
        let calls: u32 = self.random.random_range(1..8);
        let post = Arc::clone(&self.post);
        let faults = post.server.faults();
        match self.random.random_range(0..7) {
            0 => faults.later(calls),
            1 => faults.busy(calls),
            2 => faults.refuse_content(calls),
            3 => faults.close_before_accept(calls),
            4 => faults.close_after_accept(calls),
            5 => faults.close_after_answer(calls),
            _ => faults.hang_after_accept(1u32),
        }
        self.pause(LASTS).await;
        "mail server failed"
    }

    /// The way between the bridge and a mail server: reset, silent, or leading nowhere.
    async fn mail_network_fails(&mut self) -> &'static str {
        let post = Arc::clone(&self.post);
        let (proxy, out) = match self.random.random_range(0..2) {
            0 => (&post.out, true),
            _ => (&post.inward, false),
        };
        match self.random.random_range(0..3) {
            0 => proxy.reset(),
            1 => {
                proxy.swallow();
                self.pause(LASTS).await;
                proxy.pass();
                return "SMTP black hole";
            }
            _ => {
                proxy.swallow();
                proxy.reset();
                self.pause(LASTS).await;
                proxy.pass();
            }
        }
        if out { "SMTP connections reset" } else { "SMTP connections of consumers reset" }
    }

    /// The end of all failures.
    pub(super) async fn calm(&mut self) {
        self.town.genesys.faults().clear().await;
        self.town.netsapiens.faults().clear().await;
        self.post.server.faults().clear();
        for (role, place) in &mut self.places {
            let bridge = place.bridge.as_mut().expect("every role runs");
            assert!(bridge.becomes_ready().await, "{role} is ready again when the failures are over");
        }
    }

    /// Nothing waits and nothing died; then everything ends.
    pub(super) async fn end(self, town: Arc<Town>) {
        // The cluster and the proxies in front of it stay until the last bridge has ended.
        let Self { mut places, town: own, cluster: _cluster, .. } = self;
        drop(own);
        let town = Arc::into_inner(town).expect("nobody else holds the town any more");
        town.end(places.values_mut().filter_map(|place| place.bridge.take()).collect()).await;
    }
}
