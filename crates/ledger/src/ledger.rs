mod inbound;

use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;
use model::{Address, Arrival, ChannelName, MessageId, Receipt, SessionId};
use runtime::Clock;
use secrecy::SecretString;

use crate::postgres::looks::Look;
use crate::types::{ArrivalVerdict, AttemptId, Begin, Effect, Entry, LedgerError, Outcome, ReceiptVerdict, Reopened};
use crate::{postgres, sqlite};

mod attempts;
mod consents;
mod looks;
mod people;
mod reports;

/// Which ledger.
#[derive(Debug, Clone)]
pub enum Config {
    /// SQLite: one machine, several processes.
    Sqlite(SqliteConfig),
    /// PostgreSQL: processes of many machines.
    Postgres(PostgresConfig),
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

/// The PostgreSQL ledger. Each process holds one connection.
#[derive(Debug, Clone)]
pub struct PostgresConfig {
    /// `postgresql://user:password@host:5432/database?sslmode=require`; several hosts are tried in turn.
    pub url: SecretString,
    /// The authorities its certificate may come from; the machine's where there is none. A certificate is always verified.
    pub ca_file: Option<PathBuf>,
    /// How long finished business is remembered.
    pub retain: Duration,
    /// Whose time counts.
    pub time: TimeSource,
}

impl PostgresConfig {
    /// Looks at a URL without going to the database.
    ///
    /// # Errors
    /// What is wrong with it; the URL, which may hold a password, is not quoted.
    pub fn check_url(url: &SecretString) -> Result<(), &'static str> {
        postgres::read_url(url).map(|_| ())
    }
}

/// Whose time a PostgreSQL ledger goes by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TimeSource {
    /// The database's: the one clock that the processes of several machines share.
    #[default]
    Database,
    /// The clock the ledger is opened with, for tests that move one by hand.
    Injected,
}

/// The ledger. Cheap to clone.
#[derive(Clone)]
pub struct Ledger {
    pub(crate) inner: Inner,
}

#[derive(Clone)]
pub(crate) enum Inner {
    Sqlite(sqlite::Store),
    Postgres(postgres::Store),
}

/// What is added to a call's own time-out for its deadline: the way to the ledger and back, twice.
pub const MARGIN: Duration = Duration::from_secs(5);
/// How long readiness waits for an answer.
const CHECK_WITHIN: Duration = Duration::from_secs(2);

const fn lease(call_timeout: Duration) -> Duration {
    call_timeout.saturating_add(MARGIN)
}

impl Ledger {
    /// Opens the ledger and brings its schema up to date. A PostgreSQL that cannot be reached yet is opened all the same: calls
    /// fail until it answers.
    ///
    /// # Errors
    /// The file cannot be opened, is not a ledger, or is of a newer schema; the database refuses, and waiting would not help.
    pub async fn open(config: Config, clock: Clock) -> Result<Self, LedgerError> {
        let inner = match config {
            Config::Sqlite(config) => Inner::Sqlite(sqlite::Store::open(config, clock).await?),
            Config::Postgres(config) => Inner::Postgres(postgres::Store::open(config, clock).await?),
        };
        Ok(Self { inner })
    }

    /// Opens a ledger that is there, as it is: none is made, and no schema is changed.
    ///
    /// # Errors
    /// As [`Ledger::open`], and [`LedgerError::NotThere`], [`LedgerError::Older`], or a database that cannot be reached.
    pub async fn open_as_it_is(config: Config, clock: Clock) -> Result<Self, LedgerError> {
        let inner = match config {
            Config::Sqlite(config) => {
                sqlite::file::look_at(&config.path)?;
                Inner::Sqlite(sqlite::Store::open(config, clock).await?)
            }
            Config::Postgres(config) => {
                postgres::Store::look_at(&config).await?;
                Inner::Postgres(postgres::Store::open(config, clock).await?)
            }
        };
        Ok(Self { inner })
    }

    /// Brings the schema up to date and ends; the schema that is there then.
    ///
    /// # Errors
    /// As [`Ledger::open`], and a database that cannot be reached.
    pub async fn migrate(config: Config, clock: Clock) -> Result<u32, LedgerError> {
        match config {
            Config::Sqlite(config) => {
                let store = sqlite::Store::open(config, clock).await?;
                let schema = store.look(sqlite::schema).await;
                store.close().await;
                schema
            }
            Config::Postgres(config) => postgres::Store::migrate(&config).await,
        }
    }

