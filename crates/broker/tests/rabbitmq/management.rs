//! What the management API tells, on both versions.

use std::time::Duration;

use broker::{Broker, Management, Topology};
use model::NeighbourName;
use runtime::{Clock, HttpClient, HttpClientConfig};
use secrecy::SecretString;
use test_support::{RabbitNode, Version, own_nodes};
use tokio::time::{Instant, interval};

use crate::admin::{Admin, DEADLINE};

const QUEUE: &str = "causeway.inbound.main.0";

fn topology(partitions: u16) -> Topology {
    let names = |name: &str| vec![NeighbourName::new(name)];
    Topology { partitions, genesys: names("main"), providers: names("crexendo") }
}

fn management(node: &RabbitNode) -> Management {
    let config = HttpClientConfig { connect_timeout: Duration::from_secs(5), ca_files: Vec::new(), proxy: None };
    let http = HttpClient::new(&config).unwrap();
    let (url, amqp) = (SecretString::from(node.management_url()), SecretString::from(node.url("/")));
    Management::new(&url, &amqp, http).unwrap()
}

/// Asks until what is found is as expected: RabbitMQ's management collects what it tells every few seconds.
async fn until(management: &Management, partitions: u16, what: &str, expected: impl Fn(&[String]) -> bool) {
    let deadline = Instant::now() + DEADLINE;
    let mut ticks = interval(Duration::from_millis(200));
    loop {
        ticks.tick().await;
        let found = management.findings(&topology(partitions)).await;
        if found.as_ref().is_ok_and(|found| expected(found)) {
            return;
        }
        assert!(Instant::now() < deadline, "{what}: {found:?}");
    }
}

fn tells(found: &[String], word: &str) -> bool {
    found.iter().any(|finding| finding.contains(word))
}

async fn rabbitmq_is_looked_at(version: Version) {
    if !own_nodes() {
        return;
    }
    let node = tokio::task::block_in_place(|| RabbitNode::start_managed(version));
    let management = management(&node);
    let broker = Broker::open(crate::at(&node.url("/")), topology(2), Clock::system()).await.unwrap();
    broker.apply_topology().await.unwrap();
    let for_ever = |found: &[String]| found.len() == 3 && tells(found, "keeps message bodies for ever");
    until(&management, 2, "three queues without a policy", for_ever).await;
    management.apply_policies().await.unwrap();
    until(&management, 2, "all is well", <[String]>::is_empty).await;

    let harmful = r#"{"message-ttl":60000,"max-length":10,"delivery-limit":3}"#;
    node.rabbitmqctl(&["set_policy", "--apply-to", "queues", "strict", r"^causeway\.inbound\.main\.0$", harmful]);
    let hurts = |found: &[String]| {
        ["message-ttl", "max-length", "delivery-limit=3"].iter().all(|key| tells(found, &format!("{key} on {QUEUE}")))
            || (tells(found, "sets message-ttl")
                && tells(found, "sets max-length")
                && tells(found, "sets delivery-limit=3"))
    };
    until(&management, 2, "a policy that hurts", hurts).await;
    node.rabbitmqctl(&["clear_policy", "strict"]);
    until(&management, 2, "it is gone", <[String]>::is_empty).await;
    until(&management, 1, "partitions left over", |found| found.len() == 3 && tells(found, "left over")).await;

    let admin = Admin::connect(&node.url("/")).await;
    let consumer = admin.consume(QUEUE).await;
    let looked = management.findings(&topology(2)).await.unwrap();
    assert!(looked.is_empty(), "a consumer that lives is no finding: {looked:?}");
    drop(consumer);
    admin.close().await;
    node.block();
    until(&management, 2, "a memory alarm", |found| tells(found, "memory alarm")).await;
    node.unblock();
    until(&management, 2, "no alarm", <[String]>::is_empty).await;
    broker.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rabbitmq_4_3_is_looked_at() {
    rabbitmq_is_looked_at(Version::V43).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rabbitmq_3_10_is_looked_at() {
    rabbitmq_is_looked_at(Version::V310).await;
}
