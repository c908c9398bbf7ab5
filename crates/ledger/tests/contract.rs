//! The contract on SQLite.

mod common;

use jiff::Timestamp;
use ledger::Ledger;
use ledger::contract::Fresh;
use runtime::Clock;
use tempfile::TempDir;

async fn fresh() -> (Fresh, TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    let (clock, hand) = Clock::manual(Timestamp::UNIX_EPOCH);
    let config = common::config(&folder.path().join("l/ledger.db"), false);
    let ledger = Ledger::open(config, clock).await.expect("a ledger");
    (Fresh { ledger, clock: hand }, folder)
}

ledger::contract_suite!(fresh);
