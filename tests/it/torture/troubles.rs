//! What went wrong and when: the reason of whatever an agent sees twice.

use std::collections::BTreeMap;
use std::sync::Mutex;

use jiff::{SignedDuration, Timestamp};
use runtime::Clock;

/// What can make Genesys take a message whose acceptance the bridge never learns of; it is then sent again (design 4).
const LOSE_ANSWERS: [&str; 4] = [
    "genesys-outbound killed",
    "Genesys closes after accepting",
    "Genesys closes in the middle of an answer",
    "Genesys down",
];
/// A fault for the next so many calls strikes when they come, which may be after it was switched on.
const AFTER: SignedDuration = SignedDuration::from_secs(5);

#[derive(Default)]
pub(super) struct Troubles {
    noted: Mutex<Vec<(&'static str, Timestamp, Timestamp)>>,
}

impl Troubles {
    pub(super) fn note(&self, name: &'static str, began: Timestamp) {
        self.noted.lock().expect("nobody panics over the list").push((name, began, Clock::system().now()));
    }

    /// Why a message was given to an agent at both of these times.
    pub(super) fn reason(&self, first: Timestamp, second: Timestamp) -> Option<&'static str> {
        let noted = self.noted.lock().expect("nobody panics over the list");
        let fits = |(name, began, ended): &&(&'static str, Timestamp, Timestamp)| {
            LOSE_ANSWERS.contains(name) && *began <= second && ended.saturating_add(AFTER).is_ok_and(|end| end >= first)
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
