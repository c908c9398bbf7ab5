//! What we write: exactly the documented shapes, in a fixed order, with no nulls (section 11, strict writer).

use model::{Receipt, ReceiptStatus};
use serde::Serialize;

use crate::{Attachment, ChannelAccess};

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
    text: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    content: Vec<Content<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasons: Option<[Reason<'a>; 1]>,
}

#[derive(Serialize)]
struct Content<'a> {
    #[serde(rename = "contentType")]
    content_type: &'static str,
    attachment: AttachmentOut<'a>,
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
        channel: Channel { from: Address { id: from }, to: Address { id: channel.id.as_str() }, message_id },
        kind: "Text",
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
    let content = attachments.iter().map(|file| Content {
        content_type: "Attachment",
        attachment: AttachmentOut {
            media_type: word(&file.media_type),
            url: &file.url,
            mime: &file.media_type,
            filename: file.name.as_ref().map(|name| name.expose().as_str()),
        },
    });
    write(Message {
        channel: Channel { from: Address { id: from }, to: Address { id: channel.id.as_str() }, message_id },
        kind: "RichMedia",
        text: Some(text).filter(|text| !text.is_empty()),
        content: content.collect(),
        status: None,
        reasons: None,
    })
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
            from: Address { id: receipt.from_id.expose() },
            to: Address { id: receipt.to_id.expose() },
            message_id: Some(&receipt.genesys_message_id),
        },
        kind: "Receipt",
        text: None,
        content: Vec::new(),
        status: Some(receipt.status.word()),
        reasons,
    })
}

fn write(message: Message<'_>) -> Vec<u8> {
    serde_json::to_vec(&Envelope { messages: [message] }).expect("texts and numbers have a JSON form")
}
