use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use runtime::{Clock, HttpClient, HttpClientConfig, Shutdown};
use tokio::net::TcpListener;
use tokio::sync::watch;
use uuid::Uuid;

use super::faults::GenesysFaults;
use super::state::State;
use super::types::{
    AgentMessage, GenesysSimConfig, OpenMediaManners, RawBody, ReceivedMessage, ReceivedReceipt, Redelivery, Refusal,
    SimInteraction, SimMedia, WebhookAnswer, WebhookState,
};
use super::{api, webhook};
use crate::crew::Crew;
use crate::door::Door;

/// A simulated Genesys, serving. Cheap to clone; it ends with the shutdown, or with its last clone.
#[derive(Clone)]
pub struct GenesysSim {
    pub(super) state: Arc<State>,
    pub(super) door: Arc<Door>,
    _crew: Arc<Crew>,
}

impl GenesysSim {
    /// Serves on `listener` until the shutdown.
    pub fn start(listener: TcpListener, config: GenesysSimConfig, shutdown: Shutdown) -> Self {
        let crew = Arc::new(Crew::default());
        let foreman = crew.foreman();
        let state = State::new(config, client(), foreman.clone(), shutdown.clone());
        let state = Arc::new(state);
        let door = Door::open(listener, api::routes(Arc::clone(&state)), &foreman, shutdown);
        Self { state, door: Arc::new(door), _crew: crew }
    }

    /// What the bridge calls `base_url`: with `/nexus/v3`.
    pub fn base_url(&self) -> String {
        format!("http://{}/nexus/v3", self.door.address())
    }

    /// Takes the time from another clock from now on.
    pub fn set_clock(&self, clock: Clock) {
        self.state.room().clock = clock;
    }

    /// Tries webhooks otherwise from now on.
    pub fn set_redelivery(&self, redelivery: Redelivery) {
        self.state.room().redelivery = redelivery;
    }

    /// Posts the replies of a channel to `url` from now on; unknown channels are ignored.
    pub fn set_webhook(&self, channel_id: &str, url: impl Into<String>) {
        if let Some(channel) = self.state.room().channels.get_mut(channel_id) {
            channel.webhook_url = Some(url.into());
        }
        self.state.changed();
    }

    /// An agent writes to a consumer: posts the signed webhook, again and again as Genesys does. Returns its message id at once.
    pub fn agent_sends(&self, channel_id: &str, to: &str, text: &str) -> String {
        webhook::send(&self.state, channel_id, to, text, Vec::new())
    }

    /// An agent writes a mail to one consumer, from an address of the channel's domain.
    pub fn agent_sends_mail(&self, channel_id: &str, from: &str, to: &str, subject: &str, text: &str) -> String {
        webhook::send_mail(&self.state, channel_id, from, to, (subject, text))
    }

    /// The same with files: name, media type and bytes of each.
    pub fn agent_sends_files(&self, channel_id: &str, to: &str, text: &str, files: &[(&str, &str, Bytes)]) -> String {
        let file = |(name, kind, bytes): &(&str, &str, Bytes)| SimMedia {
            id: Uuid::new_v4().to_string(),
            channel_id: channel_id.to_owned(),
            filename: (*name).to_owned(),
            mimetype: (*kind).to_owned(),
            bytes: bytes.clone(),
            by_agent: true,
        };
        webhook::send(&self.state, channel_id, to, text, files.iter().map(file).collect())
    }

    /// An agent puts a file there that a message may refer to; its reference.
    pub fn agent_uploads(&self, channel_id: &str, name: &str, kind: &str, bytes: Bytes) -> String {
        let media = SimMedia {
            id: Uuid::new_v4().to_string(),
            channel_id: channel_id.to_owned(),
            filename: name.to_owned(),
            mimetype: kind.to_owned(),
            bytes,
            by_agent: true,
        };
        let url = media.url();
        self.state.keep_media(media);
        url
    }

    /// The files that are here, oldest first; the newest hundred.
    pub fn media(&self) -> Vec<SimMedia> {
        self.state.room().media.iter().cloned().collect()
    }

