use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::NetSapiensSim;
use super::types::SendAnswer;
use crate::switch::{Switch, Times};

/// The switches themselves.
#[derive(Default)]
pub(super) struct Faults {
    pub(super) answer_500: Switch,
    pub(super) fail_after_accept: Switch,
    pub(super) answer_503: Switch,
    pub(super) answer_429: Switch,
    pub(super) retry_after: AtomicU64,
    pub(super) refuse_401: Switch,
    pub(super) forbidden_html: Switch,
    pub(super) embedded_error: Switch,
    pub(super) close_after_accept: Switch,
    pub(super) cut_short: Switch,
    pub(super) hang_after_accept: Switch,
    pub(super) reads_answer_500: Switch,
    pub(super) reads_hang: Switch,
    pub(super) expire_media: Switch,
    pub(super) media_answers_503: Switch,
    pub(super) lose_events: Switch,
    pub(super) login_500: Switch,
    pub(super) login_403_html: Switch,
    pub(super) login_without_token: Switch,
    pub(super) login_wants_mfa: Switch,
    pub(super) old_core: Switch,
    pub(super) subscribe_202: Switch,
    pub(super) refuse_subscriptions: Switch,
    pub(super) slow_millis: AtomicU64,
    /// What a firewall in front lets pass in no text.
    pub(super) forbidden_word: Mutex<String>,
}

impl Faults {
    pub(super) fn slow(&self) -> Duration {
        Duration::from_millis(self.slow_millis.load(Ordering::SeqCst))
    }

    /// Whether a firewall in front refuses this.
    pub(super) fn is_forbidden(&self, body: &[u8]) -> bool {
        let word = self.forbidden_word.lock().unwrap_or_else(PoisonError::into_inner);
        !word.is_empty() && body.windows(word.len()).any(|part| part == word.as_bytes())
    }
}

/// The hand on the faults of a simulated NetSapiens. Each takes `true`, `false`, or for how many calls; all but
/// `refuse_401`, `reads_answer_500`, `reads_hang`, `lose_events` and `down` are about sends.
pub struct NetSapiensFaults<'a>(pub(super) &'a NetSapiensSim);

