use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use model::{Family, MessageId, NeighbourName, TraceId};
use runtime::{Clock, ManualClock};
use tokio::time::timeout;

use super::queue::LEASE;
use super::{Store, Subscription};
use crate::source::{Content, DeadLetter, Delivery};
use crate::{EmbeddedConfig, Envelope, OpenError, PublishError, QueueName, State, Topology};

const DEADLINE: Duration = Duration::from_secs(30);

pub(super) fn topology(partitions: u16) -> Topology {
    Topology { partitions, genesys: vec![NeighbourName::new("main")], providers: vec![] }
}

pub(super) fn queue(partition: u16) -> QueueName {
    QueueName::Work { family: Family::Inbound, neighbour: NeighbourName::new("main"), partition }
}

pub(super) fn envelope(number: u64, len: usize) -> Envelope {
    Envelope {
        id: MessageId::new(format!("in-{number}")),
        kind: "InboundMessage".to_owned(),
        conversation: format!("{:032x}", number % 7),
        trace: TraceId::new(format!("trace-{number}")),
        received_at: Timestamp::from_nanosecond(1_800_000_000_123_456_789 + i128::from(number)).unwrap(),
        body: Bytes::from(vec![b'x'; len]),
    }
}

pub(super) fn clock() -> (Clock, ManualClock) {
    Clock::manual(Timestamp::from_second(1_800_000_000).unwrap())
}

pub(super) async fn open(folder: &Path, clock: &Clock) -> Store {
    open_with(folder, clock, 2).await.unwrap()
}

async fn open_with(folder: &Path, clock: &Clock, partitions: u16) -> Result<Store, OpenError> {
    Store::open(&EmbeddedConfig { path: folder.to_owned() }, topology(partitions), clock.clone()).await
}

pub(super) fn content(delivery: &Delivery) -> &Envelope {
    match &delivery.content {
        Content::Envelope(envelope) => envelope,
        Content::Foreign { detail, .. } => panic!("foreign: {detail}"),
    }
}

pub(super) fn letter(from: QueueName, at: Timestamp) -> DeadLetter {
    DeadLetter { reason: "no-such-place".to_owned(), detail: "it says no".to_owned(), at, from }
}

/// The next message, in time.
pub(super) async fn next(subscription: &mut Subscription) -> Delivery {
    timeout(DEADLINE, subscription.next()).await.unwrap().unwrap()
}

fn detail(opened: Result<Store, OpenError>) -> String {
    match opened {
        Err(OpenError::Store { detail, .. }) => detail,
        Err(other) => panic!("another error: {other}"),
        Ok(_) => panic!("it opened"),
    }
}

#[tokio::test]
async fn a_store_that_is_open_cannot_be_opened_again() {
    let folder = tempfile::tempdir().unwrap();
    let (clock, _) = clock();
    let store = open(folder.path(), &clock).await;
    let second = open_with(folder.path(), &clock, 2).await;
    assert!(matches!(second, Err(OpenError::InUse { .. })));
    store.close().await;
    open(folder.path(), &clock).await.close().await;
}

#[tokio::test]
async fn a_damaged_file_is_named_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let (clock, _) = clock();
    open(folder.path(), &clock).await.close().await;
    std::fs::write(folder.path().join("queues.db"), vec![7; 8192]).unwrap();
    let found = detail(open_with(folder.path(), &clock, 2).await);
    assert!(found.contains("move it away"), "{found}");
}

#[tokio::test]
async fn a_newer_schema_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let (clock, _) = clock();
    open(folder.path(), &clock).await.close().await;
    let file = rusqlite::Connection::open(folder.path().join("queues.db")).unwrap();
    file.pragma_update(None, "user_version", 99).unwrap();
    drop(file);
    let found = detail(open_with(folder.path(), &clock, 2).await);
    assert!(found.contains("schema 99"), "{found}");
}

#[tokio::test]
async fn partitions_change_only_while_nothing_waits() {
    let folder = tempfile::tempdir().unwrap();
    let (clock, _) = clock();
    let store = open(folder.path(), &clock).await;
    store.publish(&queue(1), envelope(1, 10)).await.unwrap();
    store.close().await;
    match open_with(folder.path(), &clock, 3).await {
        Err(OpenError::Config(why)) => assert!(why.contains("installed with 2"), "{why}"),
        other => panic!("{:?}", other.err()),
    }
    let store = open(folder.path(), &clock).await;
    let mut subscription = store.subscribe(&queue(1), 1).await.unwrap();
    let delivery = next(&mut subscription).await;
    subscription.ack(delivery.tag).await.unwrap();
    subscription.close().await;
    store.close().await;
    open_with(folder.path(), &clock, 3).await.unwrap().close().await;
}

#[tokio::test]
async fn a_full_disk_is_told_and_recovered_from() {
    let folder = tempfile::tempdir().unwrap();
    let (clock, _) = clock();
    let store = open(folder.path(), &clock).await;
    store.publish(&queue(0), envelope(1, 10)).await.unwrap();
    store.limit_pages(1).await;
    let refused = store.publish(&queue(0), envelope(2, 100_000)).await;
    assert!(matches!(&refused, Err(PublishError::Blocked(why)) if why.contains("disk is full")), "{refused:?}");
    let mut state = store.state();
    assert!(matches!(&*state.borrow(), State::Blocked(why) if why.contains("disk is full")));
    store.limit_pages(1_000_000).await;
    timeout(DEADLINE, state.wait_for(|state| *state == State::Ready)).await.unwrap().unwrap();
    store.publish(&queue(0), envelope(3, 100_000)).await.unwrap();
    let mut subscription = store.subscribe(&queue(0), 10).await.unwrap();
    for number in [1, 3] {
        let delivery = next(&mut subscription).await;
        assert_eq!(content(&delivery).id, envelope(number, 0).id);
        subscription.ack(delivery.tag).await.unwrap();
    }
    drop(subscription);
    store.close().await;
}

