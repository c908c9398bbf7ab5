//! Effects begun and finished per second in a private PostgreSQL with fsync on, by the number of lanes that share its commits.

use std::time::{Duration, Instant};

use ledger::contract::effect;
use ledger::{Begin, Config, Ledger, Outcome, PostgresConfig, TimeSource};
use runtime::Clock;
use test_support::PostgresServer;
use tokio::task::JoinSet;

const EACH: Duration = Duration::from_secs(5);

#[expect(clippy::print_stdout, reason = "a benchmark tells its figures")]
fn main() {
    let server = PostgresServer::start();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    for (ledgers, lanes) in [(1, 1), (1, 16), (1, 128), (1, 1024), (2, 64)] {
        let (rate, middle, slow) = runtime.block_on(measure(&server.make_database(), ledgers, lanes));
        println!(
            "begin + finish, {ledgers} process(es) of {lanes:>4} lanes  {rate:>8.0}/s  a call p50 {:>6.2} ms, p99 {:>6.2} ms",
            1e3 * middle.as_secs_f64(),
            1e3 * slow.as_secs_f64()
        );
    }
}

/// Pairs per second, and the time of a call: the middle one, and the one that only a hundredth is slower than.
async fn measure(url: &str, ledgers: usize, lanes: usize) -> (f64, Duration, Duration) {
    let mut running = JoinSet::new();
    let mut opened = Vec::new();
    for _ in 0..ledgers {
        let retain = Duration::from_secs(86_400);
        let config = PostgresConfig { url: url.into(), ca_file: None, retain, time: TimeSource::Database };
        opened.push(Ledger::open(Config::Postgres(config), Clock::system()).await.expect("a ledger"));
    }
    let began = Instant::now();
    for (number, ledger) in opened.iter().enumerate() {
        for lane in 0..lanes {
            running.spawn(pairs(ledger.clone(), format!("{number}-{lane}"), began));
        }
    }
    let mut calls: Vec<Duration> = running.join_all().await.into_iter().flatten().collect();
    let rate = calls.len() as f64 / 2.0 / began.elapsed().as_secs_f64();
    calls.sort_unstable();
    (rate, calls[calls.len() / 2], calls[calls.len() * 99 / 100])
}

async fn pairs(ledger: Ledger, name: String, began: Instant) -> Vec<Duration> {
    let mut calls = Vec::new();
    while began.elapsed() < EACH {
        let effect = effect(&format!("{name}-{}", calls.len()));
        let asked = Instant::now();
        let Begin::First(attempt) = ledger.begin(effect.clone(), EACH).await.expect("begun") else {
            panic!("every effect is new")
        };
        calls.push(asked.elapsed());
        let asked = Instant::now();
        ledger.finish(&effect, &attempt, Outcome::Sent { foreign_id: None }).await.expect("finished");
        calls.push(asked.elapsed());
    }
    calls
}
