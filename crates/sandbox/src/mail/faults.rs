use super::MailSim;
use crate::switch::{Switch, Times};

/// The switches themselves.
#[derive(Default)]
pub(super) struct Faults {
    pub(super) no_such_user: Switch,
    pub(super) later: Switch,
    pub(super) busy: Switch,
    pub(super) refuse_content: Switch,
    pub(super) close_before_accept: Switch,
    pub(super) close_after_accept: Switch,
    pub(super) hang_after_accept: Switch,
    pub(super) close_after_answer: Switch,
}

/// The hand on the faults of a simulated mail server. Each takes `true`, `false`, or for how many recipients or mails.
pub struct MailFaults<'a>(pub(super) &'a MailSim);

impl MailFaults<'_> {
    fn set(&self, switch: &Switch, times: impl Into<Times>) {
        switch.set(times);
        self.0.state.changed();
    }

    /// Recipients do not exist (550 5.1.1).
    pub fn no_such_user(&self, times: impl Into<Times>) {
        self.set(&self.0.state.faults.no_such_user, times);
    }

    /// Recipients take mail later (450).
    pub fn later(&self, times: impl Into<Times>) {
        self.set(&self.0.state.faults.later, times);
    }

    /// The server takes no mail of the company for now (451 to MAIL).
    pub fn busy(&self, times: impl Into<Times>) {
        self.set(&self.0.state.faults.busy, times);
    }

    /// Mails are not kept once they have come (451 after DATA).
    pub fn refuse_content(&self, times: impl Into<Times>) {
        self.set(&self.0.state.faults.refuse_content, times);
    }

    /// Mails are not kept once they have come, and the connection is closed instead of an answer.
    pub fn close_before_accept(&self, times: impl Into<Times>) {
        self.set(&self.0.state.faults.close_before_accept, times);
    }

    /// Mails are kept, and the connection is closed instead of an answer.
    pub fn close_after_accept(&self, times: impl Into<Times>) {
        self.set(&self.0.state.faults.close_after_accept, times);
    }

    /// Mails are kept, and never answered.
    pub fn hang_after_accept(&self, times: impl Into<Times>) {
        self.set(&self.0.state.faults.hang_after_accept, times);
    }

    /// Mails are kept and answered, and the connection is closed behind the answer.
    pub fn close_after_answer(&self, times: impl Into<Times>) {
        self.set(&self.0.state.faults.close_after_answer, times);
    }

    /// Everything works again.
    pub fn clear(&self) {
        let faults = &self.0.state.faults;
        for switch in [
            &faults.no_such_user,
            &faults.later,
            &faults.busy,
            &faults.refuse_content,
            &faults.close_before_accept,
            &faults.close_after_accept,
            &faults.hang_after_accept,
            &faults.close_after_answer,
        ] {
            switch.set(false);
        }
        self.0.state.changed();
    }

    /// Whether recipients do not exist.
    pub fn has_no_such_user(&self) -> bool {
        self.0.state.faults.no_such_user.is_on()
    }
}
