//! Durations and sizes as they are written.

use std::time::Duration;

/// `500ms`, `30s`, `5m`, `4h`, `30d`, and sums of them.
pub(crate) fn parse_duration(text: &str) -> Option<Duration> {
    let span: jiff::Span = text.trim().parse().ok()?;
    let length = span.to_duration(jiff::SpanRelativeTo::days_are_24_hours()).ok()?;
    Duration::try_from(length).ok()
}

/// `512 KiB`, `1 MiB`, `25 MiB`; a bare number is bytes.
pub(super) fn parse_size(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let factor: u64 = match unit.trim() {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(factor)
}

/// A duration as it would be written, for `config show`.
pub(super) fn written(length: Duration) -> String {
    jiff::SignedDuration::try_from(length)
        .map_or_else(|_| format!("{}s", length.as_secs()), |length| format!("{length:#}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_sizes() {
        assert_eq!(parse_duration("30s"), Some(Duration::from_secs(30)));
        assert_eq!(parse_duration("30d"), Some(Duration::from_secs(30 * 86_400)));
        assert_eq!(parse_duration("1h 30m"), Some(Duration::from_secs(5_400)));
        assert_eq!(parse_duration("-5s"), None);
        assert_eq!(parse_duration("soon"), None);
        assert_eq!(parse_size("1 MiB"), Some(1 << 20));
        assert_eq!(parse_size("10"), Some(10));
        assert_eq!(parse_size("1 MB"), None);
    }

    #[test]
    fn what_is_written_is_read_again() {
        for length in [Duration::from_millis(1_500), Duration::from_secs(60), Duration::from_secs(3 * 86_400)] {
            assert_eq!(parse_duration(&written(length)), Some(length), "{}", written(length));
        }
    }
}