    /// Begins an effect: the record before it. The attempt's deadline is `call_timeout` and a margin from now, by the
    /// ledger's clock.
    ///
    /// # Errors
    /// The ledger does not answer.
    pub async fn begin(&self, effect: Effect, call_timeout: Duration) -> Result<Begin, LedgerError> {
        match &self.inner {
            Inner::Sqlite(store) => {
                store.run(move |book| sqlite::effects::begin(book, &effect, lease(call_timeout))).await
            }
            Inner::Postgres(store) => {
                let wants = postgres::effects::wants(&effect);
                store.run(wants, move |book| postgres::effects::begin(book, &effect, lease(call_timeout))).await
            }
        }
    }

    /// The record after an effect. The first outcome stays.
    ///
    /// # Errors
    /// The ledger does not answer.
    pub async fn finish(&self, effect: &Effect, attempt: &AttemptId, outcome: Outcome) -> Result<(), LedgerError> {
        let (effect, attempt) = (effect.clone(), attempt.clone());
        match &self.inner {
            Inner::Sqlite(store) => {
                store.run(move |book| sqlite::effects::finish(book, &effect, &attempt, &outcome)).await
            }
            Inner::Postgres(store) => {
                let wants = postgres::effects::wants(&effect);
                store.run(wants, move |book| postgres::effects::finish(book, &effect, &attempt, &outcome)).await
            }
        }
    }

    /// Nothing happened abroad: the attempt is over and the next one is a first.
    ///
    /// # Errors
    /// The ledger does not answer.
    pub async fn release(&self, effect: &Effect, attempt: &AttemptId, cause: &str) -> Result<(), LedgerError> {
        let (effect, attempt, cause) = (effect.clone(), attempt.clone(), cause.to_owned());
        match &self.inner {
            Inner::Sqlite(store) => {
                store.run(move |book| sqlite::effects::release(book, &effect, &attempt, &cause)).await
            }
            Inner::Postgres(store) => {
                let wants = postgres::effects::wants(&effect);
                store.run(wants, move |book| postgres::effects::release(book, &effect, &attempt, &cause)).await
            }
        }
    }

    /// The call is over and nobody knows what it did: the attempt stays interrupted, and its deadline is now.
    ///
    /// # Errors
    /// The ledger does not answer.
    pub async fn lapse(&self, effect: &Effect, attempt: &AttemptId, cause: &str) -> Result<(), LedgerError> {
        let (effect, attempt, cause) = (effect.clone(), attempt.clone(), cause.to_owned());
        match &self.inner {
            Inner::Sqlite(store) => {
                store.run(move |book| sqlite::effects::lapse(book, &effect, &attempt, &cause)).await
            }
            Inner::Postgres(store) => {
                let wants = postgres::effects::wants(&effect);
                store.run(wants, move |book| postgres::effects::lapse(book, &effect, &attempt, &cause)).await
            }
        }
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
        match &self.inner {
            Inner::Sqlite(store) => {
                store.run(move |book| sqlite::effects::retake(book, &effect, &interrupted, lease(call_timeout))).await
            }
            Inner::Postgres(store) => {
                let wants = postgres::effects::wants(&effect);
                store
                    .run(wants, move |book| postgres::effects::retake(book, &effect, &interrupted, lease(call_timeout)))
                    .await
            }
        }
    }

    /// Opens an effect again that was given up: a replay of it is not swallowed as a duplicate, and its receipts to `recipient`
    /// (as the webhook wrote it) may still say that it was delivered. What was made, or is being made, stays as it is.
    ///
    /// # Errors
    /// The ledger does not answer.
    pub async fn reopen(&self, effect: &Effect, recipient: Option<&str>) -> Result<Reopened, LedgerError> {
        let (effect, recipient) = (effect.clone(), recipient.map(str::to_owned));
        match &self.inner {
            Inner::Sqlite(store) => {
                store.run(move |book| sqlite::effects::reopen(book, &effect, recipient.as_deref())).await
            }
            Inner::Postgres(store) => {
                let wants = postgres::effects::wants_reopened(&effect, recipient.as_deref());
                store.run(wants, move |book| postgres::effects::reopen(book, &effect, recipient.as_deref())).await
            }
        }
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
        match &self.inner {
            Inner::Sqlite(store) => {
                store.run(move |book| sqlite::arrivals::arrive(book, &channel, &id, &arrival)).await
            }
            Inner::Postgres(store) => {
                let wants = postgres::arrivals::wants(&channel, &id, &arrival);
                store.run(wants, move |book| postgres::arrivals::arrive(book, &channel, &id, &arrival)).await
            }
        }
    }

