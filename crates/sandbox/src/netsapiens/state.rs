use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::Context;
use jiff::Timestamp;
use runtime::{Clock, HttpClient, Shutdown};
use tokio::sync::{mpsc, watch};

use super::events::Posting;
use super::faults::Faults;
use super::login::Tokens;
use super::manage::Managed;
use super::media::{ConsumerFile, Files};
use super::session::{Between, NewRow, Sessions};
use super::subscriptions::SimSubscription;
use super::types::{ConsumerSms, EventOptions, NetSapiensSimConfig, SendAnswer, SentSms, SimLogin, SimNumber};
use crate::crew::Foreman;
use crate::kept::Kept;

/// Everything a simulated NetSapiens knows, shared by its routes and its events.
pub(super) struct State {
    pub(super) domain: String,
    pub(super) api_key: String,
    pub(super) faults: Faults,
    pub(super) client: HttpClient,
    pub(super) foreman: Foreman,
    pub(super) shutdown: Shutdown,
    pub(super) lanes: Vec<mpsc::Sender<Posting>>,
    changes: watch::Sender<u64>,
    room: Mutex<Room>,
}

/// What changes.
pub(super) struct Room {
    pub(super) clock: Clock,
    /// Number to user.
    pub(super) numbers: BTreeMap<String, String>,
    pub(super) event_url: Option<String>,
    pub(super) options: EventOptions,
    pub(super) answer: SendAnswer,
    pub(super) sessions: Sessions,
    pub(super) files: Files,
    /// Where the URLs of pictures lead on purpose.
    pub(super) media_redirect: Option<String>,
    pub(super) sent: Kept<SentSms>,
    pub(super) received: Kept<ConsumerSms>,
    pub(super) events: Events,
    pub(super) login: Option<SimLogin>,
    pub(super) tokens: Tokens,
    pub(super) managed: Managed,
    pub(super) subscriptions: Vec<SimSubscription>,
    pub(super) reads: Reads,
}

/// What was read.
#[derive(Clone, Copy, Default)]
pub(super) struct Reads {
    pub(super) lists: u64,
    pub(super) sessions: u64,
}

/// What became of the events.
#[derive(Clone, Copy, Default)]
pub(super) struct Events {
    pub(super) posted: u64,
    pub(super) failed: u64,
    pub(super) lost: u64,
}

/// What the routes need of a server.
pub(super) struct Tools {
    pub(super) client: HttpClient,
    pub(super) foreman: Foreman,
    pub(super) shutdown: Shutdown,
    pub(super) lanes: Vec<mpsc::Sender<Posting>>,
}

impl State {
    pub(super) fn new(config: NetSapiensSimConfig, tools: Tools) -> Self {
        let numbers = config.numbers.into_iter().map(|SimNumber { user, number }| (number, user)).collect();
        let room = Room {
            clock: Clock::system(),
            numbers,
            event_url: config.event_url,
            options: EventOptions::default(),
            answer: SendAnswer::default(),
            sessions: Sessions::new(),
            files: Files::default(),
            media_redirect: None,
            sent: Kept::default(),
            received: Kept::default(),
            events: Events::default(),
            login: None,
            tokens: Tokens::default(),
            managed: Managed::default(),
            subscriptions: Vec::new(),
            reads: Reads::default(),
        };
        let (changes, _) = watch::channel(0);
        Self {
            domain: config.domain,
            api_key: config.api_key,
            faults: Faults::default(),
            client: tools.client,
            foreman: tools.foreman,
            shutdown: tools.shutdown,
            lanes: tools.lanes,
            changes,
            room: Mutex::new(room),
        }
    }

    /// No lock is held over an await, and none while another is taken.
    pub(super) fn room(&self) -> MutexGuard<'_, Room> {
        self.room.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn changed(&self) {
        self.changes.send_modify(|count| *count += 1);
    }

    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// A carrier brings a consumer's message.
    pub(super) fn consumer_sends(
        &self,
        from: &str,
        number: &str,
        others: &[&str],
        text: &str,
        file: Option<ConsumerFile>,
    ) -> anyhow::Result<String> {
        let mut room = self.room();
        let user = room.numbers.get(number).cloned().context("nobody here owns that number")?;
        let at = room.clock.now();
        let everybody: BTreeSet<&str> = others.iter().copied().chain([from]).collect();
        let remote = everybody.into_iter().collect::<Vec<_>>().join(",");
        let between = Between { user: &user, number, remote: &remote };
        let session = room.sessions.current(between);
        let member = (!others.is_empty()).then(|| from.to_owned());
        let row = NewRow { outbound: false, user_agent: String::new(), text: text.to_owned(), member };
        let row = room.sessions.add(&session, between, at, row);
        let described = file.as_ref().map(|file| (file.media_type.clone(), file.size));
        if let Some(file) = file {
            room.files.keep(row.id, file);
        }
        let sms = ConsumerSms {
            at,
            session: session.clone(),
            from: from.to_owned(),
            to: number.to_owned(),
            text: text.to_owned(),
            id: row.id.to_string(),
            file: described,
        };
        room.received.push(sms);
        drop(room);
        self.changed();
        self.announce(&user, &session, &row);
        Ok(row.id.to_string())
    }

    /// The bridge sends to a consumer.
    pub(super) fn send(
        &self,
        between: Between<'_>,
        session: &str,
        user_agent: &str,
        text: &str,
        file: Option<ConsumerFile>,
    ) -> String {
        let mut room = self.room();
        let at: Timestamp = room.clock.now();
        let row = NewRow { outbound: true, user_agent: user_agent.to_owned(), text: text.to_owned(), member: None };
        let row = room.sessions.add(session, between, at, row);
        if let Some(file) = &file {
            room.files.keep(row.id, file.clone());
        }
        let sms = SentSms {
            at,
            session: session.to_owned(),
            user: between.user.to_owned(),
            from: between.number.to_owned(),
            to: between.remote.to_owned(),
            text: text.to_owned(),
            user_agent: user_agent.to_owned(),
            id: row.id.to_string(),
            file,
        };
        room.sent.push(sms);
        let echo = room.options.echo;
        drop(room);
        self.changed();
        if echo {
            self.announce(between.user, session, &row);
        }
        row.id.to_string()
    }
}
