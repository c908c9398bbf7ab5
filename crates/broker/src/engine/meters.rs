use jiff::Timestamp;
use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};

use crate::{Done, QueueName};

/// The metrics of one queue, looked up once.
pub(super) struct Meters {
    done: Counter,
    duplicate: Counter,
    dead: Counter,
    pub(super) retried: Counter,
    age: Histogram,
    pub(super) lanes: Gauge,
    pub(super) oldest: Gauge,
}

impl Meters {
    pub(super) fn of(queue: &QueueName) -> Self {
        let queue = queue.to_string();
        let settled =
            |outcome: &'static str| counter!("causeway_settled_total", "queue" => queue.clone(), "outcome" => outcome);
        Self {
            done: settled("done"),
            duplicate: settled("duplicate"),
            dead: settled("dead"),
            retried: settled("retried"),
            age: histogram!("causeway_message_age_seconds", "queue" => queue.clone()),
            lanes: gauge!("causeway_lanes", "queue" => queue.clone()),
            oldest: gauge!("causeway_oldest_seconds", "queue" => queue),
        }
    }

    pub(super) fn acked(&self, done: Done, received_at: Timestamp, now: Timestamp) {
        match done {
            Done::Done => self.done.increment(1),
            Done::Duplicate => self.duplicate.increment(1),
        }
        self.age.record(seconds(received_at, now));
    }

    pub(super) fn dead(&self, received_at: Timestamp, now: Timestamp) {
        self.dead.increment(1);
        self.age.record(seconds(received_at, now));
    }

    pub(super) fn idle(&self) {
        self.lanes.set(0.0);
        self.oldest.set(0.0);
    }
}

/// Clocks of different machines differ; an age is never negative.
pub(super) fn seconds(since: Timestamp, now: Timestamp) -> f64 {
    now.duration_since(since).as_secs_f64().max(0.0)
}
