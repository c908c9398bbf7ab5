use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use jiff::SignedDuration;
use model::{Family, Queued};

use super::house::{House, consume, message, neighbour, retry};
use crate::{Config, DeadReason, Done, Envelope, Failure, QueueName};

type Answer = BoxFuture<'static, Result<Done, Failure>>;

fn answer(result: Result<Done, Failure>) -> Answer {
    async { result }.boxed()
}

fn rejected(cause: &'static str) -> Failure {
    Failure::Reject { code: "no-such-place", cause: anyhow::anyhow!(cause) }
}

/// A retry keeps its conversation waiting, and the message behind it stays behind it.
pub async fn retry_keeps_order(config: Config) {
    let house = House::open(&config).await;
    house.publish_row(1, 3).await;
    let mut consumer = house.consume(consume(), |(_, number), attempt| {
        answer(if number == 1 && attempt < 4 { Err(retry()) } else { Ok(Done::Done) })
    });
    let log = consumer.until_done(3).await;
    assert_eq!(log.tries, [(1, 1), (1, 1), (1, 1), (1, 1), (1, 2), (1, 3)]);
    consumer.stop().await;
    house.empty().await;
}

/// A message that fails as often as it may is dead-lettered with what happened last.
pub async fn attempts_are_exhausted(config: Config) {
    let house = House::open(&config).await;
    house.publish_row(1, 2).await;
    let mut consumer =
        house.consume(consume(), |(_, number), _| answer(if number == 1 { Err(retry()) } else { Ok(Done::Done) }));
    let log = consumer.until_done(1).await;
    assert_eq!(log.tries, [(1, 1), (1, 1), (1, 1), (1, 1), (1, 1), (1, 2)]);
    assert_eq!(log.told.len(), 1);
    assert_eq!(log.told[0].reason, DeadReason::AttemptsExhausted);
    consumer.stop().await;
    let dead = house.dead().await;
    assert_eq!(dead.len(), 1);
    assert_eq!((dead[0].reason.as_str(), dead[0].detail.as_str()), ("attempts-exhausted", "made to fail"));
    house.settled().await;
}

/// A neighbour that is down costs a message nothing but time.
pub async fn unavailable_spends_no_attempt(config: Config) {
    let house = House::open(&config).await;
    house.publish(&message(1, 1)).await;
    let tries = std::sync::atomic::AtomicU32::new(0);
    let mut consumer = house.consume(consume(), move |_, attempt| {
        assert_eq!(attempt, 1);
        let before = tries.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        let down =
            || Failure::Unavailable { target: "main".to_owned(), after: None, cause: anyhow::anyhow!("it is down") };
        answer(if before < 12 { Err(down()) } else { Ok(Done::Done) })
    });
    assert_eq!(consumer.until_done(1).await.tries.len(), 13);
    consumer.stop().await;
    house.empty().await;
}

/// What is rejected goes to the dead letters with its cause, and its conversation goes on.
pub async fn reject_goes_to_dead_letters_and_lane_goes_on(config: Config) {
    let house = House::open(&config).await;
    house.publish_row(1, 2).await;
    let mut consumer = house.consume(consume(), |(_, number), _| {
        answer(if number == 1 { Err(rejected("it says no")) } else { Ok(Done::Done) })
    });
    let log = consumer.until_done(1).await;
    assert_eq!(log.tries, [(1, 1), (1, 2)]);
    assert_eq!(log.told.len(), 1);
    consumer.stop().await;
    let dead = house.dead().await;
    assert_eq!(dead.len(), 1);
    assert_eq!(dead[0].id, message(1, 1).id.as_str());
    assert_eq!((dead[0].reason.as_str(), dead[0].detail.as_str()), ("no-such-place", "it says no"));
    assert_eq!(dead[0].from, queue_of(1).to_string());
    assert_eq!(dead[0].at, super::house::start());
    house.settled().await;
}

fn queue_of(conversation: u32) -> QueueName {
    let partition = message(conversation, 1).conversation().partition(2);
    QueueName::Work { family: Family::Inbound, neighbour: neighbour(), partition }
}

