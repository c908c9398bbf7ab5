use std::collections::HashMap;

use model::{Address, ChannelName, Country, Keywords, NeighbourName, PhoneNumber};
use sms::Provider;

/// One SMS channel.
#[derive(Debug, Clone)]
pub struct Channel {
    /// Its name.
    pub name: ChannelName,
    /// Its tenant.
    pub genesys: NeighbourName,
    /// Its provider.
    pub provider: NeighbourName,
    /// The company's number as the provider writes it.
    pub number: String,
    /// How consumers' numbers are normalised.
    pub country: Option<Country>,
    /// What consumers may ask for with a word; `None` where the platform sees to that itself.
    pub keywords: Option<Keywords>,
}

impl Channel {
    /// A sender as replies will address it. One that is no number (an alphanumeric sender) still reaches the agent.
    pub(crate) fn sender(&self, raw: &str) -> Address {
        match PhoneNumber::normalise(raw, self.country) {
            Ok(number) => Address::Phone(number),
            Err(_) => Address::Invalid(raw.trim().to_owned()),
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

    pub(crate) fn channel(&self, provider: &NeighbourName, number: &str) -> Option<&Channel> {
        self.channels.get(&(provider.clone(), comparable(number)))
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
