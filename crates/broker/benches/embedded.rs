//! What the embedded broker stores and settles per second, beside plain SQLite on the same disk in the same run.
//!
//! `cargo bench -p broker --bench embedded [-- FOLDER]`; the folder says which disk.

#![expect(clippy::print_stdout, reason = "a benchmark prints its table")]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use broker::{Broker, Config, Consume, Done, EmbeddedConfig, Failure, Handle, Paces, Rejection, Topology};
use model::{
    Address, Arrival, ArrivalPath, ChannelName, InboundMessage, MessageId, NeighbourName, PhoneNumber, Private, TraceId,
};
use runtime::{Backoff, Clock, Shutdown};
use tokio::sync::Notify;
use tokio::task::JoinSet;

const BODY: usize = 600;
const RUN: Duration = Duration::from_secs(4);

fn main() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let given = std::env::args().skip(1).find(|argument| !argument.starts_with("--"));
    let folder = match given {
        Some(folder) => tempfile::tempdir_in(folder)?,
        None => tempfile::tempdir()?,
    };
    println!("bodies of {BODY} bytes, an fsync before every answer; {} s each", RUN.as_secs());
    let plain = plain_sqlite(&folder.path().join("plain.db"))?;
    println!("{:<44} {plain:>9.0}/s   1.00", "plain SQLite, one thread, 64 rows a commit");
    let row = |what: String, rate: f64| println!("{what:<44} {rate:>9.0}/s   {:.2}", rate / plain);
    for publishers in [1, 16, 64, 256] {
        let rate = runtime.block_on(publish(&folder.path().join(format!("publish-{publishers}")), publishers))?;
        row(format!("publish, {publishers} at once"), rate);
    }
    for publishers in [64, 256] {
        let rate = runtime.block_on(relay(&folder.path().join(format!("relay-{publishers}")), publishers))?;
        row(format!("publish, consume, ack, {publishers} at once"), rate);
    }
    let rate = runtime.block_on(drain(&folder.path().join("drain")))?;
    row("consume and ack a backlog of 100000".to_owned(), rate);
    Ok(())
}

fn plain_sqlite(file: &Path) -> anyhow::Result<f64> {
    let connection = rusqlite::Connection::open(file)?;
    connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.execute_batch("CREATE TABLE row (id INTEGER PRIMARY KEY, body BLOB NOT NULL)")?;
    let body = vec![b'x'; BODY];
    let begun = Instant::now();
    let mut rows = 0.0;
    while begun.elapsed() < RUN {
        connection.execute_batch("BEGIN")?;
        for _ in 0..64 {
            connection.prepare_cached("INSERT INTO row (body) VALUES (?1)")?.execute([&body])?;
        }
        connection.execute_batch("COMMIT")?;
        rows += 64.0;
    }
    Ok(rows / begun.elapsed().as_secs_f64())
}

fn message(conversation: u64, number: u64) -> anyhow::Result<InboundMessage> {
    let clock = Clock::system();
    let mut message = InboundMessage {
        id: MessageId::new(format!("in-{conversation}-{number}")),
        channel: ChannelName::new("sales"),
        genesys: NeighbourName::new("main"),
        from: Address::Phone(PhoneNumber::normalise(&format!("1312555{:04}", conversation % 10_000), None)?),
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
        trace: TraceId::new("5767ea58-1511-4a98-bc56-7f34c43e3a51"),
        received_at: clock.now(),
    };
    let missing = BODY.saturating_sub(model::encode(&message).len());
    message.text = Private::new("x".repeat(missing));
    Ok(message)
}

async fn open(folder: &Path) -> anyhow::Result<Broker> {
    let topology = Topology {
        partitions: 4,
        genesys: vec![NeighbourName::new("main")],
        providers: vec![NeighbourName::new("carrier")],
    };
    let config = Config::Embedded(EmbeddedConfig { path: folder.to_owned() });
    Ok(Broker::open(config, topology, Clock::system()).await?)
}

