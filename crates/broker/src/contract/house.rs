//! What the suite is played in; tests of one kind of broker play in it too.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use jiff::Timestamp;
use model::{
    Address, Arrival, ArrivalPath, ChannelName, Family, InboundMessage, MessageId, NeighbourName, PhoneNumber, Private,
    TraceId,
};
use runtime::{Backoff, Clock, ManualClock, Shutdown};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::{
    Broker, Config, Consume, DeadLetterReport, Done, Failure, Handle, Paces, QueueReport, Rejection, State, Topology,
};

/// Nothing in the suite takes as long as this unless it is broken.
const DEADLINE: Duration = Duration::from_secs(30);

/// An opened broker with what consumes from it.
pub struct House {
    /// The broker.
    pub broker: Broker,
    /// Its clock.
    pub clock: ManualClock,
    config: Config,
    time: Clock,
    shutdown: Shutdown,
}

/// The one Genesys tenant.
pub fn neighbour() -> NeighbourName {
    NeighbourName::new("main")
}

/// What the clock says in the beginning.
pub fn start() -> Timestamp {
    Timestamp::from_second(1_800_000_000).expect("a time")
}

/// One tenant and one provider, with two partitions.
pub fn topology() -> Topology {
    Topology { partitions: 2, genesys: vec![neighbour()], providers: vec![NeighbourName::new("carrier")] }
}

/// Message `number` of a conversation; the pair is its text.
pub fn message(conversation: u32, number: u32) -> InboundMessage {
    let from = PhoneNumber::normalise(&format!("1312555{conversation:04}"), None).expect("a number");
    InboundMessage {
        id: MessageId::derive("in", &[&conversation.to_string(), &number.to_string()]),
        channel: ChannelName::new("sales"),
        genesys: neighbour(),
        from: Address::Phone(from),
        text: Private::new(format!("{conversation}/{number}")),
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
        received_at: start(),
    }
}

/// What [`message`] was made of.
fn numbers(message: &InboundMessage) -> (u32, u32) {
    let (conversation, number) = message.text.expose().split_once('/').expect("a text of the suite");
    let number = number.split(' ').next().unwrap_or_default();
    (conversation.parse().expect("a conversation"), number.parse().expect("a number"))
}

/// A consumer that is patient with messages, not with time.
pub fn consume() -> Consume {
    Consume {
        neighbours: vec![neighbour()],
        prefetch: 64,
        expire: Duration::from_secs(3600),
        max_attempts: 5,
        backoff: Backoff { base: Duration::from_millis(1), cap: Duration::from_millis(5) },
        paces: Paces::default(),
    }
}

/// A failed try.
pub fn retry() -> Failure {
    Failure::Retry { after: None, cause: anyhow::anyhow!("made to fail") }
}

/// Waits for something that ends, and not longer than it may take.
pub async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(DEADLINE, future).await {
        Ok(value) => value,
        Err(_) => panic!("not in time: {what}"),
    }
}

impl House {
    /// Opens an empty broker and waits until it is ready.
    pub async fn open(config: &Config) -> Self {
        let (time, clock) = Clock::manual(start());
        let shutdown = Shutdown::new();
        let broker = open(config, &time).await;
        Self { broker, clock, config: config.clone(), time, shutdown }
    }

    /// Closes the broker and opens it again.
    pub async fn reopen(self) -> Self {
        let Self { broker, clock, config, time, shutdown } = self;
        shutdown.begin();
        soon("closing", broker.close()).await;
        let shutdown = Shutdown::new();
        let broker = open(&config, &time).await;
        Self { broker, clock, config, time, shutdown }
    }

    /// Publishes a message, which must be stored.
    pub async fn publish(&self, message: &InboundMessage) {
        self.broker.publish(message).await.expect("a broker that is ready stores it");
    }

    /// Publishes 1 ..= `count` of a conversation, each after the one before it was stored.
    pub async fn publish_row(&self, conversation: u32, count: u32) {
        for number in 1..=count {
            self.publish(&message(conversation, number)).await;
        }
    }

    /// Starts a consumer whose handler is this script: conversation and number, and the attempt.
    pub fn consume<F>(&self, settings: Consume, script: F) -> Consumer
    where
        F: Fn((u32, u32), u32) -> BoxFuture<'static, Result<Done, Failure>> + Send + Sync + 'static,
    {
        self.consume_on(settings, &[], script)
    }

    /// The same, with these targets for every message.
    pub fn consume_on<F>(&self, settings: Consume, targets: &'static [&'static str], script: F) -> Consumer
    where
        F: Fn((u32, u32), u32) -> BoxFuture<'static, Result<Done, Failure>> + Send + Sync + 'static,
    {
        let (seen, log) = watch::channel(Log::default());
        let shutdown = Shutdown::new();
        let (broker, following) = (self.broker.clone(), shutdown.clone());
        let handler = Arc::new(Script { script, seen, targets });
        let mut running = JoinSet::new();
        running.spawn(async move { broker.consume(settings, handler, following).await });
        Consumer { log, shutdown, running }
    }

    /// Every dead letter.
    pub async fn dead(&self) -> Vec<DeadLetterReport> {
        let mut all = Vec::new();
        for family in Family::ALL {
            all.extend(self.broker.dead_letters(family, 100).await.expect("dead letters can be listed"));
        }
        all
    }

    /// Waits until the queues are as `right` wants them; the broker counts with a delay.
    pub async fn queues(&self, what: &str, right: impl Fn(&[QueueReport]) -> bool) {
        let mut found = Vec::new();
        let looks = async {
            let mut ticks = tokio::time::interval(Duration::from_millis(20));
            loop {
                ticks.tick().await;
                found = self.broker.queues().await.expect("queues can be listed");
                if right(&found) {
                    return;
                }
            }
        };
        if tokio::time::timeout(DEADLINE, looks).await.is_err() {
            panic!("not in time: {what}; {found:?}");
        }
    }

    /// Nothing waits, nothing died; then closes.
    pub async fn empty(self) {
        assert_eq!(self.dead().await, []);
        self.settled().await;
    }

    /// Nothing waits; then closes.
    pub async fn settled(self) {
        let work = |queue: &&QueueReport| !queue.queue.starts_with("causeway.dead.");
        let empty = |queue: &QueueReport| queue.ready == 0 && queue.in_hand.unwrap_or(0) == 0;
        self.queues("empty queues", |all| all.iter().filter(work).all(empty)).await;
        self.shutdown.begin();
        soon("closing", self.broker.close()).await;
    }
}

