use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};

use crate::source::{Content, Delivery};

/// One FIFO per conversation. A conversation that is here has exactly one message at work; what came after it waits.
#[derive(Default)]
pub(super) struct Lanes {
    waiting: HashMap<String, VecDeque<Delivery>>,
}

impl Lanes {
    /// Lets a message in; it is given back when its lane was empty, to be worked on now.
    pub(super) fn enter(&mut self, delivery: Delivery) -> Option<Delivery> {
        match self.waiting.entry(lane_of(&delivery)) {
            Entry::Occupied(mut lane) => {
                lane.get_mut().push_back(delivery);
                None
            }
            Entry::Vacant(lane) => {
                lane.insert(VecDeque::new());
                Some(delivery)
            }
        }
    }

    /// The message at work was settled: the next of its lane, if there is one.
    pub(super) fn leave(&mut self, lane: &str) -> Option<Delivery> {
        let next = self.waiting.get_mut(lane)?.pop_front();
        if next.is_none() {
            self.waiting.remove(lane);
        }
        next
    }

    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }
}

/// What names no conversation is ordered with nothing.
pub(super) fn lane_of(delivery: &Delivery) -> String {
    match &delivery.content {
        Content::Envelope(envelope) => envelope.conversation.clone(),
        Content::Foreign { .. } => format!("foreign {}", delivery.tag.0),
    }
}
