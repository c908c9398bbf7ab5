//! Effects begun and finished per second, each with its two fsyncs, by the number of lanes that share them.

use std::time::{Duration, Instant};

use ledger::contract::effect;
use ledger::{Begin, Config, Ledger, Outcome, SqliteConfig};
use runtime::Clock;
use tokio::task::JoinSet;

const EACH: Duration = Duration::from_secs(3);

#[expect(clippy::print_stdout, reason = "a benchmark tells its figures")]
fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    for lanes in [1, 16, 128] {
        let rate = runtime.block_on(measure(lanes));
        println!("begin + finish, {lanes:>3} lanes  {rate:>8.0}/s");
    }
}

async fn measure(lanes: usize) -> f64 {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("ledger.db");
    let config = Config::Sqlite(SqliteConfig { path, retain: Duration::from_secs(86_400), sole_owner: true });
    let ledger = Ledger::open(config, Clock::system()).await.expect("a ledger");
    let began = Instant::now();
    let mut running = JoinSet::new();
    for lane in 0..lanes {
        let ledger = ledger.clone();
        running.spawn(async move {
            let mut done = 0u32;
            while began.elapsed() < EACH {
                let effect = effect(&format!("{lane}-{done}"));
                let Begin::First(attempt) = ledger.begin(effect.clone(), EACH).await.expect("begun") else {
                    panic!("every effect is new")
                };
                ledger.finish(&effect, &attempt, Outcome::Sent { foreign_id: None }).await.expect("finished");
                done += 1;
            }
            done
        });
    }
    let done: u32 = running.join_all().await.into_iter().sum();
    f64::from(done) / began.elapsed().as_secs_f64()
}
