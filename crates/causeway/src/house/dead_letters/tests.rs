use std::sync::Arc;
use std::time::Duration;

use broker::{Broker, Consume, Done, EmbeddedConfig, Failure, Handle, Paces, QueueName, Rejection, Topology};
use jiff::{SignedDuration, Timestamp};
use ledger::{Begin, Effect, Ledger, Outcome, SqliteConfig};
use model::{
    Address, AgentReply, ChannelName, Family, MessageId, NeighbourName, PhoneNumber, ReasonCode, ReplyBody, TraceId,
};
use runtime::{Backoff, Clock, ManualClock, Shutdown};
use tempfile::TempDir;

use super::select::About;
use super::{By, DeadLetters, Fate, Replay, Selector, Verdict};
use crate::config::Expire;

const CALL: Duration = Duration::from_secs(15);

/// Gives every message up.
struct Refuses;

impl Handle<AgentReply> for Refuses {
    async fn handle(&self, _: &AgentReply, _: u32) -> Result<Done, Failure> {
        Err(Failure::Reject { code: "refused", cause: anyhow::anyhow!("by the test") })
    }

    async fn before_dead_letter(&self, _: &AgentReply, _: &Rejection) -> Result<(), Failure> {
        Ok(())
    }
}

struct House {
    letters: DeadLetters,
    ledger: Ledger,
    clock: ManualClock,
    shutdown: Shutdown,
    _folder: TempDir,
}

fn now() -> Timestamp {
    Timestamp::from_second(1_800_000_000).unwrap()
}

fn reply(id: &str, channel: &str, consumer: &str) -> AgentReply {
    AgentReply {
        id: MessageId::new(id),
        channel: ChannelName::new(channel),
        provider: NeighbourName::new("carrier"),
        genesys: NeighbourName::new("main"),
        genesys_message_id: format!("genesys-{id}"),
        from_id: "13125550100".to_owned().into(),
        to_id: consumer.to_owned().into(),
        to: Address::Phone(PhoneNumber::normalise(consumer, None).unwrap()),
        body: ReplyBody::Text("words".to_owned().into()),
        trace: TraceId::new("trace"),
        received_at: now(),
    }
}

impl House {
    /// A house in which these replies were given up.
    async fn of(replies: &[AgentReply]) -> Self {
        let folder = TempDir::new().unwrap();
        let (clock, hand) = Clock::manual(now());
        let topology = Topology { partitions: 1, genesys: Vec::new(), providers: vec![NeighbourName::new("carrier")] };
        let config = broker::Config::Embedded(EmbeddedConfig { path: folder.path().join("broker") });
        let broker = Broker::open(config, topology, clock.clone()).await.unwrap();
        let path = folder.path().join("ledger.db");
        let config = SqliteConfig { path, retain: Duration::from_secs(86_400), sole_owner: false };
        let ledger = Ledger::open(ledger::Config::Sqlite(config), clock.clone()).await.unwrap();
        let letters = DeadLetters {
            broker: broker.clone(),
            ledger: Some(ledger.clone()),
            clock,
            expire: Expire { replies: 4 * HOUR, inbound: HOUR, receipts: HOUR },
            channels: [ChannelName::new("sales")].into(),
            walking: tokio::sync::Mutex::default(),
        };
        let house = Self { letters, ledger, clock: hand, shutdown: Shutdown::new(), _folder: folder };
        for reply in replies {
            broker.publish(reply).await.unwrap();
        }
        house.given_up(replies.len()).await;
        house
    }

    /// Waits until so many letters are there.
    async fn given_up(&self, count: usize) {
        let consume = Consume {
            neighbours: vec![NeighbourName::new("carrier")],
            prefetch: 16,
            expire: 4 * HOUR,
            max_attempts: 1,
            backoff: Backoff { base: HOUR, cap: HOUR },
            paces: Paces::default(),
        };
        let broker = self.letters.broker.clone();
        let dead = async {
            let mut ticks = tokio::time::interval(Duration::from_millis(10));
            while broker.dead_letters(Family::Replies, 100).await.unwrap().len() < count {
                ticks.tick().await;
            }
        };
        let consuming = broker.consume::<AgentReply, _>(consume, Arc::new(Refuses), self.shutdown.clone());
        let given_up = async {
            tokio::select! {
                () = dead => {}
                ended = consuming => panic!("the consumer ended: {ended:?}"),
            }
        };
        tokio::time::timeout(Duration::from_secs(30), given_up).await.expect("dead letters in time");
    }

