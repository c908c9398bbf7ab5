//! Two-way load over many conversations while everything around it fails at random, and a reckoning at the end.
//!
//! The reckoning is made by the far sides alone: what they had accepted, what reached them, in which order, how often.

mod chaos;
mod load;
mod post;
mod reckoning;
mod troubles;

use std::sync::Arc;
use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::StdRng;
use runtime::Shutdown;
use sandbox::Redelivery;
use test_support::{RabbitCluster, Version, own_nodes};
use tokio::task::{JoinSet, block_in_place};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::mail_in::mail_settings;
use crate::settings::{Queues, Settings};
use crate::town::Town;
use chaos::Chaos;
use load::Load;
use post::Post;
use reckoning::{Kind, Reckoning};
use troubles::Troubles;

/// How long, how wide, and with which chances.
#[derive(Debug, Clone, Copy)]
struct Plan {
    seed: u64,
    length: Duration,
    /// Of texts; there are a quarter as many of mails beside them.
    conversations: u32,
    version: Version,
    /// Nodes of the cluster.
    nodes: usize,
}

/// All that was accepted arrives within this once the failures are over: the longest pause of a breaker, the looks for what was
/// interrupted, and a while for a loaded machine.
const SETTLES: Duration = Duration::from_secs(240);

/// This Genesys never gives a webhook up.
const REDELIVERY: Redelivery =
    Redelivery { attempts: u32::MAX, interval: Duration::from_millis(250), timeout: Duration::from_secs(10) };

/// Above what two hundred conversations send, and below what comes at once when an outage ends.
const PACED: &str = "subscribe = false\npace = \"80/s\"";

#[expect(clippy::disallowed_methods, reason = "a run is told by the environment what to be")]
fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

async fn torture(plan: Plan) {
    announce(&plan);
    let cluster = block_in_place(|| RabbitCluster::start(plan.version, plan.nodes));
    let queues = Queues::RabbitMq(cluster.node(0).url("/"));
    let shutdown = Shutdown::new();
    let post = Arc::new(Post::open(shutdown.clone()).await);
    let settings = mail_settings(queues, &post.keys(), "");
    let town = Arc::new(Town::with(Settings { grace: "10s", provider: PACED, ..settings }).await);
    town.genesys.set_redelivery(REDELIVERY);
    let (random, troubles) = (StdRng::seed_from_u64(plan.seed), Arc::new(Troubles::default()));
    let mut chaos = Chaos::new(random, (Arc::clone(&town), Arc::clone(&post)), cluster, Arc::clone(&troubles)).await;
    let reckoning = Arc::new(Reckoning::default());
    let (stop, over) = (CancellationToken::new(), CancellationToken::new());
    let mut watching = JoinSet::new();
    watching.spawn(Arc::clone(&reckoning).watch(Arc::clone(&town), Arc::clone(&post), over.clone()));
    let mut writers = JoinSet::new();
    let texts = (0..plan.conversations).map(|number| (Kind::Text, number));
    let mails = (0..plan.conversations / 4).map(|number| (Kind::Mail, number));
    for (turn, (kind, conversation)) in (0u64..).zip(texts.chain(mails)) {
        let seed = plan.seed.wrapping_mul(1_000_003) ^ turn;
        let around = (Arc::clone(&town), Arc::clone(&post));
        writers.spawn(Load::new(kind, conversation, seed, around, Arc::clone(&reckoning)).run(stop.clone()));
    }
    let end = Instant::now() + plan.length;
    while Instant::now() < end {
        chaos.strike().await;
    }
    chaos.calm().await;
    stop.cancel();
    while let Some(written) = writers.join_next().await {
        written.expect("a writer does not panic");
    }
    let settled = reckoning.settle(Instant::now() + SETTLES).await;
    over.cancel();
    watching.join_next().await.expect("it watches").expect("it does not panic");
    troubles.lost_answers(town.genesys.faults().answers_lost());
    let verdict = reckoning.verdict(&troubles);
    report(&plan, &troubles, &verdict.to_string());
    assert!(settled && verdict.is_good(), "{verdict}\nlogs of seed {}: {}", plan.seed, town.keep_logs().display());
    chaos.end(town).await;
    shutdown.force();
}

#[expect(clippy::print_stderr, reason = "a long run says what it does, and how to do it again")]
fn announce(plan: &Plan) {
    let Plan { seed, length, conversations, version, nodes } = plan;
    eprintln!(
        "torture: seed {seed}, {} s, {conversations} conversations of texts and {} of mails, {nodes} nodes of RabbitMQ {version:?}",
        length.as_secs(),
        conversations / 4
    );
}

#[expect(clippy::print_stderr, reason = "the table is what the run is for")]
fn report(plan: &Plan, troubles: &Troubles, verdict: &str) {
    eprintln!("torture of seed {} is over: {}\n{verdict}", plan.seed, troubles.told());
}

/// A short form for every run of the tests.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_a_minute_of_everything() {
    if !own_nodes() {
        return;
    }
    let length = Duration::from_secs(30);
    torture(Plan { seed: 20_261_121, length, conversations: 40, version: Version::V43, nodes: 1 }).await;
}

/// `make torture`: `SEED`, `LENGTH`, `CONVERSATIONS` and `RABBITMQ=3.10` say otherwise. 4.3 is a cluster of three nodes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "ten minutes; make torture"]
async fn ten_minutes_of_everything() {
    let seed = variable("CAUSEWAY_TORTURE_SEED").unwrap_or_else(rand::random);
    let length = Duration::from_secs(variable("CAUSEWAY_TORTURE_SECONDS").unwrap_or(600));
    let conversations = u32::try_from(variable("CAUSEWAY_TORTURE_CONVERSATIONS").unwrap_or(200)).expect("a number");
    let version = if variable("CAUSEWAY_TORTURE_OLD").is_some() { Version::V310 } else { Version::V43 };
    let nodes = if version == Version::V43 { 3 } else { 1 };
    torture(Plan { seed, length, conversations, version, nodes }).await;
}
