use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

/// How many calls a target is given: `10/s`, `600/m`, `1000/h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    interval: Duration,
}

impl Pace {
    /// Reads a pace; `None` where it is none, or slower than one call an hour.
    pub fn parse(text: &str) -> Option<Self> {
        let (count, unit) = text.trim().split_once('/')?;
        let count: u32 = count.trim().parse().ok().filter(|count| *count > 0)?;
        let unit = match unit.trim() {
            "s" => Duration::from_secs(1),
            "m" => Duration::from_secs(60),
            "h" => Duration::from_secs(3600),
            _ => return None,
        };
        Some(Self { interval: unit / count })
    }

    /// From one call to the next.
    const fn interval(self) -> Duration {
        self.interval
    }
}

/// The paces of targets, by their names. Clones keep to each of them together: whichever consumers of a process call a target,
/// it is given no more.
#[derive(Debug, Clone, Default)]
pub struct Paces {
    beats: Arc<HashMap<String, Beat>>,
}

/// The pace of one target, as all its callers share it.
#[derive(Debug, Clone)]
pub(crate) struct Beat {
    pub(crate) interval: Duration,
    /// When the next call may be made; held by the one that makes it.
    pub(crate) next: Arc<Mutex<Instant>>,
}

impl Paces {
    pub(crate) fn of(&self, target: &str) -> Option<Beat> {
        self.beats.get(target).cloned()
    }
}

impl FromIterator<(String, Pace)> for Paces {
    fn from_iter<I: IntoIterator<Item = (String, Pace)>>(paces: I) -> Self {
        let beat = |pace: Pace| Beat { interval: pace.interval(), next: Arc::new(Mutex::new(Instant::now())) };
        Self { beats: Arc::new(paces.into_iter().map(|(target, pace)| (target, beat(pace))).collect()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pace_is_a_count_in_a_time() {
        assert_eq!(Pace::parse("10/s").map(Pace::interval), Some(Duration::from_millis(100)));
        assert_eq!(Pace::parse(" 30 / m ").map(Pace::interval), Some(Duration::from_secs(2)));
        for wrong in ["", "10", "0/s", "-1/s", "10/d", "ten/s", "1.5/s"] {
            assert_eq!(Pace::parse(wrong), None, "{wrong}");
        }
    }
}
