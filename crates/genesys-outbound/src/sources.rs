use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use model::{ChannelName, NeighbourName};
use sms::{Destination, Provider};
use tokio::sync::Semaphore;

/// Sessions that are read at one provider at a time (`reference/netsapiens.md` 9).
const READS: usize = 4;

/// Where the messages of one channel are kept, and how far back they are looked for.
#[derive(Debug, Clone)]
pub struct Source {
    /// The account.
    pub provider: Provider,
    /// The user whose sessions they are.
    pub user: String,
    /// The company's number as the provider writes it.
    pub number: String,
    /// Where they go.
    pub destination: Destination,
    /// What is older is never given to an agent.
    pub max_age: Duration,
    /// Where the looking begins, instead of the moment of the first installation.
    pub begin: Option<Timestamp>,
}

/// The sources of all channels that have one.
#[derive(Debug, Default)]
pub struct Sources {
    by_channel: HashMap<ChannelName, Source>,
    reads: HashMap<NeighbourName, Arc<Semaphore>>,
}

impl Sources {
    /// Sources of different channels.
    pub fn new(sources: impl IntoIterator<Item = Source>) -> Self {
        let mut all = Self::default();
        for source in sources {
            let reads = || Arc::new(Semaphore::new(READS));
            all.reads.entry(source.provider.name().clone()).or_insert_with(reads);
            all.by_channel.insert(source.destination.channel.clone(), source);
        }
        all
    }

    pub(crate) fn providers(&self) -> impl Iterator<Item = &NeighbourName> {
        self.reads.keys()
    }

    pub(crate) fn find(&self, channel: &ChannelName) -> Option<&Source> {
        self.by_channel.get(channel)
    }

    /// What holds the number of reads at a provider.
    pub(crate) fn reads(&self, provider: &NeighbourName) -> Option<Arc<Semaphore>> {
        self.reads.get(provider).cloned()
    }
}

impl Source {
    /// The oldest moment of a message that may still be given to an agent.
    pub(crate) fn oldest(&self, installed: Timestamp, now: Timestamp) -> Timestamp {
        let age = SignedDuration::try_from(self.max_age).unwrap_or(SignedDuration::MAX);
        let young = now.saturating_sub(age).unwrap_or(Timestamp::MIN);
        self.begin.unwrap_or(installed).max(young)
    }
}
