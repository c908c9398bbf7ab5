//! A neighbour that is down, and a channel that is refused, leave the latency of the others as it was.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use model::{
    Address, AgentReply, Arrival, ArrivalPath, ChannelName, InboundMessage, MessageId, NeighbourName, PhoneNumber,
    Queued, ReplyBody, TraceId,
};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::neighbours::SOON;
use crate::settings::{Queues, Settings};
use crate::world::World;
use crate::world::on_both_brokers;

on_both_brokers!(a_provider_that_is_down, a_channel_that_is_refused, messages_and_receipts_keep_to_one_pace,);

/// What waits for the provider that is down.
const WAITING: usize = 100_000;
/// Of it the most that are in hand: four partitions at the prefetch of 256.
const IN_HAND: u64 = 4 * 256;
/// What the refused channel has got already, and what it gets with each message of the healthy one.
const REFUSED: usize = 1_000;
const BESIDE: usize = 5;
const AT_ONCE: usize = 64;
const MEASURED: usize = 100;
/// What else a shared machine does comes and goes within seconds; a sick neighbour that hurts is there in every round.
const ROUNDS: usize = 3;
/// Latencies of some milliseconds double by less than can be measured.
const NOISE: Duration = Duration::from_millis(25);

/// A provider nobody answers for, and a channel Genesys does not know.
const SICK: &str = r#"
    [[provider]]
    name = "sick"
    kind = "netsapiens"
    base_url = "http://127.0.0.1:9/ns-api/v2"
    domain = "example.com"
    auth = { kind = "api-key", key = "nss_sick-api-key" }
    webhook_secrets = ["another-event-secret"]
    subscribe = false
    delivered_when = "accepted"
    [[channel]]
    id = "13125550199"
    name = "sick-sms"
    kind = "sms"
    provider = "sick"
    user = "9001"
    secrets = ["another-channel-secret"]
"#;

async fn world(queues: Queues) -> World {
    World::with(Settings { more: SICK.to_owned(), log: "warn".to_owned(), ..Settings::on(queues) }).await
}

/// Publishes so many messages, some at once.
async fn publish<M: Queued + Send + Sync + 'static>(world: &World, numbers: Range<usize>, message: fn(usize) -> M) {
    let left = Arc::new(AtomicUsize::new(numbers.start));
    let mut publishers = JoinSet::new();
    for _ in 0..AT_ONCE.min(numbers.len()) {
        let (broker, left) = (world.house.broker.clone(), Arc::clone(&left));
        publishers.spawn(async move {
            loop {
                let number = left.fetch_add(1, Ordering::Relaxed);
                if number >= numbers.end {
                    return;
                }
                broker.publish(&message(number)).await.expect("the broker stores it");
            }
        });
    }
    while let Some(published) = publishers.join_next().await {
        published.expect("a publisher does not panic");
    }
}

fn consumer(number: usize) -> Address {
    Address::Phone(PhoneNumber::normalise(&format!("1312{:07}", 5_570_000 + number), None).expect("a number"))
}

fn sick_channel() -> ChannelName {
    ChannelName::parse("sick-sms").expect("a name")
}

fn neighbour(name: &str) -> NeighbourName {
    NeighbourName::parse(name).expect("a name")
}

fn reply(number: usize) -> AgentReply {
    let (channel, id) = (sick_channel(), format!("sick-{number}"));
    AgentReply {
        id: AgentReply::derive_id(&channel, &id, "somebody"),
        channel,
        provider: neighbour("sick"),
        genesys: neighbour("main"),
        genesys_message_id: id,
        from_id: "13125550199".to_owned().into(),
        to_id: "somebody".to_owned().into(),
        to: consumer(number % 5_000),
        body: ReplyBody::Text("hello".to_owned().into()),
        trace: TraceId::new("sick"),
        received_at: runtime::Clock::system().now(),
    }
}

fn text(number: usize) -> InboundMessage {
    InboundMessage {
        id: MessageId::derive("in", &["sick", &number.to_string()]),
        channel: sick_channel(),
        genesys: neighbour("main"),
        from: consumer(number % 5_000),
        text: "hello".to_owned().into(),
        files: model::InboundFiles::default(),
        session: None,
        arrival: Arrival {
            path: ArrivalPath::MessageEvent,
            fingerprint: number.to_string(),
            sent_at: None,
            beside: Vec::new(),
        },
        unread: None,
        mail: None,
        trace: TraceId::new("sick"),
        received_at: runtime::Clock::system().now(),
    }
}

