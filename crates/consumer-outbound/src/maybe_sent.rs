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
    open: Mutex<HashMap<(NeighbourName, MessageId), Timestamp>>,
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
            all.insert(key, now);
        } else if all.remove(&key).is_none() {
            return;
        }
        all.retain(|_, at| now.duration_since(*at) < FORGOTTEN);
        let count = all.keys().filter(|(of, _)| of == provider).count();
        metrics::gauge!("causeway_maybe_sent", "provider" => provider.to_string()).set(count as f64);
        if count == 0 {
            alarm.clear();
        }
    }
}
