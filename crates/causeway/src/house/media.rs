//! The store of files, what signs links to them, and the broom.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use blobs::{Keys, Links, Store};
use runtime::{Clock, HttpClient, Shutdown};
use secrecy::SecretString;
use tokio::time::{MissedTickBehavior, interval};

use crate::config::Config;

/// Opens the store of a configuration.
pub(crate) fn open(config: &Config, http: &HttpClient, clock: &Clock) -> anyhow::Result<Store> {
    let settings = blobs::Config { place: config.blobs.place.clone() };
    Store::open(&settings, http, clock.clone()).context("the store of files cannot be opened")
}

/// What signs links: the keys of the configuration, or one made up and kept beside the embedded broker's queues.
pub(super) fn keys(config: &Config) -> Option<Arc<Keys>> {
    Keys::new(signing_keys(config)).ok().map(Arc::new)
}

/// The keys that sign what the outside brings back: the first signs, all verify.
pub(super) fn signing_keys(config: &Config) -> Vec<SecretString> {
    let mut keys = config.blobs.signing_keys.clone();
    if keys.is_empty()
        && let broker::Config::Embedded(embedded) = &config.broker
    {
        let path = embedded.path.join("media.key");
        match blobs::made_up_key(&path) {
            Ok(key) => keys.push(key),
            Err(error) => {
                tracing::error!(%error, "{} can be neither read nor made; files cannot be linked to", path.display())
            }
        }
    }
    keys
}

/// What makes links; none without a key, or where nobody outside can follow one.
pub(super) fn links(config: &Config, keys: Option<&Arc<Keys>>) -> Option<Arc<Links>> {
    let public_url = config.http.public_url.clone()?;
    let keys = Keys::clone(keys?);
    Some(Arc::new(Links { keys, public_url, ttl: config.blobs.link_ttl }))
}

const SWEEP: Duration = Duration::from_secs(3600);
/// Longer than a message may wait between storing a file and linking to it.
const MARGIN: Duration = Duration::from_secs(4 * 86_400);

/// Deletes what no link opens any more, again and again.
pub(super) async fn sweep(store: Store, link_ttl: Duration, shutdown: Shutdown) -> anyhow::Result<()> {
    let mut ticks = interval(SWEEP);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = shutdown.stopping() => return Ok(()),
            _ = ticks.tick() => {}
        }
        match store.sweep(link_ttl.saturating_add(MARGIN)).await {
            Ok(0) => {}
            Ok(count) => tracing::info!(count, "files that no link opens any more were deleted"),
            Err(error) => tracing::warn!(%error, "old files could not be deleted; the next try is in an hour"),
        }
    }
}
