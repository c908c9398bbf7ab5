use std::collections::{BTreeSet, HashMap};

use model::{ChannelName, Country, Keywords, NeighbourName};
use sms::{Destination, Provider, Trigger};

/// One SMS channel.
#[derive(Debug, Clone)]
pub struct Channel {
    /// Its name.
    pub name: ChannelName,
    /// Its tenant.
    pub genesys: NeighbourName,
    /// Its provider.
    pub provider: NeighbourName,
    /// The provider's user that owns the number.
    pub user: String,
    /// The company's number as the provider writes it.
    pub number: String,
    /// How consumers' numbers are normalised.
    pub country: Option<Country>,
    /// What consumers may ask for with a word; `None` where the platform sees to that itself.
    pub keywords: Option<Keywords>,
}

impl Channel {
    /// Where what comes in for its number goes.
    pub(crate) fn destination(&self) -> Destination {
        Destination {
            provider: self.provider.clone(),
            channel: self.name.clone(),
            genesys: self.genesys.clone(),
            country: self.country,
            keywords: self.keywords.clone(),
        }
    }
}

/// The providers and channels of this house.
#[derive(Debug, Default)]
pub struct Directory {
    providers: HashMap<String, Provider>,
    channels: HashMap<(NeighbourName, String), Channel>,
}

impl Directory {
    /// Providers with different names, and channels with different numbers at each.
    pub fn new(providers: impl IntoIterator<Item = Provider>, channels: impl IntoIterator<Item = Channel>) -> Self {
        let key = |channel: Channel| ((channel.provider.clone(), comparable(&channel.number)), channel);
        Self {
            providers: providers.into_iter().map(|provider| (provider.name().to_string(), provider)).collect(),
            channels: channels.into_iter().map(key).collect(),
        }
    }

    pub(crate) fn provider(&self, name: &str) -> Option<&Provider> {
        self.providers.get(name)
    }

    /// A tenant that has channels at a provider: where what cannot be read is kept.
    pub(crate) fn tenant_of(&self, provider: &NeighbourName) -> Option<NeighbourName> {
        self.channels
            .values()
            .filter(|channel| channel.provider == *provider)
            .map(|channel| channel.genesys.clone())
            .min()
    }

    /// A channel of a provider, the same one each time.
    pub(crate) fn any(&self, provider: &NeighbourName) -> Option<&Channel> {
        let owned = self.channels.values().filter(|channel| channel.provider == *provider);
        owned.min_by(|one, other| one.name.cmp(&other.name))
    }

    pub(crate) fn channel(&self, provider: &NeighbourName, number: &str) -> Option<&Channel> {
        self.channels.get(&(provider.clone(), comparable(number)))
    }

    /// The users whose numbers are channels here.
    pub(crate) fn users(&self, provider: &NeighbourName) -> BTreeSet<String> {
        let owned = self.channels.values().filter(|channel| channel.provider == *provider);
        owned.map(|channel| channel.user.clone()).collect()
    }

    /// Whose session a trigger names: its number's, or its user's where that one has a single number.
    pub(crate) fn owner(&self, provider: &NeighbourName, trigger: &Trigger) -> Option<&Channel> {
        if let Some(number) = &trigger.to_number {
            return self.channel(provider, number);
        }
        let user = trigger.user.as_ref()?;
        let mut owned = self.channels.values().filter(|channel| channel.provider == *provider && channel.user == *user);
        owned.next().filter(|_| owned.next().is_none())
    }
}

/// Numbers are compared by their digits, with and without the leading 1 (`reference/netsapiens.md` 10).
fn comparable(number: &str) -> String {
    let digits: String = number.chars().filter(char::is_ascii_digit).collect();
    match digits.strip_prefix('1') {
        Some(rest) if rest.len() == 10 => rest.to_owned(),
        _ => digits,
    }
}
