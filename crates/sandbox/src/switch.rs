use std::sync::atomic::{AtomicU64, Ordering};

/// How often a fault strikes: `true` until it is switched off, `false` never, a number for the next so many calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times(u64);

const FOREVER: u64 = u64::MAX;

impl From<bool> for Times {
    fn from(on: bool) -> Self {
        Self(if on { FOREVER } else { 0 })
    }
}

impl From<u32> for Times {
    fn from(times: u32) -> Self {
        Self(u64::from(times))
    }
}

/// A fault that can be switched on, off, or on for some calls.
#[derive(Default)]
pub(crate) struct Switch(AtomicU64);

impl Switch {
    pub(crate) fn set(&self, times: impl Into<Times>) {
        self.0.store(times.into().0, Ordering::SeqCst);
    }

    pub(crate) fn is_on(&self) -> bool {
        self.0.load(Ordering::SeqCst) > 0
    }

    /// Whether it strikes now; uses up one of a counted number.
    pub(crate) fn strikes(&self) -> bool {
        let used = self.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| match left {
            0 => None,
            FOREVER => Some(FOREVER),
            left => Some(left - 1),
        });
        used.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_switch_strikes_as_often_as_it_was_told() {
        let switch = Switch::default();
        assert!(!switch.strikes());
        switch.set(2);
        assert_eq!([switch.strikes(), switch.strikes(), switch.strikes()], [true, true, false]);
        switch.set(true);
        assert!(switch.strikes() && switch.strikes() && switch.is_on());
        switch.set(false);
        assert!(!switch.strikes() && !switch.is_on());
    }
}
