//! The server's clock and the zone of its naive times, which nobody documented (section 1.1): `/version` tells its time, and the
//! header `Date` of the same answer what the server or its edge takes for the time of the world.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Method, header};
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use super::account::Account;
use super::fields::Fields;
use super::{answer, time};
use crate::SendError;

/// What is to be said of a server's clock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClockFinding {
    /// Its times are of another zone than the configuration says.
    Zone(String),
    /// It is fast or slow.
    Drift(String),
    /// It does not tell its time.
    Untold(String),
}

/// Zones are whole quarters of an hour apart.
const QUARTER: i64 = 900;
/// How far two clocks may be apart before it is told.
const TOLERATED: Duration = Duration::from_secs(5);

/// What one answer told.
struct Told<'a> {
    /// `current-time`, as it was written.
    written: Option<&'a str>,
    /// `Date`.
    date: Option<Timestamp>,
    /// Our own time, in the middle of the call.
    ours: Timestamp,
    /// Half of what the call took.
    doubt: Duration,
}

impl Account {
    /// Compares the server's clock with ours, and the zone of its times with the configured one.
    ///
    /// # Errors
    /// [`SendError`]: it could not be asked.
    pub async fn check_clock(&self) -> Result<Vec<ClockFinding>, SendError> {
        let (asked, began) = (self.now(), Instant::now());
        let answered = self.exchange("version", Method::GET, "/version", Bytes::new()).await;
        let doubt = began.elapsed() / 2;
        let date = answered
            .as_ref()
            .ok()
            .and_then(|answer| answer.headers.get(header::DATE)?.to_str().ok().and_then(http_date));
        let body = answer::json(self.name(), answered, self.now())?;
        let fields = Fields::of(&body);
        let ours = asked.saturating_add(doubt).unwrap_or(asked);
        let told = Told { written: fields.first(&["current-time"]), date, ours, doubt };
        Ok(findings(self.name().as_str(), &told, &self.config().time_zone))
    }
}

fn http_date(text: &str) -> Option<Timestamp> {
    jiff::fmt::rfc2822::parse(text).ok().map(|date| date.timestamp())
}

fn findings(account: &str, told: &Told<'_>, zone: &TimeZone) -> Vec<ClockFinding> {
    let world = told.date.unwrap_or(told.ours);
    let ahead_of_us = world.duration_since(told.ours);
    let mut findings = Vec::new();
    let mut drift = told.date.map(|_| ahead_of_us);
    match told.written.and_then(written) {
        Some(Written::Exact(at)) => drift = Some(at.duration_since(told.ours)),
        Some(Written::Naive(clock)) => {
            let configured = zone.to_offset(world);
            let shown = TimeZone::UTC.to_timestamp(clock).map_or(SignedDuration::ZERO, |shown| shown.duration_since(world));
            let apart = shown.as_secs() - i64::from(configured.seconds());
            // Whole quarters of an hour are another zone, and what is left is a clock that is fast or slow.
            let quarters = (apart + apart.signum() * QUARTER / 2) / QUARTER;
            if quarters != 0 {
                let real = offset(i64::from(configured.seconds()) + quarters * QUARTER);
                let configured = offset(i64::from(configured.seconds()));
                findings.push(ClockFinding::Zone(format!(
                    "provider {account}: it writes its times {real} from UTC, and its time_zone takes them for {configured}, so \
                     that polls look at the wrong hours and sent replies may not be found; write the server's own zone as \
                     time_zone of provider {account}"
                )));
            }
            drift = Some(SignedDuration::from_secs(apart - quarters * QUARTER) + ahead_of_us);
        }
        None => findings.push(ClockFinding::Untold(format!(
            "provider {account} does not tell its time, so that its time_zone cannot be compared; look at the times that \
             `causeway netsapiens messages` shows"
        ))),
    }
    let drift = drift.unwrap_or(SignedDuration::ZERO);
    if drift.unsigned_abs() > TOLERATED.saturating_add(told.doubt) {
        let (seconds, way) = (drift.unsigned_abs().as_secs(), if drift.is_negative() { "behind" } else { "ahead of" });
        findings.push(ClockFinding::Drift(format!(
            "provider {account}: its clock is {seconds} s {way} this machine's; set this machine's by a time server, and ask \
             the provider to do the same"
        )));
    }
    findings
}

/// A time as a server writes it.
enum Written {
    Exact(Timestamp),
    Naive(DateTime),
}

fn written(text: &str) -> Option<Written> {
    let text = text.trim();
    match text.parse() {
        Ok(exact) => Some(Written::Exact(exact)),
        Err(_) => time::naive(text).map(Written::Naive),
    }
}

