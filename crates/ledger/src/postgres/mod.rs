//! The ledger in PostgreSQL, shared by the processes of many machines.
//!
//! One task writes. It takes all that waits, loads the rows these jobs name under row locks, runs the jobs on them in memory,
//! and writes what changed: two round trips and one fsync for a whole group, however many lanes it came from. Locks are taken
//! in the order of the keys, so groups of two processes wait for each other but never in a circle.

pub(crate) mod arrivals;
mod book;
pub(crate) mod consents;
mod dial;
pub(crate) mod effects;
mod fault;
pub(crate) mod incoming;
mod interactions;
mod link;
mod load;
pub(crate) mod looks;
pub(crate) mod marks;
pub(crate) mod person;
pub(crate) mod receipts;
pub(crate) mod reports;
mod retention;
mod save;
mod schema;
pub(crate) mod sessions;
mod statements;
mod store;
mod writer;

use jiff::Timestamp;
use sha2::{Digest, Sha256};

pub(crate) use book::{Book, Wants};
pub(crate) use dial::read_url;
pub(crate) use store::Store;

/// Milliseconds since 1970: how every time is kept.
fn millis(at: Timestamp) -> i64 {
    at.as_millisecond()
}

fn timestamp(millis: i64) -> Timestamp {
    Timestamp::from_millisecond(millis).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// Text as PostgreSQL takes it: it knows no NUL, and what a stranger writes may hold one.
fn text(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

/// A key of strangers' words, which may be longer than an index takes.
fn digest(parts: &[&str]) -> Vec<u8> {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().to_vec()
}

/// A word that a newer build wrote.
fn unknown(word: &str) -> String {
    format!("\"{word}\" is not known to this build; use the newer one")
}