async fn open(config: &Config, clock: &Clock) -> Broker {
    let broker = Broker::open(config.clone(), topology(), clock.clone()).await.expect("it opens");
    let mut state = broker.state();
    let ready = async { state.wait_for(|state| *state == State::Ready).await.map(|_| ()) };
    soon("a broker that is ready", ready).await.expect("a supervisor that lives");
    broker
}

/// What a handler has seen.
#[derive(Debug, Default, Clone)]
pub struct Log {
    /// Every try that began: conversation and number.
    pub tries: Vec<(u32, u32)>,
    /// Every try that ended in `Ok`.
    pub done: Vec<(u32, u32)>,
    /// What was told before a dead letter.
    pub told: Vec<Rejection>,
    /// Handlers at work at this moment.
    pub at_work: usize,
}

impl Log {
    /// What was done, by conversation, in the order of doing.
    pub fn by_conversation(&self) -> BTreeMap<u32, Vec<u32>> {
        let mut rows: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
        for (conversation, number) in &self.done {
            rows.entry(*conversation).or_default().push(*number);
        }
        rows
    }
}

/// A consumer at work.
pub struct Consumer {
    log: watch::Receiver<Log>,
    shutdown: Shutdown,
    running: JoinSet<anyhow::Result<()>>,
}

impl Consumer {
    /// Waits until the log is right.
    pub async fn until(&mut self, what: &str, right: impl FnMut(&Log) -> bool) -> Log {
        match tokio::time::timeout(DEADLINE, self.log.wait_for(right)).await.map(|seen| seen.map(|log| log.clone())) {
            Ok(seen) => seen.expect("a consumer that lives"),
            Err(_) => {
                let Log { tries, done, told, at_work } = self.log();
                panic!(
                    "not in time: {what}; {} tries, {} done, {} told, {at_work} at work",
                    tries.len(),
                    done.len(),
                    told.len()
                );
            }
        }
    }

    /// Waits until as many are done.
    pub async fn until_done(&mut self, count: usize) -> Log {
        self.until(&format!("{count} messages done"), |log| log.done.len() >= count).await
    }

    /// The log so far.
    pub fn log(&self) -> Log {
        self.log.borrow().clone()
    }

    /// Asks for the soft stage.
    pub fn begin_stop(&self) {
        self.shutdown.begin();
    }

    /// Asks for the soft stage and waits for the end.
    pub async fn stop(mut self) -> Log {
        self.shutdown.begin();
        self.ended().await;
        self.log()
    }

    /// Asks for the hard stage and waits for the end.
    pub async fn force(mut self) -> Log {
        self.shutdown.force();
        self.ended().await;
        self.log()
    }

    /// Waits for the end.
    pub async fn ended(&mut self) {
        while let Some(ended) = soon("the end of a consumer", self.running.join_next()).await {
            ended.expect("a consumer does not panic").expect("a consumer ends well");
        }
    }
}

struct Script<F> {
    script: F,
    targets: &'static [&'static str],
    seen: watch::Sender<Log>,
}

/// Counts a handler at work, however it ends.
struct AtWork<'a>(&'a watch::Sender<Log>);

impl Drop for AtWork<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|log| log.at_work -= 1);
    }
}

impl<F> Handle<InboundMessage> for Script<F>
where
    F: Fn((u32, u32), u32) -> BoxFuture<'static, Result<Done, Failure>> + Send + Sync + 'static,
{
    fn targets(&self, _message: &InboundMessage) -> Vec<String> {
        self.targets.iter().map(|target| (*target).to_owned()).collect()
    }

    async fn handle(&self, message: &InboundMessage, attempt: u32) -> Result<Done, Failure> {
        let numbers = numbers(message);
        self.seen.send_modify(|log| {
            log.tries.push(numbers);
            log.at_work += 1;
        });
        let _at_work = AtWork(&self.seen);
        let result = (self.script)(numbers, attempt).await;
        if result.is_ok() {
            self.seen.send_modify(|log| log.done.push(numbers));
        }
        result
    }

    async fn before_dead_letter(&self, _: &InboundMessage, rejection: &Rejection) -> Result<(), Failure> {
        let mut told = 0;
        self.seen.send_modify(|log| {
            log.told.push(rejection.clone());
            told = log.told.len();
        });
        // The first telling fails where a script asks for it by the code of its rejection.
        if told == 1 && rejection.detail.contains("tell me twice") { Err(retry()) } else { Ok(()) }
    }
}
