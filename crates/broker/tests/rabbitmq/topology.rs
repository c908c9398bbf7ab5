//! Queues that are missing, or not what they must be.

use std::time::Duration;

use broker::contract::house::{House, consume, message, topology};
use broker::{Broker, Config, Done, PublishError, State, Topology};
use futures_util::FutureExt;
use lapin::types::{AMQPValue, FieldTable};
use runtime::Clock;
use test_support::{Version, own_nodes, shared_vhost};

use super::admin::{Admin, DEADLINE, quorum};
use super::at;

async fn open(config: Config, topology: Topology) -> Broker {
    Broker::open(config, topology, Clock::system()).await.unwrap()
}

/// What the broker says of a topology it cannot work with.
async fn complaint(broker: &Broker) -> String {
    let mut state = broker.state();
    let found = tokio::time::timeout(DEADLINE, state.wait_for(|state| !matches!(state, State::Connecting(_)))).await;
    match &*found.expect("a state in time").unwrap() {
        State::Topology(why) => why.clone(),
        other => panic!("{other:?}"),
    }
}

async fn ready(broker: &Broker) {
    let mut state = broker.state();
    tokio::time::timeout(DEADLINE, state.wait_for(|state| *state == State::Ready))
        .await
        .expect("ready in time")
        .unwrap();
}

