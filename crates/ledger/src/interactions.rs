//! The tasks at Genesys (Open Media) that conversations stand in: what is known of the newest one of each.
//!
//! A row is written only by whoever read its newest version, so that a task is not ended while a message is on its way to it.

use jiff::Timestamp;
use model::{Address, ChannelName, Private};
use serde::{Deserialize, Serialize};

use crate::ledger::Inner;
use crate::postgres::looks::Look;
use crate::{Ledger, LedgerError, sqlite};

/// The newest task of a conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interaction {
    /// How many tasks the conversation had, this one included.
    pub generation: u32,
    /// The id we gave it.
    pub external_id: String,
    /// The id Genesys gave it, where it told one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Bytes of what was put into it.
    pub bytes: u64,
    /// How many messages were put into it.
    pub entries: u32,
    /// Under what key the last one was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<String>,
    /// Whether anything may still be put into it.
    pub state: InteractionState,
    /// Of mail, which has a task for each: digests by which one is known when it is answered, each with the id of its task.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub threads: Vec<(String, String)>,
}

/// Where a task stands, as far as it is known here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum InteractionState {
    /// Messages go into it.
    Open,
    /// It is being ended, and nothing goes into it any more.
    Ending,
    /// It was ended.
    Ended,
}

impl InteractionState {
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Ending => "ending",
            Self::Ended => "ended",
        }
    }
}

/// A task as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptInteraction {
    /// Whose conversation it is: the consumer's normalised address.
    pub consumer: Private<String>,
    /// The task.
    pub interaction: Interaction,
    /// What [`Ledger::put_interaction`] has to name to replace it.
    pub version: u64,
}

/// A row as a store holds it.
pub(crate) struct Raw {
    pub(crate) consumer: String,
    pub(crate) value: String,
    pub(crate) version: i64,
}

impl Raw {
    /// What cannot be read was written by a later build: it is told, and not taken for something else.
    pub(crate) fn read(self) -> Option<KeptInteraction> {
        Some(KeptInteraction {
            interaction: serde_json::from_str(&self.value).ok()?,
            consumer: Private::new(self.consumer),
            version: u64::try_from(self.version).ok()?,
        })
    }
}

pub(crate) fn written(interaction: &Interaction) -> String {
    serde_json::to_string(interaction).expect("words and numbers have a JSON form")
}

/// Rows that are listed in one go.
pub(crate) const IDLE: u32 = 100;

impl Ledger {
    /// The newest task of a conversation, where there is one.
    ///
    /// # Errors
    /// The ledger does not answer.
    pub async fn interaction(
        &self,
        channel: &ChannelName,
        consumer: &Address,
    ) -> Result<Option<KeptInteraction>, LedgerError> {
        let (channel, consumer) = (channel.clone(), consumer.normalised().to_owned());
        match &self.inner {
            Inner::Sqlite(store) => store.run(move |book| sqlite::interactions::find(book, &channel, &consumer)).await,
            Inner::Postgres(store) => store.look(|caller| Look::Interaction(channel, consumer, caller)).await,
        }
    }

    /// Puts a task in the place of the version that was read, 0 where there was none; the new version, or `None` when another
    /// one was faster. `consumer` is the normalised address.
    ///
    /// # Errors
    /// The ledger does not answer; the row may have been written all the same.
    pub async fn put_interaction(
        &self,
        channel: &ChannelName,
        consumer: &str,
        expected: u64,
        interaction: &Interaction,
    ) -> Result<Option<u64>, LedgerError> {
        let put = Put {
            channel: channel.clone(),
            consumer: consumer.to_owned(),
            expected: i64::try_from(expected).unwrap_or(i64::MAX),
            interaction: interaction.clone(),
        };
        match &self.inner {
            Inner::Sqlite(store) => store.run(move |book| sqlite::interactions::put(book, &put)).await,
            Inner::Postgres(store) => store.look(|caller| Look::PutInteraction(put, caller)).await,
        }
    }

    /// Tasks of a channel that nothing was put into since then, and those whose end was begun; the oldest hundred.
    ///
    /// # Errors
    /// The ledger does not answer.
    pub async fn idle_interactions(
        &self,
        channel: &ChannelName,
        since: Timestamp,
    ) -> Result<Vec<KeptInteraction>, LedgerError> {
        let channel = channel.clone();
        match &self.inner {
            Inner::Sqlite(store) => store.look(move |book| sqlite::interactions::idle(book, &channel, since)).await,
            Inner::Postgres(store) => store.look(|caller| Look::IdleInteractions(channel, since, caller)).await,
        }
    }
}

/// What is to be put.
pub(crate) struct Put {
    pub(crate) channel: ChannelName,
    pub(crate) consumer: String,
    pub(crate) expected: i64,
    pub(crate) interaction: Interaction,
}