#[tokio::test]
async fn a_settlement_that_cannot_be_stored_ends_the_subscription() {
    let folder = tempfile::tempdir().unwrap();
    let (clock, _) = clock();
    let store = open(folder.path(), &clock).await;
    store.publish(&queue(0), envelope(1, 10)).await.unwrap();
    let mut subscription = store.subscribe(&queue(0), 10).await.unwrap();
    let delivery = next(&mut subscription).await;
    store.limit_pages(1).await;
    let mut large = letter(queue(0), clock.now());
    large.detail = "x".repeat(100_000);
    assert!(subscription.dead_letter(&delivery, &large).await.is_err());
    assert!(subscription.next().await.is_err());
    store.limit_pages(1_000_000).await;
    let mut again = store.subscribe(&queue(0), 10).await.unwrap();
    assert_eq!(content(&next(&mut again).await).id, envelope(1, 0).id);
}

#[tokio::test]
async fn a_stuck_consumer_loses_its_messages_to_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let (clock, hand) = clock();
    let store = open(folder.path(), &clock).await;
    for number in 1..=3 {
        store.publish(&queue(0), envelope(number, 10)).await.unwrap();
    }
    let mut stuck = store.subscribe(&queue(0), 2).await.unwrap();
    let kept = next(&mut stuck).await;
    hand.advance(LEASE - SignedDuration::from_secs(1));
    let mut second = store.subscribe(&queue(0), 3).await.unwrap();
    {
        let mut early = std::pin::pin!(second.next());
        assert!(futures_util::poll!(&mut early).is_pending());
        assert_eq!(store.queues().await.unwrap()[0].in_hand, Some(2));
        assert!(futures_util::poll!(&mut early).is_pending());
    }
    hand.advance(SignedDuration::from_secs(1));
    drop(store.subscribe(&queue(0), 1).await.unwrap());
    for number in 1..=3 {
        assert_eq!(content(&next(&mut second).await).id, envelope(number, 0).id);
    }
    assert!(stuck.ack(kept.tag).await.is_err());
    assert!(stuck.next().await.is_ok(), "what was fetched before is still to be taken, and its ack fails");
    assert!(stuck.next().await.is_err());
}

#[tokio::test]
async fn a_file_that_is_worked_through_does_not_grow() {
    let folder = tempfile::tempdir().unwrap();
    let (clock, _) = clock();
    let store = open(folder.path(), &clock).await;
    let mut subscription = store.subscribe(&queue(0), 500).await.unwrap();
    let (mut sizes, target) = (Vec::new(), queue(0));
    for _ in 0..30 {
        let publishes = (0..500).map(|number| store.publish(&target, envelope(number, 2000)));
        for published in futures_util::future::join_all(publishes).await {
            published.unwrap();
        }
        let mut tags = Vec::new();
        for _ in 0..500 {
            tags.push(next(&mut subscription).await.tag);
        }
        for acked in futures_util::future::join_all(tags.into_iter().map(|tag| subscription.ack(tag))).await {
            acked.unwrap();
        }
        let size: u64 =
            std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len()).sum();
        sizes.push(size);
    }
    assert!(sizes[29] < 64 << 20 && sizes[29] <= sizes[19].max(1) * 11 / 10, "{sizes:?}");
}

#[tokio::test]
async fn a_subscription_holds_no_more_than_its_prefetch_of_a_large_backlog() {
    let folder = tempfile::tempdir().unwrap();
    let (clock, _) = clock();
    let store = open(folder.path(), &clock).await;
    let target = queue(0);
    let publishes = (0..2000).map(|number| store.publish(&target, envelope(number, 100)));
    for published in futures_util::future::join_all(publishes).await {
        published.unwrap();
    }
    let mut subscription = store.subscribe(&queue(0), 10).await.unwrap();
    for number in 0..10 {
        assert_eq!(content(&next(&mut subscription).await).id, envelope(number, 0).id);
    }
    let report = &store.queues().await.unwrap()[0];
    assert_eq!((report.ready, report.in_hand, report.consumers), (1990, Some(10), Some(1)));
    assert!(report.oldest_seconds.is_some());
    subscription.close().await;
    let report = &store.queues().await.unwrap()[0];
    assert_eq!((report.ready, report.in_hand, report.consumers), (2000, Some(0), Some(0)));
}

#[tokio::test]
async fn a_closed_store_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let (clock, _) = clock();
    let store = open(folder.path(), &clock).await;
    let mut subscription = store.subscribe(&queue(0), 10).await.unwrap();
    let state = store.state();
    store.clone().close().await;
    assert!(matches!(&*state.borrow(), State::Connecting(why) if why.contains("closed")));
    assert!(matches!(store.publish(&queue(0), envelope(1, 1)).await, Err(PublishError::Unavailable(_))));
    assert!(subscription.next().await.is_err());
    subscription.close().await;
    assert!(store.queues().await.is_err());
    store.close().await;
}
