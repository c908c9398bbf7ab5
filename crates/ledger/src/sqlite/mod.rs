//! The ledger in one SQLite file, shared safely by the processes of one machine.

pub(crate) mod arrivals;
pub(crate) mod consents;
pub(crate) mod effects;
pub(crate) mod file;
pub(crate) mod incoming;
pub(crate) mod interactions;
pub(crate) mod marks;
pub(crate) mod person;
mod reader;
pub(crate) mod receipts;
pub(crate) mod reports;
mod retention;
mod schema;
pub(crate) mod sessions;
mod store;
pub(crate) mod timeline;
mod writer;

use jiff::Timestamp;
use rusqlite::Connection;
use uuid::Uuid;

pub(crate) use store::Store;

/// What a job works with: a connection (in a transaction, where it writes), and the time it runs at.
pub(crate) struct Book<'a> {
    pub(crate) connection: &'a Connection,
    pub(crate) now: Timestamp,
    /// This process, so that its own attempts can be told from another's.
    owner: &'a str,
    sole_owner: bool,
}

/// Milliseconds since 1970: how every time is kept.
fn millis(at: Timestamp) -> i64 {
    at.as_millisecond()
}

fn timestamp(millis: i64) -> Timestamp {
    Timestamp::from_millisecond(millis).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// Something that tells two processes, or two attempts, apart.
fn unique() -> String {
    Uuid::new_v4().simple().to_string()
}

/// A word that a newer build wrote.
fn unknown(column: usize, word: &str) -> rusqlite::Error {
    let error = format!("\"{word}\" is not known to this build; use the newer one");
    rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, error.into())
}

/// The schema that is there.
pub(crate) fn schema(book: &Book<'_>) -> rusqlite::Result<u32> {
    book.connection.query_row("PRAGMA user_version", [], |row| row.get(0))
}
