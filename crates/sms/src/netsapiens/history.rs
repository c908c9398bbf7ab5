//! Finds an attempt among the rows of its session (section 3.3).

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use model::SessionId;
use serde_json::Value;

use super::fields::{Fields, coerced, same_number};
use super::time;
use crate::{Look, SendRequest};

/// A row keeps the sender's User-Agent, cut at 64 characters.
const AGENT_LIMIT: usize = 64;
const PRODUCT: &str = concat!("causeway/", env!("CARGO_PKG_VERSION"));
/// How far the platform's clock may be behind ours.
const SKEW: SignedDuration = SignedDuration::from_secs(30);

/// The User-Agent that names an attempt.
pub(super) fn user_agent(attempt: &str) -> String {
    let mut agent = format!("{PRODUCT} {attempt}");
    agent.truncate(AGENT_LIMIT);
    agent.trim_end().to_owned()
}

/// Whether a User-Agent is one of ours.
pub(super) fn is_ours(agent: &str) -> bool {
    agent.starts_with("causeway/")
}

/// The attempt's own row, by the name it gave itself; otherwise an equal text of ours that is new enough and carries no
/// name, from a server that does not keep it. What it says of an attempt that failed is found as well.
pub(super) fn find(
    rows: &[Value],
    request: &SendRequest,
    began: Timestamp,
    zone: &TimeZone,
    claimed: &[String],
) -> Look {
    let free = |row: &Fields| row.first(&["id"]).is_none_or(|id| !claimed.iter().any(|claimed| claimed == id));
    let ours: Vec<Fields> = rows.iter().map(Fields::of).filter(|row| is_sent(row, request) && free(row)).collect();
    // Whichever version of this program made it: an attempt may be looked up after an upgrade.
    let id = |agent: &str| agent.split_once(' ').map(|(_, id)| id.to_owned());
    let own = id(&user_agent(&request.attempt));
    let named = |row: &&Fields| row.first(AGENT).is_some_and(|agent| is_ours(agent) && id(agent) == own);
    // One that carries no name and failed may be anybody's, and nobody got it.
    if ours.iter().find(named).is_some_and(has_failed) {
        return Look::Failed;
    }
    let alike = |row: &&Fields| {
        let nameless = row.first(AGENT).is_none_or(|agent| !is_ours(agent));
        let at = row.first(&["timestamp"]).and_then(|text| time::parse(text, zone));
        let new = at.is_some_and(|at| at >= began.saturating_sub(SKEW).unwrap_or(Timestamp::MIN));
        nameless
            && !has_failed(row)
            && new
            && holds(row, request)
            && coerced(row.first(&["text"]).unwrap_or_default()) == coerced(request.text.expose())
    };
    let found = ours.iter().find(named).or_else(|| ours.iter().find(alike));
    found.map_or(Look::NotThere, |row| Look::Found { provider_id: row.first(&["id"]).map(str::to_owned) })
}

/// Whether the status of a row says that it was not sent, in whichever word (section 8).
fn has_failed(row: &Fields) -> bool {
    let status = row.first(&["status"]).unwrap_or_default().to_lowercase();
    ["fail", "error", "reject"].iter().any(|word| status.contains(word))
}

/// Whether a row holds the file of an attempt, or none where it has none. A server may not say how large it is.
fn holds(row: &Fields, request: &SendRequest) -> bool {
    let kind = row.first(&["media-type"]).filter(|_| row.first(&["media-size"]) != Some("0"));
    match (&request.file, kind) {
        (None, kind) => kind.is_none(),
        (Some(_), None) => false,
        (Some(file), Some(kind)) => {
            let bare = kind.split(';').next().unwrap_or_default().trim();
            let size = row.first(&["media-size"]).and_then(|size| size.parse::<usize>().ok());
            bare.eq_ignore_ascii_case(&file.media_type) && size.is_none_or(|size| size == file.data.expose().len())
        }
    }
}

/// The other sessions between the same two numbers.
pub(super) fn sessions<'a>(
    rows: &'a [Value],
    request: &'a SendRequest,
    own: &'a SessionId,
) -> impl Iterator<Item = SessionId> + 'a {
    rows.iter().map(Fields::of).filter_map(|row| {
        let remote = row.first(&["messagesession-remote", "remote"])?;
        let ours = row.first(&["messagesession-sms-number", "sms-number"]);
        let fits = request.others.is_empty()
            && same_number(remote, request.to.digits())
            && ours.is_none_or(|ours| same_number(ours, &request.from));
        let id = row.first(&["messagesession-id", "session-id"])?;
        (fits && id != own.as_str()).then(|| SessionId::new(id))
    })
}

const AGENT: &[&str] = &["from-user-agent", "user-agent"];

fn is_sent(row: &Fields, request: &SendRequest) -> bool {
    let from_us = row.first(&["from-number", "from-num"]).is_some_and(|number| same_number(number, &request.from));
    row.first(&["direction"]) == Some("term") || from_us
}
