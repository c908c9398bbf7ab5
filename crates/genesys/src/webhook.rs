//! The reader of agents' replies: tolerant of every shape of section 11.

use model::{ChannelId, Private, ReasonCode, ReplyMedia, Unsendable};
use runtime::lenient_json;
use serde_json::{Map, Value};

use crate::media::SCHEME;
use crate::references::References;
use crate::{Verified, reader, references};

mod mail;

pub use mail::WebhookMail;

/// A webhook, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Webhook {
    /// Its messages, in their order; never empty. One per message, not yet one per recipient.
    pub messages: Vec<WebhookMessage>,
}

/// One outgoing message of an agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookMessage {
    /// `channel.id`, where there is one.
    pub channel: Option<ChannelId>,
    /// `channel.from.id`, byte for byte; empty where absent.
    pub from_id: Private<String>,
    /// Every `channel.to` id, byte for byte, in order; never empty.
    pub to_ids: Vec<Private<String>>,
    /// `channel.messageId`, where there is one.
    pub message_id: Option<String>,
    /// What it says.
    pub content: WebhookContent,
}

/// The content of a message, as far as this version can send it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WebhookContent {
    /// Text.
    Text(Private<String>),
    /// Files, perhaps with a text.
    Media(ReplyMedia),
    /// A mail.
    Mail(Box<WebhookMail>),
    /// Ids are fine, the rest is not: an unknown type, no text and no file.
    Unsendable(Unsendable),
}

/// A body that cannot be answered with a receipt.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WebhookError {
    /// Not JSON.
    #[error("the body is not JSON, or nested too deeply (line {line}, column {column})")]
    NotJson {
        /// Line of the fault, from 1.
        line: usize,
        /// Column of the fault.
        column: usize,
    },
    /// No `channel`, or one with nobody in it.
    #[error("message {index} has no usable channel: {what}")]
    NoChannel {
        /// Which message, from 0.
        index: usize,
        /// What is missing.
        what: &'static str,
    },
}

impl Webhook {
    /// Reads any shape of a webhook: one message, `{"messages": […]}`, or an array.
    ///
    /// # Errors
    /// [`WebhookError`] when there is nobody to send a receipt about.
    pub fn read(verified: &Verified<'_>) -> Result<Self, WebhookError> {
        let root = parse(verified.body())?;
        let messages = reader::messages(&root);
        if messages.is_empty() {
            return Err(WebhookError::NoChannel { index: 0, what: "there is no message" });
        }
        let read = messages.into_iter().enumerate().map(|(index, message)| read_message(index, message));
        Ok(Self { messages: read.collect::<Result<_, _>>()? })
    }
}

/// The `channel.id` an unverified body claims, to choose whose secrets to try; nothing else is read of it.
///
/// # Errors
/// [`WebhookError`] when it is not JSON or claims none.
pub fn peek_channel(body: &[u8]) -> Result<ChannelId, WebhookError> {
    let root = parse(body)?;
    let first = reader::messages(&root).into_iter().next();
    let channel = first.and_then(|message| message.get("channel")).and_then(Value::as_object);
    let id = channel.and_then(|channel| reader::text(channel, "id"));
    id.map(ChannelId::new).ok_or(WebhookError::NoChannel { index: 0, what: "channel.id is missing" })
}

fn parse(body: &[u8]) -> Result<Value, WebhookError> {
    lenient_json(body).map_err(|error| WebhookError::NotJson { line: error.line(), column: error.column() })
}

fn read_message(index: usize, message: &Value) -> Result<WebhookMessage, WebhookError> {
    let missing = |what| WebhookError::NoChannel { index, what };
    let message = message.as_object().ok_or(missing("the message is no object"))?;
    let channel =
        message.get("channel").and_then(Value::as_object).ok_or(missing("channel is missing or no object"))?;
    let to_ids = channel.get("to").map(reader::addresses).unwrap_or_default();
    if to_ids.is_empty() {
        return Err(missing("channel.to names nobody"));
    }
    Ok(WebhookMessage {
        channel: reader::text(channel, "id").map(ChannelId::new),
        from_id: channel.get("from").and_then(reader::address).unwrap_or_default().into(),
        to_ids: to_ids.into_iter().map(Private::new).collect(),
        message_id: reader::text(channel, "messageId"),
        content: if mail::is_mail(message, channel) { mail::read(message, channel) } else { content(message) },
    })
}

/// What can be sent of a message, or what its agent is told (section 5.4).
fn content(message: &Map<String, Value>) -> WebhookContent {
    let unsendable = |code, reason: &str| WebhookContent::Unsendable(Unsendable { code, reason: reason.to_owned() });
    let kind = reader::text(message, "type").unwrap_or_default().to_lowercase();
    if matches!(kind.as_str(), "receipt" | "event") {
        return unsendable(ReasonCode::Unsupported, "This is no message that can be sent.");
    }
    let References { files, captions, broken } = references::find(message);
    if broken {
        return unsendable(ReasonCode::Unsupported, "The message refers to a file in a way that cannot be followed.");
    }
    if files.len() > references::MOST {
        return unsendable(ReasonCode::Unsupported, "The message has more files than can be sent at once.");
    }
    let text = reader::text(message, "text").filter(|text| !text.trim().is_empty());
    if !files.is_empty() {
        return WebhookContent::Media(ReplyMedia { text: with_captions(text, captions).into(), files });
    }
    match (kind.as_str(), text) {
        (_, Some(text)) => WebhookContent::Text(text.into()),
        ("" | "text", None) => unsendable(ReasonCode::InvalidStructure, "The message has no text."),
        _ => unsendable(ReasonCode::Unsupported, "Messages of this type cannot be sent on this channel."),
    }
}

/// What the agent wrote beside files: the text, and what stands beside each of them alone. A reference is never shown.
fn with_captions(text: Option<String>, captions: Vec<String>) -> String {
    let text = text.filter(|text| !text.starts_with(SCHEME));
    let more: Vec<String> = captions.into_iter().filter(|caption| Some(caption) != text.as_ref()).collect();
    text.into_iter().chain(more).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests;
