//! The points at which a crash could text somebody twice or keep an agent waiting, each stopped at exactly there: a proxy in
//! front of RabbitMQ holds the one frame that would come next. (After the effect and before the ledger: `crash`.)

use http::{HeaderMap, Method as HttpMethod};
use serde_json::json;
use std::time::Duration;
use test_support::{Version, shared_vhost};
use tokio::task::block_in_place;
use tokio::time::Instant;

use crate::neighbours::SOON;
use crate::proxy::{Method, Proxy, Way};
use crate::settings::{COMPANY, DOMAIN, Queues, USER};
use crate::town::{Bridge, Town};

const CONSUMER: &str = "13125550142";
const ROLE: &str = "consumer-outbound";
const SETTLED: &str = "causeway_settled_total";

/// A town with every role but those named, and a proxy for these.
struct Stage {
    town: Town,
    proxy: Proxy,
    straight: Queues,
    through: Queues,
    others: Vec<Bridge>,
}

impl Stage {
    async fn without(missing: &[&str]) -> Self {
        let url = block_in_place(|| shared_vhost(Version::V43));
        let port = url.rsplit_once(':').and_then(|(_, rest)| rest.split('/').next()?.parse().ok());
        let proxy = Proxy::start(port.expect("the URL names a port")).await;
        let (straight, through) = (Queues::RabbitMq(url.clone()), Queues::RabbitMq(proxy.url(&url)));
        let town = Town::on(straight.clone()).await;
        let mut others = Vec::new();
        for role in ["ingress", "genesys-outbound", "webhook-ingest", ROLE, "receipt-emitter"] {
            if !missing.contains(&role) {
                others.push(town.start_role(role).await);
            }
        }
        Self { town, proxy, straight, through, others }
    }

    /// One reply was sent once, and its agent told once; nothing is left anywhere.
    async fn end(mut self, reply: &str, last: Bridge) {
        assert_eq!(self.town.on_phone(CONSUMER).len(), 1, "nobody is texted twice");
        assert_eq!(self.town.receipts(reply), [("Delivered".to_owned(), Vec::new())]);
        self.others.push(last);
        self.town.end(self.others).await;
    }

