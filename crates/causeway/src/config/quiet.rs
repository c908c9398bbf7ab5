//! When silence on a channel is worth an alarm.

use jiff::tz::TimeZone;
use model::BusinessHours;

use super::section::Section;
use super::settings::Quiet;

pub(super) fn quiet(section: &Section<'_>) -> Option<Quiet> {
    let zone = section.parsed("time_zone", "UTC", "an IANA zone such as \"UTC\" or \"America/Chicago\"", |name| {
        TimeZone::get(name).ok()
    });
    let texts = section.strings("business_hours");
    let hours = match BusinessHours::parse(texts.iter().map(String::as_str), zone) {
        Ok(hours) => (!texts.is_empty()).then_some(hours),
        Err(error) => {
            let what = format!("cannot be read: {error}");
            section.problem("business_hours", what, "[\"Mon-Fri 08:00-18:00\", \"Sat 09:00-13:00\"]");
            None
        }
    };
    if section.has("quiet_alarm") {
        let after = section.duration("quiet_alarm", "4h");
        if after.is_zero() {
            section.problem("quiet_alarm", "is no time at all", "\"4h\", or leave it out for no alarm");
        }
        return Some(Quiet { after, hours });
    }
    for key in ["business_hours", "time_zone"].into_iter().filter(|key| section.has(key)) {
        section.warn(key, "does nothing without quiet_alarm");
    }
    None
}
