use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;

use super::GenesysSim;
use crate::switch::{Switch, Times};

/// The switches themselves.
#[derive(Default)]
pub(super) struct Faults {
    pub(super) answer_500: Switch,
    pub(super) answer_503: Switch,
    pub(super) answer_429: Switch,
    pub(super) retry_after: AtomicU64,
    pub(super) refuse_400: Switch,
    pub(super) refuse_401: Switch,
    pub(super) refuse_uploads: Switch,
    pub(super) messages_answer_503: Switch,
    pub(super) refuse_rich_media: Switch,
    pub(super) refuse_email: Switch,
    pub(super) hide_media: Switch,
    pub(super) close_after_accept: Switch,
    pub(super) cut_short: Switch,
    pub(super) slow_millis: AtomicU64,
    pub(super) late_millis: AtomicU64,
    pub(super) duplicate_webhooks: AtomicU32,
    pub(super) wrong_signature: Switch,
    pub(super) accept_any_signature: Switch,
    lost: Mutex<Vec<Timestamp>>,
}

impl Faults {
    /// What was accepted then has got no answer.
    pub(super) fn lost(&self, accepted_at: Timestamp) {
        self.lost.lock().unwrap_or_else(PoisonError::into_inner).push(accepted_at);
    }

    pub(super) fn slow(&self) -> Duration {
        Duration::from_millis(self.slow_millis.load(Ordering::SeqCst))
    }

    pub(super) fn late(&self) -> Duration {
        Duration::from_millis(self.late_millis.load(Ordering::SeqCst))
    }
}

/// The hand on the faults of a simulated Genesys. Each takes `true`, `false`, or for how many calls.
pub struct GenesysFaults<'a>(pub(super) &'a GenesysSim);

impl GenesysFaults<'_> {
    fn set(&self, switch: &Switch, times: impl Into<Times>) {
        switch.set(times);
        self.0.state.changed();
    }

    /// Messages are answered 503, and files are taken.
    pub fn messages_answer_503(&self, times: impl Into<Times>) {
        self.set(&self.0.state.faults.messages_answer_503, times);
    }

    /// Calls are answered 500 and do nothing.
    pub fn answer_500(&self, times: impl Into<Times>) {
        self.set(&self.0.state.faults.answer_500, times);
    }

    /// Calls are answered 503 and do nothing.
    pub fn answer_503(&self, times: impl Into<Times>) {
        self.set(&self.0.state.faults.answer_503, times);
    }

    /// Calls are answered 429 with `Retry-After` and do nothing.
    pub fn answer_429(&self, times: impl Into<Times>, retry_after: Duration) {
        self.0.state.faults.retry_after.store(retry_after.as_secs(), Ordering::SeqCst);
        self.set(&self.0.state.faults.answer_429, times);
    }

    /// Calls are answered 400, whatever they say.
    pub fn refuse_400(&self, times: impl Into<Times>) {
        self.set(&self.0.state.faults.refuse_400, times);
    }

    /// Calls are answered 401, whatever their signature.
    pub fn refuse_401(&self, times: impl Into<Times>) {
        self.set(&self.0.state.faults.refuse_401, times);
    }

    /// Files are answered 415, whatever they are.
    pub fn refuse_uploads(&self, times: impl Into<Times>) {
        self.set(&self.0.state.faults.refuse_uploads, times);
    }

    /// Files are answered 404, as if they had not come so far yet.
    pub fn hide_media(&self, times: impl Into<Times>) {
        self.set(&self.0.state.faults.hide_media, times);
    }

    /// Messages of type RichMedia are answered 400.
    pub fn refuse_rich_media(&self, times: impl Into<Times>) {
        self.set(&self.0.state.faults.refuse_rich_media, times);
    }

    /// Messages of type Email are answered 400.
    pub fn refuse_email(&self, times: impl Into<Times>) {
        self.set(&self.0.state.faults.refuse_email, times);
    }

    /// Calls are carried out, and the connection is dropped instead of an answer.
    pub fn close_after_accept(&self, times: impl Into<Times>) {
        self.set(&self.0.state.faults.close_after_accept, times);
    }

    /// Calls are carried out, and the connection ends in the middle of the answer's body.
    pub fn cut_short(&self, times: impl Into<Times>) {
        self.set(&self.0.state.faults.cut_short, times);
    }

    /// Every call waits this long before anything is done; zero to switch it off.
    pub fn slow(&self, by: Duration) {
        self.0.state.faults.slow_millis.store(u64::try_from(by.as_millis()).unwrap_or(u64::MAX), Ordering::SeqCst);
        self.0.state.changed();
    }

    /// Every call is answered this long after it was carried out; zero to switch it off.
    pub fn answer_late(&self, by: Duration) {
        self.0.state.faults.late_millis.store(u64::try_from(by.as_millis()).unwrap_or(u64::MAX), Ordering::SeqCst);
        self.0.state.changed();
    }

    /// Every webhook is posted this many times more, all at once.
    pub fn duplicate_webhooks(&self, more: u32) {
        self.0.state.faults.duplicate_webhooks.store(more, Ordering::SeqCst);
        self.0.state.changed();
    }

    /// Webhooks are signed with another secret.
    pub fn wrong_signature(&self, times: impl Into<Times>) {
        self.set(&self.0.state.faults.wrong_signature, times);
    }

    /// Calls with a wrong signature are taken all the same, and marked.
    pub fn accept_any_signature(&self, times: impl Into<Times>) {
        self.set(&self.0.state.faults.accept_any_signature, times);
    }

    /// Closes the listener, so that connections are refused, or opens it again; returns when it is so.
    pub async fn down(&self, down: bool) {
        self.0.door.down(down).await;
        self.0.state.changed();
    }

    /// Everything works again.
    pub async fn clear(&self) {
        let faults = &self.0.state.faults;
        let switches = [
            &faults.answer_500,
            &faults.answer_503,
            &faults.answer_429,
            &faults.refuse_400,
            &faults.refuse_401,
            &faults.refuse_uploads,
            &faults.messages_answer_503,
            &faults.refuse_rich_media,
            &faults.refuse_email,
            &faults.hide_media,
            &faults.close_after_accept,
            &faults.cut_short,
            &faults.wrong_signature,
            &faults.accept_any_signature,
        ];
        for switch in switches {
            switch.set(false);
        }
        self.slow(Duration::ZERO);
        self.answer_late(Duration::ZERO);
        self.duplicate_webhooks(0);
        self.down(false).await;
    }

    /// Whether calls are answered 500.
    pub fn answers_500(&self) -> bool {
        self.0.state.faults.answer_500.is_on()
    }

    /// Whether calls are refused with 401.
    pub fn refuses_401(&self) -> bool {
        self.0.state.faults.refuse_401.is_on()
    }

    /// Whether answers are lost.
    pub fn closes_after_accept(&self) -> bool {
        self.0.state.faults.close_after_accept.is_on()
    }

    /// When messages and receipts were accepted whose answers were lost on purpose.
    pub fn answers_lost(&self) -> Vec<Timestamp> {
        self.0.state.faults.lost.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How often more every webhook is posted.
    pub fn duplicates(&self) -> u32 {
        self.0.state.faults.duplicate_webhooks.load(Ordering::SeqCst)
    }

    /// How long every call waits.
    pub fn slowness(&self) -> Duration {
        self.0.state.faults.slow()
    }

    /// Whether connections are refused.
    pub fn is_down(&self) -> bool {
        self.0.door.is_down()
    }
}
