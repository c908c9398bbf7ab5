//! The embedded broker under `kill -9`: what was confirmed is there, once, in order. The child is this test binary,
//! started again for the one test that is ignored otherwise.

#![expect(clippy::unwrap_used, reason = "a test fails where it panics, in its helpers as well")]

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use broker::{Broker, Config, Consume, Done, EmbeddedConfig, Failure, Handle, OpenError, Paces, Rejection, Topology};
use model::{
    Address, Arrival, ArrivalPath, ChannelName, Family, InboundMessage, MessageId, NeighbourName, PhoneNumber, Private,
    TraceId,
};
use runtime::{Backoff, Clock, Shutdown};
use tokio::sync::watch;
use tokio::task::JoinSet;

const FOLDER: &str = "BROKER_TEST_FOLDER";
const FIRST: &str = "BROKER_TEST_FIRST";
const PUBLISHERS: u32 = 8;
const DEADLINE: Duration = Duration::from_secs(60);

fn message(publisher: u32, number: u64) -> InboundMessage {
    let from = PhoneNumber::normalise(&format!("1312555{publisher:04}"), None).unwrap();
    InboundMessage {
        id: MessageId::new(format!("{publisher} {number}")),
        channel: ChannelName::new("sales"),
        genesys: NeighbourName::new("main"),
        from: Address::Phone(from),
        text: Private::new("x".repeat(400)),
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
        received_at: Clock::system().now(),
    }
}

async fn open(folder: &Path) -> Result<Broker, OpenError> {
    let topology = Topology { partitions: 3, genesys: vec![NeighbourName::new("main")], providers: vec![] };
    let config = Config::Embedded(EmbeddedConfig { path: folder.to_owned() });
    Broker::open(config, topology, Clock::system()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "the child of the other tests"]
async fn child_publishes_until_it_is_killed() {
    #[expect(clippy::disallowed_methods, reason = "the arguments of a test binary belong to its harness")]
    let told = (std::env::var(FOLDER), std::env::var(FIRST));
    let (Ok(folder), Ok(first)) = told else { return };
    let first: u64 = first.parse().unwrap();
    let broker = open(Path::new(&folder)).await.unwrap();
    let mut publishers = JoinSet::new();
    for publisher in 0..PUBLISHERS {
        let broker = broker.clone();
        publishers.spawn(async move {
            for number in first.. {
                broker.publish(&message(publisher, number)).await.unwrap();
                // One write, so that a line is whole or not there.
                let line = format!("confirmed {publisher} {number}\n");
                std::io::stdout().lock().write_all(line.as_bytes()).unwrap();
            }
        });
    }
    publishers.join_next().await.unwrap().unwrap();
}

/// Kills its process when it is dropped, so that a test that fails leaves none behind.
struct Running(Child);

impl Running {
    fn start(folder: &Path, first: u64) -> Self {
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", "--nocapture", "child_publishes_until_it_is_killed"])
            .env(FOLDER, folder)
            .env(FIRST, first.to_string())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self(child)
    }

    fn lines(&mut self) -> impl Iterator<Item = (u32, u64)> + use<> {
        let lines = BufReader::new(self.0.stdout.take().unwrap()).lines();
        lines.map_while(Result::ok).filter_map(|line| {
            let mut words = line.strip_prefix("confirmed ")?.split(' ');
            Some((words.next()?.parse().ok()?, words.next()?.parse().ok()?))
        })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself; there is nothing left to kill then.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[derive(Default)]
struct Collect {
    rows: Mutex<HashMap<u32, Vec<u64>>>,
    count: watch::Sender<u64>,
}

impl Handle<InboundMessage> for Collect {
    async fn handle(&self, message: &InboundMessage, _: u32) -> Result<Done, Failure> {
        let (publisher, number) = message.id.as_str().split_once(' ').unwrap();
        let (publisher, number) = (publisher.parse().unwrap(), number.parse().unwrap());
        self.rows.lock().unwrap().entry(publisher).or_default().push(number);
        self.count.send_modify(|count| *count += 1);
        Ok(Done::Done)
    }

    async fn before_dead_letter(&self, _: &InboundMessage, _: &Rejection) -> Result<(), Failure> {
        Ok(())
    }
}

/// Consumes everything that waits.
async fn drain(broker: &Broker) -> HashMap<u32, Vec<u64>> {
    let waiting: u64 = broker.queues().await.unwrap().iter().map(|queue| queue.ready).sum();
    let collect = Arc::new(Collect::default());
    let shutdown = Shutdown::new();
    let settings = Consume {
        neighbours: vec![NeighbourName::new("main")],
        prefetch: 256,
        expire: Duration::from_secs(3600),
        max_attempts: 5,
        backoff: Backoff { base: Duration::from_millis(10), cap: Duration::from_secs(1) },
        paces: Paces::default(),
    };
    let mut count = collect.count.subscribe();
    let all = async {
        tokio::time::timeout(DEADLINE, count.wait_for(|count| *count >= waiting)).await.unwrap().unwrap();
        shutdown.begin();
    };
    let (consumed, ()) = tokio::join!(broker.consume(settings, Arc::clone(&collect), shutdown.clone()), all);
    consumed.unwrap();
    let rows = collect.rows.lock().unwrap().clone();
    assert_eq!(rows.values().map(|row| row.len() as u64).sum::<u64>(), waiting);
    assert!(broker.queues().await.unwrap().iter().all(|queue| queue.ready == 0));
    assert!(broker.dead_letters(Family::Inbound, 1).await.unwrap().is_empty());
    rows
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_confirmed_survives_kill_9() {
    let folder = tempfile::tempdir().unwrap();
    for round in 1..=6u64 {
        let first = round * 1_000_000;
        let mut child = Running::start(folder.path(), first);
        // Somewhere in the work of eight publishers.
        let enough = rand::random_range(1..1500);
        let lines = child.lines();
        let mut confirmed: HashMap<u32, u64> = HashMap::new();
        for (seen, (publisher, number)) in (1..).zip(lines) {
            let last = confirmed.insert(publisher, number);
            assert!(last.is_none_or(|last| last + 1 == number), "the child skipped a number");
            if seen == enough {
                child.0.kill().unwrap();
            }
        }
        drop(child);
        let total: u64 = confirmed.values().map(|last| last - first + 1).sum();
        assert!(total >= enough, "the child ended early: {total} of {enough}");

        let broker = open(folder.path()).await.unwrap();
        let rows = drain(&broker).await;
        for (publisher, last) in confirmed {
            let row = &rows[&publisher];
            // One more may have been stored whose answer was not heard.
            let expected = last - first + 1;
            assert!((expected..=expected + 1).contains(&(row.len() as u64)), "{} of {expected}", row.len());
            assert!(row.iter().copied().eq(first..first + row.len() as u64), "a gap, a repetition or another order");
        }
        broker.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_process_is_refused_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = Running::start(folder.path(), 1);
    // Held on to, because a child whose output nobody reads ends.
    let mut lines = child.lines();
    assert!(lines.next().is_some(), "the child stores something");
    let refused = open(folder.path()).await.err().unwrap();
    assert!(matches!(refused, OpenError::InUse { .. }), "{refused}");
    assert!(refused.to_string().contains("another process has this store open"));
    drop(child);
    let broker = open(folder.path()).await.unwrap();
    assert!(!drain(&broker).await.is_empty());
    broker.close().await;
}