/// Whoever waits for the message is told before it is dead-lettered, whatever it takes.
pub async fn before_dead_letter_is_tried_until_it_succeeds(config: Config) {
    let house = House::open(&config).await;
    house.publish_row(1, 2).await;
    let mut consumer = house.consume(consume(), |(_, number), _| {
        answer(if number == 1 { Err(rejected("tell me twice")) } else { Ok(Done::Done) })
    });
    let log = consumer.until_done(1).await;
    assert_eq!(log.tries, [(1, 1), (1, 2)]);
    assert_eq!(log.told.len(), 2);
    consumer.stop().await;
    assert_eq!(house.dead().await.len(), 1);
    house.settled().await;
}

/// A body of a version this build does not know is kept, with the version in the cause, and stops nobody.
pub async fn unreadable_body_is_quarantined(config: Config) {
    let house = House::open(&config).await;
    for body in [r#"{"v": 99, "message": {}}"#, "no JSON at all"] {
        let mut envelope = Envelope::of(&message(1, 1));
        envelope.body = Bytes::from_static(body.as_bytes());
        house.broker.publish_envelope(&queue_of(1), envelope).await.expect("stored");
    }
    house.publish(&message(1, 2)).await;
    let mut consumer = house.consume(consume(), |_, _| answer(Ok(Done::Done)));
    assert_eq!(consumer.until_done(1).await.tries, [(1, 2)]);
    consumer.stop().await;
    let dead = house.dead().await;
    assert!(dead.len() == 2 && dead.iter().all(|letter| letter.reason == "unreadable"), "{dead:?}");
    assert!(dead[0].detail.contains("version 99"), "{dead:?}");
    assert!(!dead[1].detail.contains("JSON at all"), "{dead:?}");
    house.settled().await;
}

/// A message of another queue is kept as well.
pub async fn other_type_is_quarantined(config: Config) {
    let house = House::open(&config).await;
    let mut envelope = Envelope::of(&message(1, 1));
    envelope.kind = "Receipt".to_owned();
    house.broker.publish_envelope(&queue_of(1), envelope).await.expect("stored");
    house.publish(&message(1, 2)).await;
    let mut consumer = house.consume(consume(), |_, _| answer(Ok(Done::Done)));
    assert_eq!(consumer.until_done(1).await.tries, [(1, 2)]);
    consumer.stop().await;
    assert_eq!(house.dead().await[0].reason, "unreadable");
    house.settled().await;
}

/// A handler that panics has failed a try, and takes nothing else down.
pub async fn panic_is_a_failed_try(config: Config) {
    let house = House::open(&config).await;
    house.publish_row(1, 2).await;
    house.publish_row(2, 2).await;
    let mut consumer = house.consume(consume(), |(conversation, number), attempt| {
        async move {
            assert!((conversation, number) != (1, 1) || attempt > 2, "made to panic");
            Ok(Done::Done)
        }
        .boxed()
    });
    let log = consumer.until_done(4).await;
    assert_eq!(log.tries.iter().filter(|one| **one == (1, 1)).count(), 3);
    assert!(log.by_conversation().values().all(|numbers| numbers == &[1, 2]), "{log:?}");
    consumer.stop().await;
    house.empty().await;
}

/// A message that is too old is not tried at all.
pub async fn expired_goes_to_dead(config: Config) {
    let house = House::open(&config).await;
    house.publish(&message(1, 1)).await;
    house.clock.advance(SignedDuration::from_secs(3601));
    let mut fresh = message(1, 2);
    fresh.received_at += SignedDuration::from_secs(3601);
    house.publish(&fresh).await;
    let mut consumer = house.consume(consume(), |_, _| answer(Ok(Done::Done)));
    let log = consumer.until_done(1).await;
    assert_eq!(log.tries, [(1, 2)]);
    assert_eq!(log.told[0].reason, DeadReason::Expired);
    consumer.stop().await;
    let dead = house.dead().await;
    assert!(dead.len() == 1 && dead[0].reason == "expired", "{dead:?}");
    house.settled().await;
}

