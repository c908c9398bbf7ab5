use std::time::SystemTime;

use jiff::Timestamp;
use lettre::Address;
use lettre::address::AddressError;
use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::message::{Attachment, Mailbox as Named, Message, MessageBuilder, MultiPart, SinglePart};
use model::{Private, ReasonCode, ReceiptReason};

use super::LOOP_HEADER;
use super::dkim::DkimKey;
use super::ids::MessageRef;
use crate::Mailbox;
use crate::address::same;
use crate::{html, read};

/// An agent's mail to one recipient, before it is a mail.
#[derive(Debug, Clone)]
pub struct Draft {
    /// Its id: [`super::message_id`].
    pub message_id: MessageRef,
    /// The channel's own domain; a sender of another is refused.
    pub domain: String,
    /// The envelope's sender, where bounces go: [`super::envelope_sender`].
    pub envelope_sender: String,
    /// The author.
    pub from: Mailbox,
    /// The recipient.
    pub to: Mailbox,
    /// Where answers go, if not to the author.
    pub reply_to: Option<Mailbox>,
    /// The subject.
    pub subject: Private<String>,
    /// The text; made from the HTML where there is none.
    pub text: Option<Private<String>>,
    /// The HTML, passed on as it is.
    pub html: Option<Private<String>>,
    /// What is attached.
    pub files: Vec<File>,
    /// The last mail of the thread.
    pub in_reply_to: Option<MessageRef>,
    /// The mails of the thread, the oldest first.
    pub references: Vec<MessageRef>,
    /// Whether no person wrote it (RFC 3834).
    pub automatic: bool,
    /// How the recipient leaves.
    pub unsubscribe: Option<Unsubscribe>,
    /// When it was written: the time of the webhook, so that it is the same mail each time.
    pub date: Timestamp,
}

/// A file to attach.
#[derive(Debug, Clone)]
pub struct File {
    /// Its name, which is made safe.
    pub name: Private<String>,
    /// Its type; `application/octet-stream` is taken where it is none.
    pub media_type: String,
    /// Its content.
    pub content: Private<Vec<u8>>,
}

/// The List-Unsubscribe header.
#[derive(Debug, Clone)]
pub enum Unsubscribe {
    /// An address that takes the wish as a mail.
    Mailto(Private<String>),
    /// An `https` URL that takes it as a POST (RFC 8058).
    Url(Private<String>),
}

/// A mail that is ready to be sent.
#[derive(Clone)]
pub struct Composed {
    pub(crate) envelope_sender: Address,
    pub(crate) recipient: Address,
    pub(crate) bytes: Vec<u8>,
}

impl Composed {
    /// The mail as it goes over the wire, without the stuffing of dots.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl std::fmt::Debug for Composed {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Composed({} bytes)", self.bytes.len())
    }
}

/// Why a draft cannot become a mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ComposeError {
    /// The sender's domain is not the channel's.
    #[error("the sender's domain is not the channel's own; set the channel's id to the domain it sends for")]
    ForeignSender,
    /// The recipient's address cannot be written to.
    #[error("the recipient's address is no mail address")]
    Recipient,
    /// An address of ours is none.
    #[error("the sender's, the answer's or the bounce address is no mail address")]
    OwnAddress,
    /// There is no text, no HTML and no file.
    #[error("the mail has neither text nor a file")]
    Empty,
    /// The signing key failed.
    #[error("the mail could not be signed; look at the channel's DKIM key")]
    Signing,
}

impl ComposeError {
    /// What the agent is told.
    pub fn reason(self) -> ReceiptReason {
        let (code, message) = match self {
            Self::ForeignSender => {
                (ReasonCode::NotAllowed, "This channel may not send for the domain of the sender's address.")
            }
            Self::Recipient => (ReasonCode::InvalidDestination, "The recipient's address is no mail address."),
            Self::OwnAddress => (ReasonCode::InvalidStructure, "The sender's or the reply address is no mail address."),
            Self::Empty => (ReasonCode::InvalidStructure, "The mail has neither text nor a file."),
            Self::Signing => (ReasonCode::General, "The mail could not be signed."),
        };
        ReceiptReason { code, message: message.to_owned() }
    }
}

/// Builds a mail. Headers are built from typed values only: an address is parsed, an id is a [`MessageRef`], a name and a
/// subject lose their control characters. So nothing a webhook holds can begin a header of its own.
///
/// # Errors
/// [`ComposeError`] says what is missing or not allowed.
pub fn compose(mut draft: Draft, key: Option<&DkimKey>) -> Result<Composed, ComposeError> {
    if !same(&draft.from.domain(), &draft.domain) {
        return Err(ComposeError::ForeignSender);
    }
    let recipient = named(&draft.to).map_err(|_| ComposeError::Recipient)?;
    let from = named(&draft.from).map_err(|_| ComposeError::OwnAddress)?;
    let envelope_sender: Address = draft.envelope_sender.parse().map_err(|_| ComposeError::OwnAddress)?;
    let to = recipient.email.clone();
    let mut builder = Message::builder()
        .from(from)
        .to(recipient)
        .subject(one_line(draft.subject.expose()))
        .date(SystemTime::from(draft.date))
        .message_id(Some(draft.message_id.bracketed()));
    if let Some(reply_to) = &draft.reply_to {
        builder = builder.reply_to(named(reply_to).map_err(|_| ComposeError::OwnAddress)?);
    }
    let builder = list_headers(thread_headers(builder, &draft), &draft)?;
    let message = with_body(builder, &mut draft)?;
    let mut bytes = message.formatted();
    drop(message);
    if let Some(key) = key {
        let signature = key.sign(&bytes, draft.date).map_err(|_| ComposeError::Signing)?;
        bytes.reserve_exact(signature.len());
        bytes.splice(..0, signature.into_bytes());
    }
    // It grew by doubling, and is kept for as long as it is sent.
    bytes.shrink_to_fit();
    Ok(Composed { envelope_sender, recipient: to, bytes })
}

