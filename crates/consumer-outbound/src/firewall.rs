//! Firewalls in front of a provider. One that does not like a text refuses that text alone, and one that does not like us
//! refuses everything: only what becomes of the other messages tells the two apart.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::anyhow;
use broker::{Done, Failure};
use ledger::AttemptId;
use model::{AgentReply, MessageId, NeighbourName, ReasonCode};
use sms::SendError;

use crate::handler::{Author, Room, Walk, ledger_down};
use crate::verdict;

/// The dead letter's reason.
pub(crate) const FIREWALL: &str = "firewall";

/// Tries of a message that is refused while others pass, or while nobody else writes.
const TRIES: u32 = 2;
/// So many different messages refused one after the other, and it is hardly their wording.
const DIFFERENT: usize = 3;
/// Tries of a message then: it may be the one that is refused, and would hold up the others for as long as it is tried.
const TRIES_AMONG_OTHERS: u32 = 3;
/// A firewall rarely thinks better of a text, so that its second try need not wait long for the conversation's sake.
const AGAIN: Duration = Duration::from_secs(5);
/// Messages that are remembered for each account; those that were handed to another replica stay among them.
const REMEMBERED: usize = 1000;

/// What the firewalls of the accounts refused lately.
#[derive(Default)]
pub(crate) struct Firewalls {
    accounts: Mutex<HashMap<NeighbourName, Wall>>,
}

#[derive(Default)]
struct Wall {
    /// Different messages that were refused since one passed; at most as many as tell something.
    in_a_row: Vec<MessageId>,
    tries: HashMap<MessageId, Tried>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Tried {
    tries: u32,
    given_up: bool,
}

/// What a refusal is about.
#[derive(Debug, PartialEq, Eq)]
enum About {
    /// Nobody knows yet.
    Unknown,
    /// Everything of the account.
    Everything,
    /// This message, which is given up.
    Message,
}

impl Firewalls {
    fn lock(&self) -> MutexGuard<'_, HashMap<NeighbourName, Wall>> {
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A message was refused; `everything` where a call without any text was, too.
    fn refused(&self, reply: &AgentReply, everything: bool) -> About {
        let mut accounts = self.lock();
        let wall = accounts.entry(reply.provider.clone()).or_default();
        if everything {
            return About::Everything;
        }
        if wall.in_a_row.len() < DIFFERENT && !wall.in_a_row.contains(&reply.id) {
            wall.in_a_row.push(reply.id.clone());
        }
        if wall.tries.len() >= REMEMBERED {
            wall.tries.clear();
        }
        let others = wall.in_a_row.len() >= DIFFERENT;
        let tried = wall.tries.entry(reply.id.clone()).or_default();
        tried.tries += 1;
        tried.given_up = tried.tries >= if others { TRIES_AMONG_OTHERS } else { TRIES };
        match (tried.given_up, others) {
            (true, _) => About::Message,
            (false, true) => About::Everything,
            (false, false) => About::Unknown,
        }
    }

    /// A message came through, whatever became of it then.
    pub(crate) fn passed(&self, reply: &AgentReply) {
        if let Some(wall) = self.lock().get_mut(&reply.provider) {
            wall.in_a_row.clear();
            wall.tries.remove(&reply.id);
        }
    }

    /// Whether it is to be tried no more.
    pub(crate) fn gave_up(&self, reply: &AgentReply) -> bool {
        let accounts = self.lock();
        accounts.get(&reply.provider).and_then(|wall| wall.tries.get(&reply.id)).is_some_and(|tried| tried.given_up)
    }