impl NetSapiensFaults<'_> {
    fn set(&self, switch: &Switch, times: impl Into<Times>) {
        switch.set(times);
        self.0.state.changed();
    }

    /// The URL of a picture expires when it is asked for; its row then gives another.
    pub fn expire_media(&self, times: impl Into<Times>) {
        self.set(&self.0.state.faults.expire_media, times);
    }

    /// Pictures are answered 503.
    pub fn media_answers_503(&self, times: impl Into<Times>) {
        self.set(&self.0.state.faults.media_answers_503, times);
    }

    /// The server is so old that it knows no subscriptions below a domain.
    pub fn old_core(&self, times: impl Into<Times>) {
        self.set(&self.0.state.faults.old_core, times);
    }

    /// Subscriptions are not made: a firewall takes their URL for an attack.
    pub fn refuse_subscriptions(&self, times: impl Into<Times>) {
        self.set(&self.0.state.faults.refuse_subscriptions, times);
    }

    /// Subscriptions are made and answered 202, without their id.
    pub fn subscribe_202(&self, times: impl Into<Times>) {
        self.set(&self.0.state.faults.subscribe_202, times);
    }

    /// Sends are answered 500 and do nothing.
    pub fn answer_500(&self, times: impl Into<Times>) {
        self.set(&self.0.state.faults.answer_500, times);
    }

    /// Sends are carried out, and answered 500.
    pub fn fail_after_accept(&self, times: impl Into<Times>) {
        self.set(&self.0.state.faults.fail_after_accept, times);
    }

    /// Sends are answered 503 and do nothing.
    pub fn answer_503(&self, times: impl Into<Times>) {
        self.set(&self.0.state.faults.answer_503, times);
    }

    /// Sends are answered 429 with `Retry-After` and do nothing.
    pub fn answer_429(&self, times: impl Into<Times>, retry_after: Duration) {
        self.0.state.faults.retry_after.store(retry_after.as_secs(), Ordering::SeqCst);
        self.set(&self.0.state.faults.answer_429, times);
    }

    /// Every call is answered 401, whatever its key.
    pub fn refuse_401(&self, times: impl Into<Times>) {
        self.set(&self.0.state.faults.refuse_401, times);
    }

    /// Sends are answered 403 with a page of HTML, as a firewall in front does.
    pub fn forbidden_html(&self, times: impl Into<Times>) {
        self.set(&self.0.state.faults.forbidden_html, times);
    }

    /// Sends that have a word in them are answered so, as by a firewall that takes it for an attack; none with an empty word.
    pub fn forbid_word(&self, word: &str) {
        word.clone_into(&mut self.0.state.faults.forbidden_word.lock().unwrap_or_else(PoisonError::into_inner));
        self.0.state.changed();
    }

    /// Sends are answered 200 with an error in the body, and do nothing.
    pub fn embedded_error(&self, times: impl Into<Times>) {
        self.set(&self.0.state.faults.embedded_error, times);
    }

    /// Sends are carried out, and the connection is dropped instead of an answer.
    pub fn close_after_accept(&self, times: impl Into<Times>) {
        self.set(&self.0.state.faults.close_after_accept, times);
    }

    /// Sends are carried out, and the connection ends in the middle of the answer's body.
    pub fn cut_short(&self, times: impl Into<Times>) {
        self.set(&self.0.state.faults.cut_short, times);
    }

    /// Sends are carried out, and never answered.
    pub fn hang_after_accept(&self, times: impl Into<Times>) {
        self.set(&self.0.state.faults.hang_after_accept, times);
    }

    /// Reads are answered 500.
    pub fn reads_answer_500(&self, times: impl Into<Times>) {
        self.set(&self.0.state.faults.reads_answer_500, times);
    }

    /// Reads are not answered.
    pub fn reads_hang(&self, times: impl Into<Times>) {
        self.set(&self.0.state.faults.reads_hang, times);
    }

    /// Events are not posted; the rows are there.
    pub fn lose_events(&self, times: impl Into<Times>) {
        self.set(&self.0.state.faults.lose_events, times);
    }

    /// Logins are answered 500.
    pub fn login_500(&self, times: impl Into<Times>) {
        self.set(&self.0.state.faults.login_500, times);
    }

    /// Logins are answered 403 with a page of HTML, as a firewall in front does.
    pub fn login_403_html(&self, times: impl Into<Times>) {
        self.set(&self.0.state.faults.login_403_html, times);
    }

    /// Logins are answered 200 without a token.
    pub fn login_without_token(&self, times: impl Into<Times>) {
        self.set(&self.0.state.faults.login_without_token, times);
    }

    /// Logins are answered with the wish for a second factor.
    pub fn login_wants_mfa(&self, times: impl Into<Times>) {
        self.set(&self.0.state.faults.login_wants_mfa, times);
    }

    /// Every send waits this long before anything is done; zero to switch it off.
    pub fn slow(&self, by: Duration) {
        self.0.state.faults.slow_millis.store(u64::try_from(by.as_millis()).unwrap_or(u64::MAX), Ordering::SeqCst);
        self.0.state.changed();
    }

    /// The form in which sends are confirmed.
    pub fn send_answer(&self, answer: SendAnswer) {
        self.0.state.room().answer = answer;
    }

    /// Closes the listener, so that connections are refused, or opens it again; returns when it is so.
    pub async fn down(&self, down: bool) {
        self.0.door.down(down).await;
        self.0.state.changed();
    }

    /// Everything works again; the form of the confirmation stays.
    pub async fn clear(&self) {
        let faults = &self.0.state.faults;
        let switches = [
            &faults.answer_500,
            &faults.fail_after_accept,
            &faults.answer_503,
            &faults.answer_429,
            &faults.refuse_401,
            &faults.forbidden_html,
            &faults.embedded_error,
            &faults.close_after_accept,
            &faults.cut_short,
            &faults.hang_after_accept,
            &faults.reads_answer_500,
            &faults.reads_hang,
            &faults.expire_media,
            &faults.media_answers_503,
            &faults.lose_events,
            &faults.login_500,
            &faults.login_403_html,
            &faults.login_without_token,
            &faults.login_wants_mfa,
            &faults.old_core,
            &faults.subscribe_202,
            &faults.refuse_subscriptions,
        ];
        for switch in switches {
            switch.set(false);
        }
        self.slow(Duration::ZERO);
        self.forbid_word("");
        self.down(false).await;
    }

    /// Whether sends are answered 500.
    pub fn answers_500(&self) -> bool {
        self.0.state.faults.answer_500.is_on()
    }

    /// Whether answers to sends are lost.
    pub fn closes_after_accept(&self) -> bool {
        self.0.state.faults.close_after_accept.is_on()
    }

    /// Whether events are lost.
    pub fn loses_events(&self) -> bool {
        self.0.state.faults.lose_events.is_on()
    }

    /// How long every send waits.
    pub fn slowness(&self) -> Duration {
        self.0.state.faults.slow()
    }

    /// Whether connections are refused.
    pub fn is_down(&self) -> bool {
        self.0.door.is_down()
    }
}
