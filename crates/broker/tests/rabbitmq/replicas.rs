//! Replicas of a role share its partitions, and conversations stay in order while they come and go.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use broker::contract::house::{consume, message, neighbour};
use broker::{Broker, Done, Failure, Handle, Rejection, State, Topology};
use futures_util::future::join_all;
use model::{InboundMessage, Queued};
use runtime::{Clock, Shutdown};
use test_support::{Version, shared_vhost};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::admin::DEADLINE;
use super::at;

const PARTITIONS: u16 = 12;
/// Enough for every partition to be somebody's.
const CONVERSATIONS: u32 = 96;
/// Partitions spread by themselves within this.
const SPREAD: Duration = Duration::from_secs(15);
/// Rounds in which nothing may move; more than it takes to notice that a replica has gone.
const STEADY: u32 = 50;

/// Who handled what, in the order of handling.
#[derive(Default)]
struct Rows {
    handled: Vec<(usize, u32, u32)>,
}

struct Worker {
    replica: usize,
    rows: Arc<Mutex<Rows>>,
    count: watch::Sender<usize>,
}

impl Handle<InboundMessage> for Worker {
    async fn handle(&self, message: &InboundMessage, _attempt: u32) -> Result<Done, Failure> {
        let (conversation, number) = message.text.expose().split_once('/').expect("as the suite writes it");
        let mut rows = self.rows.lock().unwrap();
        rows.handled.push((self.replica, conversation.parse().unwrap(), number.parse().unwrap()));
        self.count.send_replace(rows.handled.len());
        Ok(Done::Done)
    }

    async fn before_dead_letter(&self, _message: &InboundMessage, rejection: &Rejection) -> Result<(), Failure> {
        panic!("nothing dies here: {rejection:?}");
    }
}

fn topology() -> Topology {
    Topology { partitions: PARTITIONS, genesys: vec![neighbour()], providers: Vec::new() }
}

fn partition(conversation: u32) -> u16 {
    message(conversation, 1).conversation().partition(PARTITIONS)
}

/// One replica of the role.
struct Replica {
    broker: Broker,
    shutdown: Shutdown,
    tasks: JoinSet<anyhow::Result<()>>,
}

struct Play {
    url: String,
    publisher: Broker,
    rows: Arc<Mutex<Rows>>,
    count: watch::Sender<usize>,
    replicas: BTreeMap<usize, Replica>,
    next: usize,
    published: u32,
}

impl Play {
    async fn new() -> Self {
        let url = shared_vhost(Version::V43);
        let publisher = opened(&url).await;
        let (rows, count) = (Arc::default(), watch::Sender::new(0));
        Self { url, publisher, rows, count, replicas: BTreeMap::new(), next: 0, published: 0 }
    }

    async fn start_one(&mut self) {
        let broker = opened(&self.url).await;
        let shutdown = Shutdown::new();
        let worker = Worker { replica: self.next, rows: Arc::clone(&self.rows), count: self.count.clone() };
        let (consuming, stop) = (broker.clone(), shutdown.clone());
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { consuming.consume::<InboundMessage, _>(consume(), Arc::new(worker), stop).await });
        self.replicas.insert(self.next, Replica { broker, shutdown, tasks });
        self.next += 1;
    }

    async fn stop_one(&mut self) {
        let (_, mut replica) = self.replicas.pop_first().expect("one is there");
        replica.shutdown.begin();
        let ended = tokio::time::timeout(DEADLINE, replica.tasks.join_next()).await.expect("it stops in time");
        ended.expect("it ran").expect("it does not panic").expect("it ends well");
        replica.broker.close().await;
    }

    /// One more message in every conversation, and who handled those.
    async fn round(&mut self) -> BTreeMap<u16, BTreeSet<usize>> {
        self.published += 1;
        let (number, before) = (self.published, self.rows.lock().unwrap().handled.len());
        let publish = async |conversation| self.publisher.publish(&message(conversation, number)).await;
        let stored = join_all((1..=CONVERSATIONS).map(publish)).await;
        assert!(stored.iter().all(Result::is_ok), "{stored:?}");
        let mut count = self.count.subscribe();
        let all = before + usize::try_from(CONVERSATIONS).unwrap();
        let arrived = tokio::time::timeout(DEADLINE, count.wait_for(|count| *count >= all)).await;
        arrived.expect("the round arrives in time").expect("the sender is held");
        let mut owners: BTreeMap<u16, BTreeSet<usize>> = BTreeMap::new();
        for (replica, conversation, _) in &self.rows.lock().unwrap().handled[before..] {
            owners.entry(partition(*conversation)).or_default().insert(*replica);
        }
        owners
    }

    /// Each holds some, and none more than twice its fair share.
    fn is_spread(&self, owners: &BTreeMap<u16, BTreeSet<usize>>) -> bool {
        let held = |replica: &usize| owners.values().filter(|who| who.contains(replica)).count();
        let most = 2 * usize::from(PARTITIONS).div_ceil(self.replicas.len());
        owners.values().all(|who| who.len() == 1)
            && self.replicas.keys().all(|replica| (1..=most).contains(&held(replica)))
    }

    /// Rounds until the partitions are spread and stay so.
    async fn spreads(&mut self, what: &str) {
        let began = Instant::now();
        let mut ticks = interval(Duration::from_millis(100));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut owners, mut since, mut rounds) = (self.round().await, Instant::now(), 0);
        while rounds < STEADY || !self.is_spread(&owners) {
            assert!(since - began < SPREAD, "{what}: not spread, or not for long: {owners:?}");
            ticks.tick().await;
            let now = self.round().await;
            rounds += 1;
            if now != owners || !self.is_spread(&now) {
                (owners, since, rounds) = (now, Instant::now(), 0);
            }
        }
    }

    async fn end(mut self) {
        while !self.replicas.is_empty() {
            self.stop_one().await;
        }
        self.publisher.close().await;
        let mut expected: BTreeMap<u32, u32> = BTreeMap::new();
        for (_, conversation, number) in &self.rows.lock().unwrap().handled {
            let next = expected.entry(*conversation).or_insert(1);
            assert_eq!(number, next, "conversation {conversation}: nothing twice, nothing lost, nothing out of order");
            *next += 1;
        }
        assert_eq!(expected.len(), usize::try_from(CONVERSATIONS).unwrap());
        assert!(expected.values().all(|next| *next == self.published + 1));
    }
}

async fn opened(url: &str) -> Broker {
    let broker = Broker::open(at(url), topology(), Clock::system()).await.expect("it opens");
    let mut state = broker.state();
    let ready = tokio::time::timeout(DEADLINE, state.wait_for(|state| *state == State::Ready)).await;
    ready.expect("it is ready in time").expect("its supervisor lives");
    broker
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn partitions_spread_over_replicas_that_come_and_go() {
    let mut play = Play::new().await;
    play.start_one().await;
    play.spreads("one").await;
    play.start_one().await;
    play.start_one().await;
    play.spreads("three").await;
    play.stop_one().await;
    play.spreads("two").await;
    play.stop_one().await;
    play.spreads("one again").await;
    play.end().await;
}
