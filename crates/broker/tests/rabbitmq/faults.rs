//! A broker that fails, and comes back.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use broker::contract::house::{Consumer, House, consume, message, topology};
use broker::{Away, Config, Consumers, Done, PublishError, QueueName, State};
use futures_util::FutureExt;
use model::{Family, Queued};
use test_support::{RabbitNode, Version, own_nodes, shared_vhost};
use tokio::sync::{Mutex, MutexGuard, watch};

use super::admin::{Admin, DEADLINE};
use super::at;

/// A webhook is answered within this, whatever the broker does.
const FAST: Duration = Duration::from_secs(2);

/// A node that one test at a time may maltreat.
async fn own_node() -> MutexGuard<'static, RabbitNode> {
    static NODE: OnceLock<Mutex<RabbitNode>> = OnceLock::new();
    NODE.get_or_init(|| Mutex::new(RabbitNode::start(Version::V43))).lock().await
}

fn conversation_in(partition: u16) -> u32 {
    let there = |conversation: &u32| queue_of(*conversation).ends_with(&format!(".{partition}"));
    (1..).find(there).unwrap()
}

fn queue_of(conversation: u32) -> String {
    format!("causeway.inbound.main.{}", message(conversation, 1).conversation().partition(topology().partitions))
}

/// A consumer that finishes nothing before its gate is opened.
fn behind_a_gate(house: &House) -> (watch::Sender<bool>, Consumer) {
    let (open, gate) = watch::channel(false);
    let consumer = house.consume(consume(), move |_, _| {
        let mut gate = gate.clone();
        async move {
            assert!(gate.wait_for(|open| *open).await.is_ok(), "the gate is opened before it goes");
            Ok(Done::Done)
        }
        .boxed()
    });
    (open, consumer)
}

async fn until(house: &House, what: &str, right: impl FnMut(&State) -> bool) -> State {
    let mut state = house.broker.state();
    let found =
        tokio::time::timeout(DEADLINE, state.wait_for(right)).await.unwrap_or_else(|_| panic!("not in time: {what}"));
    found.unwrap().clone()
}

/// Publishes once, and sees to it that the answer is fast.
async fn publish(house: &House, conversation: u32, number: u32) -> Result<(), PublishError> {
    let began = Instant::now();
    let published = house.broker.publish(&message(conversation, number)).await;
    assert!(began.elapsed() < FAST, "{:?}: {published:?}", began.elapsed());
    published
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_queue_refuses_and_is_declared_again() {
    if !own_nodes() {
        return;
    }
    let url = shared_vhost(Version::V43);
    let house = House::open(&at(&url)).await;
    let admin = Admin::connect(&url).await;
    let lost = conversation_in(0);
    let mut consumer = house.consume(consume(), |_, _| async { Ok(Done::Done) }.boxed());
    house.publish(&message(lost, 1)).await;
    consumer.until_done(1).await;

    // Over one and the same connection, as often as it happens.
    for number in 2..=3 {
        admin.delete(&queue_of(lost)).await;
        let refused = publish(&house, lost, 100).await;
        assert!(matches!(&refused, Err(PublishError::Refused(why)) if why.contains(&queue_of(lost))), "{refused:?}");
        // The refusal made the broker look at its queues, and declare and bind what was missing.
        let stored = async {
            let mut ticks = tokio::time::interval(Duration::from_millis(20));
            while publish(&house, lost, number).await.is_err() {
                ticks.tick().await;
            }
        };
        tokio::time::timeout(DEADLINE, stored).await.expect("a queue again in time");
        consumer.until("what was published to the new queue", |log| log.done.last() == Some(&(lost, number))).await;
    }
    assert_eq!(consumer.log().tries, [(lost, 1), (lost, 2), (lost, 3)]);
    consumer.stop().await;
    admin.close().await;
    house.empty().await;
}

/// Where somebody else declares, a deleted queue costs its own messages alone, until it is declared again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_queue_of_somebody_else_is_left_to_them() {
    if !own_nodes() {
        return;
    }
    let url = shared_vhost(Version::V43);
    House::open(&at(&url)).await.empty().await;
    let Config::RabbitMq(mut config) = at(&url) else { panic!("a RabbitMQ") };
    config.declare = false;
    let house = House::open(&Config::RabbitMq(config)).await;
    let admin = Admin::connect(&url).await;
    let lost = conversation_in(0);
    let mut consumer = house.consume(consume(), |_, _| async { Ok(Done::Done) }.boxed());
    admin.until_consumers(&queue_of(lost), 1).await;

    admin.delete(&queue_of(lost)).await;
    let mut consumers = house.broker.consumers();
    let told = consumers.wait_for(|known| {
        let Some(queues) = known.of(Family::Inbound) else { return false };
        let (away, there): (Vec<_>, Vec<_>) = queues.iter().partition(|(_, away)| away.is_some());
        let named = |(queue, away): &(&QueueName, &Option<Away>)| {
            let why = away.as_ref().map_or("", |away| &away.why);
            queue.to_string() == queue_of(lost) && why.contains("causeway topology apply")
        };
        away.len() == 1 && there.len() == 1 && away.iter().all(named)
    });
    tokio::time::timeout(DEADLINE, told).await.expect("a queue that is told of in time").unwrap();
    for number in 1..=3 {
        let refused = publish(&house, lost, number).await;
        assert!(matches!(&refused, Err(PublishError::Refused(why)) if why.contains(&queue_of(lost))), "{refused:?}");
    }
    let other = conversation_in(1);
    publish(&house, other, 1).await.unwrap();
    consumer.until_done(1).await;
    let listed = house.broker.queues().await.unwrap();
    assert_eq!(listed.len(), 8, "the others are told of: {listed:?}");

    house.broker.apply_topology().await.unwrap();
    publish(&house, lost, 4).await.unwrap();
    assert_eq!(consumer.until_done(2).await.tries, [(other, 1), (lost, 4)]);
    let well = |known: &Consumers| known.of(Family::Inbound).is_some_and(|queues| queues.values().all(Option::is_none));
    assert!(well(&house.broker.consumers().borrow()));
    consumer.stop().await;
    admin.close().await;
    house.empty().await;
}

