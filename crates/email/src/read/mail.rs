use std::fmt;
use std::io::{self, BufRead};

use jiff::Timestamp;
use mail_parser::{DateTime, HeaderName};
use model::Private;
use tempfile::SpooledTempFile;

use super::bounce::{self, Bounce};
use super::classify::{self, Cause};
use super::head::Head;
use super::leaf::{Content, Leaf};
use super::limits::Limits;
use super::note::Note;
use super::quotes;
use super::thread::{self, Thread};
use super::walk::{Tree, walk};
use crate::Mailbox;

/// What is known of a mail besides the mail.
#[derive(Debug, Clone, Default)]
pub struct Context {
    /// The envelope, where it came in by SMTP. From a mailbox, `Return-Path` has to do.
    pub envelope: Option<Envelope>,
    /// The domains of the channels: mail from them is ours, mail to them may carry a token.
    pub domains: Vec<String>,
    /// The address bounces are sent to, without its token.
    pub bounce_address: Option<String>,
}

/// Who a mail is from and for, as SMTP says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// The sender; none where the sender is empty, as bounces have it.
    pub sender: Option<Private<String>>,
    /// The recipients that were accepted.
    pub recipients: Vec<Private<String>>,
}

/// A mail, read. `Debug` shows nothing private.
#[derive(Debug)]
pub struct Mail {
    /// Whether it is for an agent.
    pub kind: Kind,
    /// The Message-ID without angle brackets.
    pub message_id: Option<Private<String>>,
    /// The author.
    pub from: Option<Mailbox>,
    /// Where an answer is wanted, if not at the author's.
    pub reply_to: Vec<Mailbox>,
    /// To.
    pub to: Vec<Mailbox>,
    /// Cc.
    pub cc: Vec<Mailbox>,
    /// Every address it was sent to, of the envelope, the header and what servers noted; as written, without repeats.
    pub addressed: Vec<Private<String>>,
    /// The subject, decoded, in one line.
    pub subject: Private<String>,
    /// When its author says it was written.
    pub date: Option<Timestamp>,
    /// When the last server took it.
    pub received: Option<Timestamp>,
    /// What was written now; where there was no text, made from the HTML.
    pub text: Private<String>,
    /// What was written before, as far as it can be told apart.
    pub quoted: Option<Private<String>>,
    /// The HTML as it came: data, with scripts and all. Never to be rendered as it is.
    pub html: Option<Private<String>>,
    /// What is attached, pictures of the text included.
    pub attachments: Vec<Attachment>,
    /// What it answers.
    pub thread: Thread,
    /// What whoever reads it should know.
    pub notes: Vec<Note>,
}

/// What a mail is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A person's message.
    Message,
    /// A report about a mail of ours.
    Bounce(Bounce),
    /// A machine's, or our own: never for an agent.
    Machine(Cause),
}

/// A file in a mail.
pub struct Attachment {
    /// A file name that leads nowhere.
    pub name: Private<String>,
    /// The type as its sender names it, in lower case.
    pub media_type: String,
    /// Decoded bytes.
    pub size: u64,
    /// Whether it is a part of the text, as a picture in it is.
    pub inline: bool,
    /// What the HTML calls it by, as in `cid:…`.
    pub content_id: Option<Private<String>>,
    /// The decoded bytes, from their start; small ones in memory, others in a file that is gone when this is dropped.
    pub content: SpooledTempFile,
}

impl fmt::Debug for Attachment {
    /// Shows nothing that its sender wrote: a type can be any words too.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Attachment")
            .field("size", &self.size)
            .field("inline", &self.inline)
            .finish_non_exhaustive()
    }
}

