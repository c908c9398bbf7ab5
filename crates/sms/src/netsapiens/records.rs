//! What the platform keeps, in types (sections 4, 6 and 2.2). Every value may be missing, and come as any scalar.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use model::{Private, SessionId};
use serde::Serialize;
use serde_json::Value;

use super::fields::Fields;
use super::time;

/// A conversation of one user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MessageSession {
    /// Its id, opaque.
    pub id: SessionId,
    /// The user whose it is.
    pub user: Option<String>,
    /// That user's domain.
    pub domain: Option<String>,
    /// The far side: numbers, or users of a chat.
    pub remote: Vec<Private<String>>,
    /// The company's number; a chat has none.
    pub sms_number: Option<String>,
    /// `group-chat` and such; usually nothing.
    pub kind: Option<String>,
    /// As its participants call it.
    pub name: Option<Private<String>>,
    /// Everybody, where it is a group.
    pub participants: Vec<Private<String>>,
    /// Whether its user wants to hear nothing of it.
    pub muted: Option<bool>,
    /// When it began.
    pub started_at: Option<Timestamp>,
    /// When something happened in it last.
    pub last_at: Option<Timestamp>,
    /// The last message.
    pub last_text: Option<Private<String>>,
    /// Who wrote that.
    pub last_sender: Option<Private<String>>,
    /// `read` or `unread`, by its user.
    pub last_status: Option<String>,
    /// The type of the last message.
    pub last_type: Option<String>,
}

/// Which way a message went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// To the company.
    Inbound,
    /// From the company.
    Outbound,
    /// Between users, or not said.
    Unknown,
}

/// A message as the platform keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StoredMessage {
    /// Its id.
    pub id: Option<String>,
    /// When.
    pub at: Option<Timestamp>,
    /// `sms`, `mms`, `chat`, `chat-media`, or one the platform makes for itself.
    pub kind: Option<String>,
    /// Which way.
    pub direction: Direction,
    /// The number it was sent from.
    pub from_number: Option<Private<String>>,
    /// The user it was sent by; nobody off the platform has one.
    pub from_user: Option<Private<String>>,
    /// What sent it.
    pub user_agent: Option<String>,
    /// The numbers it was sent to.
    pub to: Vec<Private<String>>,
    /// What it says.
    pub text: Option<Private<String>>,
    /// What the platform says of it; it never says that it arrived (section 8).
    pub status: Option<String>,
    /// The type of its picture or file.
    pub media_type: Option<String>,
    /// The size of it, in bytes.
    pub media_size: Option<u64>,
    /// Whether there is a URL of it; the URL is signed, and worth as much as the picture.
    pub has_media_url: bool,
}

/// A number that can send and receive texts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SmsNumber {
    /// Its digits.
    pub number: String,
    /// `user`, `callqueue` or `available`.
    pub application: Option<String>,
    /// Its domain.
    pub domain: Option<String>,
    /// The user or queue it belongs to.
    pub owner: Option<String>,
    /// Who carries it.
    pub carrier: Option<String>,
    /// Whether it sends pictures; some carriers' rows do not say.
    pub mms_capable: Option<bool>,
    /// Whether it sends them to groups.
    pub group_mms_capable: Option<bool>,
}

/// An API key, without the key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ApiKey {
    /// Its id, which is not the key.
    pub id: Option<String>,
    /// What it is for.
    pub description: Option<String>,
    /// Its reseller.
    pub reseller: Option<String>,
    /// The domain it is limited to.
    pub domain: Option<String>,
    /// The user it is limited to.
    pub user: Option<String>,
    /// Whose rights it has.
    pub scope: Option<String>,
    /// Whether it may only read.
    pub read_only: Option<bool>,
    /// What it may touch; nothing here is everything.
    pub models: Vec<String>,
}

/// What a server says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Version {
    /// Of its API.
    pub api: Option<String>,
    /// Its name.
    pub host: Option<String>,
    /// Its time, where it can be read.
    pub time: Option<Timestamp>,
}

