//! Marks: small named values that the replicas of a house share, such as cursors, tokens and who watches what.
//!
//! A mark is written only by whoever read its newest version, so that of two replicas one is told to read again. A lease says
//! who of them works on something; it ends by itself, so that the work of a process that died is taken up by another.

use std::time::Duration;

use jiff::Timestamp;

use crate::ledger::Inner;
use crate::{Ledger, LedgerError, postgres, sqlite};

/// A value under a name, as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// The value.
    pub value: String,
    /// What [`Ledger::put_mark`] has to name to replace it; 1 for the first.
    pub version: u64,
}

/// Who holds a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lease {
    /// Whoever asked, until then by the ledger's clock.
    Yours {
        /// When it ends, unless it is taken anew before.
        until: Timestamp,
    },
    /// Somebody else.
    Others {
        /// When it ends, unless it is taken anew before.
        until: Timestamp,
    },
}

impl Lease {
    /// Whether whoever asked holds it.
    pub const fn is_yours(&self) -> bool {
        matches!(self, Self::Yours { .. })
    }
}

/// A mark as a store holds it; version 0 where only a lease was ever taken.
#[derive(Debug, Clone, Default)]
pub(crate) struct MarkRow {
    pub(crate) value: String,
    pub(crate) version: i64,
    pub(crate) owner: Option<String>,
    pub(crate) until: Option<i64>,
}

/// What became of a wish for a lease.
pub(crate) enum Free {
    /// It is held until then.
    Taken(i64),
    /// Another holds it until then.
    Held(i64),
}

impl MarkRow {
    pub(crate) fn mark(self) -> Option<Mark> {
        let version = u64::try_from(self.version).ok().filter(|version| *version > 0)?;
        Some(Mark { value: self.value, version })
    }

    /// The new version, or nothing where another one was faster.
    pub(crate) fn put(&mut self, expected: u64, value: &str) -> Option<u64> {
        if i64::try_from(expected) != Ok(self.version) {
            return None;
        }
        self.version = self.version.checked_add(1)?;
        value.clone_into(&mut self.value);
        u64::try_from(self.version).ok()
    }

    pub(crate) fn lease(&mut self, owner: &str, now: i64, millis: i64) -> Free {
        let held = self.owner.as_deref().filter(|holder| *holder != owner).and(self.until);
        if let Some(until) = held.filter(|until| *until > now) {
            return Free::Held(until);
        }
        let until = now.saturating_add(millis);
        (self.owner, self.until) = (Some(owner.to_owned()), Some(until));
        Free::Taken(until)
    }
}

fn millis(long: Duration) -> i64 {
    i64::try_from(long.as_millis()).unwrap_or(i64::MAX)
}

impl Ledger {
    /// The mark of a name, where one was ever put.
    ///
    /// # Errors
    /// The ledger does not answer.
    pub async fn mark(&self, name: &str) -> Result<Option<Mark>, LedgerError> {
        let name = name.to_owned();
        match &self.inner {
            Inner::Sqlite(store) => store.run(move |book| sqlite::marks::find(book, &name)).await,
            Inner::Postgres(store) => {
                let wants = postgres::marks::wants(&name);
                store.run(wants, move |book| postgres::marks::find(book, &name)).await
            }
        }
    }

    /// Puts a mark in the place of the version that was read, 0 where there was none; the new version, or `None` when another
    /// one was faster. The name is one of ours and short; marks are never forgotten, so it holds nothing that comes and goes
    /// with messages.
    ///
    /// # Errors
    /// The ledger does not answer; the mark may have been put all the same.
    pub async fn put_mark(&self, name: &str, expected: u64, value: &str) -> Result<Option<u64>, LedgerError> {
        let (name, value) = (name.to_owned(), value.to_owned());
        match &self.inner {
            Inner::Sqlite(store) => store.run(move |book| sqlite::marks::put(book, &name, expected, &value)).await,
            Inner::Postgres(store) => {
                let wants = postgres::marks::wants(&name);
                store.run(wants, move |book| postgres::marks::put(book, &name, expected, &value)).await
            }
        }
    }

    /// Takes the lease of a name, or takes it anew, for so long from now; who holds it then. `owner` tells one holder from
    /// another. What a holder writes is guarded by the version of the mark, not by the lease: a process that stood still may
    /// believe that it holds one that has ended.
    ///
    /// # Errors
    /// The ledger does not answer.
    pub async fn lease(&self, name: &str, owner: &str, long: Duration) -> Result<Lease, LedgerError> {
        let (name, owner, long) = (name.to_owned(), owner.to_owned(), millis(long));
        match &self.inner {
            Inner::Sqlite(store) => store.run(move |book| sqlite::marks::lease(book, &name, &owner, long)).await,
            Inner::Postgres(store) => {
                let wants = postgres::marks::wants(&name);
                store.run(wants, move |book| postgres::marks::lease(book, &name, &owner, long)).await
            }
        }
    }

    /// Gives a lease back before its end, where `owner` holds it.
    ///
    /// # Errors
    /// The ledger does not answer.
    pub async fn release_lease(&self, name: &str, owner: &str) -> Result<(), LedgerError> {
        let (name, owner) = (name.to_owned(), owner.to_owned());
        match &self.inner {
            Inner::Sqlite(store) => store.run(move |book| sqlite::marks::release(book, &name, &owner)).await,
            Inner::Postgres(store) => {
                let wants = postgres::marks::wants(&name);
                store.run(wants, move |book| postgres::marks::release(book, &name, &owner)).await
            }
        }
    }
}
