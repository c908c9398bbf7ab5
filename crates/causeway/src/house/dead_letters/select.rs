use std::collections::BTreeSet;
use std::ops::ControlFlow;

use broker::Letter;
use jiff::{SignedDuration, Timestamp};
use ledger::Effect;
use model::{AgentReply, ConsentChange, Family, InboundMessage, Queued, Receipt};

use super::desk::Wrong;
use super::{By, DeadLetters, Entry, LOOK, Selector};

/// A letter that was chosen.
pub(super) struct Chosen {
    pub(super) entry: Entry,
    /// What it is about; else why nobody can say.
    pub(super) about: Result<About, String>,
}

/// What a letter's body says that a replay has to know.
pub(super) struct About {
    pub(super) effect: Effect,
    /// Whom the receipts of a reply name.
    pub(super) recipient: Option<String>,
    /// What a receipt says.
    pub(super) status: Option<&'static str>,
    /// Whether it is void when it is old.
    pub(super) expires: bool,
}

impl DeadLetters {
    /// The letters a selector means, per family in order; one that names what is not there is an error.
    pub(super) async fn select(&self, selector: &Selector) -> Result<Vec<Chosen>, Wrong> {
        let now = self.clock.now();
        let mut chosen = Vec::new();
        for family in Family::ALL.into_iter().filter(|one| selector.family.is_none_or(|wanted| wanted == *one)) {
            let see = |letter: &Letter| {
                if selector.by.means(letter, now) {
                    chosen.push(Chosen { entry: entry(family, letter), about: about(family, letter) });
                }
                ControlFlow::Continue(())
            };
            self.broker.letters(family, LOOK, see).await.map_err(Wrong::Unavailable)?;
        }
        match &selector.by {
            By::Ids(wanted) => {
                let found: BTreeSet<&str> = chosen.iter().map(|one| one.entry.id.as_str()).collect();
                let missing: Vec<&str> = wanted.iter().map(String::as_str).filter(|id| !found.contains(id)).collect();
                if !missing.is_empty() {
                    return Err(Wrong::Unknown(format!("there is no dead letter {}", missing.join(", "))));
                }
            }
            By::Cause(cause) if chosen.is_empty() => {
                return Err(Wrong::Unknown(format!("there is no dead letter with the cause {cause}")));
            }
            By::Cause(_) | By::OlderThanSeconds(_) | By::All => {}
        }
        Ok(chosen)
    }
}

impl By {
    fn means(&self, letter: &Letter, now: Timestamp) -> bool {
        match self {
            Self::Ids(ids) => ids.contains(&letter.report.id),
            Self::Cause(cause) => letter.report.reason == *cause,
            Self::OlderThanSeconds(seconds) => {
                let least = SignedDuration::from_secs(i64::try_from(*seconds).unwrap_or(i64::MAX));
                now.duration_since(letter.report.at) >= least
            }
            Self::All => true,
        }
    }
}

pub(super) fn entry(family: Family, letter: &Letter) -> Entry {
    let report = letter.report.clone();
    Entry {
        family,
        id: report.id,
        cause: report.reason,
        detail: report.detail,
        died_at: report.at,
        from: report.from,
        kind: letter.kind.clone(),
        conversation: letter.conversation.clone(),
        trace: letter.trace.clone(),
        received_at: letter.received_at,
        bytes: letter.body.len(),
    }
}

pub(super) fn about(family: Family, letter: &Letter) -> Result<About, String> {
    match family {
        Family::Inbound => {
            let message: InboundMessage = read(letter)?;
            let (id, trace) = (message.id.clone(), message.trace);
            let effect = Effect {
                family,
                foreign_id: id.to_string(),
                id,
                channel: message.channel,
                target: message.genesys,
                consumer: message.from,
                trace,
                received_at: message.received_at,
                parties: None,
            };
            Ok(About { effect, recipient: None, status: None, expires: true })
        }
        Family::Replies if letter.kind.as_deref() == Some(ConsentChange::TYPE) => {
            let change: ConsentChange = read(letter)?;
            let effect = Effect {
                family,
                id: change.id,
                channel: change.channel,
                target: change.provider,
                consumer: change.from,
                foreign_id: change.message.to_string(),
                trace: change.trace,
                received_at: change.received_at,
                parties: None,
            };
            Ok(About { effect, recipient: None, status: None, expires: false })
        }
        Family::Replies => {
            let reply: AgentReply = read(letter)?;
            let effect = Effect::from(&reply);
            Ok(About { effect, recipient: Some(reply.to_id.expose().clone()), status: None, expires: true })
        }
        Family::Receipts => {
            let receipt: Receipt = read(letter)?;
            let status = Some(receipt.status.word());
            let effect = Effect::from(&receipt);
            Ok(About { effect, recipient: None, status, expires: true })
        }
    }
}

/// What cannot be read is told without quoting it.
fn read<M: Queued>(letter: &Letter) -> Result<M, String> {
    if letter.kind.as_deref() != Some(M::TYPE) {
        return Err(format!("unreadable: its type is not {}", M::TYPE));
    }
    model::decode(&letter.body).map_err(|error| format!("unreadable: {error}"))
}