impl MessageSession {
    /// A row without an id is none.
    pub(super) fn read(row: &Value, zone: &TimeZone) -> Option<Self> {
        let row = Fields::of(row);
        let text = |name: &str| row.first(&[&format!("messagesession-{name}"), name]).map(str::to_owned);
        // The schema has one spelling of times and the examples have the other.
        let at = |name: &str| {
            let found = text(&format!("{name}-datetime")).or_else(|| text(&format!("{name}-timestamp")));
            found.and_then(|found| time::parse(&found, zone))
        };
        Some(Self {
            id: SessionId::new(row.first(&["messagesession-id", "session-id"])?),
            user: text("user"),
            domain: text("domain"),
            remote: several(text("remote").as_deref()),
            sms_number: text("sms-number"),
            kind: text("type"),
            name: text("name").map(Private::new),
            participants: several(text("participants").as_deref()),
            muted: text("muted").and_then(|word| yes(&word)),
            started_at: at("start"),
            last_at: at("last"),
            last_text: text("last-message").map(Private::new),
            last_sender: text("last-sender").map(Private::new),
            last_status: text("last-status"),
            last_type: text("last-type"),
        })
    }
}

impl StoredMessage {
    pub(super) fn read(row: &Value, zone: &TimeZone) -> Self {
        let row = Fields::of(row);
        let text = |names: &[&str]| row.first(names).map(str::to_owned);
        Self {
            id: text(&["id"]),
            at: row.first(&["timestamp", "datetime"]).and_then(|text| time::parse(text, zone)),
            kind: text(&["type"]),
            direction: match row.first(&["direction"]) {
                Some("orig") => Direction::Inbound,
                Some("term") => Direction::Outbound,
                _ => Direction::Unknown,
            },
            from_number: text(&["from-number", "from-num"]).map(Private::new),
            from_user: text(&["from-user-id", "from-uid"]).map(Private::new),
            user_agent: text(&["from-user-agent"]),
            to: several(row.first(&["dialed", "terminating-number", "term-num"])),
            text: text(&["text"]).map(Private::new),
            status: text(&["status"]),
            media_type: text(&["media-type"]),
            media_size: row.first(&["media-size"]).and_then(|size| size.parse().ok()),
            has_media_url: row.first(&["file-access-url", "remotepath"]).is_some(),
        }
    }
}

impl SmsNumber {
    /// A row without a number is none.
    pub(super) fn read(row: &Value) -> Option<Self> {
        let row = Fields::of(row);
        let text = |name: &str| row.first(&[name]).map(str::to_owned);
        Some(Self {
            number: text("number")?,
            application: text("application"),
            domain: text("domain"),
            owner: text("dest"),
            carrier: text("carrier"),
            mms_capable: text("mms-capable").and_then(|word| yes(&word)),
            group_mms_capable: text("group-mms-capable").and_then(|word| yes(&word)),
        })
    }
}

impl ApiKey {
    pub(super) fn read(row: &Value) -> Self {
        let models =
            row.as_object().into_iter().flatten().find(|(key, _)| key.trim().replace('_', "-") == "allowed-models");
        let models = match models.map(|(_, models)| models) {
            Some(Value::Array(models)) => models.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
            Some(Value::String(models)) => several(Some(models)).into_iter().map(Private::into_inner).collect(),
            _ => Vec::new(),
        };
        let row = Fields::of(row);
        let text = |names: &[&str]| row.first(names).map(str::to_owned);
        Self {
            id: text(&["key-id", "id"]),
            description: text(&["description"]),
            reseller: text(&["reseller"]),
            domain: text(&["domain"]),
            user: text(&["user"]),
            scope: text(&["user-scope"]),
            read_only: text(&["readonly", "read-only"]).and_then(|word| yes(&word)),
            models,
        }
    }
}

impl Version {
    pub(super) fn read(body: &Value, zone: &TimeZone) -> Self {
        let row = Fields::of(body);
        let text = |names: &[&str]| row.first(names).map(str::to_owned);
        Self {
            api: text(&["apiversion", "api-version"]),
            host: text(&["hostname"]),
            time: row.first(&["current-time"]).and_then(|text| time::parse(text, zone)),
        }
    }
}

/// Values with commas between.
fn several(list: Option<&str>) -> Vec<Private<String>> {
    let list = list.unwrap_or_default().split(',').map(str::trim);
    list.filter(|one| !one.is_empty()).map(|one| Private::new(one.to_owned())).collect()
}

/// `yes/no/true/false/1/0` (section 1.1).
pub(super) fn yes(word: &str) -> Option<bool> {
    match word.trim().to_lowercase().as_str() {
        "yes" | "true" | "1" => Some(true),
        "no" | "false" | "0" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
