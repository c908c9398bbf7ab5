use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use jiff::Timestamp;
use runtime::Clock;
use rusqlite::{Connection, OpenFlags};
use tokio::sync::{mpsc, oneshot};

use super::{Book, millis, retention, schema, unique};
use crate::{LedgerError, SqliteConfig};

/// Jobs that wait for the writer; when it is behind, callers wait too.
const WAITING: usize = 1024;
/// Jobs in one transaction, at the most.
const GROUP: usize = 256;
/// How long another process may hold the file.
const BUSY: Duration = Duration::from_secs(5);
/// How often finished business is looked through for what is older than it is kept.
const RETENTION_EVERY: i64 = 60_000;

type Job = Box<dyn FnOnce(&Book<'_>) -> rusqlite::Result<Answer> + Send>;
/// Told after the commit, with the failure where there was one.
type Answer = Box<dyn FnOnce(Result<(), String>) + Send>;

/// The file and the thread that writes it. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Store {
    jobs: mpsc::Sender<Request>,
    thread: Arc<Mutex<Option<JoinHandle<()>>>>,
}

struct Request {
    job: Job,
    /// Answers when the job was never run.
    refuse: Box<dyn FnOnce(String) + Send>,
}

struct Writer {
    config: SqliteConfig,
    clock: Clock,
    owner: String,
    connection: Option<Connection>,
    retained_at: i64,
}

impl Store {
    pub(crate) async fn open(config: SqliteConfig, clock: Clock) -> Result<Self, LedgerError> {
        let (jobs, queue) = mpsc::channel(WAITING);
        let (opened, answer) = oneshot::channel();
        let run = move || {
            let path = config.path.clone();
            let told = |detail| LedgerError::Open { path: path.display().to_string(), detail };
            match open(&path) {
                Ok(connection) => {
                    // Whoever opened it may have given up by now; then the channel of jobs is closed as well.
                    let _gone = opened.send(Ok(()));
                    let owner = unique();
                    Writer { config, clock, owner, connection: Some(connection), retained_at: i64::MIN }.serve(queue);
                }
                Err(detail) => {
                    let _gone = opened.send(Err(told(detail)));
                }
            }
        };
        let thread = std::thread::Builder::new().name("ledger".to_owned()).spawn(run);
        let thread = thread.map_err(|error| LedgerError::Unavailable(format!("no thread for it: {error}")))?;
        answer.await.map_err(|_| gone())??;
        Ok(Self { jobs, thread: Arc::new(Mutex::new(Some(thread))) })
    }

    /// Runs a job in a transaction, and answers after the commit.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Book<'_>) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, LedgerError> {
        let (answer, answered) = oneshot::channel();
        let answer = Arc::new(Mutex::new(Some(answer)));
        let refusing = Arc::clone(&answer);
        let send = |slot: &Mutex<Option<oneshot::Sender<Result<T, String>>>>, told| {
            let sender = slot.lock().expect("nobody panics while answering").take();
            // The caller may have been cancelled; its job is done all the same.
            let _unheard = sender.map(|sender| sender.send(told));
        };
        let job = move |book: &Book<'_>| {
            let made = job(book)?;
            let tell: Answer = Box::new(move |committed: Result<(), String>| send(&answer, committed.map(|()| made)));
            Ok(tell)
        };
        let refuse = Box::new(move |why| send(&refusing, Err(why)));
        self.jobs.send(Request { job: Box::new(job), refuse }).await.map_err(|_| gone())?;
        answered.await.map_err(|_| gone())?.map_err(LedgerError::Unavailable)
    }

    /// Waits for the thread where this is the last hand on it: it has no more than one group to write.
    pub(crate) async fn close(self) {
        let Self { jobs, thread } = self;
        drop(jobs);
        let last = Arc::into_inner(thread).and_then(|thread| thread.into_inner().ok().flatten());
        if last.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the ledger's writer panicked");
        }
    }
}

fn gone() -> LedgerError {
    LedgerError::Unavailable("its writer has ended".to_owned())
}

fn open(path: &Path) -> Result<Connection, String> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder).map_err(|error| format!("its folder cannot be made: {error}"))?;
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(|error| error.to_string())?;
    let prepared = prepare(&connection);
    prepared.map_err(|error| format!("it cannot be used as a ledger: {error}"))?;
    schema::migrate(&connection)?;
    Ok(connection)
}

/// An answer is given only after an fsync: a record before an effect must outlive a power cut, or the effect would be
/// repeated.
fn prepare(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(BUSY)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(())
}

impl Writer {
    fn serve(mut self, mut queue: mpsc::Receiver<Request>) {
        let mut group = Vec::with_capacity(GROUP);
        while queue.blocking_recv_many(&mut group, GROUP) > 0 {
            self.write(std::mem::take(&mut group));
        }
    }

    /// One transaction for everything that waits: the fsync is what costs, and they share it.
    fn write(&mut self, group: Vec<Request>) {
        let now = self.clock.now();
        let connection = match self.connected() {
            Ok(connection) => connection,
            Err(why) => return group.into_iter().for_each(|request| (request.refuse)(why.clone())),
        };
        let mut answers = Vec::with_capacity(group.len());
        let mut left = group.into_iter();
        let ran = connection.execute_batch("BEGIN IMMEDIATE").and_then(|()| {
            let book = Book { connection: &connection, now, owner: &self.owner, sole_owner: self.config.sole_owner };
            for request in left.by_ref() {
                match (request.job)(&book) {
                    Ok(answer) => answers.push(answer),
                    Err(error) => {
                        (request.refuse)(error.to_string());
                        return Err(error);
                    }
                }
            }
            connection.execute_batch("COMMIT")
        });
        let told = ran.map_err(|error| error.to_string());
        if let Err(why) = &told {
            tracing::error!(why, "the ledger could not be written; it is opened again");
            left.for_each(|request| (request.refuse)(why.clone()));
            answers.into_iter().for_each(|answer| answer(told.clone()));
            return;
        }
        answers.into_iter().for_each(|answer| answer(Ok(())));
        self.retain(&connection, now);
        self.connection = Some(connection);
    }

    /// A connection that failed is dropped, which rolls its transaction back; the next group opens another.
    fn connected(&mut self) -> Result<Connection, String> {
        match self.connection.take() {
            Some(connection) => Ok(connection),
            None => open(&self.config.path),
        }
    }

    /// Forgets what is older than it is kept, a little at a time.
    fn retain(&mut self, connection: &Connection, now: Timestamp) {
        if millis(now).saturating_sub(self.retained_at) < RETENTION_EVERY {
            return;
        }
        let keep = i64::try_from(self.config.retain.as_millis()).unwrap_or(i64::MAX);
        match retention::forget(connection, millis(now).saturating_sub(keep)) {
            // As long as there is more to forget, the next group goes on with it.
            Ok(retention::More(true)) => {}
            Ok(retention::More(false)) => self.retained_at = millis(now),
            Err(error) => {
                tracing::warn!(%error, "old business in the ledger could not be forgotten; it is tried again")
            }
        }
    }
}