/// The 99th of a hundred.
fn p99(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() * 99 / 100]
}

/// The 99th percentile of each round.
async fn rounds(world: &World, one: impl AsyncFn(&World) -> Duration) -> Vec<Duration> {
    let mut rounds = Vec::with_capacity(ROUNDS);
    for _ in 0..ROUNDS {
        let mut times = Vec::with_capacity(MEASURED);
        for _ in 0..MEASURED {
            times.push(one(world).await);
        }
        rounds.push(p99(times));
    }
    rounds
}

/// From the agent's reply to the consumer's phone.
async fn outward(world: &World) -> Duration {
    let (before, began) = (world.netsapiens.sent_count(), Instant::now());
    world.reply("13125550142", "hello");
    let shown = world.netsapiens.until(SOON, |sim| (sim.sent_count() > before).then_some(())).await;
    assert!(shown.is_some(), "the healthy provider's texts go out");
    began.elapsed()
}

/// From the consumer's phone to the agent.
async fn inward(world: &World) -> Duration {
    let (before, began) = (world.genesys.message_count(), Instant::now());
    world.text("13125550142", "hello");
    let seen = world.genesys.until(SOON, |sim| (sim.message_count() > before).then_some(())).await;
    assert!(seen.is_some(), "the healthy channel's texts come in");
    began.elapsed()
}

#[expect(clippy::print_stderr, reason = "the figures are what the test is for")]
fn compare(what: &str, alone: &[Duration], beside: &[Duration]) {
    eprintln!("p99 alone {alone:?}, beside {what} {beside:?}");
    let (most, least) = (alone.iter().max().expect("a round"), beside.iter().min().expect("a round"));
    assert!(*least <= *most * 2 + NOISE, "p99 was {alone:?} alone and is {beside:?} beside {what}");
}

async fn a_provider_that_is_down(queues: Queues) {
    let world = world(queues).await;
    let alone = rounds(&world, outward).await;
    publish(&world, 0..WAITING, reply).await;
    let beside = rounds(&world, outward).await;
    let report = world.house.broker.queues().await.expect("queues can be read");
    let sick = report.iter().filter(|queue| queue.queue.contains("replies.sick"));
    let waiting: u64 = sick.map(|queue| queue.ready + queue.in_hand.unwrap_or(0)).sum();
    // RabbitMQ does not tell what is in hand.
    assert!(waiting >= WAITING as u64 - IN_HAND, "{waiting} wait for the sick provider");
    compare("a provider that is down", &alone, &beside);
}

async fn a_channel_that_is_refused(queues: Queues) {
    let world = world(queues).await;
    let alone = rounds(&world, inward).await;
    publish(&world, 0..REFUSED, text).await;
    world
        .until("the alarm of the refused channel", async |world| {
            let metrics = world.metrics().await;
            let raised =
                |line: &str| line.contains("channel-fault") && line.contains("sick-sms") && line.ends_with(" 1");
            metrics.lines().any(raised).then_some(())
        })
        .await;
    let next = AtomicUsize::new(REFUSED);
    let beside = rounds(&world, async |world: &World| {
        let number = next.fetch_add(BESIDE, Ordering::Relaxed);
        publish(world, number..number + BESIDE, text).await;
        inward(world).await
    })
    .await;
    compare("a channel that is refused", &alone, &beside);
}

/// A tenant is given its pace by a process, whichever of its roles call it.
async fn messages_and_receipts_keep_to_one_pace(queues: Queues) {
    const EACH: u32 = 10;
    let world = World::with(Settings { tenant: "pace = \"5/s\"", ..Settings::on(queues) }).await;
    let began = Instant::now();
    for number in 0..EACH {
        let consumer = format!("1312555{number:04}");
        world.text(&consumer, "hello");
        world.reply(&consumer, "hello back");
    }
    world.agent_sees(EACH.into()).await;
    world.receipts_told(EACH.into()).await;
    let least = Duration::from_millis(200) * (2 * EACH - 1);
    assert!(began.elapsed() >= least, "{} calls in {:?}", 2 * EACH, began.elapsed());
    world.end().await;
}
