use model::{Address, ChannelName};

use super::{Inner, Ledger};
use crate::consent::{Asked, Consent, ConsentRecord, When};
use crate::postgres::looks::Look;
use crate::types::{Effect, LedgerError};
use crate::{postgres, sqlite};

/// Records a listing holds at the most.
const PAGE: u32 = 500;

impl Ledger {
    /// Records what a consumer said, or an operator for them, and adds it to the timeline of `effect`; what is recorded then.
    /// Where it is so already, or something else was said later, the record names who changed it before. Of equal times, and where
    /// it is not certain, a consumer who wants no messages gets none. Records do not expire.
    ///
    /// # Errors
    /// The ledger does not answer.
    pub async fn set_consent(
        &self,
        effect: &Effect,
        consent: Consent,
        (reason, when): (&str, When),
    ) -> Result<Option<ConsentRecord>, LedgerError> {
        let (effect, asked) = (effect.clone(), Asked { consent, reason: reason.to_owned(), when });
        match &self.inner {
            Inner::Sqlite(store) => store.run(move |book| sqlite::consents::set(book, &effect, &asked)).await,
            Inner::Postgres(store) => {
                let wants = postgres::consents::wants(&effect);
                store.run(wants, move |book| postgres::consents::set(book, &effect, &asked)).await
            }
        }
    }

    /// What is recorded of a consumer on a channel; `None`: they may be written to.
    ///
    /// # Errors
    /// The ledger does not answer.
    pub async fn consent(
        &self,
        channel: &ChannelName,
        consumer: &Address,
    ) -> Result<Option<ConsentRecord>, LedgerError> {
        let (channel, consumer) = (channel.clone(), consumer.clone());
        match &self.inner {
            Inner::Sqlite(store) => store.look(move |book| sqlite::consents::find(book, &channel, &consumer)).await,
            Inner::Postgres(store) => store.look(|caller| Look::Consent(channel, consumer, caller)).await,
        }
    }

    /// The records of all channels in order, those behind `after` (a channel and a consumer), at most 500.
    ///
    /// # Errors
    /// The ledger does not answer.
    pub async fn consents(&self, after: (String, String)) -> Result<Vec<ConsentRecord>, LedgerError> {
        match &self.inner {
            Inner::Sqlite(store) => store.look(move |book| sqlite::consents::after(book, &after, PAGE)).await,
            Inner::Postgres(store) => store.look(|caller| Look::ConsentsAfter(after, PAGE, caller)).await,
        }
    }
}
