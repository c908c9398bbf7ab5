use std::sync::{Arc, Mutex};

use jiff::{SignedDuration, Timestamp};

/// Where the house takes the time from, so that expiry, retry and deadlines are ordinary tests.
#[derive(Clone, Debug)]
pub struct Clock {
    source: Source,
}

#[derive(Clone, Debug)]
enum Source {
    System,
    Manual(Arc<Mutex<Timestamp>>),
}

/// The hand that moves a manual clock.
#[derive(Clone, Debug)]
pub struct ManualClock {
    now: Arc<Mutex<Timestamp>>,
}

impl Clock {
    /// The machine's clock.
    pub const fn system() -> Self {
        Self { source: Source::System }
    }

    /// A clock that stands still until its hand is moved.
    pub fn manual(start: Timestamp) -> (Self, ManualClock) {
        let now = Arc::new(Mutex::new(start));
        (Self { source: Source::Manual(Arc::clone(&now)) }, ManualClock { now })
    }

    /// The time.
    pub fn now(&self) -> Timestamp {
        match &self.source {
            #[expect(clippy::disallowed_methods, reason = "this is the one place the time comes from")]
            Source::System => Timestamp::now(),
            Source::Manual(now) => *now.lock().expect("a clock's holder does not panic"),
        }
    }
}

impl ManualClock {
    /// Moves the clock forward.
    pub fn advance(&self, by: SignedDuration) {
        *self.now.lock().expect("a clock's holder does not panic") += by;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manual_clock_moves_by_hand_and_for_everybody() {
        let start: Timestamp = "2026-11-21T10:00:00Z".parse().unwrap();
        let (clock, hand) = Clock::manual(start);
        let other = clock.clone();
        assert_eq!((clock.now(), other.now()), (start, start));
        hand.advance(SignedDuration::from_mins(5));
        assert_eq!(
            (clock.now(), other.now()),
            (start + SignedDuration::from_mins(5), start + SignedDuration::from_mins(5))
        );
    }

    #[test]
    fn the_machines_clock_goes_on() {
        let before = Clock::system().now();
        assert!(Clock::system().now() >= before && before > "2026-01-01T00:00:00Z".parse().unwrap());
    }
}
