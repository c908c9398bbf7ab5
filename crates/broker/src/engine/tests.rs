use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use model::{
    Address, AgentReply, Arrival, ArrivalPath, ChannelName, ConsentChange, Errand, Family, InboundMessage, Keyword,
    MessageId, NeighbourName, Private, ReplyBody, TraceId,
};
use runtime::{Backoff, Clock, Shutdown};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::Consume;
use crate::{Broker, Config, Done, EmbeddedConfig, Failure, Foresight, Handle, Paces, Rejection, Topology};

const DEADLINE: Duration = Duration::from_secs(30);

fn neighbour() -> NeighbourName {
    NeighbourName::new("main")
}

fn consume(neighbour: NeighbourName) -> Consume {
    Consume {
        neighbours: vec![neighbour],
        prefetch: 8,
        expire: Duration::from_secs(86_400),
        max_attempts: 3,
        backoff: Backoff { base: Duration::from_millis(1), cap: Duration::from_millis(5) },
        paces: Paces::default(),
    }
}

fn message(number: u32, received_at: Timestamp) -> InboundMessage {
    InboundMessage {
        id: MessageId::new(number.to_string()),
        channel: ChannelName::new("sales"),
        genesys: neighbour(),
        from: Address::mail("a@b.example").unwrap(),
        text: Private::new(String::new()),
        files: model::InboundFiles::default(),
        session: None,
        arrival: Arrival {
            path: ArrivalPath::MessageEvent,
            fingerprint: String::new(),
            sent_at: None,
            beside: Vec::new(),
        },
        unread: None,
        mail: None,
        trace: TraceId::new("trace"),
        received_at,
    }
}

async fn open(folder: &tempfile::TempDir, clock: &Clock) -> Broker {
    let topology = Topology { partitions: 1, genesys: vec![neighbour()], providers: vec![neighbour()] };
    let config = Config::Embedded(EmbeddedConfig { path: folder.path().to_owned() });
    Broker::open(config, topology, clock.clone()).await.unwrap()
}

/// Keeps the first try of message 1 at work until the gate opens; tells which tries began and which ended.
struct Gated {
    gate: watch::Receiver<bool>,
    seen: watch::Sender<Vec<String>>,
}

impl Handle<InboundMessage> for Gated {
    async fn handle(&self, message: &InboundMessage, _: u32) -> Result<Done, Failure> {
        let mut gate = self.gate.clone();
        self.seen.send_modify(|seen| seen.push(format!("begin {}", message.id)));
        gate.wait_for(|open| *open).await.unwrap();
        self.seen.send_modify(|seen| seen.push(format!("end {}", message.id)));
        Ok(Done::Done)
    }

    async fn before_dead_letter(&self, _: &InboundMessage, _: &Rejection) -> Result<(), Failure> {
        Ok(())
    }
}

#[tokio::test]
async fn a_lost_subscription_finishes_its_handlers_and_starts_nothing_more() {
    let folder = tempfile::tempdir().unwrap();
    let (clock, hand) = Clock::manual(Timestamp::from_second(1_800_000_000).unwrap());
    let broker = open(&folder, &clock).await;
    for number in 1..=2 {
        broker.publish(&message(number, clock.now())).await.unwrap();
    }
    let (open, gate) = watch::channel(false);
    let (seen, mut log) = watch::channel(Vec::new());
    let shutdown = Shutdown::new();
    let mut running = JoinSet::new();
    let (consumer, stop) = (broker.clone(), shutdown.clone());
    running.spawn(async move { consumer.consume(consume(neighbour()), Arc::new(Gated { gate, seen }), stop).await });
    timeout(DEADLINE, log.wait_for(|seen| seen.len() == 1)).await.unwrap().unwrap();

    // Its lease ends while the handler is at work, and the store notices with the next publish.
    hand.advance(SignedDuration::from_mins(31));
    broker.publish(&message(3, clock.now())).await.unwrap();
    let mut second = broker.queues().await.unwrap();
    assert_eq!(second.remove(0).in_hand, Some(0), "the lease was not ended");
    open.send_replace(true);
    timeout(DEADLINE, log.wait_for(|seen| seen.len() == 8)).await.unwrap().unwrap();
    let expected = ["begin 1", "end 1", "begin 1", "end 1", "begin 2", "end 2", "begin 3", "end 3"];
    assert_eq!(*log.borrow(), expected, "the ack of the first try had to fail, and nothing else to begin");

    shutdown.begin();
    running.join_next().await.unwrap().unwrap().unwrap();
    assert!(broker.queues().await.unwrap().iter().all(|queue| queue.ready == 0 && queue.in_hand == Some(0)));
    broker.close().await;
}

/// Goes through a message in three steps, the second of which fails once.
struct Steps {
    seen: watch::Sender<Vec<u32>>,
}

