//! Restarts under load, as every upgrade makes them: each ends within its grace, and nothing is lost, repeated, reordered or
//! dead-lettered.

use std::sync::Arc;
use std::time::Duration;

use sandbox::WebhookState;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::settings::Queues;
use crate::town::{Bridge, Town};
use crate::world::on_both_brokers;

on_both_brokers!(
    five_restarts_of_a_whole_bridge,
    #[ignore = "some minutes; make test-full"]
    a_hundred_restarts_of_a_whole_bridge,
);

const CONVERSATIONS: usize = 6;
/// The grace of these bridges is 30 s; an end under load needs little of it.
const ENDS: Duration = Duration::from_secs(25);

/// Replies in several conversations, each after the one before was accepted, until it is told to stop.
struct Load {
    stop: CancellationToken,
    writers: JoinSet<Vec<String>>,
}

impl Load {
    fn start(town: &Arc<Town>) -> Self {
        let (stop, mut writers) = (CancellationToken::new(), JoinSet::new());
        for conversation in 0..CONVERSATIONS {
            writers.spawn(converse(Arc::clone(town), conversation, stop.clone()));
        }
        Self { stop, writers }
    }

    /// The end: every reply was sent once, in order, and its agent told.
    async fn reckon(mut self, town: &Town) {
        self.stop.cancel();
        let mut all = Vec::new();
        while let Some(written) = self.writers.join_next().await {
            all.extend(written.expect("a writer does not panic"));
        }
        town.receipts_told(all.len() as u64).await;
        assert_eq!(town.netsapiens.sent_count(), all.len() as u64, "each was sent once");
        for conversation in 0..CONVERSATIONS {
            let texts = town.on_phone(&consumer(conversation)).into_iter().map(|sms| sms.text);
            let numbers: Vec<usize> = texts.map(|text| text.parse().expect("a number")).collect();
            assert!(!numbers.is_empty() && numbers.is_sorted(), "in order: {numbers:?}");
        }
        for id in &all {
            assert_eq!(town.receipts(id), [("Delivered".to_owned(), Vec::new())]);
        }
    }
}

fn consumer(conversation: usize) -> String {
    format!("1312558{conversation:04}")
}

async fn converse(town: Arc<Town>, conversation: usize, stop: CancellationToken) -> Vec<String> {
    let mut ticks = interval(Duration::from_millis(25));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut ids = Vec::new();
    while !stop.is_cancelled() {
        ticks.tick().await;
        let id = town.reply(&consumer(conversation), &ids.len().to_string());
        assert_eq!(town.webhook_answered(&id).await, WebhookState::Accepted, "Genesys redelivers what was refused");
        ids.push(id);
    }
    ids
}

async fn end(bridge: Bridge) {
    let asked = Instant::now();
    let status = bridge.terminate().await;
    assert!(status.success(), "it ends well: {status}");
    assert!(asked.elapsed() < ENDS, "it ends within its grace");
}

async fn restarts(queues: Queues, count: u64) {
    let town = Arc::new(Town::on(queues).await);
    let mut bridge = town.start().await;
    let load = Load::start(&town);
    for restart in 1..=count {
        town.receipts_told(restart * 10).await;
        end(bridge).await;
        bridge = town.start().await;
    }
    load.reckon(&town).await;
    Arc::into_inner(town).expect("nobody else holds it").end(vec![bridge]).await;
}

async fn five_restarts_of_a_whole_bridge(queues: Queues) {
    restarts(queues, 5).await;
}

async fn a_hundred_restarts_of_a_whole_bridge(queues: Queues) {
    restarts(queues, 100).await;
}

/// Kubernetes' way: a replica of the new version comes up, and then one of the old goes.
async fn upgrades(count: u64) {
    const ROLES: [&str; 3] = ["genesys-outbound", "consumer-outbound", "receipt-emitter"];
    let town = Arc::new(Town::on(Queues::rabbitmq()).await);
    let mut bridges = vec![town.start_role("ingress").await, town.start_role("webhook-ingest").await];
    for role in ROLES {
        bridges.push(town.start_role(role).await);
    }
    let load = Load::start(&town);
    for upgrade in 0..count {
        town.receipts_told(upgrade * 10).await;
        let role = ROLES[usize::try_from(upgrade).expect("a small number") % ROLES.len()];
        // Two replicas that run at once are two processes, with files of their own.
        let name = format!("{role}-{}", upgrade % 2);
        let newcomer = town.start_replica(&name, role, town.settings.queues.clone()).await;
        end(bridges.remove(2)).await;
        bridges.push(newcomer);
    }
    load.reckon(&town).await;
    Arc::into_inner(town).expect("nobody else holds it").end(bridges).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_rolling_upgrades() {
    upgrades(5).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "some minutes; make test-full"]
async fn a_hundred_rolling_upgrades() {
    upgrades(100).await;
}
