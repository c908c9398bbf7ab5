use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{join_all, pending};
use jiff::SignedDuration;
use tokio::sync::watch;

use super::house::{House, consume, message};
use crate::{Config, Done, Failure};

/// A handler that was cut off has not settled anything.
pub async fn redelivered_after_handler_never_finished(config: Config) {
    let house = House::open(&config).await;
    house.publish_row(1, 3).await;
    let mut stuck = house.consume(consume(), |_, _| pending().boxed());
    stuck.until("a try", |log| log.at_work == 1).await;
    assert_eq!(stuck.force().await.tries, [(1, 1)]);
    let house = house.reopen().await;
    let mut consumer = house.consume(consume(), |_, _| async { Ok(Done::Done) }.boxed());
    assert_eq!(consumer.until_done(3).await.tries, [(1, 1), (1, 2), (1, 3)]);
    consumer.stop().await;
    house.empty().await;
}

/// Nor has a consumer that is gone.
pub async fn redelivered_after_consumer_was_dropped(config: Config) {
    let house = House::open(&config).await;
    house.publish_row(1, 3).await;
    let mut stuck = house.consume(consume(), |_, _| pending().boxed());
    stuck.until("a try", |log| log.at_work == 1).await;
    drop(stuck);
    let mut consumer = house.consume(consume(), |_, _| async { Ok(Done::Done) }.boxed());
    assert_eq!(consumer.until_done(3).await.tries, [(1, 1), (1, 2), (1, 3)]);
    consumer.stop().await;
    house.empty().await;
}

/// What is stored is there after a restart, in order, and what was settled is not.
pub async fn survives_reopen(config: Config) {
    let house = House::open(&config).await;
    house.publish_row(1, 4).await;
    let mut settings = consume();
    settings.prefetch = 1;
    let mut first = house.consume(settings, |(_, number), _| {
        async move { if number < 3 { Ok(Done::Done) } else { pending().await } }.boxed()
    });
    first.until("two done and the third begun", |log| log.tries.len() == 3).await;
    first.force().await;
    house.publish_row(2, 2).await;
    let house = house.reopen().await;
    let mut consumer = house.consume(consume(), |_, _| async { Ok(Done::Done) }.boxed());
    let rows = consumer.until_done(4).await.by_conversation();
    assert_eq!((&rows[&1][..], &rows[&2][..]), (&[3, 4][..], &[1, 2][..]));
    consumer.stop().await;
    house.empty().await;
}

/// The soft stage finishes what is at work and gives everything else back in its order.
pub async fn hand_back_in_order_at_soft_stop(config: Config) {
    let house = House::open(&config).await;
    house.publish_row(1, 20).await;
    house.publish_row(2, 20).await;
    let (open, gate) = watch::channel(false);
    let mut first = house.consume(consume(), move |(_, number), _| {
        let mut gate = gate.clone();
        async move {
            if number == 5 {
                let opened = gate.wait_for(|open| *open).await;
                assert!(opened.is_ok(), "the gate is opened before it goes");
            }
            Ok(Done::Done)
        }
        .boxed()
    });
    first.until("both conversations at the gate", |log| log.tries.len() == 10 && log.done.len() == 8).await;
    first.begin_stop();
    open.send_replace(true);
    let log = first.stop().await;
    assert!(log.by_conversation().values().all(|numbers| *numbers == [1, 2, 3, 4, 5]), "{log:?}");
    let mut second = house.consume(consume(), |_, _| async { Ok(Done::Done) }.boxed());
    let log = second.until_done(30).await;
    let rest: Vec<u32> = (6..=20).collect();
    assert!(log.by_conversation().values().all(|numbers| *numbers == rest), "{log:?}");
    second.stop().await;
    house.empty().await;
}

/// A message that waits for its next try does not keep the process.
pub async fn soft_stop_ends_a_wait(config: Config) {
    let house = House::open(&config).await;
    house.publish_row(1, 2).await;
    let tomorrow = Duration::from_secs(3000);
    let mut first = house.consume(consume(), move |_, _| {
        async move { Err(Failure::Retry { after: Some(tomorrow), cause: anyhow::anyhow!("tomorrow") }) }.boxed()
    });
    first.until("a try that ended", |log| log.tries.len() == 1 && log.at_work == 0).await;
    assert_eq!(first.stop().await.tries, [(1, 1)]);
    let mut second = house.consume(consume(), |_, _| async { Ok(Done::Done) }.boxed());
    assert_eq!(second.until_done(2).await.tries, [(1, 1), (1, 2)]);
    second.stop().await;
    house.empty().await;
}

