use jiff::Timestamp;
use model::Family;
use tokio::sync::oneshot;

use crate::source::{Delivery, Lost};
use crate::{Envelope, Letter, PublishError, QueueReport};

/// What the thread that owns the database is asked to do.
pub(super) enum Command {
    /// Shares a transaction with its neighbours in the channel.
    Write(Write),
    /// Runs after that transaction.
    Control(Control),
}

/// A change on disk; its answer is sent after the fsync.
pub(super) enum Write {
    Publish { queue: usize, envelope: Envelope, answer: oneshot::Sender<Result<(), PublishError>> },
    Settle { hold: Hold, settle: Settle, answer: oneshot::Sender<Result<(), Lost>> },
}

/// A message in the hand of a subscriber.
#[derive(Clone, Copy)]
pub(super) struct Hold {
    pub(super) queue: usize,
    pub(super) subscriber: u64,
    pub(super) id: i64,
}

pub(super) enum Settle {
    Ack,
    DeadLetter { reason: String, detail: String, at: Timestamp, origin: String },
}

/// The answer to a fetch.
pub(super) type Batch = Result<Vec<Delivery>, Lost>;

/// A dead letter and its row.
pub(super) struct Kept {
    pub(super) row: i64,
    pub(super) letter: Letter,
}

/// What is done with the dead letter of a row.
#[derive(Clone, Copy)]
pub(super) struct Move {
    pub(super) row: i64,
    /// The queue it goes to; `None` for nowhere.
    pub(super) queue: Option<usize>,
}

pub(super) enum Control {
    Subscribe {
        queue: usize,
        subscriber: u64,
        prefetch: usize,
    },
    Unsubscribe {
        queue: usize,
        subscriber: u64,
        answer: Option<oneshot::Sender<()>>,
    },
    Fetch {
        queue: usize,
        subscriber: u64,
        answer: oneshot::Sender<Batch>,
    },
    CheckLeases {
        queue: usize,
    },
    Queues {
        answer: oneshot::Sender<anyhow::Result<Vec<QueueReport>>>,
    },
    /// A page of dead letters behind a row.
    Letters {
        family: Family,
        after: i64,
        limit: usize,
        answer: oneshot::Sender<anyhow::Result<Vec<Kept>>>,
    },
    /// All of them in one transaction.
    Sift {
        family: Family,
        moves: Vec<Move>,
        answer: oneshot::Sender<anyhow::Result<()>>,
    },
    Close {
        answer: oneshot::Sender<()>,
    },
    #[cfg(test)]
    LimitPages {
        pages: u32,
        answer: oneshot::Sender<()>,
    },
}
