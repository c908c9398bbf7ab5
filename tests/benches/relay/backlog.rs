//! What waits: memory and pace with a backlog, by its length and by the number of conversations it is of.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::bridge::{Bridge, Causeway};
use super::far::{Desk, Far};
use super::figures::megabytes;
use super::load::{Door, Kind, Line};
use super::settings::{Books, Queues, Settings};

const SENDERS: u64 = 64;
/// The slowest drain that is waited for: a hundred messages a second.
const SLOWEST: Duration = Duration::from_millis(10);

/// One case.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Case {
    pub(crate) messages: u64,
    pub(crate) conversations: u64,
}

/// What it showed.
pub(crate) struct Drained {
    /// The most memory the process that drains ever held, in bytes.
    pub(crate) draining: u64,
    /// The same of the process that filled ever held.
    pub(crate) filling: u64,
    pub(crate) per_second: f64,
}

/// Fills the queues of a bridge that cannot deliver, lets it, and looks.
pub(crate) async fn causeway(far: &Far, queues: Queues, folder: &Path, case: Case) -> anyhow::Result<Drained> {
    let embedded = matches!(queues, Queues::Embedded);
    let causeway = Causeway::new(Settings { queues, books: Books::Sqlite, far: far.url() }, folder.to_owned())?;
    let desk = far.desk();
    desk.set_open(false);
    let filling = causeway.start(&["ingress"]).await?;
    let numbers = fill(&desk, filling.door(Kind::Text), case).await.context("filling")?;
    let filled = filling.peak()?;
    filling.end().await?;
    let before = desk.delivered();
    desk.set_open(true);
    let began = Instant::now();
    let draining = causeway.start(if embedded { &[] } else { &["genesys-outbound"] }).await?;
    let per_second = drain(&desk, before, case, began).await?;
    let peak = draining.peak()?;
    draining.end().await?;
    desk.check(numbers, false)?;
    Ok(Drained { draining: peak, filling: filled, per_second })
}

/// The same of the floor.
pub(crate) async fn floor(far: &Far, amqp: &str, folder: &Path, case: Case) -> anyhow::Result<Drained> {
    let desk = far.desk();
    let mut filling = Bridge::floor(far, amqp, folder).await?;
    filling.processes.pop();
    let numbers = fill(&desk, filling.door(Kind::Text), case).await.context("filling")?;
    let filled = filling.peak()?;
    let before = desk.delivered();
    let began = Instant::now();
    let draining = Bridge::floor(far, amqp, folder).await?;
    let per_second = drain(&desk, before, case, began).await?;
    let peak = draining.peak()?;
    desk.check(numbers, false)?;
    Ok(Drained { draining: peak, filling: filled, per_second })
}

async fn fill(desk: &Arc<Desk>, door: Door, case: Case) -> anyhow::Result<Vec<u64>> {
    let mut senders = JoinSet::new();
    for sender in 0..SENDERS {
        let desk = Arc::clone(desk);
        senders.spawn(async move {
            let mut line = Line::open(door.address).await?;
            let mut numbers = Vec::new();
            for message in (sender..case.messages).step_by(SENDERS as usize) {
                let number = desk.number();
                line.post(door.kind, number, message % case.conversations).await?;
                numbers.push(number);
            }
            anyhow::Ok(numbers)
        });
    }
    let mut numbers = Vec::new();
    while let Some(sent) = senders.join_next().await {
        numbers.extend(sent??);
    }
    Ok(numbers)
}

async fn drain(desk: &Desk, before: u64, case: Case, began: Instant) -> anyhow::Result<f64> {
    let patience = Duration::from_secs(60) + SLOWEST * u32::try_from(case.messages)?;
    let drained = timeout(patience, desk.until_delivered(before + case.messages)).await;
    drained.with_context(|| format!("{} of {} arrived", desk.delivered() - before, case.messages))?;
    Ok(case.messages as f64 / began.elapsed().as_secs_f64())
}

/// The head of the table.
pub(crate) fn head() {
    println!(
        "{:<10} {:>9} {:>13}  {:>9} {:>6}  {:>11}  {:>10}",
        "", "messages", "conversations", "drained/s", "x", "draining MB", "filling MB"
    );
}

pub(crate) fn row(name: &str, case: Case, drained: &Drained, floor: Option<&Drained>) {
    let ratio = floor.map(|floor| format!("{:.2}", drained.per_second / floor.per_second)).unwrap_or_default();
    println!(
        "{name:<10} {:>9} {:>13}  {:>9.0} {ratio:>6}  {:>11.0}  {:>10.0}",
        case.messages,
        case.conversations,
        drained.per_second,
        megabytes(drained.draining),
        megabytes(drained.filling)
    );
}