/// Opens on a queue that was declared otherwise, and expects to be told so by name.
async fn refused(version: Version, queue: &str, arguments: FieldTable, differences: &str) {
    let url = shared_vhost(version);
    let admin = Admin::connect(&url).await;
    admin.declare(queue, arguments).await;
    let broker = open(at(&url), topology()).await;
    let why = complaint(&broker).await;
    let named = why.starts_with(&format!("queue {queue} was declared otherwise: {differences}; "));
    assert!(named && why.contains("delete it") && why.contains("causeway topology apply"), "{why}");
    let published = broker.publish(&message(1, 1)).await;
    assert!(matches!(&published, Err(PublishError::Refused(told)) if *told == why), "{published:?}");
    let applied = broker.apply_topology().await.unwrap_err();
    assert!(applied.to_string().contains(queue), "{applied}");
    admin.close().await;
    broker.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_classic_queue_is_refused() {
    if !own_nodes() {
        return;
    }
    // The older version tells of what was declared, the newer one of what it was made to be.
    for (version, kind) in [(Version::V43, "classic"), (Version::V310, "not set")] {
        let differences =
            format!("x-single-active-consumer is not set and must be true, x-queue-type is {kind} and must be quorum");
        refused(version, "causeway.receipts.main.1", FieldTable::default(), &differences).await;
    }
    let differences = "x-queue-type is classic and must be quorum";
    refused(Version::V43, "causeway.dead.replies", FieldTable::default(), differences).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_for_many_consumers_is_refused() {
    if !own_nodes() {
        return;
    }
    let mut arguments = quorum(false);
    arguments.insert("x-delivery-limit".into(), AMQPValue::LongInt(20));
    let alone = "x-single-active-consumer is not set and must be true";
    for (version, limit) in [(Version::V43, "-1"), (Version::V310, "not set")] {
        let differences = format!("{alone}, x-delivery-limit is 20 and must be {limit}");
        refused(version, "causeway.inbound.main.1", arguments.clone(), &differences).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_number_of_partitions_is_refused() {
    if !own_nodes() {
        return;
    }
    let url = shared_vhost(Version::V43);
    let of = |partitions| Topology { partitions, ..topology() };
    let broker = open(at(&url), of(3)).await;
    ready(&broker).await;
    broker.close().await;
    let found = [
        (2, "more", "queue causeway.inbound.main.2 is there"),
        (4, "fewer", "queue causeway.inbound.main.3 is missing"),
    ];
    for (partitions, word, evidence) in found {
        let broker = open(at(&url), of(partitions)).await;
        let why = complaint(&broker).await;
        let told = format!("with {word} partitions than broker.partitions = {partitions}");
        assert!(why.contains("the inbound queues of main") && why.contains(&told), "{why}");
        assert!(
            why.contains(evidence) && why.contains("run empty") && why.contains("causeway topology apply"),
            "{why}"
        );
        assert!(matches!(broker.publish(&message(1, 1)).await, Err(PublishError::Refused(_))));
        broker.close().await;
    }
    let broker = open(at(&url), of(3)).await;
    ready(&broker).await;
    broker.close().await;
}

/// A limit is the one thing in which a queue may differ, for a policy can mend it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_with_another_limit_is_used() {
    if !own_nodes() {
        return;
    }
    let versions = [
        (Version::V43, [("main.0", None, "not set and must be -1"), ("main.1", Some(7), "7 and must be -1")]),
        (Version::V310, [("main.0", Some(-1), "-1 and must be not set"), ("main.1", Some(7), "7 and must be not set")]),
    ];
    for (version, queues) in versions {
        let url = shared_vhost(version);
        let admin = Admin::connect(&url).await;
        let queues = queues.map(|(name, limit, told)| (format!("causeway.inbound.{name}"), limit, told));
        for (queue, limit, _) in &queues {
            let mut arguments = quorum(true);
            limit.map(|limit| arguments.insert("x-delivery-limit".into(), AMQPValue::LongInt(limit)));
            admin.declare(queue, arguments).await;
        }
        let house = House::open(&at(&url)).await;
        let lines = house.broker.apply_topology().await.unwrap();
        for (queue, _, limit) in queues {
            let told = format!("queue {queue} was declared with another limit: x-delivery-limit is {limit};");
            assert!(lines.iter().any(|line| line.starts_with(&told) && line.contains("policy")), "{told}: {lines:?}");
        }
        for conversation in 1..=8 {
            house.publish(&message(conversation, 1)).await;
        }
        let mut consumer = house.consume(consume(), |_, _| async { Ok(Done::Done) }.boxed());
        assert_eq!(consumer.until_done(8).await.tries.len(), 8);
        consumer.stop().await;
        admin.close().await;
        house.empty().await;
    }
}

/// Where somebody else owns the topology nothing is declared, and what is missing is named until it is there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_missing_is_named_and_not_declared() {
    if !own_nodes() {
        return;
    }
    let url = shared_vhost(Version::V43);
    let Config::RabbitMq(mut config) = at(&url) else { panic!("a RabbitMQ") };
    config.declare = false;
    let broker = open(Config::RabbitMq(config.clone()), topology()).await;
    let why = complaint(&broker).await;
    assert!(why.contains("exchange causeway is missing") && why.contains("causeway topology apply"), "{why}");
    broker.close().await;

    let admin = Admin::connect(&url).await;
    admin.declare_exchange("causeway").await;
    let broker = open(Config::RabbitMq(config.clone()), topology()).await;
    let why = complaint(&broker).await;
    let named = topology().work_queues().iter().any(|queue| why.contains(&format!("queue {queue} is missing")));
    assert!(named && why.contains("causeway topology apply"), "{why}");

    // Asked to, it declares; and it finds out by itself that nothing is missing any more.
    broker.apply_topology().await.unwrap();
    ready(&broker).await;
    broker.publish(&message(1, 1)).await.unwrap();
    broker.close().await;

    admin.delete("causeway.dead.replies").await;
    let broker = open(Config::RabbitMq(config), topology()).await;
    let why = complaint(&broker).await;
    assert!(why.contains("queue causeway.dead.replies is missing"), "{why}");
    admin.close().await;
    broker.close().await;
}

/// A broker that is not there costs nothing but an answer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_at_the_other_end() {
    if !own_nodes() {
        return;
    }
    let port = test_support::free_port();
    let broker = open(at(&format!("amqp://guest:guest@127.0.0.1:{port}/%2f")), topology()).await;
    assert!(matches!(&*broker.state().borrow(), State::Connecting(_)));
    let began = std::time::Instant::now();
    let refused = broker.publish(&message(1, 1)).await;
    assert!(matches!(refused, Err(PublishError::Unavailable(_))), "{refused:?}");
    assert!(began.elapsed() < Duration::from_secs(2));
    tokio::time::timeout(DEADLINE, broker.close()).await.expect("closing in time");
}
