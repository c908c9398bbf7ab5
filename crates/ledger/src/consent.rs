//! Whether a consumer wants to be written to.

use jiff::{SignedDuration, Timestamp};
use model::{ChannelName, Private};
use serde::{Deserialize, Serialize};

use crate::Effect;

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
    /// The message or command that changed it; nobody, where it was said and holds for everybody.
    pub by: String,
    /// Since when.
    pub at: Timestamp,
    /// When it was said last, by our clock; a ledger of an older schema does not know.
    #[serde(skip)]
    pub(crate) heard_at: Option<Timestamp>,
    /// The same by the provider's clock, where a message said it.
    #[serde(skip)]
    pub(crate) said_at: Option<Timestamp>,
}

impl ConsentRecord {
    /// A program that is older than these times may have changed what is recorded since.
    fn heard(&self) -> Timestamp {
        self.heard_at.map_or(self.at, |heard_at| heard_at.max(self.at))
    }
}

/// When something was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// Now, by an operator, who knows better than whatever is recorded.
    Now,
    /// In a message.
    Said(Said),
}

/// When a consumer's message asked for something. The provider's clock and ours may differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Said {
    /// The provider's time of the message.
    pub sent_at: Option<Timestamp>,
    /// When the house accepted it.
    pub received_at: Timestamp,
    /// Whether the provider told of it at once; otherwise it was found later among what it keeps.
    pub live: bool,
}

/// A message that was sent so long after it was received has no time that means anything.
const AHEAD: SignedDuration = SignedDuration::from_hours(24);

impl Said {
    /// By the provider's clock.
    fn theirs(&self) -> Option<Timestamp> {
        let sent_at = self.sent_at.filter(|at| at.duration_since(self.received_at) <= AHEAD)?;
        Some(whole(sent_at))
    }

    /// By ours: never after it was received.
    fn ours(&self) -> Timestamp {
        self.theirs().map_or(self.received_at, |at| at.min(self.received_at))
    }

    /// Whether it comes before what is recorded, as far as that is certain. In doubt a STOP is not older, and a START is.
    fn is_older(&self, asked: Consent, known: &ConsentRecord) -> bool {
        let heard_at = known.heard();
        // Two messages have their times from one clock, whatever that says. But one that runs ahead must not keep a later STOP out.
        let both = self.theirs().zip(known.said_at);
        match asked {
            Consent::Out => match both {
                Some((one, other)) => one < other && whole(self.ours()) < heard_at,
                None if self.live => whole(self.received_at) < heard_at,
                None => whole(self.ours()) < heard_at,
            },
            Consent::In => both.is_some_and(|(one, other)| one <= other) || whole(self.ours()) <= heard_at,
        }
    }
}

/// As a ledger keeps it.
fn whole(at: Timestamp) -> Timestamp {
    Timestamp::from_millisecond(at.as_millisecond()).unwrap_or(at)
}

/// What is to be recorded.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) consent: Consent,
    pub(crate) reason: String,
    pub(crate) when: When,
}

/// What becomes of what is recorded.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Weighed {
    /// What is recorded was said later.
    Older,
    /// It is so already; only when that was said last changes.
    Again(Times),
    /// It is so from now on.
    Changed(Times),
}

/// When something was said last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Times {
    pub(crate) heard_at: Timestamp,
    pub(crate) said_at: Option<Timestamp>,
}

impl Asked {
    /// What becomes of what is recorded. What nobody recorded is what holds for everybody, and was never said.
    pub(crate) fn weigh(&self, known: Option<&ConsentRecord>, now: Timestamp) -> Weighed {
        let known_at = known.map(ConsentRecord::heard);
        let (heard_at, said_at) = match self.when {
            When::Now => (known_at.map_or(now, |at| at.max(now)), None),
            When::Said(said) => (said.ours(), said.theirs()),
        };
        let times = Times { heard_at: whole(heard_at), said_at };
        match known {
            Some(known) if known.consent == self.consent => Weighed::Again(Times {
                heard_at: known_at.map_or(times.heard_at, |at| at.max(times.heard_at)),
                said_at: known.said_at.max(said_at),
            }),
            None if self.consent == Consent::In => Weighed::Again(times),
            Some(known) => match self.when {
                When::Said(said) if said.is_older(self.consent, known) => Weighed::Older,
                When::Said(_) | When::Now => Weighed::Changed(times),
            },
            None => Weighed::Changed(times),
        }
    }

    /// What is to be recorded, where that is something else than what is.
    pub(crate) fn next(
        &self,
        known: Option<&ConsentRecord>,
        weighed: &Weighed,
        effect: &Effect,
    ) -> Option<ConsentRecord> {
        let made = |times: &Times, by: &str| ConsentRecord {
            channel: effect.channel.clone(),
            consumer: Private::new(effect.consumer.normalised().to_owned()),
            consent: self.consent,
            reason: self.reason.clone(),
            by: by.to_owned(),
            at: times.heard_at,
            heard_at: Some(times.heard_at),
            said_at: times.said_at,
        };
        let next = match weighed {
            Weighed::Older => return None,
            Weighed::Changed(times) => made(times, effect.id.as_str()),
            Weighed::Again(times) => match known {
                None => made(times, ""),
                Some(known) => {
                    ConsentRecord { heard_at: Some(times.heard_at), said_at: times.said_at, ..known.clone() }
                }
            },
        };
        (known != Some(&next)).then_some(next)
    }

    /// The line in the timeline; what is so already is told once.
    pub(crate) fn told(&self, weighed: &Weighed) -> Option<String> {
        let word = match self.consent {
            Consent::In => "opted in",
            Consent::Out => "opted out",
        };
        match weighed {
            Weighed::Older => Some(format!("{word}: {}; what was said later holds", self.reason)),
            Weighed::Changed(_) => Some(format!("{word}: {}", self.reason)),
            Weighed::Again(_) => None,
        }
    }
}

#[cfg(test)]
mod tests;
