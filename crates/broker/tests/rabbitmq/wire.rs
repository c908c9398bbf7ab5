//! Messages as others see them (design 3.4).

use broker::contract::house::{House, consume, message, start, topology};
use broker::{Done, Failure, QueueName, Sift, Sifted};
use futures_util::{FutureExt, StreamExt};
use jiff::Timestamp;
use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable};
use model::{Family, Queued, TraceId};
use test_support::{Version, shared_vhost};

use super::admin::Admin;
use super::at;

fn queue_of(conversation: u32) -> QueueName {
    let message = message(conversation, 1);
    let partition = message.conversation().partition(topology().partitions);
    QueueName::Work { family: Family::Inbound, neighbour: message.genesys, partition }
}

/// The headers as text; anything but text is a failure.
fn headers(properties: &BasicProperties) -> Vec<(String, String)> {
    let table = properties.headers().clone().unwrap_or_default();
    let text = |value: &AMQPValue| match value {
        AMQPValue::LongString(text) => text.to_string(),
        other => panic!("{other:?}"),
    };
    // RabbitMQ counts deliveries in headers of its own.
    let ours = table.inner().iter().filter(|(key, _)| !key.as_str().starts_with("x-"));
    ours.map(|(key, value)| (key.to_string(), text(value))).collect()
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn same_but_headers(properties: &BasicProperties, id: &str, kind: Option<&str>, at: Timestamp) {
    assert_eq!(properties.message_id().as_ref().map(|id| id.as_str()), Some(id));
    assert_eq!(properties.kind().as_ref().map(|kind| kind.as_str()), kind);
    assert_eq!(properties.timestamp().map(i128::from), Some(i128::from(at.as_second())));
    assert_eq!(properties.content_type().as_ref().map(|kind| kind.as_str()), Some("application/json"));
    assert_eq!(*properties.delivery_mode(), Some(2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn properties_of_a_message_and_of_its_dead_letter() {
    let url = shared_vhost(Version::V43);
    let house = House::open(&at(&url)).await;
    let message = message(1, 1);
    house.publish(&message).await;
    let queue = queue_of(1).to_string();
    let received_at = start().to_string();
    let conversation = message.conversation();
    let alive = [("conversation", conversation.header()), ("received-at", received_at.as_str()), ("trace-id", "trace")];

    let admin = Admin::connect(&url).await;
    let found = admin.consume(&queue).await.next().await.unwrap().unwrap();
    same_but_headers(&found.properties, message.id.as_str(), Some("InboundMessage"), start());
    assert_eq!(headers(&found.properties), pairs(&alive));
    assert_eq!((found.exchange.as_str(), found.routing_key.as_str()), ("causeway", queue.as_str()));
    assert!(!found.redelivered);
    assert_eq!(found.data, model::encode(&message));
    assert!(!message.conversation().header().contains("1312555"), "a hash, not a number");
    admin.close().await;

    let cause = || Failure::Reject { code: "no-such-place", cause: anyhow::anyhow!("it says no") };
    let mut consumer = house.consume(consume(), move |_, _| async move { Err(cause()) }.boxed());
    consumer.until("a rejection", |log| log.told.len() == 1).await;
    consumer.stop().await;
    let admin = Admin::connect(&url).await;
    let found = admin.get("causeway.dead.inbound").await;
    same_but_headers(&found.properties, message.id.as_str(), Some("InboundMessage"), start());
    let dead = [
        alive[0],
        ("dead-at", received_at.as_str()),
        ("dead-detail", "it says no"),
        ("dead-from", queue.as_str()),
        ("dead-reason", "no-such-place"),
        alive[1],
        alive[2],
    ];
    assert_eq!(headers(&found.properties), pairs(&dead));
    assert_eq!(found.data, model::encode(&message));
    admin.close().await;
    house.settled().await;
}

/// What is not one of ours is kept byte for byte, and told apart from what could not be read.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_foreign_message_is_kept_as_it_is() {
    let url = shared_vhost(Version::V43);
    let house = House::open(&at(&url)).await;
    let admin = Admin::connect(&url).await;
    let queue = queue_of(1).to_string();
    let mut wrong = FieldTable::default();
    wrong.insert("conversation".into(), AMQPValue::LongInt(1));
    let named = BasicProperties::default().with_message_id("theirs".into()).with_type("InboundMessage".into());
    admin.put(&queue, b"\xff\x00 not ours", BasicProperties::default()).await;
    admin.put(&queue, b"{}", named.with_headers(wrong)).await;
    house.publish(&message(1, 1)).await;
    let mut consumer = house.consume(consume(), |_, _| async { Ok(Done::Done) }.boxed());
    assert_eq!(consumer.until_done(1).await.tries, [(1, 1)]);
    consumer.stop().await;

    // What names no conversation has no order.
    let mut found = [admin.get("causeway.dead.inbound").await, admin.get("causeway.dead.inbound").await];
    found.sort_by_key(|one| one.properties.message_id().is_some());
    let [first, second] = found;
    assert_eq!(first.data, b"\xff\x00 not ours");
    assert_eq!(*first.properties.message_id(), None);
    let expected = |detail| {
        let at = start().to_string();
        pairs(&[("dead-at", &at), ("dead-detail", detail), ("dead-from", &queue), ("dead-reason", "unreadable")])
    };
    assert_eq!(headers(&first.properties), expected("property message_id is missing or not what it must be"));
    same_but_headers(&second.properties, "theirs", None, start());
    assert_eq!(headers(&second.properties), expected("header conversation is missing or not what it must be"));
    admin.close().await;
    house.settled().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn quarantined_bytes_become_a_dead_letter() {
    let url = shared_vhost(Version::V43);
    let house = House::open(&at(&url)).await;
    house.broker.quarantine(&queue_of(1), b"<not json>", TraceId::new("trace")).await.unwrap();
    let mut consumer = house.consume(consume(), |_, _| async { Ok(Done::Done) }.boxed());
    house.publish(&message(1, 1)).await;
    consumer.until_done(1).await;
    house.queues("a dead letter", |all| all.iter().any(|queue| queue.ready == 1)).await;
    consumer.stop().await;
    let admin = Admin::connect(&url).await;
    let found = admin.get("causeway.dead.inbound").await;
    assert_eq!(found.data, b"<not json>");
    assert!(headers(&found.properties).contains(&("dead-reason".to_owned(), "unreadable".to_owned())));
    admin.close().await;
    house.settled().await;
}

/// A letter that nobody named has the same name whenever it is looked at, and goes back as it was.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_letter_without_an_id_is_named_by_its_bytes() {
    let url = shared_vhost(Version::V43);
    let house = House::open(&at(&url)).await;
    let admin = Admin::connect(&url).await;
    let queue = queue_of(1).to_string();
    for body in [b"\xff\x00 one".as_slice(), b"\xff\x01 two"] {
        admin.put(&queue, body, BasicProperties::default()).await;
    }
    house.publish(&message(1, 1)).await;
    let mut consumer = house.consume(consume(), |_, _| async { Ok(Done::Done) }.boxed());
    consumer.until_done(1).await;
    house.queues("dead letters", |all| all.iter().any(|queue| queue.ready == 2)).await;
    consumer.stop().await;
    let (first, second) = (house.dead().await, house.dead().await);
    assert_eq!(first, second);
    assert!(first[0].id.starts_with("bytes-") && first[0].id != first[1].id, "{first:?}");
    let one: Vec<String> = first.iter().map(|letter| letter.id.clone()).collect();
    let decisions = [(one[0].clone(), Sift::Requeue)].into();
    let sifting = house.broker.sift(Family::Inbound, 10, &decisions).await.unwrap();
    assert_eq!(sifting.settled, [(one[0].clone(), Sifted::Requeued(queue.clone()))]);
    let found = admin.consume(&queue).await.next().await.unwrap().unwrap();
    assert!(found.data == b"\xff\x00 one" || found.data == b"\xff\x01 two", "{:?}", found.data);
    assert_eq!((headers(&found.properties), found.properties.message_id()), (Vec::new(), &None));
    assert_eq!(house.dead().await, first[1..]);
    admin.close().await;
    let consumer = house.consume(consume(), |_, _| async { Ok(Done::Done) }.boxed());
    house.queues("a dead letter again", |all| all.iter().any(|queue| queue.ready == 2)).await;
    consumer.stop().await;
    assert_eq!(house.dead().await.iter().map(|letter| &letter.id).collect::<Vec<_>>(), [&one[1], &one[0]]);
    house.settled().await;
}
