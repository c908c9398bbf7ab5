//! What the queue does next, and what the agent is told.

use std::time::Duration;

use anyhow::anyhow;
use broker::{DeadReason, Failure};
use model::{ChannelName, NeighbourName, ReasonCode};
use sms::SendError;

use crate::firewall::FIREWALL;
use crate::handler::Walk;

/// What an agent is told of a reply whose fate nobody could find out.
pub const MAYBE_SENT: &str = "It is not known whether this message was sent; it may have been delivered.";

/// What an agent is told whose recipient does not want to be written to.
pub(crate) const OPTED_OUT: &str = "The recipient has opted out of messages from this number (STOP); it was not sent.";

/// What an agent is told of a group with a member who does not want to be written to.
pub(crate) const MEMBER_OPTED_OUT: &str =
    "A member of the group has opted out of messages from this number (STOP); it was sent to nobody.";

/// What an agent is told of a reply that the provider took and could not send.
pub(crate) const PROVIDER_FAILED: &str = "The provider could not send the message.";

/// What an agent is told before the reason, where a part of a reply was sent.
pub(crate) fn parts_sent(sent: usize, of: usize) -> String {
    format!("Only {sent} of {of} parts went out. ")
}

/// How soon a refused account is tried again.
const ACCOUNT_PROBE: Duration = Duration::from_secs(60);

/// The name under which pace and breaker of a company's number are kept.
pub fn number_target(provider: &NeighbourName, channel: &ChannelName) -> String {
    format!("{provider}/{channel}")
}

pub(crate) fn unavailable(walk: &Walk<'_>, after: Option<Duration>, cause: anyhow::Error) -> Failure {
    let cause = cause.context(format!("channel {}", walk.reply.channel));
    Failure::Unavailable { target: walk.account.provider.name().to_string(), after, cause }
}

/// One reply waits for a look at the provider, which is in no trouble for all we know.
pub(crate) fn looks_later(walk: &Walk<'_>, after: Duration, cause: &str) -> Failure {
    tracing::info!(channel = %walk.reply.channel, cause, "a reply waits");
    Failure::NotYet { after }
}

/// The verdict on a reply that was certainly not sent.
pub(crate) fn not_sent(walk: &Walk<'_>, error: &SendError) -> Failure {
    let cause = anyhow!("{error}");
    match error {
        SendError::AccountFault { cause: told } => {
            walk.account.paused.raise(told.clone());
            unavailable(walk, Some(ACCOUNT_PROBE), cause)
        }
        SendError::ChannelFault { cause: told } => {
            walk.channel.fault.raise(format!("{told}; replies wait, and those that waited too long are dead letters"));
            let cause = cause.context(format!("channel {}", walk.reply.channel));
            Failure::Fault { target: number_target(&walk.reply.provider, &walk.reply.channel), cause }
        }
        SendError::Later { after, throttled: true, .. } => {
            let cause = cause.context(format!("channel {}", walk.reply.channel));
            let target = number_target(&walk.reply.provider, &walk.reply.channel);
            Failure::Unavailable { target, after: *after, cause }
        }
        other => unavailable(walk, other.after(), cause),
    }
}

/// What the agent of a dead-lettered reply is told.
pub(crate) fn of_rejection(reason: &DeadReason) -> (ReasonCode, String) {
    let (code, reason) = match reason {
        DeadReason::Expired => (ReasonCode::Expired, "The message could not be sent in time."),
        DeadReason::AttemptsExhausted => (ReasonCode::General, "The message could not be sent; every try failed."),
        DeadReason::Rejected(code) if code == FIREWALL => (
            ReasonCode::General,
            "The message was not sent: a firewall of the provider refuses it, perhaps for its wording. Write it differently.",
        ),
        DeadReason::Unreadable | DeadReason::Rejected(_) => {
            (ReasonCode::General, "The message could not be sent; the bridge's operator has been told.")
        }
    };
    (code, reason.to_owned())
}