fn offset(seconds: i64) -> String {
    let minutes = seconds.abs() / 60;
    format!("{}{:02}:{:02}", if seconds < 0 { '-' } else { '+' }, minutes / 60, minutes % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: &str = "2026-11-20T18:03:11Z";
    const DATE: &str = "Fri, 20 Nov 2026 18:03:11 GMT";

    fn found(written: Option<&str>, date: Option<&str>, zone: &str) -> Vec<ClockFinding> {
        let date = date.map(|date| http_date(date).expect("it is a date"));
        let told = Told { written, date, ours: NOW.parse().unwrap(), doubt: Duration::ZERO };
        findings("crexendo", &told, &TimeZone::get(zone).unwrap())
    }

    #[test]
    fn a_clock_that_is_right_is_not_told_of() {
        for (written, zone) in [
            ("2026-11-20 18:03:11", "UTC"),
            ("2026-11-20 18:03:08", "UTC"),
            ("2026-11-20 12:03:11", "America/Chicago"),
            ("2026-11-20 23:48:11", "Asia/Kathmandu"),
            ("2026-11-20T18:03:11+00:00", "America/Chicago"),
            ("2026-11-20T12:03:11-06:00", "UTC"),
        ] {
            for date in [None, Some(DATE)] {
                assert_eq!(found(Some(written), date, zone), [], "{written} {zone}");
            }
        }
    }

    #[test]
    fn a_wrong_zone_is_whole_quarters_of_an_hour() {
        for (written, zone, real, configured) in [
            ("2026-11-20 12:03:11", "UTC", "-06:00", "+00:00"),
            ("2026-11-20 18:03:13", "America/Chicago", "+00:00", "-06:00"),
            ("2026-11-20 23:48:11", "Asia/Kolkata", "+05:45", "+05:30"),
            ("2026-11-20 13:03:11", "America/Chicago", "-05:00", "-06:00"),
        ] {
            for date in [None, Some(DATE)] {
                let found = found(Some(written), date, zone);
                let [ClockFinding::Zone(told)] = found.as_slice() else { panic!("{written} {zone}: {found:?}") };
                assert!(told.contains(&format!("times {real} from UTC")), "{told}");
                assert!(told.contains(&format!("takes them for {configured}")), "{told}");
            }
        }
    }

    #[test]
    fn a_drift_of_seconds_is_another_finding() {
        for (written, date, expected) in [
            (Some("2026-11-20 18:03:31"), None, "20 s ahead of"),
            (Some("2026-11-20 18:02:51"), Some(DATE), "20 s behind"),
            (Some("2026-11-20T18:08:11Z"), Some(DATE), "300 s ahead of"),
            (Some("2026-11-20 18:04:11"), Some("Fri, 20 Nov 2026 18:04:11 GMT"), "60 s ahead of"),
        ] {
            let found = found(written, date, "UTC");
            let [ClockFinding::Drift(told)] = found.as_slice() else { panic!("{written:?}: {found:?}") };
            assert!(told.contains(expected), "{told}");
        }
        let both = found(Some("2026-11-20 12:03:41"), None, "UTC");
        let [ClockFinding::Zone(_), ClockFinding::Drift(drift)] = both.as_slice() else { panic!("{both:?}") };
        assert!(drift.contains("30 s ahead of"), "{drift}");
        // An hour of drift that the server's own Date confirms is no zone.
        let slow = found(Some("2026-11-20 17:03:11"), Some("Fri, 20 Nov 2026 17:03:11 GMT"), "UTC");
        assert!(matches!(slow.as_slice(), [ClockFinding::Drift(told)] if told.contains("3600 s behind")), "{slow:?}");
    }

    #[test]
    fn a_server_that_tells_no_time_is_still_compared_by_its_date() {
        for written in [None, Some("half past six")] {
            assert!(matches!(found(written, Some(DATE), "UTC").as_slice(), [ClockFinding::Untold(_)]));
            let late = found(written, Some("Fri, 20 Nov 2026 18:13:11 GMT"), "UTC");
            assert!(matches!(late.as_slice(), [ClockFinding::Untold(_), ClockFinding::Drift(_)]), "{late:?}");
            assert!(matches!(found(written, None, "UTC").as_slice(), [ClockFinding::Untold(_)]));
        }
    }

    #[test]
    fn a_slow_call_is_no_drift() {
        let told = Told {
            written: Some("2026-11-20 18:03:19"),
            date: None,
            ours: NOW.parse().unwrap(),
            doubt: Duration::from_secs(4),
        };
        assert_eq!(findings("crexendo", &told, &TimeZone::UTC), []);
    }
}
