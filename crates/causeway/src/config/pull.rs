//! What is pulled from a provider, and how its events are had.

use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::section::Section;
use super::settings::{Http, LedgerSettings, Provider, ProviderKind, Pull};
use super::units::{parse_duration, written};

/// How often sessions are looked through where that is the only way in.
const ONLY_WAY: Duration = Duration::from_secs(60);
/// What is older is given to nobody, where nothing else is said; or half of what the ledger remembers.
const YOUNG: Duration = Duration::from_secs(3 * 86_400);

pub(super) fn read(section: &Section<'_>) -> Pull {
    let duration = |text: &str| parse_duration(text).filter(|length| *length >= Duration::from_secs(1));
    let poll = section.has("poll").then(|| section.parsed("poll", "60s", "a duration of 1s or more", duration));
    let subscribe = section.has("subscribe").then(|| section.boolean("subscribe", true));
    let preferred_server = section.string("preferred_server");
    // With a scheme in it the platform keeps a subscription that never posts.
    if preferred_server.as_ref().is_some_and(|host| host.is_empty() || host.contains([':', '/', ' '])) {
        section.problem("preferred_server", "is no bare host name", "\"core1.example.com\"");
    }
    let max_inbound_age = section.has("max_inbound_age").then(|| section.duration("max_inbound_age", "3d"));
    let catch_up_from = catch_up_from(section);
    Pull { poll, subscribe, preferred_server, max_inbound_age, catch_up_from }
}

/// Where the looking begins.
pub(super) fn catch_up_from(section: &Section<'_>) -> Option<Timestamp> {
    section.has("catch_up_from").then(|| {
        let instead = "a moment such as \"2026-11-20T18:00:00Z\", or a day such as \"2026-11-20\"";
        section.parsed("catch_up_from", "1970-01-01", instead, moment)
    })
}

fn moment(text: &str) -> Option<Timestamp> {
    let day = |date: Date| date.to_zoned(TimeZone::UTC).ok().map(|zoned| zoned.timestamp());
    text.parse().ok().or_else(|| text.parse().ok().and_then(day))
}

/// What follows from the other tables, and what must hold between them.
pub(super) fn settle(
    root: &Section<'_>,
    http: Option<&Http>,
    ledger: Option<&LedgerSettings>,
    providers: &mut [Option<Provider>],
) {
    let public = http.is_none_or(|http| http.public_url.is_some());
    for (index, provider) in providers.iter_mut().enumerate() {
        let Some(provider) = provider else { continue };
        let ProviderKind::NetSapiens(settings) = &mut provider.kind else { continue };
        let pull = &mut settings.pull;
        let key = |key: &str| format!("provider \"{}\".{key}", provider.name);
        if pull.subscribe == Some(true) && !public {
            root.problem(
                &key("subscribe"),
                "is true, and http.public_url is missing: nobody knows where to post events",
                "public_url = \"https://…\" under [http], or poll = \"60s\" instead",
            );
        }
        let age = age(root, &key("max_inbound_age"), pull.max_inbound_age, ledger);
        pull.max_inbound_age = Some(age);
        root.record(&format!("provider.{index}.max_inbound_age"), written(age));
        let subscribe = pull.subscribe.unwrap_or(public);
        pull.subscribe = Some(subscribe);
        root.record(&format!("provider.{index}.subscribe"), subscribe);
        if pull.poll.is_none() && !public {
            pull.poll = Some(ONLY_WAY);
            root.record(&format!("provider.{index}.poll"), written(ONLY_WAY));
        }
    }
}

/// What is found older is given to nobody.
pub(super) fn age(root: &Section<'_>, key: &str, given: Option<Duration>, ledger: Option<&LedgerSettings>) -> Duration {
    let retain = ledger.map_or(YOUNG * 2, LedgerSettings::retain);
    let age = given.unwrap_or(YOUNG.min(retain / 2));
    if age >= retain {
        root.problem(
            key,
            "must be shorter than ledger.retain: what the ledger forgot would be given to an agent once more",
            "a shorter one, such as \"3d\"",
        );
    }
    age
}
