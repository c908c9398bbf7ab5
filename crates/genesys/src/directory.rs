use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use model::{ChannelName, NeighbourName};
use runtime::Alarm;

use crate::{ChannelAccess, Client};

/// One channel as callers find it: how Genesys is called for it, and the alarm that rises when Genesys refuses it.
#[derive(Clone)]
pub struct Channel {
    /// Its id and secrets.
    pub access: ChannelAccess,
    /// Its tenant.
    pub genesys: NeighbourName,
    /// Raised while Genesys refuses this channel.
    pub fault: Alarm,
    /// Where its consumers' messages go, if that is not to the channel itself.
    pub open_media: Option<OpenMediaService>,
}

/// Messages of a channel go into tasks of Open Media.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenMediaService {
    /// The service, as Genesys configured it.
    pub name: String,
    /// A task that nothing was put into for so long is ended; never, where there is none.
    pub idle: Option<Duration>,
}

/// The tenants and channels of this house.
#[derive(Default)]
pub struct Directory {
    clients: HashMap<NeighbourName, Client>,
    channels: HashMap<ChannelName, Arc<Channel>>,
    pauses: HashMap<NeighbourName, Alarm>,
}

/// The name under which pace and breaker of a channel at its tenant are kept.
pub fn channel_target(tenant: &NeighbourName, channel: &ChannelName) -> String {
    format!("{tenant}/{channel}")
}

impl Directory {
    /// Tenants with their clients, and channels with different names.
    pub fn new(
        clients: impl IntoIterator<Item = (NeighbourName, Client)>,
        channels: impl IntoIterator<Item = Channel>,
    ) -> Self {
        let keyed = |channel: Channel| (channel.access.name.clone(), Arc::new(channel));
        Self {
            clients: clients.into_iter().collect(),
            channels: channels.into_iter().map(keyed).collect(),
            pauses: HashMap::new(),
        }
    }

    /// With the alarm of each tenant that rises when all of its channels are refused.
    #[must_use]
    pub fn with_pauses(mut self, pauses: impl IntoIterator<Item = (NeighbourName, Alarm)>) -> Self {
        self.pauses = pauses.into_iter().collect();
        self
    }

    /// Every channel of a tenant that was called lately was refused; or one of them is not any more.
    pub fn paused(&self, tenant: &str, paused: bool) {
        let Some(alarm) = self.pauses.get(&NeighbourName::new(tenant)) else { return };
        if paused {
            alarm.raise(format!(
                "Genesys refused every channel of tenant {tenant} that was called in the last minute; its messages wait. Check \
                 ccid and the channels' secret_files; `causeway doctor` tells which"
            ));
        } else {
            alarm.clear();
        }
    }

    /// Every channel with the client of its tenant.
    pub fn channels(&self) -> impl Iterator<Item = (&Arc<Channel>, &Client)> {
        self.channels.values().filter_map(|channel| Some((channel, self.clients.get(&channel.genesys)?)))
    }

    /// A channel and the client of its tenant.
    pub fn find(&self, name: &ChannelName) -> Option<(Arc<Channel>, &Client)> {
        let channel = self.channels.get(name)?;
        Some((Arc::clone(channel), self.clients.get(&channel.genesys)?))
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use runtime::{AlarmKind, Clock, Health};

    use super::*;

    #[test]
    fn a_tenant_that_pauses_raises_its_alarm_until_it_goes_on() {
        let (clock, _hand) = Clock::manual(Timestamp::UNIX_EPOCH);
        let health = Health::new(clock);
        let main = NeighbourName::new("main");
        let alarm = health.alarm(AlarmKind::AccountPaused, main.as_str());
        let directory = Directory::new([], []).with_pauses([(main, alarm)]);
        let raised = || health.report().alarms.into_iter().map(|alarm| (alarm.alarm, alarm.target)).collect::<Vec<_>>();
        directory.paused("somebody else", true);
        assert!(raised().is_empty());
        directory.paused("main", true);
        assert_eq!(raised(), [("account-paused", "main".to_owned())]);
        directory.paused("main", false);
        assert!(raised().is_empty());
    }
}
