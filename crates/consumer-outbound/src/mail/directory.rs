use std::collections::HashMap;
use std::sync::Arc;

use email::LeaveKeys;
use email::outgoing::{DkimKey, SmtpSender};
use model::{ChannelId, ChannelName, NeighbourName};
use runtime::Alarm;
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::directory::WhenUnsure;
use crate::files::Limits;

/// One mail provider account.
pub struct MailAccount {
    /// Its name.
    pub name: NeighbourName,
    /// The server that takes its mail; `None` where it sends none.
    pub sender: Option<SmtpSender>,
    /// What makes a mail `Delivered`.
    pub evidence: Evidence,
    /// The envelope's sender before it is made unique.
    pub bounce_address: String,
    /// Places for mails on their way to the server.
    pub places: Semaphore,
    /// Raised while the server refuses our login.
    pub paused: Alarm,
    /// Raised while it is not known whether mails were sent.
    pub maybe_sent: Alarm,
}

/// What makes a mail `Delivered`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Evidence {
    /// The server took it.
    Accepted,
    /// A delivery status notification says so.
    Reported,
    /// Nothing does.
    Never,
}

/// One mail channel.
pub struct MailChannel {
    /// Its name.
    pub name: ChannelName,
    /// Its provider.
    pub provider: NeighbourName,
    /// Its id at Genesys: the domain it sends for.
    pub id: ChannelId,
    /// The contact centre, which is a part of each Message-ID.
    pub ccid: String,
    /// How unknown outcomes end.
    pub when_unsure: WhenUnsure,
    /// What signs its mail.
    pub dkim: Option<DkimKey>,
    /// What is taken of the files agents attach; the size is that of all files of a mail.
    pub files: Limits,
    /// How recipients leave.
    pub leave: Leave,
    /// Whether answers are sent to an address that tells their thread.
    pub reply_token: bool,
}

/// How recipients leave.
#[derive(Debug, Clone)]
pub enum Leave {
    /// By no header of ours.
    Off,
    /// By a mail to an address of the channel's domain.
    Mailto(LeaveKeys),
    /// By a URL of this bridge.
    Url {
        /// What signs its token.
        keys: LeaveKeys,
        /// The bridge as the outside sees it, without a slash at the end.
        public_url: String,
    },
}

/// Mail accounts and channels.
#[derive(Default)]
pub(crate) struct PostOffices {
    accounts: HashMap<NeighbourName, Arc<MailAccount>>,
    channels: HashMap<ChannelName, Arc<MailChannel>>,
}

impl PostOffices {
    pub(crate) fn new(
        accounts: impl IntoIterator<Item = MailAccount>,
        channels: impl IntoIterator<Item = MailChannel>,
    ) -> Self {
        Self {
            accounts: accounts.into_iter().map(|account| (account.name.clone(), Arc::new(account))).collect(),
            channels: channels.into_iter().map(|channel| (channel.name.clone(), Arc::new(channel))).collect(),
        }
    }

    pub(crate) fn account(&self, name: &NeighbourName) -> Option<Arc<MailAccount>> {
        self.accounts.get(name).cloned()
    }

    pub(crate) fn find(&self, name: &ChannelName) -> Option<(Arc<MailChannel>, Arc<MailAccount>)> {
        let channel = self.channels.get(name)?;
        Some((Arc::clone(channel), self.account(&channel.provider)?))
    }
}

impl MailAccount {
    /// A place for one mail.
    pub(super) async fn place(&self) -> Option<SemaphorePermit<'_>> {
        self.places.acquire().await.ok()
    }
}
