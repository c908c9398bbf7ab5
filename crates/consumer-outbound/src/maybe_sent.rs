use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use jiff::{SignedDuration, Timestamp};
use model::{AgentReply, MessageId, NeighbourName};
use runtime::Alarm;

use crate::directory::Account;
use crate::mail::MailAccount;

/// A reply that was not heard of for so long is another replica's by now: it is looked at every minute at least.
const FORGOTTEN: SignedDuration = SignedDuration::from_mins(10);

/// The replies of which nobody knows whether they were sent, as far as this process has them in hand.
#[derive(Default)]
pub(crate) struct MaybeSent {
    open: Mutex<Open>,
}

#[derive(Default)]
struct Open {
    replies: HashMap<(NeighbourName, MessageId), Timestamp>,
    /// Of each provider that has had any: what is raised while it cannot be asked.
    alarms: HashMap<NeighbourName, Alarm>,
}

impl MaybeSent {
    /// Nobody knows.
    pub(crate) fn enter(&self, account: &Account, reply: &AgentReply, now: Timestamp) {
        self.change((account.provider.name(), &account.maybe_sent), reply, now, true);
    }

    /// Nobody knows of a mail.
    pub(crate) fn enter_mail(&self, account: &MailAccount, reply: &AgentReply, now: Timestamp) {
        self.change((&account.name, &account.maybe_sent), reply, now, true);
    }

    /// It is known of a mail, or it is given up.
    pub(crate) fn leave_mail(&self, account: &MailAccount, reply: &AgentReply, now: Timestamp) {
        self.change((&account.name, &account.maybe_sent), reply, now, false);
    }

    /// It is known, or given up.
    pub(crate) fn leave(&self, account: &Account, reply: &AgentReply, now: Timestamp) {
        self.change((account.provider.name(), &account.maybe_sent), reply, now, false);
    }

    fn change(&self, of: (&NeighbourName, &Alarm), reply: &AgentReply, now: Timestamp, open: bool) {
        let (provider, alarm) = of;
        let key = (provider.clone(), reply.id.clone());
        let mut all = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open {
            all.replies.insert(key, now);
            all.alarms.insert(provider.clone(), alarm.clone());
        } else if all.replies.remove(&key).is_none() {
            return;
        }
        all.forget(now);
    }

    /// Forgets those that went to another replica with their partition: nobody comes back to say what became of them.
    pub(crate) fn forget(&self, now: Timestamp) {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).forget(now);
    }
}

impl Open {
    fn forget(&mut self, now: Timestamp) {
        self.replies.retain(|_, at| now.duration_since(*at) < FORGOTTEN);
        let replies = &self.replies;
        self.alarms.retain(|provider, alarm| {
            let count = replies.keys().filter(|(of, _)| of == provider).count();
            metrics::gauge!("causeway_maybe_sent", "provider" => provider.to_string()).set(count as f64);
            if count == 0 {
                alarm.clear();
            }
            count > 0
        });
    }
}

#[cfg(test)]
mod tests {
    use model::{Address, ChannelName, PhoneNumber, Private, ReplyBody, TraceId};
    use runtime::{AlarmKind, Clock, Health};

    use super::*;

    fn reply(number: u32) -> AgentReply {
        AgentReply {
            id: MessageId::new(format!("re-{number}")),
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

    /// The partition went to another replica: whoever works on the reply there says nothing here.
    #[test]
    fn an_alarm_about_what_another_replica_has_ends_by_itself() {
        let start = Timestamp::UNIX_EPOCH;
        let health = Health::new(Clock::system());
        let (provider, alarm) = (NeighbourName::new("crexendo"), health.alarm(AlarmKind::MaybeSent, "crexendo"));
        let raised = || !health.report().alarms.is_empty();
        let maybe_sent = MaybeSent::default();
        maybe_sent.change((&provider, &alarm), &reply(1), start, true);
        alarm.raise("it cannot be asked");
        maybe_sent.forget(start + FORGOTTEN - SignedDuration::from_secs(1));
        // One that this process never had says nothing about its own.
        maybe_sent.change((&provider, &alarm), &reply(2), start, false);
        assert!(raised());
        maybe_sent.forget(start + FORGOTTEN);
        assert!(!raised());
    }
}