    /// Every role ends well, and a dead letter is left.
    async fn close(self, last: Bridge) {
        for bridge in self.others.into_iter().chain([last]) {
            assert!(bridge.terminate().await.success());
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_the_ledger_and_before_the_receipt() {
    let stage = Stage::without(&[ROLE]).await;
    let town = &stage.town;
    let bridge = town.start_replica(ROLE, ROLE, stage.through.clone()).await;
    stage.proxy.hold(Way::ToBroker, Method::BasicPublish);
    let reply = town.reply(CONSUMER, "once");
    town.phones_show(1).await;
    town.trace_says(&reply, "sent").await;
    stage.proxy.held().await;
    assert_eq!(town.genesys.receipt_count(), 0, "the receipt is held");
    bridge.kill().await;
    let bridge = town.start_replica(ROLE, ROLE, stage.straight.clone()).await;
    town.receipts_told(1).await;
    stage.end(&reply, bridge).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_the_receipt_and_before_the_ack() {
    let stage = Stage::without(&[ROLE]).await;
    let town = &stage.town;
    let bridge = town.start_replica(ROLE, ROLE, stage.through.clone()).await;
    stage.proxy.hold(Way::ToBroker, Method::BasicAck);
    let reply = town.reply(CONSUMER, "once");
    town.receipts_told(1).await;
    stage.proxy.held().await;
    bridge.kill().await;
    let bridge = town.start_replica(ROLE, ROLE, stage.straight.clone()).await;
    bridge.metric_is(SETTLED, "duplicate", 1.0).await;
    // The receipt was told again on the way; Genesys hears of it once.
    let emitter = stage.others.last().expect("the last role is the emitter of receipts");
    emitter.metric_is(SETTLED, "duplicate", 1.0).await;
    stage.end(&reply, bridge).await;
}

/// The receipt is stored, and the role never hears of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receipt_whose_confirm_never_comes() {
    let stage = Stage::without(&[ROLE]).await;
    let town = &stage.town;
    let bridge = town.start_replica(ROLE, ROLE, stage.through.clone()).await;
    stage.proxy.hold(Way::ToBridge, Method::BasicAck);
    let reply = town.reply(CONSUMER, "once");
    stage.proxy.held().await;
    town.receipts_told(1).await;
    stage.proxy.pass();
    bridge.metric_is(SETTLED, "replies", 1.0).await;
    stage.end(&reply, bridge).await;
}

/// The message is stored, and the provider is told that it is not, in time; it posts again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_whose_confirm_never_comes() {
    let mut stage = Stage::without(&["ingress"]).await;
    let town = &stage.town;
    let bridge = town.start_replica("ingress", "ingress", stage.through.clone()).await;
    let event = json!([{
        "id": "m-1", "timestamp": town.now(), "type": "sms", "domain": DOMAIN, "direction": "orig",
        "from-number": CONSUMER, "terminating-number": COMPANY, "terminating-user-id": format!("{USER}@{DOMAIN}"),
        "text": "hello", "status": "",
    }]);
    let post = async || {
        let body = event.to_string().into();
        let answer = town.http.call(HttpMethod::POST, town.event_url(), HeaderMap::new(), body).await;
        answer.expect("the listener answers").status.as_u16()
    };
    stage.proxy.hold(Way::ToBridge, Method::BasicAck);
    let began = Instant::now();
    assert_eq!(post().await, 503);
    assert!(began.elapsed() < Duration::from_secs(5), "answered after {:?}", began.elapsed());
    stage.proxy.pass();
    town.agent_sees(1).await;
    assert_eq!(post().await, 200);
    let outbound = stage.others.first().expect("the first role is the one that writes to Genesys");
    outbound.metric_is(SETTLED, "duplicate", 1.0).await;
    assert_eq!(town.seen_by_agent(CONSUMER), ["hello"]);
    stage.others.push(bridge);
    stage.town.end(stage.others).await;
}

/// The replica's call to the provider still runs when RabbitMQ has long given its messages to another.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_is_cut_off_while_its_call_runs() {
    let stage = Stage::without(&[ROLE]).await;
    let town = &stage.town;
    let cut_off = town.start_replica("first", ROLE, stage.through.clone()).await;
    town.netsapiens.faults().slow(Duration::from_secs(12));
    let reply = town.reply(CONSUMER, "once");
    cut_off.metric_is("causeway_lanes", "replies", 1.0).await;
    town.trace_says(&reply, "began").await;
    stage.proxy.sever();
    let successor = town.start_replica(ROLE, ROLE, stage.straight.clone()).await;
    successor.metric_is("causeway_lanes", "replies", 1.0).await;
    assert_eq!(town.netsapiens.sent_count(), 0, "the call still runs while its successor has the message");
    town.receipts_told(1).await;
    cut_off.kill().await;
    stage.end(&reply, successor).await;
}

/// `causeway.dead.{family}` holds so many, and they stay so many while everything else is settled.
async fn dead_are(town: &Town, family: &str, count: u64) {
    let config = town.folder.path().join("ingress.toml").display().to_string();
    let deadline = Instant::now() + SOON;
    loop {
        let output = town.run(&["queues", "--json", "--config", &config]).await;
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let queues: Vec<broker::QueueReport> = serde_json::from_slice(&output.stdout).expect("it is JSON");
        let (dead, work): (Vec<_>, Vec<_>) = queues.iter().partition(|queue| queue.queue.starts_with("causeway.dead."));
        let there = dead.iter().find(|queue| queue.queue.ends_with(family)).map(|queue| queue.ready);
        if work.iter().all(|queue| queue.ready == 0) && there == Some(count) {
            return;
        }
        assert!(Instant::now() < deadline, "{count} dead letters are not there: {queues:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn between_a_refusal_and_its_dead_letter() {
    const OUT: &str = "genesys-outbound";
    let stage = Stage::without(&[OUT]).await;
    let town = &stage.town;
    town.genesys.faults().refuse_400(true);
    let bridge = town.start_replica(OUT, OUT, stage.through.clone()).await;
    stage.proxy.hold(Way::ToBroker, Method::BasicPublish);
    town.text(CONSUMER, "never to be taken");
    town.trace_says(CONSUMER, "dead").await;
    stage.proxy.held().await;
    bridge.kill().await;
    let bridge = town.start_replica(OUT, OUT, stage.straight.clone()).await;
    dead_are(town, "inbound", 1).await;
    stage.close(bridge).await;
}

/// Its agent was told; the confirm of the receipt never came, and the dead letter was still to be stored.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn between_the_verdict_of_a_reply_and_its_dead_letter() {
    let stage = Stage::without(&[ROLE]).await;
    let town = &stage.town;
    town.netsapiens.faults().forbid_word("<script>");
    let bridge = town.start_replica(ROLE, ROLE, stage.through.clone()).await;
    stage.proxy.hold(Way::ToBridge, Method::BasicAck);
    let reply = town.reply(CONSUMER, "write <script>");
    town.receipts_told(1).await;
    stage.proxy.held().await;
    bridge.kill().await;
    let bridge = town.start_replica(ROLE, ROLE, stage.straight.clone()).await;
    dead_are(town, "replies", 1).await;
    assert_eq!(town.receipts(&reply).len(), 1, "its agent is told once");
    stage.close(bridge).await;
}
