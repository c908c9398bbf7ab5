use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use broker::{DeadReason, Rejection};
use jiff::{SignedDuration, Timestamp};
use model::{AgentReply, MessageId, ReasonCode, ReceiptReason};
use sms::SendError;

use crate::verdict;

/// A reply that was not tried for so long is another replica's by now.
const FORGOTTEN: SignedDuration = SignedDuration::from_hours(1);

/// Why a neighbour does not take a reply yet, in its own last words: its agent is told, should it never take it. They are those
/// of the replies this process has in hand; where they are not known, the agent hears that it was too late.
#[derive(Default)]
pub(crate) struct LastWords {
    said: Mutex<HashMap<MessageId, (Timestamp, ReceiptReason)>>,
}

impl LastWords {
    /// It says "later".
    pub(crate) fn note(&self, reply: &AgentReply, reason: ReceiptReason, now: Timestamp) {
        let mut said = self.lock();
        said.insert(reply.id.clone(), (now, reason));
        said.retain(|_, (at, _)| now.duration_since(*at) < FORGOTTEN);
    }

    /// The same of an SMS provider, where it has had too many of them.
    pub(crate) fn note_error(&self, reply: &AgentReply, error: &SendError, now: Timestamp) {
        if matches!(error, SendError::Later { throttled: true, .. }) {
            let message = "The provider took no more messages for now.".to_owned();
            self.note(reply, ReceiptReason { code: ReasonCode::RateLimited, message }, now);
        } else {
            self.forget(reply);
        }
    }

    /// It said something else since, or nothing.
    pub(crate) fn forget(&self, reply: &AgentReply) {
        self.lock().remove(&reply.id);
    }

    /// What the agent of a dead-lettered reply is told.
    pub(crate) fn of(&self, reply: &AgentReply, rejection: &Rejection) -> (ReasonCode, String) {
        let said = self.lock().remove(&reply.id).filter(|_| matches!(rejection.reason, DeadReason::Expired));
        said.map_or_else(|| verdict::of_rejection(&rejection.reason), |(_, reason)| (reason.code, reason.message))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<MessageId, (Timestamp, ReceiptReason)>> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
