use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

/// A time as NetSapiens writes it: RFC 3339, or `YYYY-MM-DD HH:MM:SS` in a zone nobody names (section 1.1).
pub(super) fn parse(text: &str, zone: &TimeZone) -> Option<Timestamp> {
    let text = text.trim();
    if let Ok(timestamp) = text.parse() {
        return Some(timestamp);
    }
    zone.to_ambiguous_timestamp(naive(text)?).compatible().ok()
}

/// The second form.
pub(super) fn naive(text: &str) -> Option<DateTime> {
    DateTime::strptime("%Y-%m-%d %H:%M:%S", text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_are_read() {
        let chicago = TimeZone::get("America/Chicago").unwrap();
        let check = |text: &str, zone: &TimeZone, expected: &str| {
            assert_eq!(parse(text, zone), Some(expected.parse().unwrap()), "{text}");
        };
        check("2026-11-20 18:03:11", &TimeZone::UTC, "2026-11-20T18:03:11Z");
        check("2026-11-20 18:03:11", &chicago, "2026-11-21T00:03:11Z");
        check("2025-12-11T16:28:17+00:00", &chicago, "2025-12-11T16:28:17Z");
        assert_eq!(parse("yesterday", &TimeZone::UTC), None);
        assert_eq!(parse("0000-00-00 00:00:00", &TimeZone::UTC), None);
    }
}