/// Reads a mail. This is work of a processor and a disk, for as long as the mail is large: some 100 ms for 25 MB.
///
/// # Errors
/// Those of the input, and of the files attachments wait in. A mail itself is never an error.
pub fn read(input: impl BufRead, context: &Context, limits: &Limits) -> io::Result<Mail> {
    let mut tree = walk(input, limits)?;
    let head = &tree.head;
    let list = |name| head.mailboxes(name, limits.addresses);
    let from = list(HeaderName::From).into_iter().next().or_else(|| list(HeaderName::Sender).into_iter().next());
    let (reply_to, to, cc) = (list(HeaderName::ReplyTo), list(HeaderName::To), list(HeaderName::Cc));
    let recipients = context.envelope.as_ref().map(|envelope| envelope.recipients.as_slice()).unwrap_or_default();
    let addressed = thread::addressed(head, recipients, &[&to, &cc]);
    let thread = thread::read(head, &addressed, &context.domains, context.bounce_address.as_deref(), limits);
    let kind = kind(&mut tree, from.as_ref(), &addressed, context);
    let Tree { head, leaves, notes, .. } = tree;
    let Body { text, quoted, html, attachments } = body(leaves);
    let date = |name| head.value(name).and_then(|value| value.as_datetime().copied());
    // Each server writes its line above those of the servers before it.
    let received =
        head.value(HeaderName::Received).and_then(|value| value.as_received()).and_then(|received| received.date());
    let mut unique: Vec<Private<String>> = Vec::new();
    for address in addressed.into_iter().map(Private::new) {
        if !unique.contains(&address) {
            unique.push(address);
        }
    }
    Ok(Mail {
        kind,
        message_id: message_id(&head),
        from,
        reply_to,
        to,
        cc,
        addressed: unique,
        subject: Private::new(head.text(HeaderName::Subject).unwrap_or_default()),
        date: date(HeaderName::Date).and_then(|date| timestamp(&date)),
        received: received.and_then(|date| timestamp(&date)),
        text: Private::new(text),
        quoted: quoted.map(Private::new),
        html: html.map(Private::new),
        attachments,
        thread,
        notes,
    })
}

/// What is ours comes first, so that nothing answers itself; then bounces, which by their form are machines' mails too.
fn kind(tree: &mut Tree, from: Option<&Mailbox>, addressed: &[String], context: &Context) -> Kind {
    if let Some(cause) = classify::own(&tree.head, from, addressed, context) {
        return Kind::Machine(cause);
    }
    if let Some(bounce) = bounce::read(tree, from, addressed, context) {
        return Kind::Bounce(bounce);
    }
    classify::machine(&tree.head, tree.report.as_deref(), from, context).map_or(Kind::Message, Kind::Machine)
}

fn message_id(head: &Head) -> Option<Private<String>> {
    thread::ids(head, HeaderName::MessageId).into_iter().next().map(Private::new)
}

fn timestamp(date: &DateTime) -> Option<Timestamp> {
    date.is_valid().then(|| Timestamp::from_second(date.to_timestamp()).ok()).flatten()
}

struct Body {
    text: String,
    quoted: Option<String>,
    html: Option<String>,
    attachments: Vec<Attachment>,
}

/// Chooses between the forms of a text and gathers the rest.
fn body(leaves: Vec<Leaf>) -> Body {
    let plain_of: Vec<usize> = leaves
        .iter()
        .filter(|leaf| matches!(&leaf.content, Content::Text { text, html: false } if !text.trim().is_empty()))
        .filter_map(|leaf| leaf.place.alternative)
        .collect();
    let (mut new, mut old, mut html, mut attachments) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for leaf in leaves {
        match leaf.content {
            Content::Text { text, html: is_html } => {
                let has_plain = leaf.place.alternative.is_some_and(|number| plain_of.contains(&number));
                if is_html {
                    if !has_plain {
                        push(&mut new, &mut old, quotes::split_html(&text));
                    }
                    html.push(text);
                } else {
                    push(&mut new, &mut old, quotes::split_text(&text));
                }
            }
            Content::File(content) => attachments.push(Attachment {
                name: Private::new(leaf.name),
                media_type: leaf.media_type,
                size: leaf.size,
                inline: leaf.inline,
                content_id: leaf.content_id,
                content,
            }),
            Content::Report(_) | Content::LeftOut => {}
        }
    }
    let joined = |pieces: Vec<String>| Some(pieces.join("\n\n")).filter(|text| !text.is_empty());
    Body { text: new.join("\n\n"), quoted: joined(old), html: joined(html), attachments }
}

fn push(new: &mut Vec<String>, old: &mut Vec<String>, split: quotes::Split) {
    if !split.new.is_empty() {
        new.push(split.new);
    }
    old.extend(split.quoted);
}
