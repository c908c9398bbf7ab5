//! Dead letters, looked at and settled by an operator, over the control socket.

mod desk;
mod routes;
mod select;
#[cfg(test)]
mod tests;

use jiff::Timestamp;
use ledger::Line;
use model::Family;
use serde::{Deserialize, Serialize};

pub(super) use desk::DeadLetters;
pub(super) use routes::routes;

/// Letters a walk looks at, per family, from the oldest on: it holds them while it looks.
pub(crate) const LOOK: usize = 2000;

/// A dead letter in a listing: all but its body.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Entry {
    pub(crate) family: Family,
    pub(crate) id: String,
    /// `dead-reason`
    pub(crate) cause: String,
    /// `dead-detail`
    pub(crate) detail: String,
    /// `dead-at`
    pub(crate) died_at: Timestamp,
    /// `dead-from`
    pub(crate) from: String,
    /// `type`
    pub(crate) kind: Option<String>,
    pub(crate) conversation: Option<String>,
    pub(crate) trace: Option<String>,
    pub(crate) received_at: Option<Timestamp>,
    pub(crate) bytes: usize,
}

/// `GET /dead-letters`
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Listing {
    /// Per family the oldest first.
    pub(crate) letters: Vec<Entry>,
    /// How many there are behind them.
    pub(crate) hidden: u64,
}

/// `GET /dead-letters/{family}/{id}`; with `?body=true` the body as well.
#[derive(Serialize, Deserialize)]
pub(crate) struct Shown {
    pub(crate) letter: Entry,
    pub(crate) timeline: Vec<Line>,
    pub(crate) body: Option<Body>,
}

/// The bytes of a letter.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Body {
    Text(String),
    Hex(String),
}

/// Which letters are meant.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Selector {
    /// Every family where it is left out.
    pub(crate) family: Option<Family>,
    pub(crate) by: By,
}

/// What they are chosen by.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum By {
    Ids(Vec<String>),
    Cause(String),
    /// Dead for at least so long.
    OlderThanSeconds(u64),
    All,
}

/// `POST /dead-letters/replay`
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Replay {
    pub(crate) selector: Selector,
    pub(crate) dry_run: bool,
}

/// `POST /dead-letters/discard`
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Discard {
    pub(crate) selector: Selector,
    pub(crate) reason: String,
}

/// What became of one letter, or would.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Fate {
    pub(crate) family: Family,
    pub(crate) id: String,
    pub(crate) cause: String,
    pub(crate) verdict: Verdict,
    /// Why it stays; empty where it does not.
    pub(crate) why: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Verdict {
    Replayed,
    WouldBeReplayed,
    Discarded,
    Stays,
}

impl Verdict {
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Replayed => "replayed",
            Self::WouldBeReplayed => "would be replayed",
            Self::Discarded => "discarded",
            Self::Stays => "stays",
        }
    }
}
