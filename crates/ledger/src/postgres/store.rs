use std::sync::{Arc, Mutex};
use std::time::Duration;

use runtime::Clock;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use super::dial::Dial;
use super::link::{Link, schema_there};
use super::looks::{Caller, Look};
use super::schema::{OURS, Refusal};
use super::writer::Writer;
use super::{Book, Wants};
use crate::{Erasure, LedgerError, PostgresConfig, TimeSource};

/// Jobs that wait for the writer; when it is behind, callers wait too.
const WAITING: usize = 1024;
/// How long a caller waits. Roles hold what they have when the ledger does not answer, and shall know it soon.
const ANSWER_WITHIN: Duration = Duration::from_millis(1_600);
/// How long the first look at the database may take, another process' migration included.
const OPEN_WITHIN: Duration = Duration::from_secs(45);

/// What is asked of the writer.
pub(super) enum Request {
    /// A job in a transaction.
    Run(Box<dyn Run>),
    /// Erases what is kept of a consumer.
    Erase(String, Caller<Erasure>),
    /// A look beside it.
    Look(Look),
    /// Nothing to do but to forget what is old.
    Tidy,
}

/// A job. It may be run several times, each time in a transaction that undoes the time before.
pub(super) trait Run: Send + Sync {
    /// The rows it needs.
    fn wants(&self) -> &Wants;
    /// Runs it; the answer is given after the commit.
    fn run(&self, book: &mut Book<'_>) -> Result<Answer, String>;
    /// Answers that it was not done.
    fn refuse(&self, why: String);
    /// Whether somebody still waits for it.
    fn is_wanted(&self) -> bool;
}

/// Answers; `false` when nobody listens any more.
pub(super) type Answer = Box<dyn FnOnce() -> bool + Send>;

/// A caller who is answered once, by whoever comes first.
type Once<T> = Arc<Mutex<Option<Caller<T>>>>;

struct Job<T, F> {
    wants: Wants,
    run: F,
    caller: Once<T>,
}

fn answer<T>(caller: &Once<T>, told: Result<T, String>) -> bool {
    let sender = caller.lock().expect("nobody panics while answering").take();
    sender.is_some_and(|sender| sender.send(told).is_ok())
}

impl<T, F> Run for Job<T, F>
where
    T: Send + 'static,
    F: Fn(&mut Book<'_>) -> Result<T, String> + Send + Sync,
{
    fn wants(&self) -> &Wants {
        &self.wants
    }

    fn run(&self, book: &mut Book<'_>) -> Result<Answer, String> {
        let made = (self.run)(book)?;
        let caller = Arc::clone(&self.caller);
        Ok(Box::new(move || answer(&caller, Ok(made))))
    }

    fn refuse(&self, why: String) {
        // Whoever has gone needs no answer.
        let _heard = answer(&self.caller, Err(why));
    }

    fn is_wanted(&self) -> bool {
        let caller = self.caller.lock().expect("nobody panics while answering");
        caller.as_ref().is_some_and(|sender| !sender.is_closed())
    }
}

/// The way to the writer. Cheap to clone; the writer ends with the last clone.
#[derive(Clone)]
pub(crate) struct Store {
    hands: Arc<Hands>,
}

struct Hands {
    queue: mpsc::Sender<Request>,
    writer: Mutex<JoinSet<()>>,
}

impl Store {
    /// Opens the ledger. A database that cannot be reached is no reason not to start: roles that need it hold until it answers.
    /// One that will not be reached, however long one waits, is.
    pub(crate) async fn open(config: PostgresConfig, clock: Clock) -> Result<Self, LedgerError> {
        let dial = Dial::new(&config).map_err(open_error)?;
        let link = match first(&dial).await {
            Ok((link, _schema)) => Some(link),
            Err(LedgerError::Unavailable(why)) => {
                tracing::warn!(why, "the ledger does not answer yet; it is tried again");
                None
            }
            Err(error) => return Err(error),
        };
        let clock = (config.time == TimeSource::Injected).then_some(clock);
        let (queue, requests) = mpsc::channel(WAITING);
        let mut writer = JoinSet::new();
        writer.spawn(Writer::new(dial, link, clock, config.retain).serve(requests));
        Ok(Self { hands: Arc::new(Hands { queue, writer: Mutex::new(writer) }) })
    }

    /// Whether it is a ledger of this build's schema, or a later one that it knows. Nothing is made or changed.
    pub(crate) async fn look_at(config: &PostgresConfig) -> Result<(), LedgerError> {
        let (dial, path) = (Dial::new(config).map_err(open_error)?, PATH.to_owned());
        match schema_there(&dial).await.map_err(refusal)? {
            0 => Err(LedgerError::NotThere { path }),
            found if found < OURS => Err(LedgerError::Older { path, found, ours: OURS }),
            _ => Ok(()),
        }
    }

    /// Brings the schema up to date, and gives it.
    pub(crate) async fn migrate(config: &PostgresConfig) -> Result<u32, LedgerError> {
        let dial = Dial::new(config).map_err(open_error)?;
        first(&dial).await.map(|(_link, schema)| schema)
    }

    /// Runs a job in a transaction, and answers after the commit.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        wants: Wants,
        run: impl Fn(&mut Book<'_>) -> Result<T, String> + Send + Sync + 'static,
    ) -> Result<T, LedgerError> {
        let (sender, answered) = oneshot::channel();
        let job = Job { wants, run, caller: Arc::new(Mutex::new(Some(sender))) };
        self.ask(Request::Run(Box::new(job)), answered).await
    }

    /// Looks.
    pub(crate) async fn look<T>(&self, look: impl FnOnce(Caller<T>) -> Look) -> Result<T, LedgerError> {
        let (caller, answered) = oneshot::channel();
        self.ask(Request::Look(look(caller)), answered).await
    }

    /// Erases what is kept of a consumer.
    pub(crate) async fn erase(&self, consumer: String) -> Result<Erasure, LedgerError> {
        let (caller, answered) = oneshot::channel();
        self.ask(Request::Erase(consumer, caller), answered).await
    }

    async fn ask<T>(&self, request: Request, answered: oneshot::Receiver<Result<T, String>>) -> Result<T, LedgerError> {
        let asked = async {
            self.hands.queue.send(request).await.map_err(|_| gone())?;
            answered.await.map_err(|_| gone())?.map_err(LedgerError::Unavailable)
        };
        let late = |_| LedgerError::Unavailable(format!("no answer within {} ms", ANSWER_WITHIN.as_millis()));
        tokio::time::timeout(ANSWER_WITHIN, asked).await.map_err(late)?
    }

    /// Lets the writer forget what is old even where nothing is written. One that is busy does so by itself.
    pub(crate) fn tidy(&self) {
        let _busy = self.hands.queue.try_send(Request::Tidy);
    }

    /// Waits for the writer where this is the last clone: it has no more to do than what stands in its queue.
    pub(crate) async fn close(self) {
        let Some(Hands { queue, writer }) = Arc::into_inner(self.hands) else { return };
        drop(queue);
        let mut writer = writer.into_inner().expect("nobody panics while holding it");
        while let Some(ended) = writer.join_next().await {
            if ended.is_err() {
                tracing::error!("the task of the ledger panicked");
            }
        }
    }
}

async fn first(dial: &Dial) -> Result<(Link, u32), LedgerError> {
    let opened = tokio::time::timeout(OPEN_WITHIN, Link::open(dial, true)).await;
    let late = || LedgerError::Unavailable(format!("no answer within {} s", OPEN_WITHIN.as_secs()));
    opened.map_err(|_| late())?.map_err(refusal)
}

fn refusal(refusal: Refusal) -> LedgerError {
    match refusal {
        Refusal::Unfit(why) => open_error(why),
        Refusal::Unknown(why) => LedgerError::Unavailable(why),
    }
}

/// What it is called; its address is nobody's business.
const PATH: &str = "PostgreSQL";

fn open_error(detail: String) -> LedgerError {
    LedgerError::Open { path: PATH.to_owned(), detail }
}

fn gone() -> LedgerError {
    LedgerError::Unavailable("its task has ended".to_owned())
}
