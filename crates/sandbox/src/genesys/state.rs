use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use runtime::{Clock, HttpClient, Shutdown};
use tokio::sync::watch;

use super::faults::Faults;
use super::types::{
    AgentMessage, Attempt, GenesysSimConfig, OpenMediaManners, ReceivedMessage, ReceivedReceipt, Redelivery, Refusal,
    SimChannel, SimInteraction, SimMedia, WebhookState,
};
use crate::crew::Foreman;
use crate::kept::Kept;

/// Everything a simulated Genesys knows, shared by its routes and its webhooks.
pub(super) struct State {
    pub(super) ccid: String,
    pub(super) faults: Faults,
    pub(super) client: HttpClient,
    pub(super) foreman: Foreman,
    pub(super) shutdown: Shutdown,
    changes: watch::Sender<u64>,
    room: Mutex<Room>,
}

/// What changes.
pub(super) struct Room {
    pub(super) clock: Clock,
    pub(super) redelivery: Redelivery,
    pub(super) channels: BTreeMap<String, SimChannel>,
    pub(super) messages: Kept<ReceivedMessage>,
    pub(super) receipts: Kept<ReceivedReceipt>,
    pub(super) refusals: Kept<Refusal>,
    pub(super) agent: Kept<AgentMessage>,
    pub(super) media: VecDeque<SimMedia>,
    pub(super) interactions: Kept<SimInteraction>,
    /// What calls of the Open Media API must carry; it is not served where there is none.
    pub(super) open_media_key: Option<String>,
    pub(super) open_media_services: Vec<String>,
    pub(super) manners: OpenMediaManners,
    last_id: (i64, u32),
}

/// Files remembered; the oldest go first.
const MEDIA: usize = 100;
/// Tries remembered for each webhook.
const ATTEMPTS: usize = 100;

impl State {
    pub(super) fn new(config: GenesysSimConfig, client: HttpClient, foreman: Foreman, shutdown: Shutdown) -> Self {
        let channels = config.channels.into_iter().map(|channel| (channel.id.clone(), channel)).collect();
        let room = Room {
            clock: Clock::system(),
            redelivery: Redelivery::default(),
            channels,
            messages: Kept::default(),
            receipts: Kept::default(),
            refusals: Kept::default(),
            agent: Kept::default(),
            media: VecDeque::new(),
            interactions: Kept::default(),
            open_media_key: None,
            open_media_services: Vec::new(),
            manners: OpenMediaManners::default(),
            last_id: (0, 0),
        };
        let (changes, _) = watch::channel(0);
        Self {
            ccid: config.ccid,
            faults: Faults::default(),
            client,
            foreman,
            shutdown,
            changes,
            room: Mutex::new(room),
        }
    }

    /// No lock is held over an await, and none while another is taken.
    pub(super) fn room(&self) -> MutexGuard<'_, Room> {
        self.room.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn now(&self) -> Timestamp {
        self.room().clock.now()
    }

    pub(super) fn changed(&self) {
        self.changes.send_modify(|count| *count += 1);
    }

    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    pub(super) fn keep_media(&self, media: SimMedia) {
        let mut room = self.room();
        if room.media.len() == MEDIA {
            room.media.pop_front();
        }
        room.media.push_back(media);
    }

    pub(super) fn attempted(&self, id: &str, attempt: Attempt, webhook: WebhookState) {
        let mut room = self.room();
        if let Some(message) = room.agent.iter_mut().rev().find(|message| message.id == id) {
            if message.attempts.len() == ATTEMPTS {
                message.attempts.remove(0);
            }
            message.attempts.push(attempt);
            // A duplicate that fails does not take back what the first one reached.
            if message.webhook == WebhookState::Sending {
                message.webhook = webhook;
            }
        }
        drop(room);
        self.changed();
    }
}

impl Room {
    /// An id as Genesys makes them: milliseconds and a counter within one.
    pub(super) fn next_id(&mut self) -> String {
        let now = self.clock.now().as_millisecond();
        self.last_id = if now > self.last_id.0 { (now, 0) } else { (self.last_id.0, self.last_id.1 + 1) };
        format!("{}-{}", self.last_id.0, self.last_id.1)
    }
}