impl Handle<InboundMessage> for Steps {
    async fn handle(&self, _: &InboundMessage, attempt: u32) -> Result<Done, Failure> {
        self.seen.send_modify(|seen| seen.push(attempt));
        let tries = self.seen.borrow().len();
        match tries {
            2 => Err(Failure::Retry { after: Some(Duration::ZERO), cause: anyhow::anyhow!("once") }),
            1 | 3 => Err(Failure::Onward),
            _ => Ok(Done::Done),
        }
    }

    async fn before_dead_letter(&self, _: &InboundMessage, _: &Rejection) -> Result<(), Failure> {
        Ok(())
    }
}

#[tokio::test]
async fn a_step_that_is_done_spends_no_try() {
    let folder = tempfile::tempdir().unwrap();
    let (clock, _hand) = Clock::manual(Timestamp::from_second(1_800_000_000).unwrap());
    let broker = open(&folder, &clock).await;
    broker.publish(&message(1, clock.now())).await.unwrap();
    let (seen, mut log) = watch::channel(Vec::new());
    let shutdown = Shutdown::new();
    let mut running = JoinSet::new();
    let (consumer, stop) = (broker.clone(), shutdown.clone());
    running.spawn(async move { consumer.consume(consume(neighbour()), Arc::new(Steps { seen }), stop).await });
    timeout(DEADLINE, log.wait_for(|seen| seen.len() == 4)).await.unwrap().unwrap();
    assert_eq!(*log.borrow(), [1, 1, 2, 2], "only the try that failed counts");
    shutdown.begin();
    running.join_next().await.unwrap().unwrap().unwrap();
    broker.close().await;
}

/// Keeps replies at work until the gate opens; tells what was heard, handled and let go.
struct Heard {
    gate: watch::Receiver<bool>,
    seen: watch::Sender<Vec<String>>,
}

/// Tells when what was heard is over.
struct Held(watch::Sender<Vec<String>>);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.send_modify(|seen| seen.push("over".to_owned()));
    }
}

impl Handle<Errand> for Heard {
    fn foresee(&self, errand: &Errand) -> Option<Foresight> {
        let Errand::Consent(_) = errand else { panic!("only keywords are foreseen") };
        self.seen.send_modify(|seen| seen.push("heard".to_owned()));
        Some(Box::new(Held(self.seen.clone())))
    }

    async fn handle(&self, errand: &Errand, _: u32) -> Result<Done, Failure> {
        let mut gate = self.gate.clone();
        let word = match errand {
            Errand::Reply(_) => "reply",
            Errand::Consent(_) => "keyword",
            Errand::Report(_) => "report",
        };
        self.seen.send_modify(|seen| seen.push(word.to_owned()));
        gate.wait_for(|open| *open).await.unwrap();
        Ok(Done::Done)
    }

    async fn before_dead_letter(&self, _: &Errand, _: &Rejection) -> Result<(), Failure> {
        Ok(())
    }
}

#[tokio::test]
async fn a_keyword_is_heard_ahead_of_its_turn_and_however_old_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let (clock, hand) = Clock::manual(Timestamp::from_second(1_800_000_000).unwrap());
    let broker = open(&folder, &clock).await;
    let InboundMessage { channel, from, arrival, trace, received_at, .. } = message(1, clock.now());
    let change = ConsentChange {
        id: MessageId::new("co-1"),
        channel: channel.clone(),
        provider: neighbour(),
        from: from.clone(),
        keyword: Keyword::Stop,
        message: MessageId::new("1"),
        arrival,
        session: None,
        trace: trace.clone(),
        received_at,
    };
    hand.advance(SignedDuration::from_hours(48));
    let reply = AgentReply {
        id: MessageId::new("re-1"),
        channel,
        provider: neighbour(),
        genesys: neighbour(),
        genesys_message_id: "m-1".to_owned(),
        from_id: Private::default(),
        to_id: Private::default(),
        to: from,
        body: ReplyBody::Text(Private::default()),
        trace,
        received_at: clock.now(),
    };
    broker.publish(&reply).await.unwrap();
    broker.publish(&change).await.unwrap();
    let (open, gate) = watch::channel(false);
    let (seen, mut log) = watch::channel(Vec::new());
    let shutdown = Shutdown::new();
    let mut running = JoinSet::new();
    let (consumer, stop) = (broker.clone(), shutdown.clone());
    running.spawn(async move { consumer.consume(consume(neighbour()), Arc::new(Heard { gate, seen }), stop).await });
    timeout(DEADLINE, log.wait_for(|seen| seen.len() == 2)).await.unwrap().unwrap();
    assert!(log.borrow().contains(&"heard".to_owned()), "{:?}", log.borrow());
    assert!(!log.borrow().contains(&"keyword".to_owned()), "its turn has not come");
    open.send_replace(true);
    timeout(DEADLINE, log.wait_for(|seen| seen.len() == 4)).await.unwrap().unwrap();
    assert_eq!(log.borrow()[2..], ["keyword", "over"]);
    shutdown.begin();
    running.join_next().await.unwrap().unwrap().unwrap();
    assert!(broker.dead_letters(Family::Replies, 10).await.unwrap().is_empty());
    broker.close().await;
}

