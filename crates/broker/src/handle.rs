use std::any::Any;
use std::future::Future;
use std::time::Duration;

use model::Taken;

use crate::DeadReason;

/// A message that needs nothing more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Done {
    /// Its effect was made now.
    Done,
    /// Its effect had been made before.
    Duplicate,
}

impl Done {
    /// The word in metrics and logs.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Duplicate => "duplicate",
        }
    }
}

/// Why a try did not end in [`Done`].
#[derive(Debug)]
pub enum Failure {
    /// This message, later; its conversation waits.
    Retry {
        /// At least this long, or the backoff's next wait.
        after: Option<Duration>,
        /// What happened.
        cause: anyhow::Error,
    },
    /// The same, where it is not the widest of the targets that it counts against.
    RetryAt {
        /// The neighbour that failed.
        target: String,
        /// At least this long, or the backoff's next wait.
        after: Option<Duration>,
        /// What happened.
        cause: anyhow::Error,
    },
    /// The neighbour is down, throttling or misconfigured: later, and without spending a try of this message.
    Unavailable {
        /// The neighbour, channel or number that is in trouble.
        target: String,
        /// At least this long, or the backoff's next wait.
        after: Option<Duration>,
        /// What happened.
        cause: anyhow::Error,
    },
    /// Nothing is wrong, but it is not due yet: its conversation waits, and no try is spent.
    NotYet {
        /// At least this long.
        after: Duration,
    },
    /// A part of it is done. The next try goes on at once, perhaps with another neighbour; no try is spent.
    Onward,
    /// A channel or number refuses us for what it is configured as here: it alone is held, raises an alarm at its owner's,
    /// and gives its messages to the dead letters when it holds too many, or for too long.
    Fault {
        /// The channel or number.
        target: String,
        /// What happened.
        cause: anyhow::Error,
    },
    /// Never.
    Reject {
        /// A short, stable code: the dead letter's reason.
        code: &'static str,
        /// What happened.
        cause: anyhow::Error,
    },
    /// It was given up before, and comes again: its dead letter may not have been stored. A second one is better than none.
    GivenUp {
        /// The reason of then, as [`DeadReason::word`] says it.
        reason: String,
        /// What happened.
        cause: anyhow::Error,
    },
}

/// What is about to be dead-lettered, and why.
#[derive(Debug, Clone)]
pub struct Rejection {
    /// The reason.
    pub reason: DeadReason,
    /// What happened, in words; nothing private.
    pub detail: String,
}

/// Something that is known as long as a message is in hand, ahead of its turn; it is dropped with the message.
pub type Foresight = Box<dyn Any + Send + Sync>;

/// What a consuming role does with one message. It may run twice for the same message.
pub trait Handle<M: Taken>: Send + Sync + 'static {
    /// Whom handling this message calls, the narrowest first: a number or channel, then its account or tenant. Pace and
    /// breakers are kept for each by its name. It is asked before each try, which may call others than the one before.
    fn targets(&self, message: &M) -> Vec<String> {
        let _no_call_abroad = message;
        Vec::new()
    }

    /// An account pauses, because every channel of it that was called in the last minute was refused; or it goes on. While it
    /// pauses one call a minute tries it, and its messages wait.
    fn paused(&self, account: &str, paused: bool) {
        let _nobody_to_tell = (account, paused);
    }

    /// What is known from a message of a type that is foreseen, as soon as it is in hand.
    fn foresee(&self, message: &M) -> Option<Foresight> {
        let _nothing_known = message;
        None
    }

    /// Handles one message; `attempt` counts from 1.
    fn handle(&self, message: &M, attempt: u32) -> impl Future<Output = Result<Done, Failure>> + Send;

    /// Runs before a message is dead-lettered, to tell whoever waits for it. A failure is tried again, and the message
    /// is not dead-lettered until this has succeeded.
    fn before_dead_letter(
        &self,
        message: &M,
        rejection: &Rejection,
    ) -> impl Future<Output = Result<(), Failure>> + Send;
}
