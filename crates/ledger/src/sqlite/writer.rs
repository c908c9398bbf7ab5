use std::time::{Duration, Instant};

use jiff::Timestamp;
use runtime::Clock;
use rusqlite::{Connection, Error, ErrorCode};
use tokio::sync::mpsc;

use super::store::{Answer, AtWork, Request, Run};
use super::{Book, file, millis, retention};
use crate::SqliteConfig;

/// Jobs in one transaction, at the most.
const GROUP: usize = 256;
/// A group of at least so many jobs tells of a crowd, whose next jobs are waited for a moment: each commit writes every
/// page it touched, so fewer commits cost less.
const CROWD: usize = 16;
/// That moment; a commit takes about as long.
const MOMENT: Duration = Duration::from_millis(1);
/// How long the file may be held without such a moment between two commits. Other processes write too, and one that finds the
/// file held whenever it looks would give up.
const HELD: Duration = Duration::from_millis(100);
/// How often finished business is looked through for what is older than it is kept.
const RETENTION_EVERY: i64 = 60_000;

pub(super) struct Writer {
    config: SqliteConfig,
    clock: Clock,
    owner: String,
    connection: Option<Connection>,
    retained_at: i64,
}

impl Writer {
    pub(super) fn new(config: SqliteConfig, clock: Clock, owner: String, connection: Connection) -> Self {
        Self { config, clock, owner, connection: Some(connection), retained_at: i64::MIN }
    }

    pub(super) fn serve(mut self, mut queue: mpsc::Receiver<Request>, at_work: &AtWork) {
        let mut group = Vec::with_capacity(GROUP);
        let mut crowd = false;
        let (mut wrote, mut free) = (Instant::now(), Instant::now());
        while queue.blocking_recv_many(&mut group, GROUP) > 0 {
            let idle = wrote.elapsed() >= MOMENT;
            let wait = (crowd && group.len() < GROUP) || (!idle && free.elapsed() >= HELD);
            if wait {
                std::thread::sleep(MOMENT);
                group.extend(std::iter::from_fn(|| queue.try_recv().ok()).take(GROUP - group.len()));
            }
            if wait || idle {
                free = Instant::now();
            }
            crowd = group.len() >= CROWD;
            let runs: Vec<Run> = group.drain(..).filter_map(run).collect();
            at_work.begins();
            self.write(&runs);
            at_work.ends();
            wrote = Instant::now();
        }
    }

    /// One transaction for everything that waits: the fsync is what costs, and they share it.
    fn write(&mut self, group: &[Run]) {
        let mut connection = match self.connected() {
            Ok(connection) => connection,
            Err(why) => return refuse(group, &why),
        };
        let ran = match self.transaction(&connection, group, together) {
            // One of them could not be run, and what it had written must not stay: now each is undone by itself.
            Err(error) if !is_of_the_file(&error) => self.transaction(&connection, group, one_by_one),
            ran => ran,
        };
        match ran {
            Ok(answers) => {
                answers.into_iter().for_each(|answer| answer());
                self.retain(&mut connection, self.clock.now());
                self.connection = Some(connection);
            }
            Err(error) => {
                let why = error.to_string();
                tracing::error!(why, "the ledger could not be written; it is opened again");
                refuse(group, &why);
            }
        }
    }

    /// The time is taken once the lock is held: a deadline must not be eaten up by the wait for another process.
    fn transaction(
        &self,
        connection: &Connection,
        group: &[Run],
        jobs: impl FnOnce(&Book<'_>, &[Run]) -> rusqlite::Result<Vec<Answer>>,
    ) -> rusqlite::Result<Vec<Answer>> {
        if group.is_empty() {
            return Ok(Vec::new());
        }
        connection.execute_batch("BEGIN IMMEDIATE")?;
        let now = self.clock.now();
        let book = Book { connection, now, owner: &self.owner, sole_owner: self.config.sole_owner };
        let answers = jobs(&book, group);
        match &answers {
            Ok(_) => connection.execute_batch("COMMIT")?,
            // Where the file failed, there may be no transaction any more.
            Err(error) if is_of_the_file(error) => {}
            Err(_) => connection.execute_batch("ROLLBACK")?,
        }
        answers
    }

    /// A connection that failed is dropped, which rolls its transaction back; the next group opens another.
    fn connected(&mut self) -> Result<Connection, String> {
        self.connection.take().map_or_else(|| file::reopen(&self.config.path), Ok)
    }

    /// Forgets what is older than it is kept, a little at a time.
    fn retain(&mut self, connection: &mut Connection, now: Timestamp) {
        if millis(now).saturating_sub(self.retained_at) < RETENTION_EVERY {
            return;
        }
        let keep = i64::try_from(self.config.retain.as_millis()).unwrap_or(i64::MAX);
        match file::without_waiting(connection, |connection| {
            retention::forget(connection, millis(now), millis(now).saturating_sub(keep))
        }) {
            // As long as there is more to forget, the next group goes on with it.
            Ok(retention::More(true)) => {}
            Ok(retention::More(false)) => self.retained_at = millis(now),
            // Another process is writing; the next group tries again.
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) => {}
            Err(error) => {
                tracing::warn!(%error, "old business in the ledger could not be forgotten; it is tried again")
            }
        }
    }
}

fn run(request: Request) -> Option<Run> {
    match request {
        Request::Run(run) => Some(run),
        Request::Tidy => None,
    }
}

/// Whether the file failed; otherwise one job did, for what stands in the file and this build cannot read.
fn is_of_the_file(error: &Error) -> bool {
    matches!(error, Error::SqliteFailure(..))
}

/// The jobs of a group, as nearly every group is run: none fails.
fn together(book: &Book<'_>, group: &[Run]) -> rusqlite::Result<Vec<Answer>> {
    group.iter().map(|run| (run.job)(book)).collect()
}

/// The same, where one of them failed: that is the trouble of the one who asked, and what the job had written is undone. The
/// savepoint that does so copies every page the job is the first to change, which is why it is not there always.
fn one_by_one(book: &Book<'_>, group: &[Run]) -> rusqlite::Result<Vec<Answer>> {
    let mut answers = Vec::with_capacity(group.len());
    for run in group {
        book.connection.prepare_cached("SAVEPOINT job")?.execute([])?;
        match (run.job)(book) {
            Ok(answer) => answers.push(answer),
            Err(error) if is_of_the_file(&error) => return Err(error),
            Err(error) => {
                (run.refuse)(&error.to_string());
                book.connection.prepare_cached("ROLLBACK TO job")?.execute([])?;
            }
        }
        book.connection.prepare_cached("RELEASE job")?.execute([])?;
    }
    Ok(answers)
}

fn refuse(group: &[Run], why: &str) {
    group.iter().for_each(|run| (run.refuse)(why));
}
