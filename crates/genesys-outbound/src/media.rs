//! What this room must know to give an agent a consumer's files.

use std::collections::HashMap;
use std::sync::Arc;

use blobs::{Limits, Links, Store};
use model::ChannelName;
use sms::Provider;
use tokio::sync::watch;

/// How an agent is given a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// A text with a link to where the bridge hosts it.
    Link,
    /// A message that refers to a file uploaded to Genesys, in a shape nobody documented (`reference/genesys.md` 4.1.2).
    RichMedia,
}

/// Where the files of one channel's consumers are.
#[derive(Debug, Clone)]
pub struct MediaSource {
    /// The provider.
    pub provider: Provider,
    /// The provider's user whose sessions hold them.
    pub user: String,
}

/// How files of one channel are treated.
#[derive(Debug, Clone)]
pub struct MediaChannel {
    /// The channel.
    pub name: ChannelName,
    /// Where its consumers' files are fetched from; none where they are kept before the message comes, as a mail's are.
    pub source: Option<MediaSource>,
    /// How an agent is given one.
    pub form: Form,
    /// The types that are taken.
    pub types: Vec<String>,
    /// The most bytes one may have.
    pub limit: u64,
}

impl MediaChannel {
    /// What its files are held to.
    pub(crate) fn limits(&self) -> Limits<'_> {
        Limits { types: &self.types, size: self.limit }
    }
}

/// Channels that may bring files.
#[derive(Debug, Default)]
pub struct MediaDirectory {
    channels: HashMap<ChannelName, Arc<MediaChannel>>,
}

impl MediaDirectory {
    /// Channels with different names.
    pub fn new(channels: impl IntoIterator<Item = MediaChannel>) -> Self {
        let keyed = |channel: MediaChannel| (channel.name.clone(), Arc::new(channel));
        Self { channels: channels.into_iter().map(keyed).collect() }
    }

    pub(crate) fn find(&self, name: &ChannelName) -> Option<Arc<MediaChannel>> {
        self.channels.get(name).cloned()
    }
}

/// The doors files go through.
#[derive(Clone)]
pub struct Media {
    /// Where they are kept.
    pub store: Store,
    /// What makes links to them; none where the bridge has no public address or no key.
    pub links: watch::Receiver<Option<Arc<Links>>>,
    /// How each channel treats them.
    pub directory: watch::Receiver<Arc<MediaDirectory>>,
}
