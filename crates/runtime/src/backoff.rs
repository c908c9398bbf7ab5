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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_stay_under_a_bound_that_doubles_up_to_the_cap() {
        let backoff = Backoff { base: Duration::from_secs(1), cap: Duration::from_secs(60) };
        for (attempt, bound) in [(0, 1), (1, 1), (2, 2), (3, 4), (6, 32), (7, 60), (40, 60), (u32::MAX, 60)] {
            let waits: Vec<_> = (0..1000).map(|_| backoff.wait(attempt)).collect();
            let bound = Duration::from_secs(bound);
            assert!(waits.iter().all(|wait| *wait <= bound), "try {attempt}");
            // Full jitter spreads over the whole range; that 1000 waits all miss an outer quarter of it has a chance of 1e-125.
            assert!(waits.iter().any(|wait| *wait < bound / 4), "try {attempt}");
            assert!(waits.iter().any(|wait| *wait > bound * 3 / 4), "try {attempt}");
        }
    }
}