#[tokio::test]
async fn a_neighbour_without_queues_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let broker = open(&folder, &Clock::system()).await;
    let handler = Arc::new(Gated { gate: watch::channel(true).1, seen: watch::channel(Vec::new()).0 });
    let ended = broker.consume::<InboundMessage, _>(consume(NeighbourName::new("nobody")), handler, Shutdown::new());
    let error = timeout(DEADLINE, ended).await.unwrap().unwrap_err().to_string();
    assert!(error.contains("causeway.inbound.nobody.0"), "{error}");
    broker.close().await;
}

/// Says once that the ledger is away, for an hour.
struct WithoutLedger(watch::Sender<u32>);

impl Handle<InboundMessage> for WithoutLedger {
    async fn handle(&self, _: &InboundMessage, _: u32) -> Result<Done, Failure> {
        let mut before = 0;
        self.0.send_modify(|tries| before = std::mem::replace(tries, *tries + 1));
        if before > 0 {
            return Ok(Done::Done);
        }
        let cause = anyhow::anyhow!("the ledger does not answer");
        Err(Failure::Unavailable { target: "ledger".to_owned(), after: Some(Duration::from_secs(3600)), cause })
    }

    async fn before_dead_letter(&self, _: &InboundMessage, _: &Rejection) -> Result<(), Failure> {
        Ok(())
    }
}

#[tokio::test]
async fn what_is_away_in_the_house_itself_is_asked_again_soon() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Clock::system();
    let broker = open(&folder, &clock).await;
    broker.publish(&message(1, clock.now())).await.unwrap();
    let (tries, mut tried) = watch::channel(0);
    let shutdown = Shutdown::new();
    let mut running = JoinSet::new();
    let (consumer, stop) = (broker.clone(), shutdown.clone());
    let handler = Arc::new(WithoutLedger(tries));
    running.spawn(async move { consumer.consume(consume(neighbour()), handler, stop).await });
    timeout(DEADLINE, tried.wait_for(|tries| *tries == 2)).await.unwrap().unwrap();
    shutdown.begin();
    running.join_next().await.unwrap().unwrap().unwrap();
    broker.close().await;
}

/// Message 1 finds its neighbour down for an hour. Message 2 calls the same one, until it is told not to.
struct Turning {
    tried: watch::Sender<bool>,
    asked: watch::Sender<u32>,
    turned: watch::Receiver<bool>,
    done: watch::Sender<bool>,
}

impl Handle<InboundMessage> for Turning {
    fn targets(&self, message: &InboundMessage) -> Vec<String> {
        if message.id.as_str() == "2" {
            self.asked.send_modify(|asked| *asked += 1);
            if *self.turned.borrow() {
                return Vec::new();
            }
        }
        vec!["down".to_owned()]
    }

    async fn handle(&self, message: &InboundMessage, _: u32) -> Result<Done, Failure> {
        if message.id.as_str() == "2" {
            self.done.send_replace(true);
            return Ok(Done::Done);
        }
        self.tried.send_replace(true);
        let cause = anyhow::anyhow!("it is down");
        Err(Failure::Unavailable { target: "down".to_owned(), after: Some(Duration::from_secs(3600)), cause })
    }

    async fn before_dead_letter(&self, _: &InboundMessage, _: &Rejection) -> Result<(), Failure> {
        Ok(())
    }
}

#[tokio::test]
async fn who_waits_for_a_breaker_is_asked_again_whom_it_calls() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Clock::system();
    let broker = open(&folder, &clock).await;
    let (tried, mut was_tried) = watch::channel(false);
    let (asked, mut was_asked) = watch::channel(0);
    let (turn, turned) = watch::channel(false);
    let (done, mut is_done) = watch::channel(false);
    let shutdown = Shutdown::new();
    let mut running = JoinSet::new();
    let (consumer, stop) = (broker.clone(), shutdown.clone());
    let handler = Arc::new(Turning { tried, asked, turned, done });
    broker.publish(&message(1, clock.now())).await.unwrap();
    running.spawn(async move { consumer.consume(consume(neighbour()), handler, stop).await });
    timeout(DEADLINE, was_tried.wait_for(|tried| *tried)).await.unwrap().unwrap();
    let other = InboundMessage { from: Address::mail("c@d.example").unwrap(), ..message(2, clock.now()) };
    broker.publish(&other).await.unwrap();
    timeout(DEADLINE, was_asked.wait_for(|asked| *asked == 1)).await.unwrap().unwrap();
    assert!(!*is_done.borrow(), "the breaker is open");
    turn.send_replace(true);
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(31)).await;
    tokio::time::resume();
    timeout(DEADLINE, is_done.wait_for(|done| *done)).await.unwrap().unwrap();
    shutdown.begin();
    running.join_next().await.unwrap().unwrap().unwrap();
    broker.close().await;
}
