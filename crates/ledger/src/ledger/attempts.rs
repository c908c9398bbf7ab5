//! Attempts that take long, and those of which nobody will ever know the end.

use std::time::Duration;

use super::{Inner, Ledger, lease};
use crate::types::{AttemptId, Effect, LedgerError};
use crate::{postgres, sqlite};

impl Ledger {
    /// The attempt goes on: its deadline is `call_timeout` and a margin from now. One that is over stays over.
    ///
    /// # Errors
    /// The ledger does not answer.
    pub async fn extend(
        &self,
        effect: &Effect,
        attempt: &AttemptId,
        call_timeout: Duration,
    ) -> Result<(), LedgerError> {
        let (effect, attempt, lease) = (effect.clone(), attempt.clone(), lease(call_timeout));
        match &self.inner {
            Inner::Sqlite(store) => {
                store.run(move |book| sqlite::effects::extend(book, &effect, &attempt, lease)).await
            }
            Inner::Postgres(store) => {
                let wants = postgres::effects::wants(&effect);
                store.run(wants, move |book| postgres::effects::extend(book, &effect, &attempt, lease)).await
            }
        }
    }

    /// As [`Ledger::lapse`], where the far side cannot be asked either: the attempt goes on counting as begun, as one does whose
    /// process was killed, so that whoever makes it again knows how often its end was never learnt.
    ///
    /// # Errors
    /// The ledger does not answer.
    pub async fn doubt(&self, effect: &Effect, attempt: &AttemptId, cause: &str) -> Result<(), LedgerError> {
        let (effect, attempt, cause) = (effect.clone(), attempt.clone(), cause.to_owned());
        match &self.inner {
            Inner::Sqlite(store) => {
                store.run(move |book| sqlite::effects::doubt(book, &effect, &attempt, &cause)).await
            }
            Inner::Postgres(store) => {
                let wants = postgres::effects::wants(&effect);
                store.run(wants, move |book| postgres::effects::doubt(book, &effect, &attempt, &cause)).await
            }
        }
    }
}
