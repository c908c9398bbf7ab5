//! The contract on SQLite, and what only a file can do.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use jiff::Timestamp;
use ledger::contract::{self, Fresh, effect};
use ledger::{Begin, Config, Ledger, LedgerError, Outcome, SqliteConfig};
use runtime::Clock;

const CALL: Duration = Duration::from_secs(15);

fn config(path: &Path, sole_owner: bool) -> Config {
    Config::Sqlite(SqliteConfig { path: path.to_owned(), retain: Duration::from_secs(30 * 86_400), sole_owner })
}

macro_rules! contract {
    ($($name:ident),* $(,)?) => {$(
        #[tokio::test]
        async fn $name() {
            let folder = tempfile::tempdir().unwrap();
            let (clock, hand) = Clock::manual(Timestamp::UNIX_EPOCH);
            let ledger = Ledger::open(config(&folder.path().join("l/ledger.db"), false), clock).await.unwrap();
            contract::$name(Fresh { ledger, clock: hand }).await;
        }
    )*};
}

contract!(
    an_effect_is_made_once,
    an_open_attempt_is_interrupted,
    attempts_are_released_or_lapse,
    one_of_many_is_first,
    arrivals_match_one_to_one,
    receipts_move_forward,
    sessions_are_remembered,
    timelines_are_found,
    finished_business_is_forgotten,
);

async fn open(path: &Path, sole_owner: bool) -> Ledger {
    Ledger::open(config(path, sole_owner), Clock::system()).await.unwrap()
}

#[tokio::test]
async fn two_ledgers_on_one_file_agree_who_is_first() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let (one, other) = (open(&path, false).await, open(&path, false).await);
    for number in 0..50 {
        let effect = effect(&number.to_string());
        let (one, other) = tokio::join!(one.begin(effect.clone(), CALL), other.begin(effect.clone(), CALL));
        let firsts = [one.unwrap(), other.unwrap()].iter().filter(|begun| matches!(begun, Begin::First(_))).count();
        assert_eq!(firsts, 1);
    }
}

#[tokio::test]
async fn what_was_answered_is_there_after_reopening() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let ledger = open(&path, false).await;
    let Begin::First(attempt) = ledger.begin(effect("1"), CALL).await.unwrap() else { panic!("it is the first") };
    ledger.finish(&effect("1"), &attempt, Outcome::Sent { foreign_id: None }).await.unwrap();
    ledger.begin(effect("2"), CALL).await.unwrap();
    ledger.close().await;
    let ledger = open(&path, true).await;
    assert!(matches!(ledger.begin(effect("1"), CALL).await.unwrap(), Begin::Done(_)));
    let Begin::Interrupted { until, .. } = ledger.begin(effect("2"), CALL).await.unwrap() else {
        panic!("it was begun")
    };
    assert!(until <= ledger.check().await.unwrap(), "the process before this one is dead, so its deadline is over");
}

/// The child of the next test: begins one effect and hangs, to be killed.
#[tokio::test]
#[ignore = "it is the child of another test"]
async fn child_begins_and_hangs() {
    let path = std::env::var_os("LEDGER_TEST_PATH").expect("the parent says where");
    let ledger = open(Path::new(&path), false).await;
    assert!(matches!(ledger.begin(effect("1"), CALL).await.unwrap(), Begin::First(_)));
    println!("begun");
    std::future::pending::<()>().await;
}

#[tokio::test]
async fn a_killed_process_leaves_its_attempt_interrupted() {
    use std::io::{BufRead, BufReader};
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "--nocapture", "child_begins_and_hangs"])
        .env("LEDGER_TEST_PATH", &path)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains("begun")), "the child began its effect");
    child.kill().unwrap();
    child.wait().unwrap();
    let ledger = open(&path, false).await;
    let Begin::Interrupted { until, .. } = ledger.begin(effect("1"), CALL).await.unwrap() else {
        panic!("it was begun")
    };
    assert!(until > ledger.check().await.unwrap(), "another process of the machine may still be calling");
}

#[tokio::test]
async fn a_file_that_is_no_ledger_and_one_from_the_future_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    std::fs::write(
        &path,
        "this is no database, whatever its name says, and it is long enough to have a header".repeat(20),
    )
    .unwrap();
    let error = Ledger::open(config(&path, false), Clock::system()).await.err().unwrap();
    assert!(
        matches!(&error, LedgerError::Open { detail, .. } if detail.contains("cannot be used as a ledger")),
        "{error}"
    );
    let path = folder.path().join("future.db");
    open(&path, false).await.close().await;
    let raw = rusqlite::Connection::open(&path).unwrap();
    raw.pragma_update(None, "user_version", 2).unwrap();
    open(&path, false).await.close().await;
    raw.pragma_update(None, "user_version", 3).unwrap();
    let error = Ledger::open(config(&path, false), Clock::system()).await.err().unwrap();
    assert!(error.to_string().contains("has schema 3"), "{error}");
}
