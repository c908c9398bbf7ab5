//! Agents' mail (section 5.3).

use model::{MediaRef, Named, Private, ReasonCode, Unsendable};
use serde_json::{Map, Value};

use super::WebhookContent;
use crate::reader;
use crate::references::{self, References};

/// An agent's mail to everybody it names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookMail {
    /// The display name of the sender.
    pub from_name: Private<String>,
    /// Everybody who gets it, each once: those of `channel.to` first. None of them is shown another.
    pub recipients: Vec<Named>,
    /// Where answers go.
    pub reply_to: Option<Named>,
    /// The subject; may be empty.
    pub subject: Private<String>,
    /// The text.
    pub text: Option<Private<String>>,
    /// The HTML.
    pub html: Option<Private<String>>,
    /// What is attached.
    pub files: Vec<MediaRef>,
}

/// Whether a message is a mail.
pub(super) fn is_mail(message: &Map<String, Value>, channel: &Map<String, Value>) -> bool {
    let is = |object, value: &str| reader::text(object, "type").is_some_and(|kind| kind.eq_ignore_ascii_case(value));
    is(message, "email") || (is(channel, "email") && !is(message, "receipt") && !is(message, "event"))
}

pub(super) fn read(message: &Map<String, Value>, channel: &Map<String, Value>) -> WebhookContent {
    let unsendable = |code, reason: &str| WebhookContent::Unsendable(Unsendable { code, reason: reason.to_owned() });
    let References { files, broken, .. } = references::find(message);
    if broken {
        return unsendable(ReasonCode::Unsupported, "The mail refers to a file in a way that cannot be followed.");
    }
    if files.len() > references::MOST {
        return unsendable(ReasonCode::Unsupported, "The mail has more files than can be sent at once.");
    }
    let (text, html) = parts(message);
    if text.is_none() && html.is_none() && files.is_empty() {
        return unsendable(ReasonCode::InvalidStructure, "The mail has no text.");
    }
    let from = channel.get("from").and_then(person);
    WebhookContent::Mail(Box::new(WebhookMail {
        from_name: from.unwrap_or_default().name,
        recipients: recipients(message, channel),
        reply_to: reply_to(message, channel),
        subject: reader::text(message, "subject").unwrap_or_default().into(),
        text: text.map(Private::new),
        html: html.map(Private::new),
        files,
    }))
}

/// The objects in which addresses beside `channel.to` were seen or may be.
fn places<'a>(message: &'a Map<String, Value>, channel: &'a Map<String, Value>) -> Vec<&'a Map<String, Value>> {
    let context = |object: &'a Map<String, Value>| object.get("context").and_then(Value::as_object);
    [context(channel), context(message), Some(channel), Some(message)].into_iter().flatten().collect()
}

fn recipients(message: &Map<String, Value>, channel: &Map<String, Value>) -> Vec<Named> {
    let to = channel.get("to").into_iter();
    let places = places(message, channel);
    let others = places.iter().flat_map(|place| ["cc", "bcc"].into_iter().filter_map(|key| place.get(key)));
    let mut known = std::collections::HashSet::new();
    let people = to.chain(others).flat_map(people);
    people.filter(|person| known.insert(person.id.expose().trim().to_lowercase())).collect()
}

fn reply_to(message: &Map<String, Value>, channel: &Map<String, Value>) -> Option<Named> {
    places(message, channel).iter().find_map(|place| people(place.get("replyTo")?).into_iter().next())
}

fn people(value: &Value) -> Vec<Named> {
    match value {
        Value::Array(values) => values.iter().filter_map(person).collect(),
        other => person(other).into_iter().collect(),
    }
}

fn person(value: &Value) -> Option<Named> {
    let id = reader::address(value)?;
    let name = value.as_object().and_then(|object| reader::text(object, "name"));
    Some(Named { id: id.into(), name: name.unwrap_or_default().into() })
}

/// The text and the HTML; several parts of one kind stand one under the other.
fn parts(message: &Map<String, Value>) -> (Option<String>, Option<String>) {
    let (mut text, mut html) = (Vec::new(), Vec::new());
    let parts: Vec<&Value> = match message.get("content") {
        Some(Value::Array(parts)) => parts.iter().collect(),
        Some(one) => vec![one],
        None => Vec::new(),
    };
    for part in parts {
        match part {
            Value::Object(part) => {
                let kind = reader::text(part, "type").unwrap_or_default().to_ascii_lowercase();
                let Some(content) = reader::text(part, "text") else { continue };
                match kind.as_str() {
                    "html" | "text/html" => html.push(content),
                    "" | "text" | "plain" | "text/plain" => text.push(content),
                    _ => {}
                }
            }
            Value::String(content) => text.push(content.clone()),
            _ => {}
        }
    }
    if text.is_empty() && html.is_empty() {
        text.extend(reader::text(message, "text"));
    }
    let joined = |parts: Vec<String>, between| Some(parts.join(between)).filter(|text| !text.trim().is_empty());
    (joined(text, "\n\n"), joined(html, "\n"))
}
