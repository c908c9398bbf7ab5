//! What is only asked: nothing is begun or ended by it.

use jiff::Timestamp;
use model::{Address, ChannelName};

use super::{Inner, Ledger};
use crate::postgres::looks::Look;
use crate::types::{Effect, LedgerError, Line, Standing};
use crate::{postgres, sqlite};

impl Ledger {
    /// Where an effect stands; nothing is begun.
    ///
    /// # Errors
    /// The ledger does not answer.
    pub async fn standing(&self, effect: &Effect) -> Result<Standing, LedgerError> {
        let effect = effect.clone();
        match &self.inner {
            Inner::Sqlite(store) => store.look(move |book| sqlite::effects::standing(book, &effect)).await,
            Inner::Postgres(store) => {
                let wants = postgres::effects::wants(&effect);
                store.run(wants, move |book| postgres::effects::standing(book, &effect)).await
            }
        }
    }

    /// The timelines that `query` names: an id of the house, a Genesys message id, a trace id, or a consumer's number.
    ///
    /// # Errors
    /// The ledger does not answer.
    pub async fn timeline(&self, query: &str) -> Result<Vec<Line>, LedgerError> {
        let query = query.trim().to_owned();
        match &self.inner {
            Inner::Sqlite(store) => store.look(move |book| sqlite::timeline::find(book, &query)).await,
            Inner::Postgres(store) => store.look(|caller| Look::Timeline(query, caller)).await,
        }
    }

    /// The newest lines of all timelines, oldest first.
    ///
    /// # Errors
    /// The ledger does not answer.
    pub async fn recent(&self, limit: u32) -> Result<Vec<Line>, LedgerError> {
        match &self.inner {
            Inner::Sqlite(store) => store.look(move |book| sqlite::timeline::recent(book, limit)).await,
            Inner::Postgres(store) => store.look(|caller| Look::Recent(limit, caller)).await,
        }
    }

    /// How many effects of this one's family, channel and consumer were received after `since` and not after it, counted up to
    /// `most`; `None` where it is known itself: then it was counted before, or an operator has it tried again.
    ///
    /// # Errors
    /// The ledger does not answer.
    pub async fn crowd(&self, effect: &Effect, since: Timestamp, most: u32) -> Result<Option<u32>, LedgerError> {
        let effect = effect.clone();
        match &self.inner {
            Inner::Sqlite(store) => store.look(move |book| sqlite::effects::crowd(book, &effect, since, most)).await,
            Inner::Postgres(store) => store.look(|caller| Look::Crowd(Box::new(effect), since, most, caller)).await,
        }
    }

    /// The provider's ids of replies in a conversation that were recorded as sent since then, newest first, at most 200: rows
    /// at the provider that an effect has claimed already.
    ///
    /// # Errors
    /// The ledger does not answer.
    pub async fn claimed(
        &self,
        channel: &ChannelName,
        consumer: &Address,
        since: Timestamp,
    ) -> Result<Vec<String>, LedgerError> {
        let (channel, consumer) = (channel.clone(), consumer.clone());
        match &self.inner {
            Inner::Sqlite(store) => {
                store.look(move |book| sqlite::timeline::claimed(book, &channel, &consumer, since)).await
            }
            Inner::Postgres(store) => store.look(|caller| Look::Claimed(channel, consumer, since, caller)).await,
        }
    }
}
