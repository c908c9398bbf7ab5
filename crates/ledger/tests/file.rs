//! What only a file can do: be closed and opened, be locked, be something else, be of a newer build.

mod common;

use std::path::Path;
use std::time::Duration;

use ledger::contract::effect;
use ledger::{Begin, Ledger, LedgerError, Outcome, What};
use runtime::Clock;
use rusqlite::Connection;

const CALL: Duration = Duration::from_secs(15);

async fn open(path: &Path, sole_owner: bool) -> Ledger {
    Ledger::open(common::config(path, sole_owner), Clock::system()).await.expect("a ledger")
}

async fn refused(path: &Path) -> String {
    match Ledger::open(common::config(path, false), Clock::system()).await {
        Err(error @ LedgerError::Open { .. }) => error.to_string(),
        Err(other) => panic!("refused for another reason: {other}"),
        Ok(_) => panic!("it was opened"),
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
    let ledger = open(&path, false).await;
    assert!(matches!(ledger.begin(effect("1"), CALL).await.unwrap(), Begin::Done(_)));
    assert!(matches!(ledger.begin(effect("2"), CALL).await.unwrap(), Begin::Interrupted { .. }));
}

#[tokio::test]
async fn the_file_is_closed_with_the_last_clone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let log = folder.path().join("ledger.db-wal");
    let (one, other) = (open(&path, false).await, open(&path, false).await);
    let clone = one.clone();
    one.begin(effect("1"), CALL).await.unwrap();
    other.timeline("1").await.unwrap();
    other.close().await;
    one.close().await;
    assert!(log.exists(), "a clone is left");
    clone.begin(effect("2"), CALL).await.unwrap();
    drop(clone);
    assert!(!log.exists(), "SQLite takes the log away with the last connection");
}

#[tokio::test]
async fn a_locked_file_is_unavailable_and_then_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let ledger = open(&path, false).await;
    ledger.begin(effect("1"), CALL).await.unwrap();
    let other = Connection::open(&path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let (begun, checked) = tokio::join!(ledger.begin(effect("2"), CALL), ledger.check());
    assert!(matches!(begun, Err(LedgerError::Unavailable(_))), "{begun:?}");
    checked.unwrap();
    let lines = ledger.timeline("1").await.unwrap();
    assert!(lines.iter().any(|line| line.what == What::Began), "reading waits for nobody");
    let mut writing = tokio::task::JoinSet::new();
    writing.spawn({
        let ledger = ledger.clone();
        async move { ledger.begin(effect("3"), CALL).await }
    });
    let mut ticks = tokio::time::interval(Duration::from_millis(50));
    let stuck = loop {
        ticks.tick().await;
        match ledger.check().await {
            Ok(_) => assert!(writing.try_join_next().is_none(), "nobody was told that it is stuck"),
            Err(error) => break error.to_string(),
        }
    };
    assert!(stuck.contains("who else holds the file"), "{stuck}");
    other.execute_batch("ROLLBACK").unwrap();
    assert!(matches!(ledger.begin(effect("2"), CALL).await.unwrap(), Begin::First(_)));
}

#[tokio::test]
async fn a_row_of_a_newer_build_is_the_trouble_of_the_one_who_asks() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let ledger = open(&path, false).await;
    let Begin::First(attempt) = ledger.begin(effect("1"), CALL).await.unwrap() else { panic!("it is the first") };
    ledger.finish(&effect("1"), &attempt, Outcome::Sent { foreign_id: None }).await.unwrap();
    Connection::open(&path).unwrap().execute("UPDATE effects SET outcome = '\"Recalled\"'", []).unwrap();
    let (known, unknown, other) =
        tokio::join!(ledger.begin(effect("2"), CALL), ledger.begin(effect("1"), CALL), ledger.begin(effect("3"), CALL));
    assert!(matches!(unknown, Err(LedgerError::Unavailable(_))), "{unknown:?}");
    assert!(matches!((known.unwrap(), other.unwrap()), (Begin::First(_), Begin::First(_))));
}

#[tokio::test]
async fn a_file_that_is_no_ledger_and_one_from_the_future_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("text.db");
    std::fs::write(&path, "this is no database, whatever its name says; long enough to have a header ".repeat(20))
        .unwrap();
    let error = refused(&path).await;
    assert!(error.contains("cannot be used as a ledger"), "{error}");
    let path = folder.path().join("future.db");
    open(&path, false).await.close().await;
    let raw = Connection::open(&path).unwrap();
    raw.pragma_update(None, "user_version", 9).unwrap();
    open(&path, false).await.close().await;
    raw.pragma_update(None, "user_version", 10).unwrap();
    let error = refused(&path).await;
    assert!(error.contains("has schema 10"), "{error}");
}

#[tokio::test]
async fn a_migration_ends_with_the_schema_of_this_build() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    for _ in 0..2 {
        assert_eq!(Ledger::migrate(common::config(&path, false), Clock::system()).await.unwrap(), 8);
    }
    open(&path, false).await.begin(effect("1"), CALL).await.unwrap();
}

/// Whoever looks may be another user than the one the bridge runs as.
#[tokio::test]
async fn a_look_makes_no_ledger_and_changes_no_schema() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data/ledger.db");
    let look = async || Ledger::open_as_it_is(common::config(&path, false), Clock::system()).await.map(drop);
    assert!(matches!(look().await, Err(LedgerError::NotThere { .. })));
    assert!(!folder.path().join("data").exists());
    open(&path, false).await.close().await;
    look().await.unwrap();
    let raw = Connection::open(&path).unwrap();
    raw.pragma_update(None, "user_version", 7).unwrap();
    let older = look().await;
    assert!(matches!(older, Err(LedgerError::Older { found: 7, ours: 8, .. })), "{older:?}");
    let schema: i64 = raw.query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap();
    assert_eq!(schema, 7);
}
