//! Files that were uploaded for a message which Genesys then did not get, or not with them. They are deleted there: at once,
//! or when Genesys can be asked again.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use genesys::{ChannelAccess, Client, Directory, Refusal};
use model::{ChannelName, TraceId};
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

/// How often they are tried again, and how often at most: a day.
const AGAIN: Duration = Duration::from_secs(15);
const TRIES: u32 = 5760;
/// So many are remembered; one that is not costs the tenant room, and nobody else anything.
const REMEMBERED: usize = 1000;

/// Uploads that are still to be deleted.
#[derive(Default)]
pub(crate) struct Orphans {
    waiting: Mutex<VecDeque<Orphan>>,
}

struct Orphan {
    channel: ChannelName,
    media: String,
    trace: TraceId,
    tries: u32,
}

impl Orphans {
    fn lock(&self) -> MutexGuard<'_, VecDeque<Orphan>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Deletes an upload that no message refers to any more.
    pub(crate) async fn delete(&self, client: &Client, access: &ChannelAccess, media: &str, trace: &TraceId) {
        let orphan = Orphan { channel: access.name.clone(), media: media.to_owned(), trace: trace.clone(), tries: 0 };
        self.attempt(client, access, orphan).await;
    }

    async fn attempt(&self, client: &Client, access: &ChannelAccess, orphan: Orphan) {
        match client.delete_media(access, &orphan.media, &orphan.trace).await {
            Ok(()) => {}
            Err(error @ Refusal::Never { .. }) => {
                tracing::warn!(channel = %access.name, %error, "an upload that nobody needs cannot be deleted; it stays at Genesys");
            }
            Err(error) => {
                tracing::debug!(channel = %access.name, %error, "an upload that nobody needs is deleted later");
                self.keep(Orphan { tries: orphan.tries + 1, ..orphan });
            }
        }
    }

    fn keep(&self, orphan: Orphan) {
        let mut waiting = self.lock();
        if orphan.tries >= TRIES || waiting.len() >= REMEMBERED {
            tracing::warn!(channel = %orphan.channel, "an upload that nobody needs could not be deleted; it stays at Genesys");
            return;
        }
        waiting.push_back(orphan);
    }

    /// Tries those again that could not be deleted at once.
    pub(crate) async fn try_again(&self, directory: &watch::Receiver<Arc<Directory>>) -> Infallible {
        let mut ticks = interval(AGAIN);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let due = std::mem::take(&mut *self.lock());
            for orphan in due {
                let known = Arc::clone(&directory.borrow());
                // A channel that is gone took its secret with it.
                let Some((channel, client)) = known.find(&orphan.channel) else { continue };
                self.attempt(client, &channel.access, orphan).await;
            }
        }
    }
}