/// What is at work when the soft stage begins is finished and settled, and not done again.
pub async fn soft_stop_finishes_what_is_in_hand(config: Config) {
    let house = House::open(&config).await;
    house.publish(&message(1, 1)).await;
    let (open, gate) = watch::channel(false);
    let mut consumer = house.consume(consume(), move |_, _| {
        let mut gate = gate.clone();
        async move {
            let opened = gate.wait_for(|open| *open).await;
            assert!(opened.is_ok(), "the gate is opened before it goes");
            Ok(Done::Done)
        }
        .boxed()
    });
    consumer.until("a handler at work", |log| log.at_work == 1).await;
    consumer.begin_stop();
    open.send_replace(true);
    assert_eq!(consumer.stop().await.done, [(1, 1)]);
    house.empty().await;
}

/// What was settled stays settled, however much of it there is, and however soon the consumer stops behind it.
pub async fn settled_does_not_come_back_after_a_soft_stop(config: Config) {
    let house = House::open(&config).await;
    join_all((1..=600).map(|conversation| house.publish_row(conversation, 1))).await;
    let (open, gate) = watch::channel(false);
    let mut settings = consume();
    settings.prefetch = 1000;
    let mut first = house.consume(settings, move |(conversation, _), _| {
        let mut gate = gate.clone();
        async move {
            let opened = gate.wait_for(|open| *open).await;
            assert!(opened.is_ok(), "the gate is opened before it goes");
            if conversation % 2 == 1 {
                return Ok(Done::Done);
            }
            Err(Failure::Retry { after: Some(Duration::from_secs(3000)), cause: anyhow::anyhow!("later") })
        }
        .boxed()
    });
    first.until("all at work", |log| log.at_work == 600).await;
    open.send_replace(true);
    first.until_done(300).await;
    first.stop().await;
    let mut second = house.consume(consume(), |_, _| async { Ok(Done::Done) }.boxed());
    let mut again = second.until_done(300).await.tries;
    again.sort_unstable();
    let even: Vec<(u32, u32)> = (1..=300).map(|half| (2 * half, 1)).collect();
    assert_eq!(again, even);
    second.stop().await;
    house.empty().await;
}

/// Of two consumers one is active; the other goes on where it stopped, and a conversation is never in two hands.
pub async fn single_active_consumer(config: Config) {
    let house = House::open(&config).await;
    house.publish_row(1, 40).await;
    let at_work = Arc::new(AtomicUsize::new(0));
    let one_at_a_time = |at_work: &Arc<AtomicUsize>| {
        let at_work = Arc::clone(at_work);
        move |_, _| {
            let at_work = Arc::clone(&at_work);
            async move {
                assert_eq!(at_work.fetch_add(1, Ordering::SeqCst), 0, "two hands");
                tokio::task::yield_now().await;
                at_work.fetch_sub(1, Ordering::SeqCst);
                Ok(Done::Done)
            }
            .boxed()
        }
    };
    let mut first = house.consume(consume(), one_at_a_time(&at_work));
    first.until("the first at work", |log| !log.done.is_empty()).await;
    let mut second = house.consume(consume(), one_at_a_time(&at_work));
    first.until("ten more", |log| log.done.len() > 10).await;
    let before = first.stop().await.done;
    let after = second.until_done(40 - before.len()).await.done;
    let all: Vec<u32> = before.iter().chain(&after).map(|(_, number)| *number).collect();
    assert_eq!(all, (1..=40).collect::<Vec<u32>>());
    second.stop().await;
    house.empty().await;
}

/// A message that is held for long goes back to the broker before it would be taken away, keeps its failed tries, and
/// stays before those behind it.
pub async fn a_long_hold_is_handed_back_with_its_attempts(config: Config) {
    let house = House::open(&config).await;
    house.publish_row(1, 3).await;
    let (tried, attempts) = watch::channel(Vec::new());
    let mut consumer = house.consume(consume(), move |(_, number), attempt| {
        if number == 1 {
            tried.send_modify(|tried| tried.push(attempt));
        }
        async move {
            if number > 1 || attempt > 2 {
                return Ok(Done::Done);
            }
            let after = (attempt == 2).then_some(Duration::from_secs(3000));
            Err(Failure::Retry { after, cause: anyhow::anyhow!("later") })
        }
        .boxed()
    });
    consumer.until("a second try that ended", |log| log.tries.len() == 2 && log.at_work == 0).await;
    house.clock.advance(SignedDuration::from_mins(11));
    assert_eq!(consumer.until_done(3).await.done, [(1, 1), (1, 2), (1, 3)]);
    assert_eq!(*attempts.borrow(), [1, 2, 3]);
    consumer.stop().await;
    house.empty().await;
}
