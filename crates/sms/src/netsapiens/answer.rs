//! What an answer means for the caller: section 9, under the rule of design 4 that a 500, 502 or 504 and an answer that
//! never came are unknown outcomes, and that a 503 or 429 is an answer.

use std::time::Duration;

use jiff::Timestamp;
use model::{NeighbourName, ReasonCode, SessionId};
use runtime::{Answer, CallError};
use serde_json::Value;

use super::fields::{Fields, scalar};
use crate::{SendError, Sent};

/// How long an edge that blocks us is left alone (section 9).
pub(crate) const EDGE_PAUSE: Duration = Duration::from_secs(300);
/// A throttle that names no time gets at least this (section 9).
pub(super) const THROTTLE_PAUSE: Duration = Duration::from_secs(30);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    /// The call was made.
    #[error(transparent)]
    Call(#[from] CallError),
    /// There was no token to make it with.
    #[error(transparent)]
    Login(#[from] SendError),
}

impl Trouble {
    /// What it means where nothing was asked for but an answer.
    pub(super) fn unanswered(self, account: &NeighbourName) -> SendError {
        match self {
            Self::Login(error) => error,
            Self::Call(error) => later(format!("provider {account}: {error}")),
        }
    }
}

fn later(cause: String) -> SendError {
    SendError::Later { after: None, throttled: false, cause }
}

pub(super) fn sent(
    account: &NeighbourName,
    answered: Result<Answer, Trouble>,
    session: SessionId,
    now: Timestamp,
) -> Result<Sent, SendError> {
    let answer = raw(account, answered)?;
    let body = runtime::lenient_json(&answer.body).unwrap_or_default();
    if answer.status.is_success() {
        return accepted(account, &body, session);
    }
    // What is read may not be there yet. Where something is sent only its sender can be unknown.
    if answer.status.as_u16() == 404 {
        let told = "it knows no such user, or not in this domain; check user of the channel and domain of the provider";
        return Err(channel_fault(&format!("provider {account} answered {}", answer.status), told));
    }
    Err(refused(account, &answer, &body, now))
}

fn channel_fault(cause: &str, told: &str) -> SendError {
    SendError::ChannelFault { cause: format!("{cause}: {told}") }
}

/// The rows of a session, newest first as the server gives them; a session that does not exist has none.
pub(super) fn rows(
    account: &NeighbourName,
    answered: Result<Answer, Trouble>,
    now: Timestamp,
) -> Result<Vec<Value>, SendError> {
    let answer = answered.map_err(|trouble| trouble.unanswered(account))?;
    let body = runtime::lenient_json(&answer.body).unwrap_or_default();
    match (answer.status.as_u16(), body) {
        (404, _) => Ok(Vec::new()),
        (200..=299, Value::Array(rows)) => Ok(rows),
        // A list of one row may come as the row itself (section 1).
        (200..=299, row @ Value::Object(_))
            if Fields::of(&row)
                .first(&["direction", "timestamp", "text", "messagesession-id", "post-url"])
                .is_some() =>
        {
            Ok(vec![row])
        }
        (200..=299, _) => Err(later(format!("provider {account} answered a look with something that is no list"))),
        (_, body) => Err(match refused(account, &answer, &body, now) {
            fault @ (SendError::AccountFault { .. } | SendError::Later { .. } | SendError::Blocked { .. }) => fault,
            SendError::Unknown { cause } | SendError::Never { cause, .. } | SendError::ChannelFault { cause } => {
                later(cause)
            }
        }),
    }
}

/// The rows of a list, whose rows have one of `keys`: a list of one may come as the row itself (section 1). What a row says of
/// itself, such as a subscription that it is in `error`, is no failure of the list.
pub(super) fn list(
    account: &NeighbourName,
    answered: Result<Answer, Trouble>,
    keys: &[&str],
    now: Timestamp,
) -> Result<Vec<Value>, SendError> {
    match body(account, answered, now)? {
        Value::Array(rows) => Ok(rows),
        Value::Null => Ok(Vec::new()),
        Value::Object(row) if row.is_empty() => Ok(Vec::new()),
        row if Fields::of(&row).first(keys).is_some() => Ok(vec![row]),
        other if holds_failure(&other) => Err(failure_within(account)),
        _ => Err(later(format!("provider {account} answered with something that is no list"))),
    }
}

/// The JSON of an answer, where it is a success without a failure in it.
pub(super) fn json(
    account: &NeighbourName,
    answered: Result<Answer, Trouble>,
    now: Timestamp,
) -> Result<Value, SendError> {
    let body = body(account, answered, now)?;
    let first = body.as_array().and_then(|rows| rows.first()).unwrap_or(&body);
    if holds_failure(first) { Err(failure_within(account)) } else { Ok(body) }
}

fn body(account: &NeighbourName, answered: Result<Answer, Trouble>, now: Timestamp) -> Result<Value, SendError> {
    let answer = answered.map_err(|trouble| trouble.unanswered(account))?;
    let body = runtime::lenient_json(&answer.body).unwrap_or_default();
    if answer.status.is_success() { Ok(body) } else { Err(refused(account, &answer, &body, now)) }
}

/// Whatever was answered.
pub(super) fn raw(account: &NeighbourName, answered: Result<Answer, Trouble>) -> Result<Answer, SendError> {
    answered.map_err(|trouble| match trouble {
        Trouble::Call(error @ CallError::NoAnswer(_)) => {
            SendError::Unknown { cause: format!("provider {account}: {error}") }
        }
        other => other.unanswered(account),
    })
}

/// Whether a login is good for anything; what a key would tell of itself, a login does not.
pub(super) fn login(
    account: &NeighbourName,
    answered: Result<Answer, Trouble>,
    now: Timestamp,
) -> Result<Vec<String>, SendError> {
    json(account, answered, now).map(|_version| Vec::new())
}

/// What an answer that is no success means where nothing was sent to anybody.
pub(super) fn refusal(account: &NeighbourName, answer: &Answer, now: Timestamp) -> SendError {
    let body = runtime::lenient_json(&answer.body).unwrap_or_default();
    refused(account, answer, &body, now)
}

/// What is to be said of a key (section 2.2). A server too old to tell has taken it all the same.
pub(super) fn key(
    account: &NeighbourName,
    answered: Result<Answer, Trouble>,
    now: Timestamp,
) -> Result<Vec<String>, SendError> {
    let answer = answered.map_err(|trouble| trouble.unanswered(account))?;
    let body = runtime::lenient_json(&answer.body).unwrap_or_default();
    match answer.status.as_u16() {
        404 => {
            return Ok(vec![format!(
                "provider {account} does not tell about keys; whether this one may send is not known"
            )]);
        }
        200..=299 => {}
        _ => return Err(refused(account, &answer, &body, now)),
    }
    let key = Fields::of(&body);
    let mut warnings = Vec::new();
    if key.first(&["readonly"]).is_some_and(|readonly| ["yes", "true", "1"].contains(&readonly)) {
        let told = "its key is read-only, so nothing can be sent; make one that may write messages";
        return Err(SendError::AccountFault { cause: format!("provider {account}: {told}") });
    }
    if key.first(&["user-scope"]).is_some_and(|scope| scope.eq_ignore_ascii_case("super user")) {
        warnings.push(format!("provider {account}: its key is a super user's; one limited to messages is enough"));
    }
    Ok(warnings)
}

/// Any 2xx is success (section 1), unless it holds a failure (section 3.1).
fn accepted(account: &NeighbourName, body: &Value, session: SessionId) -> Result<Sent, SendError> {
    let first = match body {
        Value::Array(rows) => rows.first().unwrap_or(&Value::Null),
        other => other,
    };
    if holds_failure(first) {
        return Err(failure_within(account));
    }
    let fields = Fields::of(first);
    let provider_id = fields.first(&["id"]).map(str::to_owned);
    let session = fields.first(&["messagesession-id"]).map_or(session, SessionId::new);
    Ok(Sent { provider_id, session })
}

fn failure_within(account: &NeighbourName) -> SendError {
    SendError::Never {
        code: ReasonCode::General,
        reason: "The provider refused the message.".to_owned(),
        cause: format!("provider {account} answered 2xx with a failure in it"),
    }
}

fn holds_failure(body: &Value) -> bool {
    let Some(object) = body.as_object() else { return false };
    let is = |key: &str, words: &[&str]| {
        object.get(key).and_then(scalar).is_some_and(|value| words.contains(&value.to_lowercase().as_str()))
    };
    let told = |key: &str| object.get(key).is_some_and(|value| !value.is_null() && value != false && value != "");
    told("error")
        || told("errorMessage")
        || is("status", &["failed", "error"])
        || is("ok", &["false"])
        || is("success", &["false"])
}

fn refused(account: &NeighbourName, answer: &Answer, body: &Value, now: Timestamp) -> SendError {
    let status = answer.status.as_u16();
    let cause = format!("provider {account} answered {}", answer.status);
    let later = |after| SendError::Later { after, throttled: status == 429, cause: cause.clone() };
    let never = |code, reason: &str| SendError::Never { code, reason: reason.to_owned(), cause: cause.clone() };
    match status {
        401 => {
            SendError::AccountFault { cause: format!("{cause}: its key is refused; check auth of provider {account}") }
        }
        403 if body.is_object() => {
            let told = "check the key's scope, models and address list";
            SendError::AccountFault { cause: format!("{cause}: its key may not do this; {told}") }
        }
        403 => SendError::Blocked { cause: format!("{cause} from its edge (no JSON): a firewall blocks us") },
        400 => bad_request(body, &cause),
        404 => never(ReasonCode::General, "The provider does not know the sender's user or domain."),
        413 => never(ReasonCode::Unsupported, "The message is too large for the provider."),
        429 => later(Some(answer.retry_after(now).unwrap_or(THROTTLE_PAUSE))),
        // A proxy of ours that wants a login, a connection that led to another server, a request that came too early in a TLS
        // session: none of them was looked at.
        407 | 421 | 425 => later(None),
        503 => later(answer.retry_after(now)),
        300..=399 => {
            SendError::AccountFault { cause: format!("{cause}, a redirect; check base_url of provider {account}") }
        }
        // Whoever gave up waiting, a proxy in front perhaps, does not say what the server did with what it had of it.
        408 | 500..=599 => SendError::Unknown { cause },
        _ => never(ReasonCode::General, "The provider refused the message."),
    }
}

/// The one refusal whose words say whose fault it is; they are looked at, never passed on, for they may quote a number.
fn bad_request(body: &Value, cause: &str) -> SendError {
    let words = body.get("message").and_then(scalar).unwrap_or_default().to_lowercase();
    let says = |parts: &[&str]| parts.iter().any(|part| words.contains(part));
    let of_recipient = says(&["destination", "recipient", "to-number"]);
    if says(&["from-number", "from_num", "from number"]) && !of_recipient {
        let told =
            "the number is not one of this user's; check number and user of the channel, and who owns the number";
        return channel_fault(cause, told);
    }
    let (code, reason) =
        if of_recipient || says(&["phone number"]) || says(&["number"]) && says(&["invalid", "not valid"]) {
            (ReasonCode::InvalidDestination, "The provider says that the recipient's number is not valid.")
        } else {
            (ReasonCode::General, "The provider refused the message.")
        };
    SendError::Never { code, reason: reason.to_owned(), cause: cause.to_owned() }
}
