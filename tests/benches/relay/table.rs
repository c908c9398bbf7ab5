//! The tables.

use std::time::Duration;

use super::figures::{Latency, megabytes, verdict};
use super::load::Round;

/// One round of one subject.
pub(crate) struct Measured {
    per_second: f64,
    delivered: Latency,
    receipts: Option<Latency>,
    cpu: f64,
    peak: u64,
}

/// The rounds of one subject with one number of senders.
pub(crate) struct Row {
    pub(crate) name: String,
    rounds: Vec<Measured>,
}

/// The medians of the ratios to the floor of the same round.
pub(crate) struct Ratios {
    pub(crate) throughput: f64,
    pub p50: f64,
    pub p99: f64,
    pub(crate) cpu: f64,
}

impl Measured {
    pub(crate) fn new(round: Round, cpu: Duration, peak: u64) -> Self {
        let receipts = (!round.receipts.is_empty()).then(|| Latency::of(round.receipts));
        Self {
            per_second: round.messages as f64 / round.took.as_secs_f64(),
            delivered: Latency::of(round.delivered),
            receipts,
            cpu: cpu.as_secs_f64() * 1e6 / round.messages as f64,
            peak,
        }
    }
}

impl Row {
    pub(crate) fn new(name: &str) -> Self {
        Self { name: name.to_owned(), rounds: Vec::new() }
    }

    pub(crate) fn add(&mut self, measured: Measured) {
        self.rounds.push(measured);
    }

    pub(crate) fn ratios(&self, floor: &Self) -> Ratios {
        let ratio = |of: fn(&Measured) -> f64| {
            median(self.rounds.iter().zip(&floor.rounds).map(|(own, floor)| of(own) / of(floor)).collect())
        };
        Ratios {
            throughput: ratio(|round| round.per_second),
            p50: ratio(|round| round.delivered.p50),
            p99: ratio(|round| round.delivered.p99),
            cpu: ratio(|round| round.cpu),
        }
    }

    /// The most any process of it ever held, in megabytes.
    pub(crate) fn peak(&self) -> f64 {
        self.rounds.last().map_or(0.0, |round| megabytes(round.peak))
    }

    fn median(&self, of: impl Fn(&Measured) -> f64) -> f64 {
        median(self.rounds.iter().map(of).collect())
    }

    fn median_latency(&self, of: impl Fn(&Measured) -> Option<Latency>) -> Option<Latency> {
        let all: Vec<Latency> = self.rounds.iter().filter_map(of).collect();
        let part = |of: fn(&Latency) -> f64| median(all.iter().map(of).collect());
        let max = all.iter().map(|latency| latency.max).fold(0.0, f64::max);
        (!all.is_empty()).then(|| Latency { p50: part(|one| one.p50), p99: part(|one| one.p99), max })
    }
}

pub(crate) fn median(mut all: Vec<f64>) -> f64 {
    all.sort_by(f64::total_cmp);
    all.get(all.len() / 2).copied().unwrap_or_default()
}

/// The main table.
pub(crate) fn print(rows: &[(u64, Vec<Row>)]) {
    println!(
        "{:>7}  {:<30} {:>8} {:>6}  {:>8} {:>6}  {:>8} {:>6}  {:>8}  {:>7} {:>6}  {:>7}",
        "senders", "", "per s", "x", "p50 ms", "x", "p99 ms", "x", "max ms", "CPU us", "x", "peak MB"
    );
    for (senders, rows) in rows {
        for row in rows {
            print_row(*senders, row, &rows[0]);
        }
        println!();
    }
}

fn print_row(senders: u64, row: &Row, floor: &Row) {
    let ratios = row.ratios(floor);
    let per_second = row.median(|round| round.per_second);
    let cpu = row.median(|round| round.cpu);
    if let Some(delivered) = row.median_latency(|round| Some(round.delivered)) {
        println!(
            "{senders:>7}  {:<30} {per_second:>8.0} {:>6.2}  {:>8.2} {:>6.2}  {:>8.2} {:>6.2}  {:>8.1}  {cpu:>7.0} {:>6.2}  {:>7.0}",
            row.name,
            ratios.throughput,
            delivered.p50,
            ratios.p50,
            delivered.p99,
            ratios.p99,
            delivered.max,
            ratios.cpu,
            row.peak(),
        );
    }
    if let Some(told) = row.median_latency(|round| round.receipts) {
        println!(
            "{senders:>7}  {:<30} {:>8} {:>6}  {:>8.2} {:>6}  {:>8.2} {:>6}  {:>8.1}",
            "  their receipts", "", "", told.p50, "", told.p99, "", told.max
        );
    }
}

/// The numbers to reach, and whether they were.
pub(crate) fn judge(rows: &[(u64, Vec<Row>)]) {
    let row = |senders: u64, name: &str| {
        let (_, rows) = rows.iter().find(|(number, _)| *number == senders)?;
        let row = rows.iter().find(|row| row.name.split_whitespace().eq(name.split_whitespace()))?;
        Some((row, &rows[0]))
    };
    let of = |senders: u64, name: &str| row(senders, name).map(|(row, floor)| row.ratios(floor));
    println!("the numbers to reach, as ratios to the floor");
    for (ledger, least) in [("SQLite", 0.7), ("PostgreSQL", 0.5)] {
        let name = format!("inbound RabbitMQ {ledger}");
        if let Some(ratios) = of(128, &name) {
            verdict(&format!("{name}, 128 senders: throughput"), ratios.throughput, least, true);
            verdict(&format!("{name}, 128 senders: CPU per message"), ratios.cpu, 2.0, false);
        }
        if let Some(ratios) = of(1, &name) {
            verdict(&format!("{name}, 1 sender: p50"), ratios.p50, 2.0, false);
            verdict(&format!("{name}, 1 sender: p99"), ratios.p99, 3.0, false);
        }
        // Not a ratio: the far sides of the benchmark answer at once, which is what the number is about.
        if let Some((row, _)) = row(1, &name) {
            let p99 = row.median(|round| round.delivered.p99);
            verdict(&format!("{name}, 1 sender: a text at Genesys, p99 ms"), p99, 100.0, false);
        }
    }
}
