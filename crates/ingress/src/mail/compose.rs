//! A mail that was read, as the house's message.

use email::read::{Mail, Note};
use model::{
    Address, Arrival, ArrivalPath, InboundFiles, InboundMail, InboundMessage, MailThread, MessageId, Private, TraceId,
};

use super::provider::{MailChannel, without_token};

/// Of each text that walks through the queues; what is longer is cut, and says so.
const MOST_TEXT: usize = 256 << 10;
/// Of the HTML, which is of no use when it is cut; what is longer is left out, and its text is there.
const MOST_HTML: usize = 512 << 10;
/// Of a line of a header.
const MOST_LINE: usize = 1000;

/// What a mail says beside its files, to one of the addresses of a channel.
pub(crate) fn mail(read: &Mail, to: &Private<String>) -> InboundMail {
    let mut notes: Vec<String> = read.notes.iter().map(|note| sentence(*note).to_owned()).collect();
    let (text, is_cut) = cut(read.text.expose(), MOST_TEXT);
    if is_cut {
        notes.push(sentence(Note::TextCut).to_owned());
    }
    notes.dedup();
    let line = |text: &Private<String>| Private::new(cut(text.expose(), MOST_LINE).0.to_owned());
    let from = read.from.as_ref();
    let sender = from.map(|from| from.address.expose().to_lowercase()).unwrap_or_default();
    let reply_to = read.reply_to.first().map(|mailbox| &mailbox.address);
    let others = read.to.iter().chain(&read.cc).map(|mailbox| &mailbox.address).filter(|address| *address != to);
    InboundMail {
        message_id: read.message_id.as_ref().map(line),
        answers: read.thread.answers.iter().map(line).collect(),
        tokens: read.thread.tokens.iter().map(line).collect(),
        subject: line(&read.subject),
        from_name: from.map(|from| from.name.clone()).unwrap_or_default(),
        reply_to: reply_to.filter(|address| address.expose().to_lowercase() != sender).cloned(),
        to: Private::new(without_token(to.expose())),
        others: others.cloned().collect(),
        text: Private::new(text.to_owned()),
        quoted: read.quoted.as_ref().map(|quoted| Private::new(cut(quoted.expose(), MOST_TEXT).0.to_owned())),
        html: read.html.clone().filter(|html| html.expose().len() <= MOST_HTML),
        notes,
        written_at: read.date,
        taken_at: read.received,
    }
}

/// A mail as the message of one channel.
pub(crate) fn message(
    channel: &MailChannel,
    from: Address,
    id: MessageId,
    mail: InboundMail,
    files: InboundFiles,
    trace: TraceId,
    received_at: jiff::Timestamp,
) -> InboundMessage {
    InboundMessage {
        // By whichever way a mail comes its id is the same, so there is nothing else to tell it by.
        arrival: Arrival {
            path: ArrivalPath::MessageEvent,
            fingerprint: id.to_string(),
            sent_at: mail.taken_at,
            beside: Vec::new(),
        },
        id,
        channel: channel.name.clone(),
        genesys: channel.genesys.clone(),
        from,
        text: Private::new(mail.as_text()),
        files,
        session: thread(&mail).map(|thread| thread.to_session()),
        unread: None,
        mail: Some(Box::new(mail)),
        trace,
        received_at,
    }
}

/// The thread an answer of ours goes into. Answers stand the newest first.
fn thread(mail: &InboundMail) -> Option<MailThread> {
    let message_id = mail.message_id.clone()?;
    let references = mail.answers.iter().rev().filter(|id| **id != message_id).cloned().collect();
    Some(MailThread { message_id, references, subject: mail.subject.clone() })
}

fn cut(text: &str, most: usize) -> (&str, bool) {
    let end = text.floor_char_boundary(most);
    (&text[..end], end < text.len())
}

/// What an agent is told of what is peculiar about a mail.
const fn sentence(note: Note) -> &'static str {
    match note {
        Note::Winmail => {
            "[A winmail.dat is attached, in which Outlook packs formatting and files; it is passed on unopened.]"
        }
        Note::Encrypted => "[The mail is encrypted and is passed on as it is.]",
        Note::Calendar => "[A calendar invitation, or an answer to one, is attached.]",
        Note::HeaderCut => "[The mail's header is longer than is read; some of it is missing.]",
        Note::TextCut => "[The text is longer than is passed on; the rest of it is missing.]",
        Note::AttachmentCut => "[The attachments are larger than is passed on; one was cut off.]",
        Note::TooManyAttachments => "[There are more attachments than are passed on; some are missing.]",
        Note::TooManyParts | Note::TooDeep => "[The mail has more parts than are read; some are missing.]",
    }
}
