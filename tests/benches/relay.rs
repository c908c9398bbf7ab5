//! Causeway beside the least that a durable relay can do, in one run on one machine.
//!
//! `make bench`, or `cargo bench --profile release -p causeway -p tests --bench relay [-- OPTIONS]` after
//! `cargo build --release -p causeway`. Options: `--rounds N`, `--seconds N` for each, `--full` for a million messages,
//! `--only rounds`, `--only backlog` or `--only recovery`; `--senders N` and `--what "inbound RabbitMQ SQLite"` for one line,
//! `--messages N` for the backlogs of that length.

#![expect(clippy::print_stdout, reason = "a benchmark prints its tables")]

#[path = "relay/backlog.rs"]
mod backlog;
#[path = "relay/bridge.rs"]
mod bridge;
#[path = "relay/far.rs"]
mod far;
#[path = "relay/figures.rs"]
mod figures;
#[path = "relay/floor.rs"]
mod floor;
#[path = "relay/load.rs"]
mod load;
#[path = "relay/process.rs"]
mod process;
#[path = "relay/recovery.rs"]
mod recovery;
#[path = "relay/rounds.rs"]
mod rounds;
#[path = "relay/settings.rs"]
mod settings;
#[path = "relay/table.rs"]
mod table;

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use backlog::Case;
use far::Far;
use rounds::{Effort, Field, Lines};
use settings::Queues;
use test_support::{PostgresServer, RabbitNode, Version};

/// What is asked for on the command line.
struct Options {
    effort: Effort,
    full: bool,
    messages: Option<u64>,
    only: Option<String>,
    lines: Lines,
}

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    match words[..] {
        ["floor-take", address, amqp] => runtime.block_on(floor::take(address.parse()?, amqp)),
        ["floor-give", amqp, url] => runtime.block_on(floor::give(amqp, url)),
        _ => {
            let options = options(&words)?;
            let node = RabbitNode::start(Version::V43);
            node.make_vhosts(VHOSTS);
            let postgres = PostgresServer::start();
            runtime.block_on(measure(&options, node, &postgres))
        }
    }
}

const VHOSTS: usize = 32;

fn options(words: &[&str]) -> anyhow::Result<Options> {
    let effort = Effort { rounds: 5, length: Duration::from_secs(3) };
    let mut options = Options { effort, full: false, messages: None, only: None, lines: Lines::default() };
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let mut value = || words.next().with_context(|| format!("{word} needs a value"));
        match *word {
            "--rounds" => options.effort.rounds = value()?.parse()?,
            "--seconds" => options.effort.length = Duration::from_secs(value()?.parse()?),
            "--only" => options.only = Some((*value()?).to_owned()),
            "--senders" => options.lines.senders = Some(value()?.parse()?),
            "--what" => options.lines.what = Some((*value()?).to_owned()),
            "--full" => options.full = true,
            "--messages" => options.messages = Some(value()?.parse()?),
            other => bail!("{other} is not an option of this benchmark"),
        }
    }
    Ok(options)
}

async fn measure(options: &Options, mut node: RabbitNode, postgres: &PostgresServer) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let far = Far::start().await?;
    let asked = |part: &str| options.only.as_deref().is_none_or(|only| only == part);
    println!("RabbitMQ {}, {} processors; x is the ratio to the floor of the same round", node.version(), processors());
    if asked("rounds") {
        let Effort { rounds, length } = options.effort;
        println!("\n{rounds} rounds of {} s each by turns; medians, and the greatest maximum\n", length.as_secs());
        let vhosts = [node.url("t1"), node.url("t2"), node.url("t3")];
        let databases = [postgres.make_database(), postgres.make_database()];
        let field = Field::start(&far, folder.path(), vhosts, databases).await?;
        let rows = field.measure(options.effort, &options.lines).await?;
        table::print(&rows);
        table::judge(&rows);
        field.end().await?;
    }
    if asked("backlog") {
        backlogs(&far, &node, folder.path(), options).await?;
    }
    if asked("recovery") {
        let took = recovery::measure(&far, &mut node, "t32", &folder.path().join("recovery")).await?;
        let worst = took.iter().max().copied().unwrap_or_default().as_secs_f64();
        println!("\nfrom the first connection RabbitMQ accepts after a kill to the first text through: {took:.2?}");
        figures::verdict("seconds to recover, the longest of them", worst, 5.0, false);
    }
    far.desk().check_none_twice()
}

fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// A backlog of every length, and of many and few conversations.
async fn backlogs(far: &Far, node: &RabbitNode, folder: &Path, options: &Options) -> anyhow::Result<()> {
    println!("\na backlog of inbound messages, ledger on SQLite; peak memory of the process\n");
    backlog::head();
    let mut cases = vec![
        Case { messages: 1_000, conversations: 10 },
        Case { messages: 100_000, conversations: 10 },
        Case { messages: 100_000, conversations: 1_000 },
        Case { messages: 100_000, conversations: 100_000 },
    ];
    if options.full {
        cases.push(Case { messages: 1_000_000, conversations: 1_000 });
        cases.push(Case { messages: 1_000_000, conversations: 100_000 });
    }
    cases.retain(|case| options.messages.is_none_or(|only| case.messages == only));
    ensure!(!cases.is_empty(), "there is no backlog of that length; a million is among them with --full");
    let mut most: f64 = 0.0;
    for (number, case) in (0..).zip(cases) {
        let floor = backlog::floor(far, &node.url(&format!("t{}", 4 + 2 * number)), folder, case).await?;
        backlog::row("floor", case, &floor, None);
        for queues in [Queues::RabbitMq(node.url(&format!("t{}", 5 + 2 * number))), Queues::Embedded] {
            let name = queues.to_string();
            let own = folder.join(format!("backlog-{number}-{name}"));
            let drained = backlog::causeway(far, queues, &own, case).await;
            let drained = drained.with_context(|| format!("{name}, {case:?}"))?;
            backlog::row(&name, case, &drained, Some(&floor));
            most = most.max(figures::megabytes(drained.draining.max(drained.filling)));
        }
    }
    println!();
    figures::verdict("megabytes, the most of any process", most, 100.0, false);
    Ok(())
}
