use std::time::Duration;

use super::{Inner, Ledger, lease};
use crate::types::{Begin, Incoming, LedgerError};
use crate::{postgres, sqlite};

impl Ledger {
    /// [`Ledger::arrive`], [`Ledger::remember_session`] and [`Ledger::begin`] of a consumer's message in one transaction: all
    /// of it must be on disk before the agent sees the message, and a commit is what costs. A message that arrived before by
    /// another path is done, as [`crate::Outcome::SameAs`].
    ///
    /// # Errors
    /// The ledger does not answer.
    pub async fn begin_incoming(&self, incoming: Incoming, call_timeout: Duration) -> Result<Begin, LedgerError> {
        let lease = lease(call_timeout);
        match &self.inner {
            Inner::Sqlite(store) => store.run(move |book| sqlite::incoming::begin(book, &incoming, lease)).await,
            Inner::Postgres(store) => {
                let wants = postgres::incoming::wants(&incoming);
                store.run(wants, move |book| postgres::incoming::begin(book, &incoming, lease)).await
            }
        }
    }
}