/// Publishers that each wait for their answer before they go on, for the length of a run.
async fn load(broker: &Broker, publishers: u64) -> anyhow::Result<u64> {
    let begun = Instant::now();
    let mut tasks = JoinSet::new();
    for publisher in 0..publishers {
        let broker = broker.clone();
        tasks.spawn(async move {
            let message = message(publisher, 0)?;
            let mut stored = 0;
            while begun.elapsed() < RUN {
                broker.publish(&message).await?;
                stored += 1;
            }
            anyhow::Ok(stored)
        });
    }
    let mut stored = 0;
    while let Some(ended) = tasks.join_next().await {
        stored += ended??;
    }
    Ok(stored)
}

async fn publish(folder: &Path, publishers: u64) -> anyhow::Result<f64> {
    let broker = open(folder).await?;
    let begun = Instant::now();
    let stored = load(&broker, publishers).await?;
    let rate = stored as f64 / begun.elapsed().as_secs_f64();
    broker.close().await;
    Ok(rate)
}

#[derive(Default)]
struct Count {
    handled: AtomicU64,
    more: Notify,
}

impl Handle<InboundMessage> for Count {
    async fn handle(&self, _: &InboundMessage, _: u32) -> Result<Done, Failure> {
        self.handled.fetch_add(1, Ordering::Relaxed);
        self.more.notify_one();
        Ok(Done::Done)
    }

    async fn before_dead_letter(&self, _: &InboundMessage, _: &Rejection) -> Result<(), Failure> {
        Ok(())
    }
}

fn consume() -> Consume {
    Consume {
        neighbours: vec![NeighbourName::new("main")],
        prefetch: 256,
        expire: Duration::from_secs(86_400),
        max_attempts: 5,
        backoff: Backoff { base: Duration::from_millis(10), cap: Duration::from_secs(1) },
        paces: Paces::default(),
    }
}

/// Runs a consumer until `count` are handled.
async fn consume_until(broker: &Broker, handler: &Arc<Count>, count: impl Future<Output = u64>) -> anyhow::Result<()> {
    let shutdown = Shutdown::new();
    let counted = async {
        let count = count.await;
        while handler.handled.load(Ordering::Relaxed) < count {
            handler.more.notified().await;
        }
        shutdown.begin();
    };
    let (consumed, ()) = tokio::join!(broker.consume(consume(), Arc::clone(handler), shutdown.clone()), counted);
    consumed
}

async fn relay(folder: &Path, publishers: u64) -> anyhow::Result<f64> {
    let broker = open(folder).await?;
    let handler = Arc::new(Count::default());
    let begun = Instant::now();
    let mut failed = None;
    let stored = async {
        load(&broker, publishers).await.unwrap_or_else(|error| {
            failed = Some(error);
            0
        })
    };
    consume_until(&broker, &handler, stored).await?;
    let rate = handler.handled.load(Ordering::Relaxed) as f64 / begun.elapsed().as_secs_f64();
    if let Some(error) = failed {
        return Err(error.context("publishing"));
    }
    broker.close().await;
    Ok(rate)
}

async fn drain(folder: &Path) -> anyhow::Result<f64> {
    const BACKLOG: u64 = 100_000;
    let broker = open(folder).await?;
    let mut tasks = JoinSet::new();
    for publisher in 0..500 {
        let broker = broker.clone();
        tasks.spawn(async move {
            for number in 0..BACKLOG / 500 {
                broker.publish(&message(publisher, number)?).await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended?.context("filling the backlog")?;
    }
    let handler = Arc::new(Count::default());
    let begun = Instant::now();
    consume_until(&broker, &handler, async { BACKLOG }).await?;
    let rate = BACKLOG as f64 / begun.elapsed().as_secs_f64();
    broker.close().await;
    Ok(rate)
}
