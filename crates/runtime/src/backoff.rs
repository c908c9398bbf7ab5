use std::time::Duration;

/// Exponential backoff with full jitter.
#[derive(Debug, Clone)]
pub struct Backoff {
    /// The bound of the first wait.
    pub base: Duration,
    /// The bound of every wait.
    pub cap: Duration,
}

impl Backoff {
    /// The wait before try number `attempt` (1 is the first retry): uniform in 0 ..= min(cap, base × 2^(attempt-1)).
    pub fn wait(&self, attempt: u32) -> Duration {
        let bound = self.base.saturating_mul(2u32.saturating_pow(attempt.saturating_sub(1).min(31))).min(self.cap);
        bound.mul_f64(rand::random::<f64>())
    }
}
