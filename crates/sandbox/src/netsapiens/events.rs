//! What NetSapiens posts to the bridge: v1 names, every value a string, once, whatever comes back.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, header};
use runtime::Call;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::rows::stamp;
use super::session::{Row, Session};
use super::state::State;
use super::subscriptions;

/// Posts run side by side for this many groups of sessions, and in order within one.
const LANES: usize = 8;
const LANE_LENGTH: usize = 1_024;
/// For an answer; the real one is undocumented.
const TIMEOUT: Duration = Duration::from_secs(10);
/// "Above 302" counts as an error.
const LAST_GOOD: u16 = 302;

/// One post.
#[derive(Clone)]
pub(super) struct Posting {
    model: &'static str,
    user: String,
    body: Bytes,
}

/// The two ends of the lanes.
pub(super) fn lanes() -> (Vec<mpsc::Sender<Posting>>, Vec<mpsc::Receiver<Posting>>) {
    (0..LANES).map(|_| mpsc::channel(LANE_LENGTH)).unzip()
}

/// Posts what comes in until the shutdown.
pub(super) async fn post_all(state: Arc<State>, mut lane: mpsc::Receiver<Posting>) {
    let shutdown = state.shutdown.clone();
    let posting = async {
        while let Some(posting) = lane.recv().await {
            post(&state, posting).await;
        }
    };
    tokio::select! {
        () = posting => {}
        () = shutdown.stopping() => {}
    }
}

/// To the URL that was set by hand, and to those that were subscribed.
async fn post(state: &State, posting: Posting) {
    let by_hand = state.room().event_url.clone();
    let subscribed = subscriptions::urls(state, posting.model, &posting.user);
    let urls: BTreeSet<String> = by_hand.into_iter().chain(subscribed).collect();
    for url in urls {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let body = posting.body.clone();
        let call = Call { method: Method::POST, url: url.clone(), headers, body, timeout: TIMEOUT };
        let answer = state.client.call("sandbox-bridge", "event", call).await;
        let taken = answer.is_ok_and(|answer| answer.status.as_u16() <= LAST_GOOD);
        subscriptions::posted(state, &url, taken);
        let mut room = state.room();
        room.events.posted += 1;
        room.events.failed += u64::from(!taken);
        drop(room);
        state.changed();
    }
}

impl State {
    /// Posts the events of a row, as the options have it.
    pub(super) fn announce(&self, user: &str, session: &str, row: &Row) {
        let room = self.room();
        let options = room.options;
        let Some(session) = room.sessions.get(user, session) else { return };
        let mut message = message_event(session, row, &self.domain, options.other_ids);
        let mut twin = session_event(session, row, &self.domain);
        room.files.tell_event(row.id, &mut message);
        room.files.tell_event(row.id, &mut twin);
        let posting =
            |model, event: Value| Posting { model, user: user.to_owned(), body: json!([event]).to_string().into() };
        let (message, twin) = (posting("message", message), posting("messagesession", twin));
        let lane = lane(&session.id);
        drop(room);
        for _ in 0..=options.duplicates {
            if options.messages {
                self.enqueue(lane, &message);
            }
            if let Some(after) = options.twins {
                self.enqueue_later(lane, &twin, after);
            }
        }
    }

    fn enqueue(&self, lane: usize, posting: &Posting) {
        let lost = self.faults.lose_events.strikes();
        // A server that falls behind by a thousand events loses them too.
        if lost || self.lanes[lane].try_send(posting.clone()).is_err() {
            self.room().events.lost += 1;
        }
    }

    fn enqueue_later(&self, lane: usize, posting: &Posting, after: Duration) {
        if self.faults.lose_events.strikes() {
            self.room().events.lost += 1;
            return;
        }
        let (sender, posting) = (self.lanes[lane].clone(), posting.clone());
        let shutdown = self.shutdown.clone();
        self.foreman.spawn(async move {
            let late = async {
                tokio::time::sleep(after).await;
                // The lane ends only with the server, and then there is nobody left to tell.
                let _ended = sender.send(posting).await;
            };
            tokio::select! {
                () = late => {}
                () = shutdown.stopping() => {}
            }
        });
    }
}

fn lane(session: &str) -> usize {
    let mut hasher = DefaultHasher::new();
    session.hash(&mut hasher);
    usize::try_from(hasher.finish() % LANES as u64).unwrap_or_default()
}

fn message_event(session: &Session, row: &Row, domain: &str, other_id: bool) -> Value {
    let uid = format!("{}@{domain}", session.user);
    let id = if other_id { format!("m-{:013x}", row.id) } else { row.id.to_string() };
    let (from_uid, dialed, term_num, term_uid) = match (row.outbound, session.is_group()) {
        (true, _) => (uid.as_str(), session.remote.as_str(), session.remote.as_str(), ""),
        (false, false) => ("", session.number.as_str(), "", uid.as_str()),
        (false, true) => ("", "", "", uid.as_str()),
    };
    json!({
        "object": "message", "action": "INSERT", "hostname": "sandbox", "id": id, "timestamp": stamp(row.at),
        "type": "sms", "domain": domain, "direction": if row.outbound { "term" } else { "orig" },
        "from_num": session.sender(row), "from_uid": from_uid, "term_num": term_num, "term_uid": term_uid, "dialed": dialed,
        "text": row.text, "status": if row.outbound { "sending" } else { "" }, "session_id": session.id,
        "participants": session.participants(), "media_type": "", "media_size": "0",
    })
}

fn session_event(session: &Session, row: &Row, domain: &str) -> Value {
    let sender = if row.outbound { format!("{}@{domain}", session.user) } else { session.sender(row).to_owned() };
    json!({
        "object": "messagesession", "action": "UPDATE", "hostname": "sandbox", "user": session.user, "domain": domain,
        "session_id": session.id, "remote": session.remote, "smsani": session.number, "last_mesg": row.text,
        "last_sender": sender, "last_mesg_type": "sms", "last_timestamp": stamp(row.at),
        "last_status": if row.outbound { "read" } else { "unread" },
    })
}
