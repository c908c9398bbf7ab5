use serde::{Deserialize, Serialize};

/// Whether messages can be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// They can.
    Ready,
    /// Not connected (yet), and why.
    Connecting(String),
    /// Connected, but the broker blocks publishers.
    Blocked(String),
    /// Connected, but a queue or exchange is missing or not what it must be.
    Topology(String),
}

/// One queue.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct QueueReport {
    /// Its name.
    pub queue: String,
    /// Messages waiting.
    pub ready: u64,
    /// Messages in hand; `None` where the broker does not tell.
    pub in_hand: Option<u64>,
    /// Consumers; `None` where the broker does not tell.
    pub consumers: Option<u64>,
    /// Age of the oldest message waiting, in seconds; `None` where the broker does not tell.
    pub oldest_seconds: Option<f64>,
}