    async fn replay(&self, by: By, dry_run: bool) -> Vec<Fate> {
        let request = Replay { selector: Selector { family: None, by }, dry_run };
        let Ok(fates) = self.letters.replay(&request).await else { panic!("the stores answer") };
        fates
    }
}

const HOUR: Duration = Duration::from_secs(3600);

fn effect(reply: &AgentReply) -> Effect {
    let envelope = broker::Letter {
        report: broker::DeadLetterReport {
            id: reply.id.to_string(),
            reason: String::new(),
            detail: String::new(),
            at: now(),
            from: String::new(),
        },
        kind: Some("AgentReply".to_owned()),
        conversation: None,
        trace: None,
        received_at: None,
        body: model::encode(reply).into(),
    };
    let Ok(About { effect, .. }) = super::select::about(Family::Replies, &envelope) else { panic!("it is readable") };
    effect
}

async fn begin(ledger: &Ledger, reply: &AgentReply) -> ledger::AttemptId {
    match ledger.begin(effect(reply), CALL).await.unwrap() {
        Begin::First(attempt) => attempt,
        other => panic!("{other:?}"),
    }
}

fn of<'a>(fates: &'a [Fate], id: &str) -> (Verdict, &'a str) {
    let fate = fates.iter().find(|fate| fate.id == id).unwrap();
    (fate.verdict, &fate.why)
}

#[tokio::test]
async fn what_must_not_be_sent_is_not_replayed() {
    let (phone, other) = ("13125550142", "13125550143");
    let replies = [
        reply("well", "sales", phone),
        reply("gone", "sold", phone),
        reply("sent", "sales", phone),
        reply("doubt", "sales", phone),
        reply("in-hand", "sales", other),
        reply("behind", "sales", other),
    ];
    let house = House::of(&replies).await;
    let attempt = begin(&house.ledger, &replies[2]).await;
    house.ledger.finish(&effect(&replies[2]), &attempt, Outcome::Sent { foreign_id: None }).await.unwrap();
    let attempt = begin(&house.ledger, &replies[3]).await;
    let doubt =
        Outcome::Failed { code: ReasonCode::General, reason: consumer_outbound::MAYBE_SENT.to_owned(), dead: None };
    house.ledger.finish(&effect(&replies[3]), &attempt, doubt).await.unwrap();
    begin(&house.ledger, &replies[4]).await;

    let queue = QueueName::Work { family: Family::Replies, neighbour: NeighbourName::new("carrier"), partition: 0 };
    house.letters.broker.quarantine(&queue, b"not JSON", TraceId::new("t")).await.unwrap();
    house.given_up(7).await;
    let fates = house.replay(By::All, true).await;
    assert_eq!(of(&fates, "well"), (Verdict::WouldBeReplayed, ""));
    assert_eq!(of(&fates, "gone"), (Verdict::Stays, "channel sold is not configured here any more"));
    assert_eq!(of(&fates, "sent"), (Verdict::Stays, "already sent, as the ledger says"));
    assert!(of(&fates, "doubt").1.contains("may have been delivered"), "{fates:?}");
    assert!(fates.iter().any(|fate| fate.verdict == Verdict::Stays && fate.why.starts_with("unreadable")), "{fates:?}");
    let by_id = house.replay(By::Ids(vec!["doubt".to_owned()]), true).await;
    assert_eq!(of(&by_id, "doubt"), (Verdict::WouldBeReplayed, ""));

    let fates = house.replay(By::OlderThanSeconds(0), false).await;
    assert_eq!(fates.iter().filter(|fate| fate.verdict == Verdict::Stays).count(), 6, "{fates:?}");
    assert_eq!(of(&fates, "well"), (Verdict::Replayed, ""));
    assert!(of(&fates, "in-hand").1.contains("somebody may be sending it until"), "{fates:?}");
    assert!(of(&fates, "behind").1.contains("has to wait"), "{fates:?}");
    let left = house.letters.broker.dead_letters(Family::Replies, 100).await.unwrap();
    assert_eq!(left.len(), 6, "only the first went back");

    house.clock.advance(SignedDuration::from_hours(4));
    let fates = house.replay(By::Ids(vec!["behind".to_owned(), "in-hand".to_owned()]), true).await;
    assert!(fates.iter().all(|fate| fate.why.starts_with("expired")), "{fates:?}");
}
