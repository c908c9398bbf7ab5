//! What went wrong and when: the reason of whatever an agent sees twice.

use std::collections::BTreeMap;
use std::sync::Mutex;

use jiff::{SignedDuration, Timestamp};
use runtime::Clock;

/// What can make Genesys take a message whose acceptance the bridge never learns of; it is then sent again (design 4).
const LOSE_ANSWERS: [&str; 3] = ["genesys-outbound killed", "Genesys down", LONG_BLOCK];
/// Over a backlog that was made by taking Genesys and the provider away.
pub(super) const LONG_BLOCK: &str = "RabbitMQ blocked over a backlog";
/// The same for a mail server that takes mail: its answer never comes, or nobody is left to write it down.
const LOSE_MAIL_ANSWERS: [&str; 2] = ["consumer-outbound killed", "SMTP connections reset"];
/// A call that was on its way when a trouble ended may still feel it.
const AFTER: SignedDuration = SignedDuration::from_secs(5);
/// Genesys writes down an answer it loses, and the message itself, within this; both machines are one.
const SAME_CALL: SignedDuration = SignedDuration::from_millis(250);

#[derive(Default)]
pub(super) struct Troubles {
    noted: Mutex<Vec<(&'static str, Timestamp, Timestamp)>>,
    /// When Genesys accepted what it then gave no whole answer to.
    lost: Mutex<Vec<Timestamp>>,
}

impl Troubles {
    pub(super) fn note(&self, name: &'static str, began: Timestamp) {
        self.noted.lock().expect("nobody panics over the list").push((name, began, Clock::system().now()));
    }

    /// What Genesys itself tells of the answers it lost.
    pub(super) fn lost_answers(&self, at: Vec<Timestamp>) {
        *self.lost.lock().expect("nobody panics over the list") = at;
    }

    /// Why a message was given to an agent at both of these times.
    pub(super) fn reason(&self, first: Timestamp, second: Timestamp) -> Option<&'static str> {
        let lost = self.lost.lock().expect("nobody panics over the list");
        if lost.iter().any(|at| at.duration_since(first).abs() < SAME_CALL) {
            return Some("Genesys closed without a whole answer");
        }
        let noted = self.noted.lock().expect("nobody panics over the list");
        let fits = |(name, began, ended): &&(&'static str, Timestamp, Timestamp)| {
            LOSE_ANSWERS.contains(name) && *began <= second && ended.saturating_add(AFTER).is_ok_and(|end| end >= first)
        };
        noted.iter().rev().find(fits).map(|(name, ..)| *name)
    }

    /// Why nobody may know that a mail was taken at this time.
    pub(super) fn mail_reason(&self, taken: Timestamp) -> Option<&'static str> {
        let noted = self.noted.lock().expect("nobody panics over the list");
        let fits = |(name, began, ended): &&(&'static str, Timestamp, Timestamp)| {
            let around = began.saturating_sub(AFTER).is_ok_and(|began| began <= taken)
                && ended.saturating_add(AFTER).is_ok_and(|end| end >= taken);
            LOSE_MAIL_ANSWERS.contains(name) && around
        };
        noted.iter().rev().find(fits).map(|(name, ..)| *name)
    }

    /// What went wrong how often.
    pub(super) fn told(&self) -> String {
        let mut counts = BTreeMap::<&str, u32>::new();
        for (name, ..) in self.noted.lock().expect("nobody panics over the list").iter() {
            *counts.entry(name).or_default() += 1;
        }
        counts.iter().map(|(name, times)| format!("{name} {times}")).collect::<Vec<_>>().join(", ")
    }
}
