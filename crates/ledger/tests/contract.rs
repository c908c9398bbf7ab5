//! The contract on both stores.

mod common;
#[path = "common/databases.rs"]
mod databases;

use jiff::Timestamp;
use ledger::contract::{Fresh, another};
use ledger::{Ledger, TimeSource};
use runtime::Clock;

mod sqlite {
    use super::*;

    async fn fresh() -> (Fresh, tempfile::TempDir) {
        let folder = tempfile::tempdir().expect("a folder");
        let (clock, hand) = Clock::manual(Timestamp::UNIX_EPOCH);
        let config = common::config(&folder.path().join("l/ledger.db"), false);
        let another = another(config.clone(), clock.clone());
        let ledger = Ledger::open(config, clock).await.expect("a ledger");
        (Fresh { ledger, clock: hand, another }, folder)
    }

    ledger::contract_suite!(fresh);
}

mod postgres {
    use super::*;

    async fn fresh() -> (Fresh, ()) {
        let (clock, hand) = Clock::manual(Timestamp::UNIX_EPOCH);
        let config = databases::config(&test_support::shared_postgres(), TimeSource::Injected);
        let another = another(config.clone(), clock.clone());
        let ledger = Ledger::open(config, clock).await.expect("a ledger");
        (Fresh { ledger, clock: hand, another }, ())
    }

    ledger::contract_suite!(fresh);
}
