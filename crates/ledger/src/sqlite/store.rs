use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use runtime::Clock;
use tokio::sync::{mpsc, oneshot};

use super::reader::Reader;
use super::writer::Writer;
use super::{Book, file, unique};
use crate::{LedgerError, SqliteConfig};

/// Jobs that wait for the writer; when it is behind, callers wait too.
const WRITES: usize = 1024;
/// Jobs that wait for the reader.
const READS: usize = 64;

type Job = Box<dyn Fn(&Book<'_>) -> rusqlite::Result<Answer> + Send>;
/// Gives what the job made, once it is settled.
pub(super) type Answer = Box<dyn FnOnce() + Send>;

pub(super) enum Request {
    /// A job.
    Run(Run),
    /// Nothing to do but to forget what is old.
    Tidy,
}

/// A job. It may be run twice, the second time in a transaction that undid the first.
pub(super) struct Run {
    pub(super) job: Job,
    /// Answers when the job was never run, or failed.
    pub(super) refuse: Box<dyn Fn(&str) + Send>,
}

/// Since when the writer is at a group; none while it waits for one.
#[derive(Clone, Default)]
pub(super) struct AtWork(Arc<Mutex<Option<Instant>>>);

impl AtWork {
    pub(super) fn begins(&self) {
        self.set(Some(Instant::now()));
    }

    pub(super) fn ends(&self) {
        self.set(None);
    }

    fn set(&self, since: Option<Instant>) {
        *self.0.lock().expect("nobody panics over it") = since;
    }

    fn since(&self) -> Option<Instant> {
        *self.0.lock().expect("nobody panics over it")
    }
}

/// The file, a thread that writes it and one that reads it. Cheap to clone; the threads end with the last clone.
#[derive(Clone)]
pub(crate) struct Store {
    hands: Arc<Hands>,
}

struct Hands {
    at_work: AtWork,
    writer: Hand,
    reader: Hand,
}

/// A thread and the only way to reach it, so that dropping this ends the thread.
struct Hand {
    jobs: Option<mpsc::Sender<Request>>,
    ended: Option<oneshot::Receiver<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Store {
    pub(crate) async fn open(config: SqliteConfig, clock: Clock) -> Result<Self, LedgerError> {
        let (opened, answer) = oneshot::channel();
        let owner = unique();
        let reader = Reader::new(config.path.clone(), clock.clone(), owner.clone(), config.sole_owner);
        let at_work = AtWork::default();
        let seen = at_work.clone();
        let writer = Hand::start("ledger", WRITES, move |queue| match file::open(&config.path) {
            Ok(connection) => {
                // Whoever opened it may have given up by now; then the channel of jobs is closed as well.
                let _gone = opened.send(Ok(()));
                Writer::new(config, clock, owner, connection).serve(queue, &seen);
            }
            Err(detail) => {
                let path = config.path.display().to_string();
                let _gone = opened.send(Err(LedgerError::Open { path, detail }));
            }
        })?;
        answer.await.map_err(|_| gone())??;
        let reader = Hand::start("ledger-reader", READS, move |queue| reader.serve(queue))?;
        Ok(Self { hands: Arc::new(Hands { at_work, writer, reader }) })
    }

    /// Runs a job in a transaction, and answers after the commit.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        job: impl Fn(&Book<'_>) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, LedgerError> {
        self.hands.writer.run(job).await
    }

    /// Runs a job that only reads. It waits for no writer, of this process or another.
    pub(crate) async fn look<T: Send + 'static>(
        &self,
        job: impl Fn(&Book<'_>) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, LedgerError> {
        self.hands.reader.run(job).await
    }

    /// Whether the writer gets on: a disk that hangs, or a process that holds the file, is no failure of any call yet.
    pub(crate) fn writes(&self, within: Duration) -> Result<(), LedgerError> {
        let busy = self.hands.at_work.since().map(|since| since.elapsed()).filter(|busy| *busy > within);
        busy.map_or(Ok(()), |busy| {
            let seconds = busy.as_secs();
            let why =
                format!("a write has not ended for {seconds} s; look at its disk, and at who else holds the file");
            Err(LedgerError::Unavailable(why))
        })
    }

    /// Lets the writer forget what is old even where nothing is written. One that is busy does so by itself.
    pub(crate) fn tidy(&self) {
        let _busy = self.hands.writer.jobs.as_ref().map(|jobs| jobs.try_send(Request::Tidy));
    }

    /// Waits for the threads where this is the last clone: each has no more than one group to do.
    pub(crate) async fn close(self) {
        if let Some(Hands { writer, reader, .. }) = Arc::into_inner(self.hands) {
            reader.end().await;
            writer.end().await;
        }
    }
}

impl Hand {
    fn start(
        name: &str,
        waiting: usize,
        serve: impl FnOnce(mpsc::Receiver<Request>) + Send + 'static,
    ) -> Result<Self, LedgerError> {
        let (jobs, queue) = mpsc::channel(waiting);
        let (ending, ended) = oneshot::channel::<()>();
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(move || {
            serve(queue);
            drop(ending);
        });
        let thread = thread.map_err(|error| LedgerError::Unavailable(format!("no thread for it: {error}")))?;
        Ok(Self { jobs: Some(jobs), ended: Some(ended), thread: Some(thread) })
    }

    async fn run<T: Send + 'static>(
        &self,
        job: impl Fn(&Book<'_>) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, LedgerError> {
        let (answer, answered) = oneshot::channel();
        let answer = Arc::new(Mutex::new(Some(answer)));
        let refusing = Arc::clone(&answer);
        let job = move |book: &Book<'_>| {
            let (made, answer) = (job(book)?, Arc::clone(&answer));
            let tell: Answer = Box::new(move || send(&answer, Ok(made)));
            Ok(tell)
        };
        let refuse = Box::new(move |why: &str| send(&refusing, Err(why.to_owned())));
        let jobs = self.jobs.as_ref().ok_or_else(gone)?;
        jobs.send(Request::Run(Run { job: Box::new(job), refuse })).await.map_err(|_| gone())?;
        answered.await.map_err(|_| gone())?.map_err(LedgerError::Unavailable)
    }

    /// Waits without holding up the tasks beside it; the join in `drop` then returns at once.
    async fn end(mut self) {
        self.jobs = None;
        if let Some(ended) = self.ended.take() {
            // The other side is only ever dropped.
            let _ended = ended.await;
        }
    }
}

impl Drop for Hand {
    fn drop(&mut self) {
        self.jobs = None;
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("a thread of the ledger panicked");
        }
    }
}

/// Answers a caller, once. He may have been cancelled; his job is done all the same.
fn send<T>(caller: &Mutex<Option<oneshot::Sender<Result<T, String>>>>, told: Result<T, String>) {
    let sender = caller.lock().expect("nobody panics while answering").take();
    let _unheard = sender.map(|sender| sender.send(told));
}

fn gone() -> LedgerError {
    LedgerError::Unavailable("its thread has ended".to_owned())
}
