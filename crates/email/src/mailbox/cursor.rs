use std::fmt;
use std::future::Future;
use std::io::{self, BufRead, BufReader, Seek};
use std::pin::Pin;
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tempfile::SpooledTempFile;

/// How far a mailbox has been read. It is kept by whoever stores the mails, and handed in again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    /// The server's number for this life of the mailbox; under another one, UIDs mean other mails.
    pub uid_validity: u32,
    /// The last mail that was stored or skipped.
    pub uid: u32,
    /// When the server took that mail: under a new UIDVALIDITY, what came later is new.
    pub seen: Option<Timestamp>,
}

/// What a mailbox gives to be stored. Each event carries the cursor to keep with it.
#[derive(Debug)]
pub enum Event {
    /// The mailbox is read from here on: it was never read before, or has a new UIDVALIDITY.
    Begin(Cursor),
    /// A mail.
    Mail(Fetched),
    /// A mail that is left in the mailbox, to be looked at there by its UID.
    Skipped {
        /// The cursor behind it.
        cursor: Cursor,
        /// Why.
        why: Skipped,
    },
}

/// Why a mail was left in the mailbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Skipped {
    /// It is larger than is taken.
    TooLarge {
        /// Its bytes.
        size: u64,
    },
    /// The server did not give it again and again, for minutes, or the handler will never take it.
    Poison,
}

impl Skipped {
    /// The word in metrics.
    pub const fn word(self) -> &'static str {
        match self {
            Self::TooLarge { .. } => "too-large",
            Self::Poison => "poison",
        }
    }
}

/// A mail out of a mailbox.
pub struct Fetched {
    /// The cursor behind it.
    pub cursor: Cursor,
    /// When the server took it.
    pub received: Option<Timestamp>,
    /// Its bytes.
    pub size: u64,
    pub(super) content: SpooledTempFile,
}

impl Fetched {
    /// The mail from its start, for [`crate::read::read`] or to be copied. Reading it may wait for a disk.
    ///
    /// # Errors
    /// The file cannot be rewound.
    pub fn open(&mut self) -> io::Result<impl BufRead + Send + '_> {
        self.content.rewind()?;
        Ok(BufReader::with_capacity(64 * 1024, &mut self.content))
    }
}

impl fmt::Debug for Fetched {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Fetched({:?}, {} bytes)", self.cursor, self.size)
    }
}

type Handled = Pin<Box<dyn Future<Output = Result<(), crate::listen::StoreError>> + Send>>;

/// What stores the events of a mailbox: the mail and, in one go or after it, its cursor. `Later` is tried again after the
/// backoff; `Never` skips the mail.
#[derive(Clone)]
pub struct Handler(Arc<dyn Fn(Event) -> Handled + Send + Sync>);

impl Handler {
    /// A handler that is called for each event, one at a time.
    pub fn new<F, H>(handler: H) -> Self
    where
        H: Fn(Event) -> F + Send + Sync + 'static,
        F: Future<Output = Result<(), crate::listen::StoreError>> + Send + 'static,
    {
        Self(Arc::new(move |event| Box::pin(handler(event))))
    }

    pub(super) fn handle(&self, event: Event) -> Handled {
        (self.0)(event)
    }
}
