//! The receipt states of one reply only move forward (design 4, `reference/genesys.md` 6.3).

use model::{AgentReply, Family, Queued as _, Receipt};

use crate::{Effect, POISON, Parties, ReceiptVerdict};

/// A state, without its reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum State {
    /// The provider accepted it, which is all the evidence there was for telling that it was delivered.
    Accepted,
    /// It reached the recipient.
    Delivered,
    /// It did not.
    Failed,
    /// It was taken back.
    Removed,
    /// It did not, and is tried anew: it may still reach the recipient.
    Reopened,
}

impl State {
    pub(crate) fn of(status: &model::ReceiptStatus) -> Self {
        match status {
            model::ReceiptStatus::Delivered => Self::Delivered,
            model::ReceiptStatus::Failed(_) => Self::Failed,
            model::ReceiptStatus::Removed => Self::Removed,
        }
    }

    pub(crate) fn of_receipt(receipt: &Receipt) -> Self {
        match Self::of(&receipt.status) {
            Self::Delivered if receipt.accepted => Self::Accepted,
            state => state,
        }
    }

    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Delivered => "delivered",
            Self::Failed => "failed",
            Self::Removed => "removed",
            Self::Reopened => "reopened",
        }
    }

    pub(crate) fn from_word(word: &str) -> Option<Self> {
        let all = [Self::Accepted, Self::Delivered, Self::Failed, Self::Removed, Self::Reopened];
        all.into_iter().find(|state| state.word() == word)
    }
}

/// How often telling a receipt was begun without ever coming to an end, and by which process last. Whoever asks for the
/// second time is alive, so it did not crash: only the beginnings of others count.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Tries {
    pub(crate) begun: u32,
    pub(crate) owner: Option<String>,
}

impl Tries {
    /// One more; `None` where there were too many before.
    pub(crate) fn begun_by(&self, process: &str) -> Option<Self> {
        match &self.owner {
            Some(owner) if owner == process => Some(self.clone()),
            Some(_) if self.begun >= POISON => None,
            _ => Some(Self { begun: self.begun + 1, owner: Some(process.to_owned()) }),
        }
    }
}

/// What to do with a receipt, given the last one recorded and whether Genesys has it.
pub(crate) fn verdict(last: Option<(State, bool)>, next: State) -> ReceiptVerdict {
    match last {
        // What was never said to have arrived cannot be taken back.
        None | Some((State::Reopened, _)) if next == State::Removed => ReceiptVerdict::Outdated,
        // The agent was told of the failure before, and a second one is no news.
        Some((State::Reopened, true)) if next == State::Failed => ReceiptVerdict::Repeat,
        None | Some((State::Reopened, _)) => ReceiptVerdict::Emit,
        Some((state, true)) if state == next => ReceiptVerdict::Repeat,
        Some((state, false)) if state == next => ReceiptVerdict::Emit,
        // Genesys knows one Delivered, whatever it stands on.
        Some((State::Accepted, true)) if next == State::Delivered => ReceiptVerdict::Repeat,
        Some((State::Accepted | State::Delivered, _)) if next == State::Removed => ReceiptVerdict::Emit,
        // What was only accepted may still come back.
        Some((State::Accepted, _)) => ReceiptVerdict::Emit,
        Some(_) => ReceiptVerdict::Outdated,
    }
}

/// What is recorded of a receipt. The failure of what is tried anew is told, but forbids nothing.
pub(crate) fn recorded(last: Option<(State, bool)>, next: State) -> State {
    match last {
        Some((State::Reopened, _)) if next == State::Failed => State::Reopened,
        _ => next,
    }
}

/// A receipt's lines stand in the timeline of the reply it is about.
impl From<&Receipt> for Effect {
    fn from(receipt: &Receipt) -> Self {
        Self {
            family: Family::Receipts,
            id: receipt.id.clone(),
            channel: receipt.channel.clone(),
            target: receipt.genesys.clone(),
            consumer: receipt.to.clone(),
            foreign_id: receipt.genesys_message_id.clone(),
            trace: receipt.trace.clone(),
            received_at: receipt.received_at(),
            parties: None,
        }
    }
}

impl From<&AgentReply> for Effect {
    fn from(reply: &AgentReply) -> Self {
        Self {
            family: Family::Replies,
            id: reply.id.clone(),
            channel: reply.channel.clone(),
            target: reply.provider.clone(),
            consumer: reply.to.clone(),
            foreign_id: reply.genesys_message_id.clone(),
            trace: reply.trace.clone(),
            received_at: reply.received_at,
            parties: Some(Parties {
                genesys: reply.genesys.clone(),
                from_id: reply.from_id.clone(),
                to_id: reply.to_id.clone(),
                to: reply.to.clone(),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn state() -> impl Strategy<Value = State> {
        prop_oneof![Just(State::Accepted), Just(State::Delivered), Just(State::Failed), Just(State::Removed)]
    }

    proptest! {
        /// Whatever is reported, and however often a try to tell it fails, Genesys sees each state at most once, and after a
        /// state only what may follow it.
        #[test]
        fn states_only_move_forward(reports in proptest::collection::vec((state(), any::<bool>()), 0..20)) {
            let mut last = None;
            let mut told: Vec<State> = Vec::new();
            for (next, reaches_genesys) in reports {
                if verdict(last, next) == ReceiptVerdict::Emit {
                    last = Some((next, reaches_genesys));
                    if reaches_genesys {
                        told.push(next);
                    }
                }
            }
            let allowed: [&[State]; 8] = [
                &[],
                &[State::Delivered],
                &[State::Failed],
                &[State::Removed],
                &[State::Delivered, State::Removed],
                &[State::Accepted],
                &[State::Accepted, State::Failed],
                &[State::Accepted, State::Removed],
            ];
            prop_assert!(allowed.contains(&told.as_slice()), "{:?}", told);
        }
    }
}
