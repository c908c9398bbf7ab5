//! Figures that every table of a benchmark has.

use std::time::Duration;

/// In milliseconds.
#[derive(Clone, Copy)]
pub(crate) struct Latency {
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) max: f64,
}

impl Latency {
    pub(crate) fn of(mut all: Vec<Duration>) -> Self {
        all.sort_unstable();
        let at = |part: f64| all.get((all.len() as f64 * part) as usize).or(all.last()).copied().unwrap_or_default();
        let milliseconds = |time: Duration| time.as_secs_f64() * 1e3;
        Self { p50: milliseconds(at(0.5)), p99: milliseconds(at(0.99)), max: milliseconds(at(1.0)) }
    }
}

pub(crate) fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

/// Prints one number beside what it should be.
pub(crate) fn verdict(what: &str, is: f64, should: f64, at_least: bool) {
    let reached = if at_least { is >= should } else { is <= should };
    let words = if at_least { "at least" } else { "at most" };
    let reached = if reached { "reached" } else { "MISSED" };
    println!("  {what:<58} {is:>8.2}   {words:<8} {should:>6.1}   {reached}");
}
