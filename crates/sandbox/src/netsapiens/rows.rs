//! Rows as servers print them, with the quirks that clients have met.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Number, Value, json};

use super::session::{Row, Session};

/// What of a User-Agent is kept in a row.
const USER_AGENT: usize = 64;

/// Naive, in UTC, to the second.
pub(super) fn stamp(at: Timestamp) -> String {
    at.to_zoned(TimeZone::UTC).strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// A string after PHP's numeric check: what looks like a number becomes one, and loses what a number does not have.
pub(super) fn coerced(text: &str) -> Value {
    let trimmed = text.trim_matches([' ', '\t', '\n', '\r', '\u{b}', '\u{c}']);
    let unsigned = trimmed.strip_prefix(['+', '-']).unwrap_or(trimmed);
    let numeric = unsigned.starts_with(|first: char| first.is_ascii_digit() || first == '.')
        && unsigned.bytes().all(|byte| byte.is_ascii_digit() || b".eE+-".contains(&byte))
        && unsigned.bytes().any(|byte| byte.is_ascii_digit());
    if !numeric {
        return Value::String(text.to_owned());
    }
    if let Ok(integer) = trimmed.parse::<i64>() {
        return integer.into();
    }
    let number = trimmed.parse::<f64>().ok().and_then(Number::from_f64);
    number.map_or_else(|| Value::String(text.to_owned()), Value::Number)
}

/// One message, as a `GET` shows it.
pub(super) fn message(session: &Session, row: &Row, domain: &str) -> Value {
    let uid = format!("{}@{domain}", session.user);
    let user_agent: String = row.user_agent.chars().take(USER_AGENT).collect();
    // Of a group's messages the rows do not say whom they were dialled to.
    let (from_uid, dialed, term_uid) = match (row.outbound, session.is_group()) {
        (true, _) => (uid.as_str(), session.remote.as_str(), ""),
        (false, false) => ("", session.number.as_str(), uid.as_str()),
        (false, true) => ("", "", uid.as_str()),
    };
    json!({
        "id": row.id,
        "timestamp": stamp(row.at),
        "type": "sms",
        "domain": domain,
        "direction": if row.outbound { "term" } else { "orig" },
        "from-number": coerced(session.sender(row)),
        "from-user-id": from_uid,
        "from-user-agent": coerced(&user_agent),
        "dialed": coerced(dialed),
        "terminating-number": if row.outbound { coerced(dialed) } else { Value::from("") },
        "terminating-user-id": term_uid,
        "text": coerced(&row.text),
        "status": if row.outbound { "sending" } else { "" },
        "messagesession-id": coerced(&session.id),
        "messagesession-participants": session.participants(),
        "messagesession-reciever-hostname": "sandbox",
        "media-type": null,
        "media-size": null,
        "file-access-url ": "",
    })
}

/// One session. Half of them have the spelling of the schema for their times, half that of the examples.
pub(super) fn session(session: &Session, domain: &str) -> Value {
    let last = session.rows.back();
    let last_text = last.map_or("", |row| row.text.as_str());
    let outbound = last.is_some_and(|row| row.outbound);
    let sender = match last {
        Some(row) if !row.outbound => session.sender(row).to_owned(),
        Some(_) => format!("{}@{domain}", session.user),
        None => session.remote.clone(),
    };
    let mut value = json!({
        "user": coerced(&session.user),
        "domain": domain,
        "messagesession-id": coerced(&session.id),
        "messagesession-remote": coerced(&session.remote),
        "messagesession-sms-number": coerced(&session.number),
        "messagesession-last-message": coerced(last_text),
        "messagesession-last-sender": coerced(&sender),
        "messagesession-last-status": if outbound { "read" } else { "unread" },
        "messagesession-muted": "no",
        "messagesession-last-type": "sms",
        "messagesession-last-media-type": null,
        "messagesession-last-media-size": null,
        "messagesession-type": "",
        "messagesession-name": "",
        "messagesession-participants": session.participants(),
        "messagesession-reciever-hostname": "sandbox",
    });
    let word = if session.ordinal.is_multiple_of(2) { "timestamp" } else { "datetime" };
    if let Some(fields) = value.as_object_mut() {
        let last_at = last.map_or(session.started, |row| row.at);
        fields.insert(format!("messagesession-last-{word}"), stamp(last_at).into());
        fields.insert(format!("messagesession-start-{word}"), stamp(session.started).into());
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_looks_like_a_number_becomes_one() {
        let cases = [
            ("hello", json!("hello")),
            ("", json!("")),
            ("5", json!(5)),
            ("007", json!(7)),
            (" 42 ", json!(42)),
            ("+13125550142", json!(13_125_550_142_i64)),
            ("-3", json!(-3)),
            ("12-3", json!("12-3")),
            ("1.2.3", json!("1.2.3")),
            ("e5", json!("e5")),
            ("0x1A", json!("0x1A")),
        ];
        for (text, expected) in cases {
            assert_eq!(coerced(text), expected, "{text}");
        }
        assert_eq!(coerced("1e5").to_string(), "100000.0");
        assert_eq!(coerced("2.50").to_string(), "2.5");
    }
}