/// A message that waits for its next try expires in time, and not after the wait.
pub async fn expiry_ends_a_wait(config: Config) {
    let house = House::open(&config).await;
    house.publish(&message(1, 1)).await;
    let mut settings = consume();
    settings.expire = Duration::from_millis(300);
    let hand = house.clock.clone();
    let mut consumer = house.consume(settings, move |_, _| {
        // The wait is cut to what is left by the clock; the clock is moved on while it runs.
        hand.advance(SignedDuration::from_millis(200));
        let after = Some(Duration::from_secs(86_400));
        answer(Err(Failure::Retry { after, cause: anyhow::anyhow!("tomorrow") }))
    });
    consumer.until("an expiry", |log| !log.told.is_empty()).await;
    assert_eq!(consumer.stop().await.told[0].reason, DeadReason::Expired);
    house.settled().await;
}

/// What had been done before is settled like what is done now.
pub async fn duplicate_is_settled(config: Config) {
    let house = House::open(&config).await;
    house.publish(&message(1, 1)).await;
    house.publish(&message(1, 1)).await;
    let mut consumer = house.consume(consume(), |_, _| answer(Ok(Done::Duplicate)));
    assert_eq!(consumer.until_done(2).await.tries, [(1, 1), (1, 1)]);
    consumer.stop().await;
    house.empty().await;
}

/// A target in trouble is probed by one call at a time, and not more often than its breaker says; then all goes on at once, and
/// no message has spent a try.
pub async fn a_target_in_trouble_is_probed_by_one(config: Config) {
    const MESSAGES: u32 = 5;
    let house = House::open(&config).await;
    for conversation in 1..=MESSAGES {
        house.publish(&message(conversation, 1)).await;
    }
    let (switch, well) = tokio::sync::watch::channel(false);
    let times = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let tried = std::sync::Arc::clone(&times);
    let mut consumer = house.consume_on(consume(), &["sales", "carrier"], move |_, attempt| {
        assert_eq!(attempt, 1, "trouble spends no try");
        tried.lock().expect("nobody panics over a time").push(tokio::time::Instant::now());
        let down =
            || Failure::Unavailable { target: "carrier".to_owned(), after: None, cause: anyhow::anyhow!("down") };
        answer(if *well.borrow() { Ok(Done::Done) } else { Err(down()) })
    });
    let all = usize::try_from(MESSAGES).expect("a few");
    // The waits between tries are a few milliseconds; only a breaker makes one of two seconds.
    let pause = || {
        let times = times.lock().expect("nobody panics over a time");
        times.windows(2).map(|pair| pair[1].duration_since(pair[0])).max().unwrap_or_default()
    };
    consumer.until("a second probe, two seconds after the first", |_| pause() > Duration::from_millis(1_900)).await;
    let probes = times.lock().expect("nobody panics over a time").len();
    assert!(probes < 2 * all + 3, "{probes} tries are more than each at work and two probes");
    switch.send_replace(true);
    let log = consumer.until_done(all).await;
    assert_eq!(log.told.len(), 0);
    consumer.stop().await;
    house.empty().await;
}

/// A channel that refuses every call holds a quarter of what may be in hand; the rest is told of and dead-lettered, in order.
pub async fn a_refused_channel_holds_a_quarter(config: Config) {
    const MESSAGES: u32 = 12;
    let house = House::open(&config).await;
    for conversation in 1..=MESSAGES {
        house.publish(&message(conversation, 1)).await;
    }
    let settings = crate::Consume { prefetch: 8, ..consume() };
    let mut consumer = house.consume_on(settings, &["sales", "carrier"], |_, _| {
        let cause = anyhow::anyhow!("its secret is refused");
        answer(Err(Failure::Fault { target: "sales".to_owned(), cause }))
    });
    let left = 2;
    let told = usize::try_from(MESSAGES - left).expect("a few");
    let log = consumer.until("all but a quarter of eight", |log| log.told.len() >= told).await;
    assert!(log.told.iter().all(|told| told.reason == DeadReason::Rejected("channel-fault".into())), "{:?}", log.told);
    consumer.stop().await;
    let dead = house.dead().await;
    assert_eq!(dead.len(), told);
    let work = house.broker.queues().await.expect("it answers");
    let waiting: u64 = work.iter().filter(|queue| !queue.queue.contains(".dead.")).map(|queue| queue.ready).sum();
    assert_eq!(waiting, u64::from(left), "what is held is handed back");
}
