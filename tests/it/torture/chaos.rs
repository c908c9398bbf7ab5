//! What goes wrong, chosen by a seed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rand::RngExt;
use rand::rngs::StdRng;
use test_support::RabbitNode;
use tokio::task::block_in_place;
use tokio::time::{Instant, sleep_until};

use crate::town::{Bridge, Town};

const ROLES: [&str; 5] = ["ingress", "genesys-outbound", "webhook-ingest", "consumer-outbound", "receipt-emitter"];

/// Time between two failures, and how long one lasts.
const BETWEEN: std::ops::Range<u64> = 200..1_500;
const LASTS: std::ops::Range<u64> = 200..2_000;

pub(super) struct Chaos {
    random: StdRng,
    town: Arc<Town>,
    node: RabbitNode,
    bridges: BTreeMap<&'static str, Bridge>,
    told: BTreeMap<&'static str, u32>,
}

impl Chaos {
    pub(super) async fn new(random: StdRng, town: Arc<Town>, node: RabbitNode) -> Self {
        let mut bridges = BTreeMap::new();
        for role in ROLES {
            bridges.insert(role, town.start_role(role).await);
        }
        Self { random, town, node, bridges, told: BTreeMap::new() }
    }

    async fn pause(&mut self, range: std::ops::Range<u64>) {
        let pause = Duration::from_millis(self.random.random_range(range));
        sleep_until(Instant::now() + pause).await;
    }

    /// One failure, and its end.
    pub(super) async fn strike(&mut self) {
        self.pause(BETWEEN).await;
        let name = match self.random.random_range(0..16) {
            0..=3 => self.kill_role().await,
            4 | 5 => self.stop_role().await,
            6 => self.kill_broker().await,
            7 => self.block_broker().await,
            8..=11 => self.genesys_fails().await,
            _ => self.provider_fails().await,
        };
        *self.told.entry(name).or_default() += 1;
    }

    fn any_role(&mut self) -> &'static str {
        ROLES[self.random.random_range(0..ROLES.len())]
    }

    async fn kill_role(&mut self) -> &'static str {
        let role = self.any_role();
        self.bridges.remove(role).expect("every role runs").kill().await;
        self.pause(0..1_500).await;
        self.bridges.insert(role, self.town.launch_role(role));
        "role killed"
    }

    async fn stop_role(&mut self) -> &'static str {
        let role = self.any_role();
        let status = self.bridges.remove(role).expect("every role runs").terminate().await;
        assert!(status.success(), "{role} ends well on SIGTERM: {status}");
        self.bridges.insert(role, self.town.launch_role(role));
        "role stopped"
    }

    async fn kill_broker(&mut self) -> &'static str {
        block_in_place(|| self.node.kill());
        self.pause(LASTS).await;
        block_in_place(|| self.node.restart());
        "RabbitMQ killed"
    }

    async fn block_broker(&mut self) -> &'static str {
        block_in_place(|| self.node.block());
        self.pause(LASTS).await;
        block_in_place(|| self.node.unblock());
        "RabbitMQ blocked"
    }

    async fn genesys_fails(&mut self) -> &'static str {
        let calls: u32 = self.random.random_range(1..12);
        let genesys = Arc::clone(&self.town);
        let faults = genesys.genesys.faults();
        match self.random.random_range(0..6) {
            0 => faults.answer_500(calls),
            1 => faults.answer_503(calls),
            2 => faults.answer_429(calls, Duration::from_secs(1)),
            3 => faults.close_after_accept(calls),
            4 => faults.duplicate_webhooks(2),
            _ => {
                faults.down(true).await;
                self.pause(LASTS).await;
                faults.down(false).await;
            }
        }
        self.pause(LASTS).await;
        faults.duplicate_webhooks(0);
        "Genesys failed"
    }

    async fn provider_fails(&mut self) -> &'static str {
        let calls: u32 = self.random.random_range(1..8);
        let town = Arc::clone(&self.town);
        let faults = town.netsapiens.faults();
        match self.random.random_range(0..8) {
            0 => faults.answer_500(calls),
            1 => faults.fail_after_accept(calls),
            2 => faults.answer_503(calls),
            3 => faults.answer_429(calls, Duration::from_secs(1)),
            4 => faults.close_after_accept(calls),
            5 => faults.hang_after_accept(1u32),
            6 => faults.reads_answer_500(calls),
            _ => {
                faults.down(true).await;
                self.pause(LASTS).await;
                faults.down(false).await;
            }
        }
        self.pause(LASTS).await;
        "provider failed"
    }

    /// The end of all failures.
    pub(super) async fn calm(&mut self) {
        self.town.genesys.faults().clear().await;
        self.town.netsapiens.faults().clear().await;
        for (role, bridge) in &mut self.bridges {
            assert!(bridge.becomes_ready().await, "{role} is ready again when the failures are over");
        }
    }

    /// What went wrong how often.
    pub(super) fn told(&self) -> String {
        let told: Vec<String> = self.told.iter().map(|(name, times)| format!("{name} {times}")).collect();
        told.join(", ")
    }

    /// Nothing waits and nothing died; then everything ends.
    pub(super) async fn end(self, town: Arc<Town>) {
        let Self { bridges, town: own, .. } = self;
        drop(own);
        let town = Arc::into_inner(town).expect("nobody else holds the town any more");
        town.end(bridges.into_values().collect()).await;
    }
}
