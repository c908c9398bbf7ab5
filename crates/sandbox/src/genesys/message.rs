//! The bodies of the documents, read as strictly as a strict writer deserves.

use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Map, Value};
use sha1::Sha1;

use super::types::{ReceivedAttachment, ReceivedEmail};

/// The value of `X-Hub-Signature` for a body: `sha1=` and HMAC-SHA1 over its bytes in lower-case hex.
pub fn sign(secret: &str, body: &[u8]) -> String {
    format!("sha1={}", hex::encode(mac(secret, body).finalize().into_bytes()))
}

/// Whether a header value is the signature of a body.
pub(super) fn verify(secret: &str, body: &[u8], header: &str) -> bool {
    let given = header.strip_prefix("sha1=").and_then(|hex| hex::decode(hex).ok());
    given.is_some_and(|given| mac(secret, body).verify_slice(&given).is_ok())
}

fn mac(secret: &str, body: &[u8]) -> Hmac<Sha1> {
    let mut mac = Hmac::<Sha1>::new_from_slice(secret.as_bytes()).expect("HMAC takes a key of any length");
    mac.update(body);
    mac
}

/// One message of a call.
pub(super) struct Posted {
    pub(super) from: String,
    pub(super) to: String,
    pub(super) message_id: Option<String>,
    pub(super) kind: Kind,
}

pub(super) enum Kind {
    Text { text: String },
    RichMedia { text: String, attachments: Vec<ReceivedAttachment> },
    Email(ReceivedEmail, String, Vec<ReceivedAttachment>),
    Receipt { status: String, reasons: Vec<(i64, Option<String>)> },
}

/// Reads a call; the error says what the documents would not allow.
pub(super) fn read(body: &[u8]) -> Result<Posted, String> {
    let value: Value = serde_json::from_slice(body).map_err(|_| "the body is not JSON".to_owned())?;
    let envelope = object(&value, "the body", &["messages"])?;
    let [message] = envelope.get("messages").and_then(Value::as_array).map_or(&[][..], Vec::as_slice) else {
        return Err("messages must be an array of exactly one".to_owned());
    };
    let known = ["channel", "type", "subject", "text", "content", "status", "reasons"];
    let message = object(message, "a message", &known)?;
    let channel = message.get("channel").ok_or("channel is missing")?;
    let channel = object(channel, "channel", &["from", "to", "messageId"])?;
    let message_id = channel.get("messageId").map(|id| string(id, "channel.messageId")).transpose()?;
    let kind = match message.get("type").and_then(Value::as_str) {
        Some("Text") => text(message)?,
        Some("RichMedia") => rich_media(message)?,
        Some("Email") => email(message, channel)?,
        Some("Receipt") => {
            message_id.as_ref().ok_or("a receipt needs channel.messageId")?;
            receipt(message)?
        }
        _ => return Err("type must be Text, RichMedia, Email or Receipt".to_owned()),
    };
    Ok(Posted { from: address(channel, "from")?, to: address(channel, "to")?, message_id, kind })
}

fn text(message: &Map<String, Value>) -> Result<Kind, String> {
    if message.contains_key("status") || message.contains_key("reasons") {
        return Err("a Text has no status and no reasons".to_owned());
    }
    Ok(Kind::Text { text: string(message.get("text").ok_or("text is missing")?, "text")? })
}

/// How a message refers to a file.
pub(super) const MEDIA: &str = "genesys://nexus/";

/// The shape nobody documented, as the shared model of contents has it.
fn rich_media(message: &Map<String, Value>) -> Result<Kind, String> {
    let content = message.get("content").and_then(Value::as_array).filter(|content| !content.is_empty());
    let mut attachments = Vec::new();
    for part in content.ok_or("a RichMedia has content")? {
        attachments.push(attachment(part)?);
    }
    let text = message.get("text").map(|text| string(text, "text")).transpose()?.unwrap_or_default();
    Ok(Kind::RichMedia { text, attachments })
}

fn attachment(part: &Value) -> Result<ReceivedAttachment, String> {
    let part = object(part, "a content", &["contentType", "attachment"])?;
    if part.get("contentType").and_then(Value::as_str) != Some("Attachment") {
        return Err("contentType must be Attachment".to_owned());
    }
    let known = ["mediaType", "url", "mime", "filename"];
    let attachment = object(part.get("attachment").ok_or("attachment is missing")?, "an attachment", &known)?;
    let field = |key: &str| string(attachment.get(key).ok_or(format!("{key} is missing"))?, key);
    Ok(ReceivedAttachment { media_type: field("mediaType")?, url: field("url")?, mime: field("mime")? })
}

/// The shape of outgoing mail, the other way round.
fn email(message: &Map<String, Value>, channel: &Map<String, Value>) -> Result<Kind, String> {
    if message.contains_key("text") || message.contains_key("status") {
        return Err("an Email has its text in content, and no status".to_owned());
    }
    let subject = message.get("subject").and_then(Value::as_str).ok_or("subject must be a string")?.to_owned();
    let content = message.get("content").and_then(Value::as_array).ok_or("an Email has content")?;
    let (mut text, mut html, mut attachments) = (None, None, Vec::new());
    for part in content {
        let kind = part.get("type").and_then(Value::as_str);
        let Some(kind) = kind else {
            attachments.push(attachment(part)?);
            continue;
        };
        let part = object(part, "a part", &["type", "text"])?;
        let words = string(part.get("text").ok_or("the text of a part is missing")?, "the text of a part")?;
        let place = match kind {
            "text" => &mut text,
            "html" => &mut html,
            _ => return Err("a part must be text or html".to_owned()),
        };
        if place.replace(words).is_some() {
            return Err(format!("there are two parts of type {kind}"));
        }
    }
    let from_name = channel.get("from").and_then(|from| from.get("name")).and_then(Value::as_str).map(str::to_owned);
    let text = text.ok_or("there is no part of type text")?;
    Ok(Kind::Email(ReceivedEmail { subject, from_name, html }, text, attachments))
}