    /// Forgets an agent's file, as a retention nobody documented would.
    pub fn forget_media(&self, id: &str) {
        self.state.room().media.retain(|media| media.id != id);
    }

    /// Serves the Open Media API with this key from now on, for these services.
    pub fn serve_open_media(&self, key: &str, services: &[&str]) {
        let mut room = self.state.room();
        room.open_media_key = Some(key.to_owned());
        room.open_media_services = services.iter().map(|service| (*service).to_owned()).collect();
    }

    /// Behaves otherwise, from now on, where the documents of the Open Media API are silent.
    pub fn set_open_media_manners(&self, manners: OpenMediaManners) {
        self.state.room().manners = manners;
    }

    /// The tasks that were made for agents, oldest first.
    pub fn interactions(&self) -> Vec<SimInteraction> {
        self.state.room().interactions.to_vec()
    }

    /// An agent marks a task as done.
    pub fn agent_finishes(&self, interaction_id: &str) {
        let mut room = self.state.room();
        let found = room.interactions.iter_mut().find(|one| one.id == interaction_id);
        found.into_iter().for_each(|one| one.stopped = true);
        drop(room);
        self.state.changed();
    }

    /// Posts any body as a signed webhook, once.
    ///
    /// # Errors
    /// The channel is unknown or has no webhook, or no answer came.
    pub async fn agent_sends_raw(&self, channel_id: &str, body: impl Into<RawBody>) -> anyhow::Result<WebhookAnswer> {
        webhook::send_raw(&self.state, channel_id, body.into().0).await
    }

    /// What agents wrote, oldest first.
    pub fn agent_messages(&self) -> Vec<AgentMessage> {
        self.state.room().agent.to_vec()
    }

    /// One of them.
    pub fn agent_message(&self, id: &str) -> Option<AgentMessage> {
        self.state.room().agent.iter().rev().find(|message| message.id == id).cloned()
    }

    /// Waits until the webhook of a message is no longer being tried.
    pub async fn webhook_settled(&self, id: &str, within: Duration) -> Option<WebhookState> {
        let settled = |sim: &Self| {
            let state = sim.agent_message(id)?.webhook;
            (state != WebhookState::Sending).then_some(state)
        };
        self.until(within, settled).await
    }

    /// The consumers' messages that arrived, oldest first.
    pub fn messages(&self) -> Vec<ReceivedMessage> {
        self.state.room().messages.to_vec()
    }

    /// How many there ever were.
    pub fn message_count(&self) -> u64 {
        self.state.room().messages.total()
    }

    /// The receipts that arrived, oldest first.
    pub fn receipts(&self) -> Vec<ReceivedReceipt> {
        self.state.room().receipts.to_vec()
    }

    /// How many there ever were.
    pub fn receipt_count(&self) -> u64 {
        self.state.room().receipts.total()
    }

    /// The calls that were refused for what they were, oldest first.
    pub fn refusals(&self) -> Vec<Refusal> {
        self.state.room().refusals.to_vec()
    }

    /// The hand on the faults.
    pub fn faults(&self) -> GenesysFaults<'_> {
        GenesysFaults(self)
    }

    /// Changes whenever anything here does.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.state.changes()
    }

    /// Waits until `look` finds something, or the time is over.
    pub async fn until<T>(&self, within: Duration, mut look: impl FnMut(&Self) -> Option<T>) -> Option<T> {
        let mut changes = self.watch();
        let found = async {
            loop {
                changes.borrow_and_update();
                if let Some(found) = look(self) {
                    return Some(found);
                }
                changes.changed().await.ok()?;
            }
        };
        tokio::time::timeout(within, found).await.unwrap_or(None)
    }
}

pub(crate) fn client() -> HttpClient {
    let config = HttpClientConfig { connect_timeout: Duration::from_secs(5), ca_files: Vec::new(), proxy: None };
    HttpClient::new(&config).expect("a client without authorities and proxy has nothing that can be wrong")
}
