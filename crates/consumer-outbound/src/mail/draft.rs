//! What an agent wrote, as the mail that is sent.

use email::Mailbox;
use email::outgoing::{Draft, MessageRef, Unsubscribe, envelope_sender, message_id, message_token};
use model::{AgentReply, MailReply, MailThread, Named, Private};

use super::directory::{Leave, MailAccount, MailChannel};

/// The short name of a reply's mail.
pub(super) fn token(reply: &AgentReply, channel: &MailChannel) -> String {
    message_token(&channel.ccid, channel.id.as_str(), &reply.genesys_message_id, reply.to.normalised())
}

/// The mail of a reply, as an answer to the thread of its conversation.
pub(super) fn draft(
    reply: &AgentReply,
    mail: &MailReply,
    channel: &MailChannel,
    account: &MailAccount,
    thread: Option<&MailThread>,
) -> Draft {
    let id = message_id(&channel.ccid, channel.id.as_str(), &reply.genesys_message_id, reply.to.normalised());
    let (in_reply_to, references) = answered(thread, id.as_str());
    Draft {
        domain: channel.id.as_str().to_owned(),
        envelope_sender: envelope_sender(&account.bounce_address, &token(reply, channel)),
        from: Mailbox::new(mail.from_name.expose().clone(), reply.from_id.expose().trim()),
        to: Mailbox::new(mail.to_name.expose().clone(), reply.to_id.expose().trim()),
        reply_to: reply_to(reply, mail, channel, &thread_name(thread, &id)),
        subject: subject(mail, thread),
        text: mail.text.clone(),
        html: mail.html.clone(),
        files: Vec::new(),
        in_reply_to,
        references,
        automatic: false,
        unsubscribe: unsubscribe(reply, channel),
        date: reply.received_at,
        message_id: id,
    }
}

/// Where answers go: as the agent says, with the name of the thread behind the plus where the channel wants it, so that an answer
/// is known that lost its headers.
fn reply_to(reply: &AgentReply, mail: &MailReply, channel: &MailChannel, thread: &str) -> Option<Mailbox> {
    let named = mail.reply_to.as_ref();
    let as_it_is = || named.map(|named: &Named| Mailbox::new(named.name.expose().clone(), named.id.expose().clone()));
    if !channel.reply_token {
        return as_it_is();
    }
    let (name, address) = named.map_or((&mail.from_name, &reply.from_id), |named| (&named.name, &named.id));
    let address = address.expose().trim();
    // Only of our own domain is it known that what stands behind a plus does not matter.
    let ours = address
        .rsplit_once('@')
        .filter(|(local, domain)| !local.contains(['+', '"']) && domain.eq_ignore_ascii_case(channel.id.as_str()));
    match ours {
        Some(_) => Some(Mailbox::new(name.expose().clone(), envelope_sender(address, thread))),
        None => as_it_is(),
    }
}

/// A mail that begins a thread names it by itself, as the answers to it will.
fn thread_name(thread: Option<&MailThread>, own: &MessageRef) -> String {
    let begun = || MailThread::after(None, own.as_str().to_owned(), Private::default()).token();
    thread.map_or_else(begun, MailThread::token)
}

/// A mail that is sent again is the last one of its thread, and answers none but the one before it.
fn answered(thread: Option<&MailThread>, own: &str) -> (Option<MessageRef>, Vec<MessageRef>) {
    let Some(thread) = thread else { return (None, Vec::new()) };
    let known = thread.references.iter().chain([&thread.message_id]).map(|id| id.expose().as_str());
    let all: Vec<MessageRef> = known.filter(|id| *id != own).filter_map(MessageRef::parse).collect();
    (all.last().cloned(), all)
}

/// The agent's subject, untouched; that of the thread, where the agent could not write one.
fn subject(mail: &MailReply, thread: Option<&MailThread>) -> Private<String> {
    let of_thread = || {
        let subject = thread.map(|thread| thread.subject.expose().trim()).filter(|subject| !subject.is_empty())?;
        let is_answer = subject.get(..3).is_some_and(|head| head.eq_ignore_ascii_case("re:"));
        Some(Private::new(if is_answer { subject.to_owned() } else { format!("Re: {subject}") }))
    };
    mail.subject.clone().or_else(of_thread).unwrap_or_default()
}

fn unsubscribe(reply: &AgentReply, channel: &MailChannel) -> Option<Unsubscribe> {
    match &channel.leave {
        Leave::Off => None,
        Leave::Mailto(keys) => {
            let address = keys.address(&channel.name, &reply.to, channel.id.as_str());
            Some(Unsubscribe::Mailto(Private::new(address)))
        }
        Leave::Url { keys, public_url } => {
            let token = keys.url_token(&channel.name, &reply.to);
            Some(Unsubscribe::Url(Private::new(format!("{public_url}/unsubscribe/{token}"))))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn thread(last: &str) -> MailThread {
        let before = MailThread::after(None, "a@b".to_owned(), Private::default());
        MailThread::after(Some(before), last.to_owned(), Private::new("Order 42".to_owned()))
    }

    #[test]
    fn a_mail_answers_the_last_one_of_its_thread() {
        let ids = |all: Vec<MessageRef>| all.iter().map(|id| id.as_str().to_owned()).collect::<Vec<_>>();
        let (answered_one, references) = answered(Some(&thread("c@d")), "own@x");
        assert_eq!(
            (answered_one.unwrap().as_str(), ids(references)),
            ("c@d", vec!["a@b".to_owned(), "c@d".to_owned()])
        );
        let (answered_one, references) = answered(Some(&thread("own@x")), "own@x");
        assert_eq!((answered_one.unwrap().as_str(), ids(references)), ("a@b", vec!["a@b".to_owned()]), "sent again");
    }

    #[test]
    fn a_thread_is_named_the_same_from_its_first_mail_on() {
        let own = MessageRef::parse("<a@b>").unwrap();
        let first = thread_name(None, &own);
        assert_eq!(first, thread_name(Some(&thread("c@d")), &MessageRef::parse("<e@f>").unwrap()), "answers");
        let sent = MailThread::after(None, "a@b".to_owned(), Private::default());
        assert_eq!(first, thread_name(Some(&sent), &own), "sent again");
    }

    #[test]
    fn a_subject_is_the_agents_or_the_threads() {
        let mut mail = MailReply::default();
        assert_eq!(subject(&mail, Some(&thread("c@d"))).expose(), "Re: Order 42");
        assert_eq!(subject(&mail, None).expose(), "");
        mail.subject = Some(Private::default());
        assert_eq!(subject(&mail, Some(&thread("c@d"))).expose(), "", "the agent left it empty");
    }
}
