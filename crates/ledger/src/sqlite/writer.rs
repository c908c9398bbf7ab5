use std::time::Duration;

use jiff::Timestamp;
use runtime::Clock;
use rusqlite::{Connection, Error, ErrorCode};
use tokio::sync::mpsc;

use super::store::{Answer, Request, Run};
use super::{Book, file, millis, retention};
use crate::SqliteConfig;

/// Jobs in one transaction, at the most.
const GROUP: usize = 256;
/// A group of at least so many jobs tells of a crowd, whose next jobs are waited for a moment: each commit writes every
/// page it touched, so fewer commits cost less.
const CROWD: usize = 16;
/// That moment; a commit takes about as long.
const MOMENT: Duration = Duration::from_millis(1);
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

    pub(super) fn serve(mut self, mut queue: mpsc::Receiver<Request>) {
        let mut group = Vec::with_capacity(GROUP);
        let mut crowd = false;
        while queue.blocking_recv_many(&mut group, GROUP) > 0 {
            if crowd && group.len() < GROUP {
                std::thread::sleep(MOMENT);
                group.extend(std::iter::from_fn(|| queue.try_recv().ok()).take(GROUP - group.len()));
            }
            crowd = group.len() >= CROWD;
            let runs: Vec<Run> = group.drain(..).filter_map(run).collect();
            self.write(runs);
        }
    }

    /// One transaction for everything that waits: the fsync is what costs, and they share it.
    fn write(&mut self, group: Vec<Run>) {
        let connection = match self.connected() {
            Ok(connection) => connection,
            Err(why) => return group.into_iter().for_each(|run| (run.refuse)(why.clone())),
        };
        let mut left = group.into_iter();
        let mut answers = Vec::with_capacity(left.len());
        let ran = if left.len() == 0 { Ok(()) } else { self.transaction(&connection, &mut left, &mut answers) };
        let told = ran.map_err(|error| error.to_string());
        if let Err(why) = &told {
            tracing::error!(why, "the ledger could not be written; it is opened again");
            left.for_each(|run| (run.refuse)(why.clone()));
        }
        answers.into_iter().for_each(|answer| answer(told.clone()));
        if told.is_ok() {
            self.retain(&connection, self.clock.now());
            self.connection = Some(connection);
        }
    }

    /// The time is taken once the lock is held: a deadline must not be eaten up by the wait for another process.
    fn transaction(
        &self,
        connection: &Connection,
        left: &mut impl Iterator<Item = Run>,
        answers: &mut Vec<Answer>,
    ) -> rusqlite::Result<()> {
        connection.execute_batch("BEGIN IMMEDIATE")?;
        let now = self.clock.now();
        let book = Book { connection, now, owner: &self.owner, sole_owner: self.config.sole_owner };
        for run in left {
            if let Some(answer) = one(&book, run)? {
                answers.push(answer);
            }
        }
        connection.execute_batch("COMMIT")
    }

    /// A connection that failed is dropped, which rolls its transaction back; the next group opens another.
    fn connected(&mut self) -> Result<Connection, String> {
        self.connection.take().map_or_else(|| file::reopen(&self.config.path), Ok)
    }

    /// Forgets what is older than it is kept, a little at a time.
    fn retain(&mut self, connection: &Connection, now: Timestamp) {
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

/// One job of a group. Where the file fails, all fail; where what stands in it cannot be read by this build, that is the
/// trouble of the one job that asked, and what the job had written is undone.
fn one(book: &Book<'_>, run: Run) -> rusqlite::Result<Option<Answer>> {
    book.connection.prepare_cached("SAVEPOINT job")?.execute([])?;
    let answer = match (run.job)(book) {
        Ok(answer) => Some(answer),
        Err(error) => {
            (run.refuse)(error.to_string());
            if let Error::SqliteFailure(..) = error {
                return Err(error);
            }
            book.connection.prepare_cached("ROLLBACK TO job")?.execute([])?;
            None
        }
    };
    book.connection.prepare_cached("RELEASE job")?.execute([])?;
    Ok(answer)
}
