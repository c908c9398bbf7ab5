//! Whether a consumer wants to be written to.

use jiff::Timestamp;
use model::{ChannelName, Private};
use serde::{Deserialize, Serialize};

/// What a consumer said about being written to on a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Consent {
    /// They may be written to, as everybody of whom nothing is recorded.
    In,
    /// They may not.
    Out,
}

impl Consent {
    /// The word in listings and in the ledger.
    pub const fn word(self) -> &'static str {
        match self {
            Self::In => "in",
            Self::Out => "out",
        }
    }

    /// The state of a word.
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::In, Self::Out].into_iter().find(|one| one.word() == word)
    }
}

/// What is recorded of a consumer on a channel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsentRecord {
    /// The channel.
    pub channel: ChannelName,
    /// The consumer's address, normalised.
    pub consumer: Private<String>,
    /// Whether they may be written to.
    pub consent: Consent,
    /// Why, in words; nothing private.
    pub reason: String,
    /// The message or command that changed it.
    pub by: String,
    /// Since when.
    pub at: Timestamp,
}

/// What is to be recorded.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) consent: Consent,
    pub(crate) reason: String,
}

impl Asked {
    /// The line in the timeline.
    pub(crate) fn told(&self) -> String {
        let word = match self.consent {
            Consent::In => "opted in",
            Consent::Out => "opted out",
        };
        format!("{word}: {}", self.reason)
    }
}

/// Whether nothing has to be recorded: it is so already, or it is what holds for everybody.
pub(crate) fn settled(known: Option<&ConsentRecord>, asked: Consent) -> bool {
    known.map_or(Consent::In, |known| known.consent) == asked
}
