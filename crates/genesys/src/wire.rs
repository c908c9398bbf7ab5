//! What we write: exactly the documented shapes, in a fixed order, with no nulls (section 11, strict writer).

use model::{Receipt, ReceiptStatus};
use serde::Serialize;

use crate::{Attachment, ChannelAccess, Email};

#[derive(Serialize)]
struct Envelope<'a> {
    messages: [Message<'a>; 1],
}

#[derive(Serialize)]
struct Message<'a> {
    channel: Channel<'a>,
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    content: Vec<Content<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasons: Option<[Reason<'a>; 1]>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Content<'a> {
    File {
        #[serde(rename = "contentType")]
        content_type: &'static str,
        attachment: AttachmentOut<'a>,
    },
    Part {
        #[serde(rename = "type")]
        kind: &'static str,
        text: &'a str,
    },
}

#[derive(Serialize)]
struct AttachmentOut<'a> {
    #[serde(rename = "mediaType")]
    media_type: &'static str,
    url: &'a str,
    mime: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    filename: Option<&'a str>,
}

#[derive(Serialize)]
struct Channel<'a> {
    from: Address<'a>,
    to: Address<'a>,
    #[serde(rename = "messageId", skip_serializing_if = "Option::is_none")]
    message_id: Option<&'a str>,
}

#[derive(Serialize)]
struct Address<'a> {
    id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
}

impl<'a> Address<'a> {
    const fn of(id: &'a str) -> Self {
        Self { id, name: None }
    }
}

#[derive(Serialize)]
struct Reason<'a> {
    code: u16,
    #[serde(skip_serializing_if = "str::is_empty")]
    message: &'a str,
}

/// Genesys documents no bound; a reason is a sentence for an agent (section 6.2, inferred).
const REASON_LIMIT: usize = 500;

/// A consumer's text (section 4.1.1).
pub(crate) fn text(channel: &ChannelAccess, from: &str, text: &str, message_id: Option<&str>) -> Vec<u8> {
    write(Message {
        channel: Channel { from: Address::of(from), to: Address::of(channel.id.as_str()), message_id },
        kind: "Text",
        subject: None,
        text: Some(text),
        content: Vec::new(),
        status: None,
        reasons: None,
    })
}

/// A consumer's files, in the shape that is best supported (section 4.1.2, A).
pub(crate) fn rich_media(
    channel: &ChannelAccess,
    from: &str,
    text: &str,
    attachments: &[Attachment],
    message_id: Option<&str>,
) -> Vec<u8> {
    write(Message {
        channel: Channel { from: Address::of(from), to: Address::of(channel.id.as_str()), message_id },
        kind: "RichMedia",
        subject: None,
        text: Some(text).filter(|text| !text.is_empty()),
        content: attachments.iter().map(attached).collect(),
        status: None,
        reasons: None,
    })
}

/// A consumer's mail, as outgoing mail looks (section 4.1.4). Its attachments stand as they do in RichMedia.
pub(crate) fn email(from: &str, email: &Email<'_>, attachments: &[Attachment], message_id: Option<&str>) -> Vec<u8> {
    let part = |kind, text| Content::Part { kind, text };
    let parts = [part("text", email.text)].into_iter().chain(email.html.map(|html| part("html", html)));
    let from_name = Some(email.from_name).filter(|name| !name.is_empty());
    write(Message {
        channel: Channel { from: Address { id: from, name: from_name }, to: Address::of(email.to), message_id },
        kind: "Email",
        subject: Some(email.subject),
        text: None,
        content: parts.chain(attachments.iter().map(attached)).collect(),
        status: None,
        reasons: None,
    })
}

fn attached(file: &Attachment) -> Content<'_> {
    Content::File {
        content_type: "Attachment",
        attachment: AttachmentOut {
            media_type: word(&file.media_type),
            url: &file.url,
            mime: &file.media_type,
            filename: file.name.as_ref().map(|name| name.expose().as_str()),
        },
    }
}

fn word(media_type: &str) -> &'static str {
    match media_type.split('/').next() {
        Some("image") => "Image",
        Some("video") => "Video",
        Some("audio") => "Audio",
        _ => "File",
    }
}

/// A receipt; both addresses are copied from the reply it is about (section 4.1.3).
pub(crate) fn receipt(receipt: &Receipt) -> Vec<u8> {
    let reasons = match &receipt.status {
        ReceiptStatus::Failed(reason) => {
            let end = reason.message.floor_char_boundary(REASON_LIMIT);
            Some([Reason { code: reason.code.number(), message: &reason.message[..end] }])
        }
        ReceiptStatus::Delivered | ReceiptStatus::Removed => None,
    };
    write(Message {
        channel: Channel {
            from: Address::of(receipt.from_id.expose()),
            to: Address::of(receipt.to_id.expose()),
            message_id: Some(&receipt.genesys_message_id),
        },
        kind: "Receipt",
        subject: None,
        text: None,
        content: Vec::new(),
        status: Some(receipt.status.word()),
        reasons,
    })
}

fn write(message: Message<'_>) -> Vec<u8> {
    serde_json::to_vec(&Envelope { messages: [message] }).expect("texts and numbers have a JSON form")
}
