use std::time::Duration;

use model::{Arrival, ArrivalPath, ChannelName, MessageId};

use super::{Inner, Ledger, lease};
use crate::types::{CameIn, Incoming, LedgerError};
use crate::{postgres, sqlite};

impl Ledger {
    /// [`Ledger::arrive`], [`Ledger::remember_session`] and [`Ledger::begin`] of a consumer's message in one transaction: all
    /// of it must be on disk before the agent sees the message, and a commit is what costs. A message that arrived before by
    /// another path is done, as [`crate::Outcome::SameAs`].
    ///
    /// # Errors
    /// The ledger does not answer.
    pub async fn begin_incoming(&self, incoming: Incoming, call_timeout: Duration) -> Result<CameIn, LedgerError> {
        let lease = lease(call_timeout);
        match &self.inner {
            Inner::Sqlite(store) => store.run(move |book| sqlite::incoming::begin(book, &incoming, lease)).await,
            Inner::Postgres(store) => {
                let wants = postgres::incoming::wants(&incoming);
                store.run(wants, move |book| postgres::incoming::begin(book, &incoming, lease)).await
            }
        }
    }

    /// Whether what a path told of is one of these rows, which arrived before, the likeliest first: one that stands for no other
    /// message of that path. From then on it stands for this one.
    ///
    /// # Errors
    /// The ledger does not answer.
    pub async fn sight(
        &self,
        channel: &ChannelName,
        (id, path): (&MessageId, ArrivalPath),
        rows: &[(MessageId, Arrival)],
    ) -> Result<bool, LedgerError> {
        let (channel, id, rows) = (channel.clone(), id.clone(), rows.to_vec());
        match &self.inner {
            Inner::Sqlite(store) => {
                store.run(move |book| sqlite::arrivals::sight(book, &channel, (&id, path), &rows)).await
            }
            Inner::Postgres(store) => {
                let wants = postgres::arrivals::wants_sight(&channel, (&id, path), &rows);
                store.run(wants, move |book| Ok(postgres::arrivals::sight(book, &channel, (&id, path), &rows))).await
            }
        }
    }
}
