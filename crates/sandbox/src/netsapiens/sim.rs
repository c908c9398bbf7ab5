use std::sync::Arc;
use std::time::Duration;

use runtime::{Clock, Shutdown};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::faults::NetSapiensFaults;
use super::media::ConsumerFile;
use super::state::{State, Tools};
use super::subscriptions::SimSubscription;
use super::types::{ConsumerSms, EventOptions, NetSapiensSimConfig, SentSms, SimLogin};
use super::{api, events};
use crate::crew::Crew;
use crate::door::Door;
use crate::genesys::client;

/// A simulated NetSapiens, serving. Cheap to clone; it ends with the shutdown, or with its last clone.
#[derive(Clone)]
pub struct NetSapiensSim {
    pub(super) state: Arc<State>,
    pub(super) door: Arc<Door>,
    _crew: Arc<Crew>,
}

impl NetSapiensSim {
    /// Serves on `listener` until the shutdown.
    pub fn start(listener: TcpListener, config: NetSapiensSimConfig, shutdown: Shutdown) -> Self {
        let crew = Arc::new(Crew::default());
        let foreman = crew.foreman();
        let (lanes, ends) = events::lanes();
        let tools = Tools { client: client(), foreman: foreman.clone(), shutdown: shutdown.clone(), lanes };
        let state = Arc::new(State::new(config, tools));
        for lane in ends {
            foreman.spawn(events::post_all(Arc::clone(&state), lane));
        }
        let door = Door::open(listener, api::routes(Arc::clone(&state)), &foreman, shutdown);
        Self { state, door: Arc::new(door), _crew: crew }
    }

    /// What the bridge calls `base_url`: with `/ns-api/v2`.
    pub fn base_url(&self) -> String {
        format!("http://{}/ns-api/v2", self.door.address())
    }

    /// Takes the time from another clock from now on.
    pub fn set_clock(&self, clock: Clock) {
        self.state.room().clock = clock;
    }

    /// Also takes tokens from now on, which are granted to this login.
    pub fn set_login(&self, login: SimLogin) {
        self.state.room().login = Some(login);
    }

    /// Every token is over: calls with one are answered 401 with the words of the documents.
    pub fn expire_tokens(&self) {
        self.state.room().tokens.expire();
        self.state.changed();
    }

    /// Logins with the password, refreshes, and logins that were refused.
    pub fn login_counts(&self) -> (u64, u64, u64) {
        let room = self.state.room();
        (room.tokens.granted, room.tokens.refreshed, room.tokens.refused)
    }

    /// Gives a number to a user. A user without any number is nobody the server knows.
    pub fn give_number(&self, number: &str, user: &str) {
        self.state.room().numbers.insert(number.to_owned(), user.to_owned());
    }

    /// Shows other values in a number's row, in what the key says of itself (`number` is `~`), or the server (`/version`).
    pub fn set_row(&self, number: &str, fields: Value) {
        self.state.room().managed.rows.insert(number.to_owned(), fields);
    }

    /// Messages of other types than `sms` that were posted, as they came.
    pub fn posts(&self) -> Vec<Value> {
        self.state.room().managed.posts.to_vec()
    }

    /// Posts events to `url` from now on.
    pub fn set_event_url(&self, url: impl Into<String>) {
        self.state.room().event_url = Some(url.into());
    }

    /// Posts other events from now on.
    pub fn set_events(&self, options: EventOptions) {
        self.state.room().options = options;
    }

    /// A consumer writes to one of the company's numbers: a row in the session, and the events. Returns the row's id.
    ///
    /// # Errors
    /// Nobody owns that number.
    pub fn consumer_sends(&self, from: &str, to_number: &str, text: &str) -> anyhow::Result<String> {
        self.state.consumer_sends(from, to_number, &[], text, None)
    }

    /// The same with a file, in a row of its own. Returns the row's id.
    ///
    /// # Errors
    /// Nobody owns that number.
    pub fn consumer_sends_file(
        &self,
        from: &str,
        to_number: &str,
        text: &str,
        file: ConsumerFile,
    ) -> anyhow::Result<String> {
        self.state.consumer_sends(from, to_number, &[], text, Some(file))
    }

    /// The URLs of pictures redirect to another one from now on, or do not.
    pub fn redirect_media(&self, target: Option<String>) {
        self.state.room().media_redirect = target;
    }

    /// As [`NetSapiensSim::consumer_sends`], to a group: one of the company's numbers and other consumers.
    ///
    /// # Errors
    /// Nobody owns that number.
    pub fn consumer_sends_to_group(
        &self,
        from: &str,
        to_number: &str,
        others: &[&str],
        text: &str,
    ) -> anyhow::Result<String> {
        self.state.consumer_sends(from, to_number, others, text, None)
    }

    /// What consumers wrote, oldest first.
    pub fn consumer_messages(&self) -> Vec<ConsumerSms> {
        self.state.room().received.to_vec()
    }

    /// What the bridge sent to consumers, oldest first.
    pub fn sent(&self) -> Vec<SentSms> {
        self.state.room().sent.to_vec()
    }

    /// How many there ever were.
    pub fn sent_count(&self) -> u64 {
        self.state.room().sent.total()
    }

    /// Events that were posted, those among them that were not taken, and those that were lost on purpose or by overload.
    pub fn event_counts(&self) -> (u64, u64, u64) {
        let events = self.state.room().events;
        (events.posted, events.failed, events.lost)
    }

    /// How often sessions were listed, and how often one was read.
    pub fn read_counts(&self) -> (u64, u64) {
        let reads = self.state.room().reads;
        (reads.lists, reads.sessions)
    }

    /// The event subscriptions there are.
    pub fn subscriptions(&self) -> Vec<SimSubscription> {
        self.state.room().subscriptions.clone()
    }

    /// Changes the event subscriptions by hand, as an operator of the platform may.
    pub fn change_subscriptions(&self, change: impl FnOnce(&mut Vec<SimSubscription>)) {
        change(&mut self.state.room().subscriptions);
        self.state.changed();
    }

    /// The hand on the faults.
    pub fn faults(&self) -> NetSapiensFaults<'_> {
        NetSapiensFaults(self)
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