    /// It is dead; should a person replay it, it is tried anew.
    pub(crate) fn forget(&self, reply: &AgentReply) {
        if let Some(wall) = self.lock().get_mut(&reply.provider) {
            wall.tries.remove(&reply.id);
        }
    }
}

/// The end of a message that the firewall does not let pass.
pub(crate) fn rejection(reply: &AgentReply) -> Failure {
    let cause = anyhow!(
        "channel {}: a firewall in front of provider {} refuses this message (403 without JSON) and no other; its agent was told to word it differently. Ask the provider to let it pass before it is replayed",
        reply.channel,
        reply.provider
    );
    Failure::Reject { code: FIREWALL, cause }
}

impl Room {
    /// A firewall refused a message, which was certainly not sent.
    pub(crate) async fn blocked(&self, walk: &Walk<'_>, attempt: &AttemptId, cause: &str) -> Result<Done, Failure> {
        // A call without a text of anybody's tells at once whether it is us who are refused.
        let everything = matches!(walk.account.provider.check().await, Err(SendError::Blocked { .. }));
        let about = self.firewalls.refused(walk.reply, everything);
        if about == About::Message && walk.author == Author::House {
            self.firewalls.forget(walk.reply);
            let verdict = (ReasonCode::General, cause.to_owned());
            return self.finish_failed(&walk.effect, attempt, &verdict).await.map(|()| Done::Done);
        }
        self.deps.ledger.release(&walk.effect, attempt, cause).await.map_err(ledger_down)?;
        match about {
            About::Unknown => {
                tracing::warn!(channel = %walk.reply.channel, cause, "a firewall refused a reply; it is tried once more");
                Err(Failure::NotYet { after: AGAIN })
            }
            About::Message => Err(Failure::NotYet { after: Duration::ZERO }),
            About::Everything => {
                let name = walk.account.provider.name();
                walk.account.paused.raise(format!(
                    "a firewall in front of provider {name} refuses every message (403 without JSON); replies wait. Ask the \
                     provider to let this bridge's addresses and its User-Agent pass"
                ));
                let after = SendError::Blocked { cause: String::new() }.after();
                Err(verdict::unavailable(walk, after, anyhow!("{cause}")))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use model::{Address, ChannelName, PhoneNumber, Private, ReplyBody, TraceId};

    use super::*;

    fn reply(number: u32) -> AgentReply {
        AgentReply {
            id: MessageId::new(format!("out-{number}")),
            channel: ChannelName::new("sales"),
            provider: NeighbourName::new("crexendo"),
            genesys: NeighbourName::new("main"),
            genesys_message_id: number.to_string(),
            from_id: Private::default(),
            to_id: Private::default(),
            to: Address::Phone(PhoneNumber::normalise("13125550142", None).expect("a number")),
            body: ReplyBody::Text(Private::new("text".to_owned())),
            trace: TraceId::new("trace"),
            received_at: Timestamp::UNIX_EPOCH,
        }
    }

    #[test]
    fn one_message_is_given_up_after_two_tries_while_others_pass() {
        let walls = Firewalls::default();
        assert_eq!(walls.refused(&reply(1), false), About::Unknown);
        walls.passed(&reply(2));
        assert!(!walls.gave_up(&reply(1)));
        assert_eq!(walls.refused(&reply(1), false), About::Message);
        assert!(walls.gave_up(&reply(1)) && !walls.gave_up(&reply(2)));
        walls.forget(&reply(1));
        assert!(!walls.gave_up(&reply(1)), "a replay tries it anew");
    }

    #[test]
    fn different_messages_in_a_row_are_the_accounts_trouble() {
        let walls = Firewalls::default();
        assert_eq!(walls.refused(&reply(1), false), About::Unknown);
        assert_eq!(walls.refused(&reply(2), false), About::Unknown);
        assert_eq!(walls.refused(&reply(3), false), About::Everything);
        assert_eq!(walls.refused(&reply(1), false), About::Everything);
        assert_eq!(walls.refused(&reply(4), false), About::Everything);
        assert_eq!(
            walls.refused(&reply(1), false),
            About::Message,
            "the one that is refused does not hold up all others"
        );
        walls.passed(&reply(5));
        assert_eq!(walls.refused(&reply(6), false), About::Unknown, "one that passed ends it");
    }

    #[test]
    fn what_refuses_every_call_costs_no_message_a_try() {
        let walls = Firewalls::default();
        for _ in 0..10 {
            assert_eq!(walls.refused(&reply(1), true), About::Everything);
        }
        assert_eq!(walls.refused(&reply(1), false), About::Unknown);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let walls = Firewalls::default();
        for number in 0..5_000 {
            walls.refused(&reply(number), false);
        }
        let accounts = walls.lock();
        let wall = accounts.values().next().unwrap();
        assert!(wall.tries.len() <= REMEMBERED && wall.in_a_row.len() <= DIFFERENT);
    }
}
