//! Receipts that are not made of a reply in hand: what a provider reports, and what an operator says.

use model::{ChannelName, NeighbourName, Receipt, ReceiptStatus};

use super::{Inner, Ledger};
use crate::postgres::looks::Look;
use crate::{AttemptId, Effect, LedgerError, ReceiptVerdict, Reported, postgres, sqlite};

impl Ledger {
    /// The record after a reply was sent, as [`Ledger::finish`] makes it, under the id its provider gave it; the receipts of
    /// what that provider reported before.
    ///
    /// # Errors
    /// The ledger does not answer.
    pub async fn sent(
        &self,
        effect: &Effect,
        attempt: &AttemptId,
        foreign_id: Option<String>,
    ) -> Result<Vec<Receipt>, LedgerError> {
        let (effect, attempt) = (effect.clone(), attempt.clone());
        match &self.inner {
            Inner::Sqlite(store) => {
                store.run(move |book| sqlite::reports::sent(book, &effect, &attempt, foreign_id.as_deref())).await
            }
            Inner::Postgres(store) => {
                let wants = postgres::reports::wants_sent(&effect, foreign_id.as_deref());
                let run = move |book: &mut postgres::Book<'_>| {
                    postgres::reports::sent(book, &effect, &attempt, foreign_id.as_deref())
                };
                store.run(wants, run).await
            }
        }
    }

    /// What a provider says became of a message, by the id it gave it. A report that comes before the record of its message is
    /// held for a day, and given to whoever makes that record.
    ///
    /// # Errors
    /// The ledger does not answer.
    pub async fn report(
        &self,
        provider: &NeighbourName,
        foreign_id: &str,
        status: ReceiptStatus,
    ) -> Result<Reported, LedgerError> {
        let (provider, foreign_id) = (provider.clone(), foreign_id.to_owned());
        match &self.inner {
            Inner::Sqlite(store) => {
                store.run(move |book| sqlite::reports::report(book, &provider, &foreign_id, &status)).await
            }
            Inner::Postgres(store) => {
                let wants = postgres::reports::wants(&provider, &foreign_id);
                let run = move |book: &mut postgres::Book<'_>| {
                    postgres::reports::report(book, &provider, &foreign_id, &status)
                };
                store.run(wants, run).await
            }
        }
    }

    /// The receipts of what was reported of a message before it was recorded as sent: told again where that record was made
    /// before and the process ended after it.
    ///
    /// # Errors
    /// The ledger does not answer.
    pub async fn reported(&self, provider: &NeighbourName, foreign_id: &str) -> Result<Vec<Receipt>, LedgerError> {
        let (provider, foreign_id) = (provider.clone(), foreign_id.to_owned());
        match &self.inner {
            Inner::Sqlite(store) => store.look(move |book| sqlite::reports::found(book, &provider, &foreign_id)).await,
            Inner::Postgres(store) => store.look(|caller| Look::Reported(provider, foreign_id, caller)).await,
        }
    }

    /// The receipts that would tell this of a reply, one for each of its recipients, and whether each may still be told.
    ///
    /// # Errors
    /// The ledger does not answer.
    pub async fn receipts_about(
        &self,
        channel: &ChannelName,
        genesys_message_id: &str,
        status: ReceiptStatus,
    ) -> Result<Vec<(Receipt, ReceiptVerdict)>, LedgerError> {
        let (channel, message) = (channel.clone(), genesys_message_id.to_owned());
        match &self.inner {
            Inner::Sqlite(store) => {
                store.look(move |book| sqlite::reports::about(book, &channel, &message, &status)).await
            }
            Inner::Postgres(store) => store.look(|caller| Look::About(channel, message, status, caller)).await,
        }
    }

    /// A try to tell a receipt came to an end, and Genesys does not have it.
    ///
    /// # Errors
    /// The ledger does not answer.
    pub async fn receipt_released(&self, receipt: &Receipt) -> Result<(), LedgerError> {
        let receipt = receipt.clone();
        match &self.inner {
            Inner::Sqlite(store) => store.run(move |book| sqlite::receipts::released(book, &receipt)).await,
            Inner::Postgres(store) => {
                let wants = postgres::receipts::wants(&receipt);
                store.run(wants, move |book| postgres::receipts::released(book, &receipt)).await
            }
        }
    }
}