fn receipt(message: &Map<String, Value>) -> Result<Kind, String> {
    let status = string(message.get("status").ok_or("status is missing")?, "status")?;
    if !["Delivered", "Removed", "Failed"].contains(&status.as_str()) {
        return Err("status must be Delivered, Removed or Failed".to_owned());
    }
    if message.contains_key("text") {
        return Err("a Receipt has no text".to_owned());
    }
    let given = match message.get("reasons") {
        None => &[][..],
        Some(_) if status != "Failed" => return Err("only Failed has reasons".to_owned()),
        Some(reasons) => reasons.as_array().ok_or("reasons must be an array")?,
    };
    let mut reasons = Vec::new();
    for reason in given {
        let reason = object(reason, "a reason", &["code", "message"])?;
        let code = reason.get("code").and_then(Value::as_i64).ok_or("a reason's code must be an integer")?;
        reasons.push((code, reason.get("message").map(|text| string(text, "a reason's message")).transpose()?));
    }
    Ok(Kind::Receipt { status, reasons })
}

fn address(channel: &Map<String, Value>, which: &str) -> Result<String, String> {
    let address = channel.get(which).ok_or(format!("channel.{which} is missing"))?;
    let address = object(address, which, &["id", "name"])?;
    string(address.get("id").ok_or(format!("channel.{which}.id is missing"))?, which)
}

fn object<'a>(value: &'a Value, what: &str, known: &[&str]) -> Result<&'a Map<String, Value>, String> {
    let object = value.as_object().ok_or(format!("{what} must be an object"))?;
    match object.keys().find(|key| !known.contains(&key.as_str())) {
        None => Ok(object),
        Some(key) => Err(format!("{what} has a field nobody documented: {key}")),
    }
}

fn string(value: &Value, what: &str) -> Result<String, String> {
    match value.as_str() {
        Some(text) if !text.is_empty() => Ok(text.to_owned()),
        _ => Err(format!("{what} must be a string that is not empty")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const V1: &str = r#"{"messages":[{"channel":{"from":{"id":"16504661149"},"to":{"id":"0123456789"}},"type":"Text","text":"Consumer message text"}]}"#;

    #[test]
    fn the_signature_is_the_documented_one() {
        assert_eq!(sign("nexus-test-secret", V1.as_bytes()), "sha1=5ea9689274a5e5bd115b8141556fa516b5c13cfd");
        assert_eq!(sign("Jefe", b"what do ya want for nothing?"), "sha1=effcdf6ae5eb2fa2d27416d5f184df9c259a7c79");
        assert!(verify("nexus-test-secret", V1.as_bytes(), "sha1=5ea9689274a5e5bd115b8141556fa516b5c13cfd"));
        let with_a_line_end = format!("{V1}\n");
        assert!(!verify(
            "nexus-test-secret",
            with_a_line_end.as_bytes(),
            "sha1=5ea9689274a5e5bd115b8141556fa516b5c13cfd"
        ));
        assert!(!verify("nexus-test-secret", V1.as_bytes(), "sha1="));
    }

    #[test]
    fn the_documented_bodies_are_read() {
        let posted = read(V1.as_bytes()).unwrap();
        assert_eq!((posted.from.as_str(), posted.to.as_str(), posted.message_id), ("16504661149", "0123456789", None));
        let failed = r#"{"messages":[{"channel":{"from":{"id":"a"},"to":{"id":"b"},"messageId":"1-0"},"type":"Receipt","status":"Failed","reasons":[{"code":350,"message":"no"}]}]}"#;
        let Kind::Receipt { status, reasons } = read(failed.as_bytes()).unwrap().kind else { panic!("a receipt") };
        assert_eq!((status.as_str(), reasons), ("Failed", vec![(350, Some("no".to_owned()))]));
    }

    #[test]
    fn what_the_documents_do_not_have_is_refused() {
        let wrong = [
            "",
            "[]",
            r#"{"messages":[]}"#,
            r#"{"messages":[{"channel":{"from":{"id":"a"},"to":{"id":"b"}},"type":"Text","text":null}]}"#,
            r#"{"messages":[{"channel":{"from":{"id":"a"},"to":{"id":"b"}},"type":"Text","text":""}]}"#,
            r#"{"messages":[{"channel":{"from":{"id":"a"},"to":[{"id":"b"}]},"type":"Text","text":"x"}]}"#,
            r#"{"messages":[{"channel":{"id":"b","from":{"id":"a"},"to":{"id":"b"}},"type":"Text","text":"x"}]}"#,
            r#"{"messages":[{"channel":{"from":{"id":"a"},"to":{"id":"b"}},"type":"Receipt","status":"Delivered"}]}"#,
            r#"{"messages":[{"channel":{"from":{"id":"a"},"to":{"id":"b"},"messageId":"1"},"type":"Receipt","status":"Sent"}]}"#,
            r#"{"messages":[{"channel":{"from":{"id":"a"},"to":{"id":"b"},"messageId":"1"},"type":"Receipt","status":"Failed","reasons":[{"code":"350"}]}]}"#,
        ];
        for body in wrong {
            assert!(read(body.as_bytes()).is_err(), "{body}");
        }
    }
}
