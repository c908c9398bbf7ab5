use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;
use model::{Address, Arrival, ChannelName, MessageId, Receipt, SessionId};
use runtime::Clock;

use crate::sqlite::{Store, arrivals, effects, receipts, sessions, timeline};
use crate::types::{ArrivalVerdict, AttemptId, Begin, Effect, Entry, LedgerError, Line, Outcome, ReceiptVerdict};

/// Which ledger.
#[derive(Debug, Clone)]
pub enum Config {
    /// SQLite: one machine, several processes.
    Sqlite(SqliteConfig),
}

/// The SQLite ledger.
#[derive(Debug, Clone)]
pub struct SqliteConfig {
    /// The file; its folder is made where it is missing.
    pub path: PathBuf,
    /// How long finished business is remembered.
    pub retain: Duration,
    /// Whether every process that wrote here before is certainly dead, so that what it left open can be looked into at once.
    pub sole_owner: bool,
}

/// The ledger. Cheap to clone.
#[derive(Clone)]
pub struct Ledger {
    inner: Inner,
}

#[derive(Clone)]
enum Inner {
    Sqlite(Store),
}

/// What is added to a call's own time-out for its deadline: the way to the ledger and back, twice.
const MARGIN: Duration = Duration::from_secs(5);
/// How long readiness waits for an answer.
const CHECK_WITHIN: Duration = Duration::from_secs(2);

const fn lease(call_timeout: Duration) -> Duration {
    call_timeout.saturating_add(MARGIN)
}

impl Ledger {
    /// Opens the ledger and brings its schema up to date.
    ///
    /// # Errors
    /// The file cannot be opened, is not a ledger, or is of a newer schema.
    pub async fn open(config: Config, clock: Clock) -> Result<Self, LedgerError> {
        let Config::Sqlite(config) = config;
        Ok(Self { inner: Inner::Sqlite(Store::open(config, clock).await?) })
    }

    fn store(&self) -> &Store {
        let Inner::Sqlite(store) = &self.inner;
        store
    }

    /// Begins an effect: the record before it. The attempt's deadline is `call_timeout` and a margin from now, by the
    /// ledger's clock.
    ///
    /// # Errors
    /// The ledger does not answer.
    pub async fn begin(&self, effect: Effect, call_timeout: Duration) -> Result<Begin, LedgerError> {
        self.store().run(move |book| effects::begin(book, &effect, lease(call_timeout))).await
    }

    /// The record after an effect. The first outcome stays.
    ///
    /// # Errors
    /// The ledger does not answer.
    pub async fn finish(&self, effect: &Effect, attempt: &AttemptId, outcome: Outcome) -> Result<(), LedgerError> {
        let (effect, attempt) = (effect.clone(), attempt.clone());
        self.store().run(move |book| effects::finish(book, &effect, &attempt, &outcome)).await
    }

    /// Nothing happened abroad: the attempt is over and the next one is a first.
    ///
    /// # Errors
    /// The ledger does not answer.
    pub async fn release(&self, effect: &Effect, attempt: &AttemptId, cause: &str) -> Result<(), LedgerError> {
        let (effect, attempt, cause) = (effect.clone(), attempt.clone(), cause.to_owned());
        self.store().run(move |book| effects::release(book, &effect, &attempt, &cause)).await
    }

    /// The call is over and nobody knows what it did: the attempt stays interrupted, and its deadline is now.
    ///
    /// # Errors
    /// The ledger does not answer.
    pub async fn lapse(&self, effect: &Effect, attempt: &AttemptId, cause: &str) -> Result<(), LedgerError> {
        let (effect, attempt, cause) = (effect.clone(), attempt.clone(), cause.to_owned());
        self.store().run(move |book| effects::lapse(book, &effect, &attempt, &cause)).await
    }

