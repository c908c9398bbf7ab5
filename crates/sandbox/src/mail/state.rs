use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use runtime::Clock;
use tokio::sync::watch;

use super::faults::Faults;
use crate::kept::Kept;

/// A mail of the company that came into the consumer's mailbox.
#[derive(Debug, Clone)]
pub struct DeliveredMail {
    /// When.
    pub at: Timestamp,
    /// What it is called here.
    pub id: String,
    /// The sender of its envelope, where reports about it go.
    pub envelope_from: String,
    /// The recipient of its envelope.
    pub to: String,
    /// `From`, as it was written.
    pub from: String,
    /// `Subject`, decoded.
    pub subject: String,
    /// `Message-ID`, without angle brackets.
    pub message_id: String,
    /// `In-Reply-To`, without angle brackets.
    pub in_reply_to: Option<String>,
    /// Its text.
    pub text: String,
    /// The names of what is attached.
    pub files: Vec<String>,
    /// Whether the company was told that it was taken.
    pub answered: bool,
    /// Whether it was returned.
    pub bounced: bool,
    /// As it came.
    pub raw: Vec<u8>,
}

/// What became of a mail that is brought to the company.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutgoingState {
    /// It waits for its next try.
    Waiting,
    /// The company's side answered 250.
    Accepted,
    /// It was refused for good, with this code.
    Refused(u16),
}

/// A mail that is brought to the company.
#[derive(Debug, Clone)]
pub struct Brought {
    /// When the consumer sent it.
    pub at: Timestamp,
    /// Its Message-ID, without angle brackets.
    pub message_id: String,
    /// The subject; of a report, why it is made.
    pub subject: String,
    /// What the consumer wrote.
    pub text: String,
    /// The names of what is attached.
    pub files: Vec<String>,
    /// Whether it is a report of this server, and not the consumer's mail.
    pub report: bool,
    /// Where it is.
    pub state: OutgoingState,
}

pub(super) struct Room {
    pub(super) clock: Clock,
    /// Where the company takes mail.
    pub(super) company: Option<SocketAddr>,
    pub(super) delivered: Kept<DeliveredMail>,
    pub(super) brought: Kept<Brought>,
}

/// Everything the server knows.
pub(super) struct State {
    pub(super) domain: String,
    pub(super) faults: Faults,
    changes: watch::Sender<u64>,
    room: Mutex<Room>,
}

impl State {
    pub(super) fn new(domain: String) -> Self {
        let room = Room { clock: Clock::system(), company: None, delivered: Kept::default(), brought: Kept::default() };
        Self { domain, faults: Faults::default(), changes: watch::channel(0).0, room: Mutex::new(room) }
    }

    /// No lock is held over an await.
    pub(super) fn room(&self) -> MutexGuard<'_, Room> {
        self.room.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn changed(&self) {
        self.changes.send_modify(|changes| *changes += 1);
    }

    pub(super) fn watch(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }
}
