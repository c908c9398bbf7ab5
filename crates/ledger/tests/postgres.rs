//! What only a database can do: be shared by many, be gone and come back, be of a newer build, be old.

#[path = "common/databases.rs"]
mod databases;

#[path = "postgres/outage.rs"]
mod outage;
#[path = "postgres/refusals.rs"]
mod refusals;
#[path = "postgres/sharing.rs"]
mod sharing;

use std::time::Duration;

use ledger::{Config, Ledger, TimeSource};
use runtime::Clock;

const CALL: Duration = Duration::from_secs(15);

fn config(url: &str) -> Config {
    databases::config(url, TimeSource::Database)
}

async fn open(url: &str) -> Ledger {
    Ledger::open(config(url), Clock::system()).await.expect("a ledger")
}
