use std::path::PathBuf;

use runtime::Clock;
use rusqlite::Connection;
use tokio::sync::mpsc;

use super::store::{Request, Run};
use super::{Book, file};

/// Reads beside the writer, so that a look at a timeline or at the ledger's health never waits for a lock.
pub(super) struct Reader {
    path: PathBuf,
    clock: Clock,
    owner: String,
    sole_owner: bool,
    connection: Option<Connection>,
}

impl Reader {
    pub(super) fn new(path: PathBuf, clock: Clock, owner: String, sole_owner: bool) -> Self {
        Self { path, clock, owner, sole_owner, connection: None }
    }

    pub(super) fn serve(mut self, mut queue: mpsc::Receiver<Request>) {
        while let Some(request) = queue.blocking_recv() {
            if let Request::Run(run) = request {
                self.answer(run);
            }
        }
    }

    /// A connection whose read failed is dropped; the next look opens another.
    fn answer(&mut self, run: Run) {
        let connection = match self.connection.take().map_or_else(|| file::open_for_reading(&self.path), Ok) {
            Ok(connection) => connection,
            Err(why) => return (run.refuse)(&why),
        };
        let book =
            Book { connection: &connection, now: self.clock.now(), owner: &self.owner, sole_owner: self.sole_owner };
        // One snapshot for all that a job reads: what is written out between two reads would be told twice.
        match connection.unchecked_transaction().and_then(|_snapshot| (run.job)(&book)) {
            Ok(answer) => answer(),
            Err(error) => return (run.refuse)(&error.to_string()),
        }
        self.connection = Some(connection);
    }
}