    /// Takes an interrupted attempt as not made, and begins the next one; `None` when somebody else was faster, or its
    /// deadline is still ahead.
    ///
    /// # Errors
    /// The ledger does not answer.
    pub async fn retake(
        &self,
        effect: &Effect,
        interrupted: &AttemptId,
        call_timeout: Duration,
    ) -> Result<Option<AttemptId>, LedgerError> {
        let (effect, interrupted) = (effect.clone(), interrupted.clone());
        self.store().run(move |book| effects::retake(book, &effect, &interrupted, lease(call_timeout))).await
    }

    /// Claims an arrival: new, or the same message seen by another path.
    ///
    /// # Errors
    /// The ledger does not answer.
    pub async fn arrive(
        &self,
        channel: &ChannelName,
        id: &MessageId,
        arrival: &Arrival,
    ) -> Result<ArrivalVerdict, LedgerError> {
        let (channel, id, arrival) = (channel.clone(), id.clone(), arrival.clone());
        self.store().run(move |book| arrivals::arrive(book, &channel, &id, &arrival)).await
    }

    /// Asks whether a receipt may still be emitted: states only move forward, and each is emitted once.
    ///
    /// # Errors
    /// The ledger does not answer.
    pub async fn receipt(&self, receipt: &Receipt) -> Result<ReceiptVerdict, LedgerError> {
        let receipt = receipt.clone();
        self.store().run(move |book| receipts::ask(book, &receipt)).await
    }

    /// A receipt reached Genesys.
    ///
    /// # Errors
    /// The ledger does not answer.
    pub async fn receipt_emitted(&self, receipt: &Receipt) -> Result<(), LedgerError> {
        let receipt = receipt.clone();
        self.store().run(move |book| receipts::emitted(book, &receipt)).await
    }

    /// Remembers the provider's session of a conversation.
    ///
    /// # Errors
    /// The ledger does not answer.
    pub async fn remember_session(
        &self,
        channel: &ChannelName,
        consumer: &Address,
        session: &SessionId,
    ) -> Result<(), LedgerError> {
        let (channel, consumer, session) = (channel.clone(), consumer.clone(), session.clone());
        self.store().run(move |book| sessions::remember(book, &channel, &consumer, &session)).await
    }

    /// The provider's session of a conversation, where one is known.
    ///
    /// # Errors
    /// The ledger does not answer.
    pub async fn session(&self, channel: &ChannelName, consumer: &Address) -> Result<Option<SessionId>, LedgerError> {
        let (channel, consumer) = (channel.clone(), consumer.clone());
        self.store().run(move |book| sessions::find(book, &channel, &consumer)).await
    }

    /// Adds a line to a message's timeline.
    ///
    /// # Errors
    /// The ledger does not answer.
    pub async fn note(&self, entry: Entry) -> Result<(), LedgerError> {
        self.store().run(move |book| timeline::note(book, &entry)).await
    }

    /// The timelines that `query` names: an id of the house, a Genesys message id, a trace id, or a consumer's number.
    ///
    /// # Errors
    /// The ledger does not answer.
    pub async fn timeline(&self, query: &str) -> Result<Vec<Line>, LedgerError> {
        let query = query.trim().to_owned();
        self.store().look(move |book| timeline::find(book, &query)).await
    }

    /// The newest lines of all timelines, oldest first.
    ///
    /// # Errors
    /// The ledger does not answer.
    pub async fn recent(&self, limit: u32) -> Result<Vec<Line>, LedgerError> {
        self.store().look(move |book| timeline::recent(book, limit)).await
    }

    /// Whether the ledger answers, for readiness; the ledger's time. It waits for no writer.
    ///
    /// # Errors
    /// It does not, or not soon.
    pub async fn check(&self) -> Result<Timestamp, LedgerError> {
        // A house where nothing is written forgets as well.
        self.store().tidy();
        let look = self.store().look(timeline::look);
        let late = |_| LedgerError::Unavailable(format!("no answer within {} s", CHECK_WITHIN.as_secs()));
        tokio::time::timeout(CHECK_WITHIN, look).await.map_err(late)?
    }

    /// Writes what is in hand and closes the file, once every clone is gone or closed.
    pub async fn close(self) {
        let Inner::Sqlite(store) = self.inner;
        store.close().await;
    }
}
