use std::collections::HashMap;
use std::sync::Arc;

use genesys::Secrets;
use model::{Address, ChannelId, ChannelName, Country, Group, NeighbourName, PhoneNumber};

/// What a channel carries, as far as this room must know.
#[derive(Debug, Clone)]
pub enum Kind {
    /// Text messages; consumers' numbers are normalised as in this country.
    Sms {
        /// The country.
        country: Option<Country>,
    },
    /// Mail.
    Email,
}

/// One channel.
#[derive(Debug, Clone)]
pub struct Channel {
    /// In the URL.
    pub name: ChannelName,
    /// In the webhook's body.
    pub id: ChannelId,
    /// What it carries.
    pub kind: Kind,
    /// Its tenant.
    pub genesys: NeighbourName,
    /// Its provider.
    pub provider: NeighbourName,
    /// What signs its webhooks.
    pub secrets: Secrets,
}

impl Channel {
    /// A recipient as this channel reaches people. What cannot be reached keeps its place in line, so that its sender is
    /// answered in order.
    pub(crate) fn recipient(&self, raw: &str) -> Address {
        let found = match &self.kind {
            Kind::Sms { country } => match Group::parse(raw) {
                Some(group) => Ok(Address::Group(group)),
                None => PhoneNumber::normalise(raw, *country).map(Address::Phone),
            },
            Kind::Email => Address::mail(raw),
        };
        found.unwrap_or_else(|_| Address::Invalid(raw.trim().to_owned()))
    }

    /// Whether a webhook's `channel.id` means this channel; numbers are compared by their digits.
    pub(crate) fn is_called(&self, id: &ChannelId) -> bool {
        let digits = |id: &ChannelId| id.as_str().chars().filter(char::is_ascii_digit).collect::<String>();
        let telephone = |id: &ChannelId| id.as_str().chars().all(|c| c.is_ascii_digit() || "+-.() ".contains(c));
        self.id == *id || (telephone(&self.id) && telephone(id) && digits(&self.id) == digits(id))
    }
}

/// The channels of this house.
#[derive(Debug, Default)]
pub struct Channels {
    by_name: HashMap<String, Arc<Channel>>,
}

impl Channels {
    /// A directory of channels with different names.
    pub fn new(channels: impl IntoIterator<Item = Channel>) -> Self {
        let by_name = channels.into_iter().map(|channel| (channel.name.to_string(), Arc::new(channel))).collect();
        Self { by_name }
    }

    /// Whether one of them carries mail.
    pub(crate) fn has_mail(&self) -> bool {
        self.by_name.values().any(|channel| matches!(channel.kind, Kind::Email))
    }

    pub(crate) fn named(&self, name: &str) -> Option<Arc<Channel>> {
        self.by_name.get(name).cloned()
    }

    /// Every channel a body's id may mean: two tenants may share an id.
    pub(crate) fn called(&self, id: &ChannelId) -> Vec<Arc<Channel>> {
        let mut found: Vec<_> = self.by_name.values().filter(|channel| channel.is_called(id)).cloned().collect();
        found.sort_by(|one, other| one.name.cmp(&other.name));
        found
    }
}
