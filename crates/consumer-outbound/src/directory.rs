use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use model::{ChannelName, NeighbourName};
use runtime::Alarm;
use sms::Provider;

use crate::files::Limits;
use crate::mail::{Evidence, MailAccount, MailChannel, PostOffices};

/// What to do with a send of which nobody can say whether it happened, once it has expired.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhenUnsure {
    /// Dead-letter it, and tell the agent that it may have been delivered.
    Park,
    /// Send it again.
    Resend,
}

/// One provider account.
#[derive(Clone)]
pub struct Account {
    /// How it is called.
    pub provider: Provider,
    /// Whether a reply it accepted is `Delivered`; otherwise such a reply stays silent and is counted.
    pub accepted_is_delivered: bool,
    /// When to look for a send that nobody answered, after it began; in rising order, never empty.
    pub reconcile_at: Vec<Duration>,
    /// Raised while the account's key is refused.
    pub paused: Alarm,
    /// Raised while the account cannot be asked what became of replies of unknown outcome.
    pub maybe_sent: Alarm,
}

/// One SMS channel.
#[derive(Clone)]
pub struct Channel {
    /// Its name.
    pub name: ChannelName,
    /// Its provider.
    pub provider: NeighbourName,
    /// The provider's user that owns the number.
    pub user: String,
    /// The company's number as the provider writes it.
    pub number: String,
    /// Whether agents may write to groups.
    pub groups: bool,
    /// How unknown outcomes end.
    pub when_unsure: WhenUnsure,
    /// How long texts are treated.
    pub texts: Texts,
    /// How pictures and files are treated.
    pub pictures: Pictures,
    /// What consumers are answered who end or begin being written to; `None` where the platform sees to that itself.
    pub consent: Option<Answers>,
    /// Raised while the provider knows its number or user otherwise.
    pub fault: Alarm,
}

/// What is answered to keywords; `None` is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answers {
    /// To who is opted out by it.
    pub stop: Option<String>,
    /// To who is opted in again by it.
    pub start: Option<String>,
    /// To who asks for help.
    pub help: Option<String>,
}

/// How the texts of a channel are cut.
#[derive(Debug, Clone, Copy)]
pub struct Texts {
    /// Whether smart punctuation is written plainly where that saves a segment.
    pub fold: bool,
    /// What one request takes, in characters; what is longer is sent in parts.
    pub max_characters: usize,
    /// Segments a reply may take, all parts together.
    pub max_segments: usize,
}

/// How agents' pictures and files leave a channel.
#[derive(Debug, Clone)]
pub struct Pictures {
    /// What is passed on at all.
    pub limits: Limits,
    /// Whether the number sends pictures.
    pub mms: Mms,
    /// The types that are sent as pictures; others become links.
    pub mms_types: Vec<String>,
    /// The most bytes of a picture; what is larger becomes a link.
    pub mms_limit: u64,
}

/// Whether a number sends pictures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mms {
    /// The provider is asked.
    Auto,
    /// It does, whatever the provider says.
    Always,
    /// It does not; every file becomes a link.
    Never,
}

/// The accounts and channels of this house.
#[derive(Default)]
pub struct Directory {
    accounts: HashMap<NeighbourName, Arc<Account>>,
    channels: HashMap<ChannelName, Arc<Channel>>,
    mail: PostOffices,
}

impl Directory {
    /// Accounts and channels with different names.
    pub fn new(accounts: impl IntoIterator<Item = Account>, channels: impl IntoIterator<Item = Channel>) -> Self {
        let account = |account: Account| (account.provider.name().clone(), Arc::new(account));
        let channel = |channel: Channel| (channel.name.clone(), Arc::new(channel));
        Self {
            accounts: accounts.into_iter().map(account).collect(),
            channels: channels.into_iter().map(channel).collect(),
            mail: PostOffices::default(),
        }
    }

    /// Mail accounts and channels beside them.
    #[must_use]
    pub fn with_mail(
        self,
        accounts: impl IntoIterator<Item = MailAccount>,
        channels: impl IntoIterator<Item = MailChannel>,
    ) -> Self {
        Self { mail: PostOffices::new(accounts, channels), ..self }
    }

    pub(crate) fn mail(&self) -> &PostOffices {
        &self.mail
    }

    /// Whether a reply of a channel that its provider accepted is called `Delivered`.
    pub(crate) fn accepted_is_delivered(&self, name: &ChannelName) -> bool {
        match self.find(name) {
            Some((_, account)) => account.accepted_is_delivered,
            None => self.mail.find(name).is_some_and(|(_, account)| account.evidence == Evidence::Accepted),
        }
    }

    /// Every number of an account that was called lately was refused; or one of them is not any more.
    pub(crate) fn paused(&self, account: &str, paused: bool) {
        let Some(account) = self.accounts.get(&NeighbourName::new(account)) else { return };
        if paused {
            let name = account.provider.name();
            account.paused.raise(format!(
                "provider {name} refused every number that was called in the last minute; replies wait. Check its account"
            ));
        } else {
            account.paused.clear();
        }
    }

    pub(crate) fn find(&self, name: &ChannelName) -> Option<(Arc<Channel>, Arc<Account>)> {
        let channel = self.channels.get(name)?;
        Some((Arc::clone(channel), Arc::clone(self.accounts.get(&channel.provider)?)))
    }
}
