use futures_util::FutureExt;
use futures_util::future::{BoxFuture, join_all};
use model::{Family, NeighbourName};
use tokio::sync::watch;

use super::house::{House, consume, message, soon, topology};
use crate::{Config, Consumers, Done, Failure, PublishError};

fn done() -> BoxFuture<'static, Result<Done, Failure>> {
    async { Ok(Done::Done) }.boxed()
}

/// What is published is handled, once, and nothing is left.
pub async fn publish_then_consume(config: Config) {
    let house = House::open(&config).await;
    house.publish(&message(1, 1)).await;
    let mut consumer = house.consume(consume(), |_, attempt| {
        assert_eq!(attempt, 1);
        done()
    });
    consumer.until_done(1).await;
    house.publish(&message(2, 1)).await;
    consumer.until_done(2).await;
    assert_eq!(consumer.stop().await.tries, [(1, 1), (2, 1)]);
    house.empty().await;
}

/// Whoever consumes tells of each of its queues that it is subscribed to.
pub async fn queues_that_are_consumed_are_told(config: Config) {
    let house = House::open(&config).await;
    let mut consumers = house.broker.consumers();
    assert!(consumers.borrow().of(Family::Inbound).is_none(), "nobody has begun");
    let consumer = house.consume(consume(), |_, _| done());
    let all = usize::from(topology().partitions);
    let subscribed = |known: &Consumers| {
        known.of(Family::Inbound).is_some_and(|queues| queues.len() == all && queues.values().all(Option::is_none))
    };
    soon("every queue subscribed", consumers.wait_for(subscribed)).await.expect("a broker that lives");
    assert!(consumers.borrow().of(Family::Replies).is_none(), "nobody consumes these");
    consumer.stop().await;
    house.empty().await;
}

/// Many conversations at once, each in its own order.
pub async fn order_within_conversation(config: Config) {
    let house = House::open(&config).await;
    join_all((1..=10).map(|conversation| house.publish_row(conversation, 30))).await;
    let mut consumer = house.consume(consume(), |_, _| {
        async {
            tokio::task::yield_now().await;
            Ok(Done::Done)
        }
        .boxed()
    });
    let log = consumer.until_done(300).await;
    let row: Vec<u32> = (1..=30).collect();
    assert_eq!(log.by_conversation().len(), 10);
    assert!(log.by_conversation().values().all(|numbers| *numbers == row), "{log:?}");
    consumer.stop().await;
    house.empty().await;
}

/// A conversation that waits delays itself alone, and goes on in order.
pub async fn conversations_flow_past_a_waiting_one(config: Config) {
    let house = House::open(&config).await;
    let (open, gate) = watch::channel(false);
    let mut consumer = house.consume(consume(), move |(conversation, number), _| {
        let mut gate = gate.clone();
        async move {
            if (conversation, number) == (1, 1) {
                gate.wait_for(|open| *open).await.map_err(anyhow::Error::from).map_err(retried)?;
            }
            Ok(Done::Done)
        }
        .boxed()
    });
    house.publish_row(1, 3).await;
    join_all((2..=9).map(|conversation| house.publish_row(conversation, 3))).await;
    let log = consumer.until_done(24).await;
    assert!(!log.by_conversation().contains_key(&1), "{log:?}");
    open.send_replace(true);
    let log = consumer.until_done(27).await;
    assert_eq!(log.by_conversation()[&1], [1, 2, 3]);
    consumer.stop().await;
    house.empty().await;
}

fn retried(cause: anyhow::Error) -> Failure {
    Failure::Retry { after: None, cause }
}

/// No more than `prefetch` of a partition are ever at work.
pub async fn prefetch_bounds_what_is_in_hand(config: Config) {
    let house = House::open(&config).await;
    join_all((1..=60).map(|conversation| house.publish_row(conversation, 1))).await;
    let (open, gate) = watch::channel(false);
    let mut settings = consume();
    settings.prefetch = 4;
    let mut consumer = house.consume(settings, move |_, _| {
        let mut gate = gate.clone();
        async move {
            gate.wait_for(|open| *open).await.map_err(anyhow::Error::from).map_err(retried)?;
            Ok(Done::Done)
        }
        .boxed()
    });
    // Two partitions with four each; that there are never more shows in the largest number that was ever at work.
    let log = consumer.until("two full hands", |log| log.at_work == 8).await;
    assert_eq!(log.tries.len(), 8);
    open.send_replace(true);
    let log = consumer.until("sixty done, never more than eight at work", |log| {
        assert!(log.at_work <= 8, "{log:?}");
        log.done.len() == 60
    });
    log.await;
    consumer.stop().await;
    house.empty().await;
}

/// A body of a megabyte and more.
pub async fn large_body(config: Config) {
    let house = House::open(&config).await;
    let mut large = message(1, 1);
    large.text = format!("1/1 {}", "x".repeat(2 << 20)).into();
    house.publish(&large).await;
    house.publish(&message(1, 2)).await;
    let mut consumer = house.consume(consume(), |_, _| done());
    assert_eq!(consumer.until_done(2).await.done, [(1, 1), (1, 2)]);
    consumer.stop().await;
    house.empty().await;
}

/// Everybody publishes at once; everything arrives once.
pub async fn many_concurrent_publishers(config: Config) {
    let house = House::open(&config).await;
    let mut consumer = house.consume(consume(), |_, _| done());
    join_all((1..=64).map(|conversation| house.publish_row(conversation, 10))).await;
    let log = consumer.until_done(640).await;
    let row: Vec<u32> = (1..=10).collect();
    assert_eq!(log.by_conversation().len(), 64);
    assert!(log.by_conversation().values().all(|numbers| *numbers == row), "{log:?}");
    assert_eq!(consumer.stop().await.tries.len(), 640);
    house.empty().await;
}

/// Nothing is ever stored where nobody will look.
pub async fn publish_to_unknown_queue_is_refused(config: Config) {
    let house = House::open(&config).await;
    let mut lost = message(1, 1);
    lost.genesys = NeighbourName::new("nobody");
    let refused = house.broker.publish(&lost).await;
    assert!(matches!(refused, Err(PublishError::Refused(_))), "{refused:?}");
    house.publish(&message(1, 2)).await;
    let mut consumer = house.consume(consume(), |_, _| done());
    assert_eq!(consumer.until_done(1).await.tries, [(1, 2)]);
    consumer.stop().await;
    house.empty().await;
}

/// Every queue is listed, with what waits in it.
pub async fn queues_are_reported(config: Config) {
    let house = House::open(&config).await;
    house.publish_row(1, 3).await;
    house
        .queues("three messages in one queue of nine", |all| {
            let waiting: Vec<u64> = all.iter().map(|queue| queue.ready).filter(|ready| *ready > 0).collect();
            all.len() == 9 && waiting == [3] && all.iter().any(|queue| queue.queue == "causeway.inbound.main.0")
        })
        .await;
    let mut consumer = house.consume(consume(), |_, _| done());
    consumer.until_done(3).await;
    consumer.stop().await;
    house.empty().await;
}

/// What is there is found, not made again.
pub async fn topology_is_applied_twice(config: Config) {
    let house = House::open(&config).await;
    for _ in 0..2 {
        let lines = house.broker.apply_topology().await.expect("nothing stands in the way");
        assert!(lines.iter().any(|line| line.contains("causeway.inbound.main.1")), "{lines:?}");
        assert!(lines.iter().any(|line| line.contains("causeway.dead.replies")), "{lines:?}");
    }
    house.empty().await;
}
