//! What is asked of the ledger before something is pulled from a provider.

use std::collections::HashSet;

use jiff::Timestamp;
use model::{ChannelName, MessageId};

use crate::ledger::Inner;
use crate::{Ledger, LedgerError, postgres, sqlite};

impl Ledger {
    /// The moment since which a provider is looked through: its first installation here, to the second. Whoever asks first
    /// sets it, to `now`; it is never forgotten, so that nothing older is ever given to an agent (design 4).
    ///
    /// # Errors
    /// The ledger does not answer.
    pub async fn installed(&self, provider: &str, now: Timestamp) -> Result<Timestamp, LedgerError> {
        let name = format!("installed/{provider}");
        // Providers write their times in whole seconds.
        let now = Timestamp::from_second(now.as_second()).unwrap_or(now);
        self.put_mark(&name, 0, &now.to_string()).await?;
        let known = self.mark(&name).await?;
        Ok(known.and_then(|mark| mark.value.parse().ok()).unwrap_or(now))
    }

    /// Which of these messages arrived before.
    ///
    /// # Errors
    /// The ledger does not answer.
    pub async fn arrived(&self, channel: &ChannelName, ids: &[MessageId]) -> Result<HashSet<MessageId>, LedgerError> {
        let (channel, ids) = (channel.clone(), ids.to_vec());
        match &self.inner {
            Inner::Sqlite(store) => store.look(move |book| sqlite::arrivals::known(book, &channel, &ids)).await,
            Inner::Postgres(store) => {
                let wants = postgres::arrivals::wants_known(&channel, &ids);
                store.run(wants, move |book| Ok(postgres::arrivals::known(book, &channel, &ids))).await
            }
        }
    }
}
