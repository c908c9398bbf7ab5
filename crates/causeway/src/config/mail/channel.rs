//! What a mail channel has of its own, and where consumers' messages of any channel go.

use super::settings::{EmailAs, EmailChannel, Inbound, ListUnsubscribe};
use crate::config::parse_duration;
use crate::config::section::Section;

pub(in crate::config) fn email_kind(section: &Section<'_>) -> EmailChannel {
    let shapes = [("email", EmailAs::Email), ("text", EmailAs::Text)];
    let ways = [("off", ListUnsubscribe::Off), ("mailto", ListUnsubscribe::Mailto), ("url", ListUnsubscribe::Url)];
    EmailChannel {
        email_as: section.word_or("email_as", "email", &shapes),
        list_unsubscribe: section.word_or("list_unsubscribe", "off", &ways),
        reply_token: section.boolean("reply_token", false),
    }
}

/// Where consumers' messages go.
pub(in crate::config) fn inbound(section: &Section<'_>) -> Option<Inbound> {
    let open_media = section.word_or("inbound", "messages", &[("messages", false), ("open-media", true)]);
    let service = section.string("open_media_service");
    let idle = section.has("open_media_idle").then(|| {
        let length = |text: &str| parse_duration(text).filter(|length| !length.is_zero());
        section.parsed("open_media_idle", "1h", "a duration such as \"1h\"", length)
    });
    if !open_media {
        section.without_effect(&["open_media_service"], "inbound = \"messages\"");
        if section.has("open_media_idle") {
            let instead = "inbound = \"open-media\" beside it";
            section.problem("open_media_idle", "belongs to inbound = \"open-media\"", instead);
        }
        return Some(Inbound::Messages);
    }
    let Some(service) = service.filter(|service| !service.trim().is_empty()) else {
        let instead = "the name of the open media service Genesys configured for you";
        section.problem("open_media_service", "is missing", instead);
        return None;
    };
    Some(Inbound::OpenMedia { service, idle })
}