/// RabbitMQ ends a consumer that holds a message for too long, and says so in a way that looks like a clean end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumer_that_was_ended_subscribes_again() {
    if !own_nodes() {
        return;
    }
    let mut node = own_node().await;
    if !node.is_running() {
        node.restart();
    }
    let house = House::open(&at(&node.url("/"))).await;
    let admin = Admin::connect(&node.url("/")).await;
    node.rabbitmqctl(&["set_policy", "--apply-to", "queues", "impatient", "inbound", r#"{"consumer-timeout":1000}"#]);
    house.publish_row(1, 3).await;
    let (open, mut consumer) = behind_a_gate(&house);
    consumer.until("a message in hand", |log| log.at_work == 1).await;
    admin.until_consumers(&queue_of(1), 0).await;
    node.rabbitmqctl(&["clear_policy", "impatient"]);
    open.send_replace(true);
    let log = consumer.until_done(4).await;
    assert_eq!(log.tries, [(1, 1), (1, 1), (1, 2), (1, 3)]);
    consumer.stop().await;
    admin.close().await;
    house.empty().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_blocked_broker_fails_publishers_fast_and_recovers() {
    if !own_nodes() {
        return;
    }
    let mut node = own_node().await;
    if !node.is_running() {
        node.restart();
    }
    let house = House::open(&at(&node.url("/"))).await;
    let mut consumer = house.consume(consume(), |_, _| async { Ok(Done::Done) }.boxed());
    house.publish(&message(1, 1)).await;
    consumer.until_done(1).await;

    node.block();
    let refused = publish(&house, 1, 2).await;
    assert!(matches!(&refused, Err(PublishError::Blocked(why)) if why.contains("memory")), "{refused:?}");
    let state = until(&house, "blocked", |state| *state != State::Ready).await;
    assert!(matches!(&state, State::Blocked(why) if why.contains("memory")), "{state:?}");
    let refused = publish(&house, 2, 1).await;
    assert!(matches!(refused, Err(PublishError::Blocked(_))), "{refused:?}");

    node.unblock();
    until(&house, "ready", |state| *state == State::Ready).await;
    publish(&house, 3, 1).await.unwrap();
    let log = consumer.until("what was published", |log| log.done.contains(&(3, 1))).await;
    assert!(!log.done.contains(&(2, 1)), "it was refused before anything was sent: {log:?}");
    consumer.stop().await;
    house.empty().await;
}

/// What was confirmed is there after a power cut, what was settled is not, and nobody has to start anything again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_node_comes_back_with_everything() {
    if !own_nodes() {
        return;
    }
    let mut node = own_node().await;
    if !node.is_running() {
        node.restart();
    }
    let house = House::open(&at(&node.url("/"))).await;
    house.publish_row(4, 10).await;
    let mut first = house.consume(consume(), |_, _| async { Ok(Done::Done) }.boxed());
    first.until_done(10).await;
    first.stop().await;
    house.publish_row(1, 20).await;
    let (open, mut consumer) = behind_a_gate(&house);
    consumer.until("a message in hand", |log| log.at_work == 1).await;

    node.kill();
    let refused = publish(&house, 2, 1).await;
    let fast = matches!(refused, Err(PublishError::Unavailable(_) | PublishError::TimedOut));
    assert!(fast, "{refused:?}");
    until(&house, "no connection", |state| matches!(state, State::Connecting(_))).await;
    let refused = publish(&house, 2, 1).await;
    assert!(matches!(refused, Err(PublishError::Unavailable(_))), "{refused:?}");

    node.restart();
    open.send_replace(true);
    until(&house, "ready", |state| *state == State::Ready).await;
    publish(&house, 3, 1).await.unwrap();
    // What was done on the old connection could not be settled: it is done again, from the first one on. How much that is
    // depends on how soon the client notices the cut; what was settled before it is not among it.
    let row: Vec<u32> = (1..=20).collect();
    let whole = |done: &[u32]| done.len() > 20 && done.ends_with(&row);
    let log = consumer
        .until("everything, in order, after the cut", |log| {
            let rows = log.by_conversation();
            rows.contains_key(&3) && rows.get(&1).is_some_and(|done| whole(done))
        })
        .await;
    let rows = log.by_conversation();
    let again = &rows[&1][..rows[&1].len() - 20];
    assert!(row.starts_with(again), "{log:?}");
    assert_eq!(rows.keys().copied().collect::<Vec<_>>(), [1, 3], "{log:?}");
    assert_eq!(rows[&3], [1]);
    consumer.stop().await;
    house.empty().await;
}

/// An alarm blocks those who publish. Those who work through the queues are how it ends.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_blocked_broker_takes_acks() {
    if !own_nodes() {
        return;
    }
    let mut node = own_node().await;
    if !node.is_running() {
        node.restart();
    }
    let house = House::open(&at(&node.url("/"))).await;
    house.publish_row(1, 20).await;
    let (open, mut consumer) = behind_a_gate(&house);
    consumer.until("a message in hand", |log| log.at_work == 1).await;
    node.block();
    // What replicas say to each other is published as well, so the alarm is noticed by those who have nothing to store.
    until(&house, "blocked", |state| matches!(state, State::Blocked(_))).await;
    let blocked = node.rabbitmqctl(&["list_connections", "--silent", "state"]);
    let blocked = String::from_utf8_lossy(&blocked.stdout).lines().filter(|state| state.trim() == "blocked").count();
    assert_eq!(blocked, 1, "the publishing connection alone");
    open.send_replace(true);
    consumer.until_done(20).await;
    // What is in hand counts as well, until its ack is there.
    let held = || {
        let listed = node.rabbitmqctl(&["list_queues", "--silent", "name", "messages"]);
        let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
        listed
            .lines()
            .any(|line| line.split_once('\t').is_some_and(|(name, count)| name == queue_of(1) && count != "0"))
    };
    let emptied = async {
        let mut ticks = tokio::time::interval(Duration::from_millis(500));
        while tokio::task::block_in_place(held) {
            ticks.tick().await;
        }
    };
    tokio::time::timeout(DEADLINE, emptied).await.expect("the acks pass");
    node.unblock();
    until(&house, "ready", |state| *state == State::Ready).await;
    consumer.stop().await;
    house.empty().await;
}
