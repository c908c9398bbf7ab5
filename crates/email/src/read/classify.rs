//! Which mails are a person's, and which came from a machine and must not reach an agent (RFC 3834).

use mail_parser::HeaderName;
use serde::{Deserialize, Serialize};

use super::Context;
use super::head::Head;
use super::thread;
use crate::Mailbox;
use crate::address::{domain_of, same};
use crate::outgoing::{LOOP_HEADER, MESSAGE_ID_PREFIX};

/// Why a mail is not a person's message. The word is a metric label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// It is one of ours that came back.
    OwnMail,
    /// It says that it is from the very address it is for.
    OwnAddress,
    /// It has passed through more servers than any mail that arrives.
    TooManyHops,
    /// `Auto-Submitted` is not `no`.
    AutoSubmitted,
    /// A header by which an auto-responder says that it is one.
    AutoResponder,
    /// `Precedence: bulk`, `junk` or `list`.
    Precedence,
    /// It came through a mailing list.
    MailingList,
    /// It says that a mail was read, or deleted.
    DispositionNotification,
    /// A consumer's provider reports a complaint about one of ours.
    FeedbackReport,
    /// Its envelope has no sender, so that nobody can answer it.
    NullSender,
    /// It has no sender to answer.
    NoSender,
}

impl Cause {
    /// The word in metrics and timelines.
    pub const fn word(self) -> &'static str {
        match self {
            Self::OwnMail => "own-mail",
            Self::OwnAddress => "own-address",
            Self::TooManyHops => "too-many-hops",
            Self::AutoSubmitted => "auto-submitted",
            Self::AutoResponder => "auto-responder",
            Self::Precedence => "precedence",
            Self::MailingList => "mailing-list",
            Self::DispositionNotification => "disposition-notification",
            Self::FeedbackReport => "feedback-report",
            Self::NullSender => "null-sender",
            Self::NoSender => "no-sender",
        }
    }

    /// Whether it means that something may be answering itself, about which somebody should be told.
    pub const fn is_loop(self) -> bool {
        matches!(self, Self::OwnMail | Self::OwnAddress | Self::TooManyHops)
    }
}

/// A mail is dropped for having gone through more servers than this.
const MOST_HOPS: usize = 50;

/// Whether the mail is ours that came back. Looked at before bounces are, for a bounce of ours is no answer to anything.
pub(crate) fn own(head: &Head, from: Option<&Mailbox>, addressed: &[String], context: &Context) -> Option<Cause> {
    let ours = |domain: &str| context.domains.iter().any(|own| same(own, domain));
    if head.all_raw(LOOP_HEADER).any(|domain| ours(domain.trim())) {
        return Some(Cause::OwnMail);
    }
    let id = thread::ids(head, HeaderName::MessageId).into_iter().next().unwrap_or_default();
    if id.starts_with(MESSAGE_ID_PREFIX) && ours(domain_of(&id)) {
        return Some(Cause::OwnMail);
    }
    if head.all_raw("Received").count() > MOST_HOPS {
        return Some(Cause::TooManyHops);
    }
    let from = from?.address.expose();
    (ours(domain_of(from)) && addressed.iter().any(|address| same(address, from))).then_some(Cause::OwnAddress)
}

/// Whether a machine wrote the mail.
pub(crate) fn machine(head: &Head, report: Option<&str>, from: Option<&Mailbox>, context: &Context) -> Option<Cause> {
    says_machine(head, report)
        .or_else(|| null_sender(head, context).then_some(Cause::NullSender))
        .or_else(|| from.is_none().then_some(Cause::NoSender))
}

/// Whether the mail itself says that a machine wrote it.
pub(crate) fn says_machine(head: &Head, report: Option<&str>) -> Option<Cause> {
    match report {
        Some("disposition-notification") => return Some(Cause::DispositionNotification),
        Some("feedback-report") => return Some(Cause::FeedbackReport),
        _ => {}
    }
    // A comment or parameters may follow the word.
    let word = |name: &str| head.raw(name).map(|value| first_word(&value));
    if word("Auto-Submitted").is_some_and(|value| value != "no" && !value.is_empty()) {
        return Some(Cause::AutoSubmitted);
    }
    let responders = ["X-Autoreply", "X-Autorespond", "X-Autoresponder", "X-AutoReply-From", "X-Mail-Autoreply"];
    let responds = |name: &&str| word(name).is_some_and(|value| value != "no" && value != "false");
    let precedence = word("Precedence").or_else(|| word("X-Precedence"));
    if responders.iter().any(responds) || matches!(precedence.as_deref(), Some("auto_reply" | "auto-reply")) {
        return Some(Cause::AutoResponder);
    }
    if matches!(precedence.as_deref(), Some("bulk" | "junk" | "list")) {
        return Some(Cause::Precedence);
    }
    if ["List-Id", "List-Unsubscribe", "List-Post"].iter().any(|name| head.raw(name).is_some()) {
        return Some(Cause::MailingList);
    }
    None
}

/// The word before any comment or parameter, in lower case.
fn first_word(value: &str) -> String {
    let end = value.find([';', '(', ',']).unwrap_or(value.len());
    value[..end].trim().to_ascii_lowercase()
}

/// By the envelope where we saw it, else by what the last server wrote down of it.
pub(crate) fn null_sender(head: &Head, context: &Context) -> bool {
    match &context.envelope {
        Some(envelope) => envelope.sender.is_none(),
        None => head.raw("Return-Path").is_some_and(|path| path.trim() == "<>"),
    }
}