    /// Asks whether a receipt may still be emitted: states only move forward, and each is emitted once.
    ///
    /// # Errors
    /// The ledger does not answer.
    pub async fn receipt(&self, receipt: &Receipt) -> Result<ReceiptVerdict, LedgerError> {
        let receipt = receipt.clone();
        match &self.inner {
            Inner::Sqlite(store) => store.run(move |book| sqlite::receipts::ask(book, &receipt)).await,
            Inner::Postgres(store) => {
                let wants = postgres::receipts::wants(&receipt);
                store.run(wants, move |book| postgres::receipts::ask(book, &receipt)).await
            }
        }
    }

    /// A receipt reached Genesys.
    ///
    /// # Errors
    /// The ledger does not answer.
    pub async fn receipt_emitted(&self, receipt: &Receipt) -> Result<(), LedgerError> {
        let receipt = receipt.clone();
        match &self.inner {
            Inner::Sqlite(store) => store.run(move |book| sqlite::receipts::emitted(book, &receipt)).await,
            Inner::Postgres(store) => {
                let wants = postgres::receipts::wants(&receipt);
                store.run(wants, move |book| postgres::receipts::emitted(book, &receipt)).await
            }
        }
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
        match &self.inner {
            Inner::Sqlite(store) => {
                store.run(move |book| sqlite::sessions::remember(book, &channel, &consumer, &session)).await
            }
            Inner::Postgres(store) => {
                let wants = postgres::sessions::wants(&channel, &consumer);
                store.run(wants, move |book| postgres::sessions::remember(book, &channel, &consumer, &session)).await
            }
        }
    }

    /// The provider's session of a conversation, where one is known.
    ///
    /// # Errors
    /// The ledger does not answer.
    pub async fn session(&self, channel: &ChannelName, consumer: &Address) -> Result<Option<SessionId>, LedgerError> {
        let (channel, consumer) = (channel.clone(), consumer.clone());
        match &self.inner {
            Inner::Sqlite(store) => store.run(move |book| sqlite::sessions::find(book, &channel, &consumer)).await,
            Inner::Postgres(store) => {
                let wants = postgres::sessions::wants(&channel, &consumer);
                store.run(wants, move |book| postgres::sessions::find(book, &channel, &consumer)).await
            }
        }
    }

    /// Adds a line to a message's timeline.
    ///
    /// # Errors
    /// The ledger does not answer.
    pub async fn note(&self, entry: Entry) -> Result<(), LedgerError> {
        match &self.inner {
            Inner::Sqlite(store) => store.run(move |book| sqlite::timeline::note(book, &entry)).await,
            Inner::Postgres(store) => {
                let wants = postgres::effects::wants(&entry.effect);
                store.run(wants, move |book| postgres::effects::note(book, &entry)).await
            }
        }
    }

    /// Whether the ledger answers, for readiness; the ledger's time. It waits for no writer, and tells of one that is stuck.
    ///
    /// # Errors
    /// It does not, or not soon.
    pub async fn check(&self) -> Result<Timestamp, LedgerError> {
        // A house where nothing is written forgets as well.
        let look = async {
            match &self.inner {
                Inner::Sqlite(store) => {
                    store.tidy();
                    store.writes(CHECK_WITHIN)?;
                    store.look(sqlite::timeline::look).await
                }
                Inner::Postgres(store) => {
                    store.tidy();
                    store.look(Look::Now).await
                }
            }
        };
        let late = |_| LedgerError::Unavailable(format!("no answer within {} s", CHECK_WITHIN.as_secs()));
        tokio::time::timeout(CHECK_WITHIN, look).await.map_err(late)?
    }

    /// Writes what is in hand and closes the file or the connection, once every clone is gone or closed.
    pub async fn close(self) {
        match self.inner {
            Inner::Sqlite(store) => store.close().await,
            Inner::Postgres(store) => store.close().await,
        }
    }
}