fn named(mailbox: &Mailbox) -> Result<Named, AddressError> {
    let name = one_line(mailbox.name.expose());
    let address: Address = mailbox.address.expose().trim().parse()?;
    Ok(Named::new(Some(name).filter(|name| !name.is_empty()), address))
}

/// Text for a header: in one line, and of a length that is meant for one.
fn one_line(text: &str) -> String {
    let spaced: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let words: Vec<&str> = spaced.split_whitespace().collect();
    words.join(" ").chars().take(998).collect()
}

fn raw(name: &'static str, value: String) -> HeaderValue {
    HeaderValue::new(HeaderName::new_from_ascii_str(name), value)
}

fn thread_headers(mut builder: MessageBuilder, draft: &Draft) -> MessageBuilder {
    if let Some(id) = &draft.in_reply_to {
        builder = builder.in_reply_to(id.bracketed());
    }
    // The first and the last ones tell the thread; servers refuse a header of any length.
    let newest = draft.references.len().saturating_sub(20);
    let kept = draft.references.iter().take(1).chain(draft.references.iter().skip(newest.max(1)));
    let mut kept: Vec<String> = kept.map(MessageRef::bracketed).collect();
    if let Some(id) = draft.in_reply_to.as_ref().map(MessageRef::bracketed).filter(|id| !kept.contains(id)) {
        kept.push(id);
    }
    if kept.is_empty() { builder } else { builder.references(kept.join(" ")) }
}

fn list_headers(mut builder: MessageBuilder, draft: &Draft) -> Result<MessageBuilder, ComposeError> {
    builder = builder.raw_header(raw(LOOP_HEADER, one_line(&draft.domain)));
    if draft.automatic {
        builder = builder.raw_header(raw("Auto-Submitted", "auto-generated".to_owned()));
    }
    let uri = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic() && !b"<>,\"".contains(&byte));
    match &draft.unsubscribe {
        None => {}
        Some(Unsubscribe::Mailto(address)) => {
            let address = address.expose();
            if !uri(address) || address.parse::<Address>().is_err() {
                return Err(ComposeError::OwnAddress);
            }
            builder = builder.raw_header(raw("List-Unsubscribe", format!("<mailto:{address}?subject=unsubscribe>")));
        }
        Some(Unsubscribe::Url(url)) => {
            let url = url.expose();
            if !uri(url) || !url.starts_with("https://") {
                return Err(ComposeError::OwnAddress);
            }
            builder = builder.raw_header(raw("List-Unsubscribe", format!("<{url}>")));
            builder = builder.raw_header(raw("List-Unsubscribe-Post", "List-Unsubscribe=One-Click".to_owned()));
        }
    }
    Ok(builder)
}

/// The files are taken out of the draft, so that each stands in memory once.
fn with_body(builder: MessageBuilder, draft: &mut Draft) -> Result<Message, ComposeError> {
    let given = |text: &Option<Private<String>>| {
        text.as_ref().map(|text| text.expose().clone()).filter(|text| !text.trim().is_empty())
    };
    let (text, html) = (given(&draft.text), given(&draft.html));
    // Boundaries made from the id keep the mail the same each time it is built.
    let boundary = |kind: &str| format!("{kind}_{}", draft.message_id.as_str().split('@').next().unwrap_or_default());
    let text = text.or_else(|| html.as_deref().map(html::to_text)).filter(|text| !text.trim().is_empty());
    let plain = |text: String| SinglePart::plain(text);
    let body = match (text, html) {
        (Some(text), Some(html)) => {
            let both = MultiPart::alternative().boundary(boundary("alt"));
            Some(Content::Multi(both.singlepart(plain(text)).singlepart(SinglePart::html(html))))
        }
        (None, Some(html)) => Some(Content::Single(SinglePart::html(html))),
        (Some(text), None) => Some(Content::Single(plain(text))),
        (None, None) => None,
    };
    let built = match (body, draft.files.is_empty()) {
        (None, true) => return Err(ComposeError::Empty),
        (Some(Content::Multi(part)), true) => builder.multipart(part),
        (Some(Content::Single(part)), true) => builder.singlepart(part),
        (body, false) => {
            let mixed = MultiPart::mixed().boundary(boundary("mix"));
            let mut mixed = match body {
                Some(Content::Multi(part)) => mixed.multipart(part),
                Some(Content::Single(part)) => mixed.singlepart(part),
                None => mixed.singlepart(plain(String::new())),
            };
            for file in std::mem::take(&mut draft.files) {
                mixed = mixed.singlepart(attached(file));
            }
            builder.multipart(mixed)
        }
    };
    built.map_err(|_| ComposeError::OwnAddress)
}

enum Content {
    Single(SinglePart),
    Multi(MultiPart),
}

fn attached(file: File) -> SinglePart {
    let name = read::safe_name(file.name.expose(), &file.media_type);
    let plain = |c: char| c.is_ascii_alphanumeric() || "/.+-_".contains(c);
    let usable = Some(&file.media_type)
        .filter(|media_type| media_type.chars().all(plain) && !media_type.starts_with("multipart"));
    let parsed = usable.and_then(|media_type| ContentType::parse(media_type).ok());
    let octets = || ContentType::parse("application/octet-stream").expect("it is a type");
    let content = lettre::message::Body::new_with_encoding(
        file.content.into_inner(),
        lettre::message::header::ContentTransferEncoding::Base64,
    );
    let content = content.expect("base64 takes any bytes");
    Attachment::new(name).body(content, parsed.unwrap_or_else(octets))
}

#[cfg(test)]
mod tests;
