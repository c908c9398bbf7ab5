use std::time::Duration;

use jiff::civil::{Date, Time, Weekday};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan};

/// The hours of a week in which a company is open, by the clocks of one place.
#[derive(Debug, Clone, PartialEq)]
pub struct BusinessHours {
    spans: Vec<Span>,
    zone: TimeZone,
}

/// On one weekday, from a time to a later one; to a time that is not later means until then on the day after.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Span {
    day: Weekday,
    from: Time,
    to: Time,
}

/// Why a text names no hours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HoursError {
    /// Not days and times with a space between.
    #[error("it has the form \"Mon-Fri 08:00-18:00\": days, a space, and times")]
    Form,
    /// No weekday.
    #[error("the days are Mon, Tue, Wed, Thu, Fri, Sat and Sun, alone, as \"Mon-Fri\", or with commas")]
    Day,
    /// No time of a day.
    #[error("times are of 24 hours, as 08:00-18:00; 24:00 is the end of a day")]
    Time,
}

const DAYS: [(&str, Weekday); 7] = [
    ("mon", Weekday::Monday),
    ("tue", Weekday::Tuesday),
    ("wed", Weekday::Wednesday),
    ("thu", Weekday::Thursday),
    ("fri", Weekday::Friday),
    ("sat", Weekday::Saturday),
    ("sun", Weekday::Sunday),
];

impl BusinessHours {
    /// Reads texts such as `Mon-Fri 08:00-18:00` and `Sat,Sun 22:00-02:00`.
    ///
    /// # Errors
    /// [`HoursError`] for the first that is none.
    pub fn parse<'a>(texts: impl IntoIterator<Item = &'a str>, zone: TimeZone) -> Result<Self, HoursError> {
        let mut spans = Vec::new();
        for text in texts {
            let (days, times) = text.trim().split_once(' ').ok_or(HoursError::Form)?;
            let (from, to) = times.trim().split_once('-').ok_or(HoursError::Form)?;
            let (from, to) = (time(from)?, time(to)?);
            spans.extend(weekdays(days)?.into_iter().map(|day| Span { day, from, to }));
        }
        Ok(Self { spans, zone })
    }

    /// How much of the time between two moments the company was open, and never more than `enough`: what was long ago is
    /// not counted through.
    pub fn passed(&self, from: Timestamp, to: Timestamp, enough: Duration) -> Duration {
        let mut passed = Duration::ZERO;
        // A span may have begun on the day before.
        let mut day = self.zone.to_datetime(to).date();
        let first = self.zone.to_datetime(from).date().saturating_sub(1.day());
        while day >= first && passed < enough {
            let of_day = self.spans.iter().filter(|span| span.day == day.weekday());
            passed += of_day.map(|span| self.overlap(*span, day, from, to)).sum();
            day = match day.yesterday() {
                Ok(yesterday) => yesterday,
                Err(_) => break,
            };
        }
        passed.min(enough)
    }

    fn overlap(&self, span: Span, day: Date, from: Timestamp, to: Timestamp) -> Duration {
        let until = if span.to > span.from { day } else { day.saturating_add(1.day()) };
        let moment = |day: Date, time: Time| self.zone.to_timestamp(day.to_datetime(time)).ok();
        let (Some(opens), Some(closes)) = (moment(day, span.from), moment(until, span.to)) else {
            return Duration::ZERO;
        };
        let open: SignedDuration = closes.min(to).duration_since(opens.max(from));
        open.try_into().unwrap_or_default()
    }
}

fn weekdays(text: &str) -> Result<Vec<Weekday>, HoursError> {
    let index =
        |name: &str| DAYS.iter().position(|(day, _)| name.trim().eq_ignore_ascii_case(day)).ok_or(HoursError::Day);
    let mut days = Vec::new();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (index(first)?, index(last)?);
        let length = (last + DAYS.len() - first) % DAYS.len();
        days.extend((first..=first + length).map(|day| DAYS[day % DAYS.len()].1));
    }
    Ok(days)
}

fn time(text: &str) -> Result<Time, HoursError> {
    let (hour, minute) = text.trim().split_once(':').ok_or(HoursError::Time)?;
    let (hour, minute): (i8, i8) =
        (hour.parse().map_err(|_| HoursError::Time)?, minute.parse().map_err(|_| HoursError::Time)?);
    // Midnight at the end of a day is the beginning of the next.
    let hour = if (hour, minute) == (24, 0) { 0 } else { hour };
    Time::new(hour, minute, 0, 0).map_err(|_| HoursError::Time)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FOREVER: Duration = Duration::from_hours(24 * 365);

    fn hours(texts: &[&str], zone: &str) -> BusinessHours {
        BusinessHours::parse(texts.iter().copied(), TimeZone::get(zone).unwrap()).unwrap()
    }

    fn passed(hours: &BusinessHours, from: &str, to: &str) -> Duration {
        hours.passed(from.parse().unwrap(), to.parse().unwrap(), FOREVER)
    }

    #[test]
    fn only_open_hours_pass() {
        let hours = hours(&["Mon-Fri 08:00-18:00", "Sat 09:00-12:00"], "UTC");
        // 2026-11-20 is a Friday.
        let over_the_weekend = passed(&hours, "2026-11-20T17:00:00Z", "2026-11-23T09:30:00Z");
        assert_eq!(over_the_weekend, Duration::from_mins(60 + 3 * 60 + 90));
        assert_eq!(passed(&hours, "2026-11-21T20:00:00Z", "2026-11-22T20:00:00Z"), Duration::ZERO, "closed");
        assert_eq!(passed(&hours, "2026-11-20T10:00:00Z", "2026-11-20T09:00:00Z"), Duration::ZERO, "backwards");
    }

    #[test]
    fn the_place_and_the_night_count() {
        let chicago = hours(&["Mon-Fri 08:00-18:00"], "America/Chicago");
        assert_eq!(passed(&chicago, "2026-11-20T08:00:00Z", "2026-11-20T15:00:00Z"), Duration::from_hours(1));
        let night = hours(&["fri 22:00-02:00"], "UTC");
        assert_eq!(passed(&night, "2026-11-21T00:30:00Z", "2026-11-21T12:00:00Z"), Duration::from_mins(90));
        let around = hours(&["Sat-Mon 00:00-24:00"], "UTC");
        assert_eq!(passed(&around, "2026-11-16T00:00:00Z", "2026-11-23T00:00:00Z"), Duration::from_hours(72));
    }

    #[test]
    fn no_more_is_counted_than_asked() {
        let hours = hours(&["Mon-Sun 00:00-24:00"], "UTC");
        let (from, to) = (Timestamp::UNIX_EPOCH, "2026-11-20T08:00:00Z".parse().unwrap());
        assert_eq!(hours.passed(from, to, Duration::from_hours(5)), Duration::from_hours(5));
    }

    #[test]
    fn what_is_no_hours_is_told() {
        let read = |text| BusinessHours::parse([text], TimeZone::UTC).unwrap_err();
        assert_eq!(read("always"), HoursError::Form);
        assert_eq!(read("Mon 08:00"), HoursError::Form);
        assert_eq!(read("Mo 08:00-18:00"), HoursError::Day);
        for text in ["Mon 8-18", "Mon 25:00-26:00", "Mon 08:60-09:00"] {
            assert_eq!(read(text), HoursError::Time, "{text}");
        }
    }
}
