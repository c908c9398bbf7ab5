//! Bounces of servers that write to people and not to programs.

use model::{Private, ReasonCode, ReceiptReason};

use super::Context;
use super::bounce::{MOST, Outcome, Report};
use super::head::Head;
use super::leaf::{Content, Leaf};
use crate::Mailbox;
use crate::address::{domain_of, is_address, same};
use crate::reason::{self, Status, Step};

/// Who such mails are from.
const DAEMONS: &[&str] = &["mailer-daemon", "mailerdaemon", "mail-daemon", "postmaster", "mdaemon", "maildaemon"];
/// How their subjects begin or what is in them.
const SUBJECTS: &[&str] = &[
    "undeliver",
    "delivery status notification",
    "delivery failure",
    "delivery failed",
    "delivery has failed",
    "mail delivery",
    "failure notice",
    "returned mail",
    "returned to sender",
    "message status",
    "non-delivery",
    "nondeliverable",
    "not delivered",
    "could not be delivered",
    "unzustellbar",
    "nicht zugestellt",
    "zustellung",
    "échec de la remise",
    "non remis",
    "no se puede entregar",
    "mancata consegna",
    "onbestelbaar",
    "delivery report",
    "delayed",
    "warning: could not send",
];
/// How many lines after a recipient speak of it.
const NEAR: usize = 12;
/// Text that is looked at.
const MOST_LINES: usize = 400;

/// What a bounce in words says of each recipient; `None` when it is no bounce.
pub(crate) fn read(
    head: &Head,
    leaves: &[Leaf],
    from: Option<&Mailbox>,
    null_sender: bool,
    returned: bool,
    machine: impl FnOnce() -> bool,
    context: &Context,
) -> Option<Vec<Report>> {
    let local = from.and_then(|from| from.address.expose().split('@').next().map(str::to_lowercase));
    let daemon = local.is_some_and(|local| DAEMONS.contains(&local.as_str()));
    let named = head.raw("X-Failed-Recipients");
    if !daemon && !null_sender && named.is_none() {
        return None;
    }
    let subject = head.text(mail_parser::HeaderName::Subject).unwrap_or_default().to_lowercase();
    let subject_says = SUBJECTS.iter().any(|word| subject.contains(word));
    let text = text_of(leaves);
    let text_says = text.lines().take(5).any(|line| line.starts_with("Hi. This is the") && line.contains("program at"));
    let says_so = named.is_some() || subject_says || text_says || (daemon && returned);
    // A program that answers for a person has a null sender too, and repeats our subject, whatever an agent wrote there.
    let from_server = daemon || named.is_some();
    if !says_so || !(from_server || ((returned || tells_an_answer(&text)) && !machine())) {
        return None;
    }
    let listed = named.unwrap_or_default();
    let listed: Vec<String> =
        listed.split(',').map(|one| one.trim().to_owned()).filter(|one| is_address(one)).collect();
    Some(recipients(&text, &listed, &subject, context))
}

fn text_of(leaves: &[Leaf]) -> String {
    let bodies = leaves.iter().filter_map(|leaf| match &leaf.content {
        Content::Text { text, html: false } => Some(text.clone()),
        Content::Text { text, html: true } => Some(crate::html::to_text(text)),
        _ => None,
    });
    bodies.take(3).collect::<Vec<_>>().join("\n")
}

/// The Message-ID in a copy of our header that is quoted in the text.
pub(crate) fn quoted_id(leaves: &[Leaf]) -> Option<String> {
    let text = text_of(leaves);
    let is_id = |line: &&str| line.get(..11).is_some_and(|name| name.eq_ignore_ascii_case("message-id:"));
    let lines = text.lines().map(|line| line.trim_start_matches(['>', ' ', '\t']));
    let line = lines.take(5000).find(is_id)?;
    let (_, rest) = line.split_once('<')?;
    let id = rest.split('>').next()?.trim();
    (id.contains('@') && !id.contains(char::is_whitespace)).then(|| id.to_owned())
}

fn recipients(text: &str, listed: &[String], subject: &str, context: &Context) -> Vec<Report> {
    let ours = |address: &str| context.domains.iter().any(|domain| same(domain, domain_of(address)));
    let lines: Vec<&str> = text.lines().take(MOST_LINES).take_while(|line| !is_copy(line)).collect();
    let mut found: Vec<(String, usize)> = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let Some(address) = address_in(line) else { continue };
        let new = !ours(&address) && !found.iter().any(|(known, _)| same(known, &address));
        let wanted = listed.is_empty() || listed.iter().any(|one| same(one, &address));
        if new && wanted && found.len() < MOST {
            found.push((address, at));
        }
    }
    let rest = listed.iter().filter(|one| !found.iter().any(|(known, _)| same(known, one)));
    let missing: Vec<(String, usize)> = rest.take(MOST).map(|one| (one.clone(), 0)).collect();
    found.extend(missing);
    let starts: Vec<usize> = found.iter().map(|(_, at)| *at).collect();
    let about = |(address, at): (String, usize)| {
        let next = starts.iter().copied().filter(|start| *start > at).min().unwrap_or(lines.len());
        let near = lines[at..next.min(at + NEAR).min(lines.len())].join(" ");
        // A server that names the recipient before or after all it has to say is taken to speak of it everywhere.
        let near = if tells(&near) { near } else { lines.join(" ") };
        report(address, &near, subject)
    };
    found.into_iter().map(about).collect()
}

/// Where the copy of our mail begins.
fn is_copy(line: &str) -> bool {
    let line = line.trim().to_lowercase();
    let copies = [
        "below this line is a copy",
        "this is a copy of",
        "original message headers",
        "original message follows",
        "message header follows",
        "a copy of the original message",
    ];
    copies.iter().any(|copy| line.contains(copy)) || line.starts_with("return-path:")
}

/// The address a line is about: in angle brackets, or alone on it.
fn address_in(line: &str) -> Option<String> {
    let line = line.trim();
    let inside = line.split_once('<').and_then(|(_, rest)| rest.split_once('>')).map(|(inside, _)| inside);
    let alone = line.trim_end_matches([':', ',']);
    let candidate = inside.filter(|inside| is_address(inside.trim_start_matches("mailto:"))).unwrap_or(alone);
    let candidate = candidate.trim_start_matches("mailto:").trim_matches(['\'', '"']);
    is_address(candidate).then(|| candidate.to_owned())
}

/// The first three digits of an answer in a text: at a word's start, between 400 and 599.
pub(crate) fn reply_code(text: &str) -> Option<u16> {
    let words = text.split(|c: char| c.is_whitespace() || "()[]:;,<>\"'".contains(c));
    words
        .filter_map(|word| {
            let (digits, rest) = word.split_at_checked(3)?;
            let ends = rest.is_empty() || rest.starts_with('-') || rest.starts_with("#");
            digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok()).flatten().filter(|_| ends)
        })
        .find(|code| (400..600).contains(code))
}

/// Whether a line tells what a server answered. What is quoted may be our own words, and any number may stand in a letter.
fn tells_an_answer(text: &str) -> bool {
    let lines = text.lines().take(MOST_LINES).take_while(|line| !is_copy(line));
    let own = lines.filter(|line| !line.trim_start().starts_with('>'));
    let tells = |line: &str| {
        let lower = line.to_lowercase();
        let about_a_server = || ["smtp", "server", "said:", "remote", "host"].iter().any(|word| lower.contains(word));
        Status::find(line).is_some() || (reply_code(line).is_some() && (in_words(&lower).is_some() || about_a_server()))
    };
    own.into_iter().any(tells)
}

fn tells(text: &str) -> bool {
    Status::find(text).is_some() || reply_code(text).is_some() || in_words(&text.to_lowercase()).is_some()
}

/// What words say where no number does.
fn in_words(text: &str) -> Option<ReasonCode> {
    let any = |words: &[&str]| words.iter().any(|word| text.contains(word));
    if any(&[
        "user unknown",
        "unknown user",
        "no such user",
        "does not exist",
        "doesn't exist",
        "not found",
        "mailbox unavailable",
        "no mailbox",
        "invalid recipient",
        "unknown recipient",
        "not a valid recipient",
        "invalid mailbox",
        "no such address",
        "unrouteable address",
        "isn't correct",
        "couldn't be found",
        "wasn't found",
        "unknown address",
        "not listed in",
        "existiert nicht",
    ]) {
        return Some(ReasonCode::InvalidDestination);
    }
    if any(&["too large", "size limit", "exceeds the maximum", "message size"]) {
        return Some(ReasonCode::Unsupported);
    }
    if any(&["spam", "blocked", "policy", "not allowed", "permission", "blacklist", "denied"]) {
        return Some(ReasonCode::NotAllowed);
    }
    if any(&["retry timeout", "too long", "retry time not reached", "expired", "timed out", "gave up"]) {
        return Some(ReasonCode::Expired);
    }
    any(&["quota", "mailbox full", "mailbox is full", "over limit"]).then_some(ReasonCode::General)
}

fn report(address: String, near: &str, subject: &str) -> Report {
    let (status, reply) = (Status::find(near), reply_code(near));
    let lower = near.to_lowercase();
    let delayed = subject.contains("delay")
        || subject.starts_with("warning")
        || lower.contains("do not need to resend")
        || lower.contains("will be retried")
        || lower.contains("will continue to");
    let outcome = if delayed { Outcome::Delayed } else { Outcome::Failed };
    let code = match (status, reply) {
        (None, None) => in_words(&lower).unwrap_or(ReasonCode::General),
        (None, Some(_)) => {
            let by_number = reason::code(reply, None, Step::Unknown);
            if by_number == ReasonCode::General { in_words(&lower).unwrap_or(by_number) } else { by_number }
        }
        _ => reason::code(reply, status, Step::Unknown),
    };
    let reason: Option<ReceiptReason> = (!delayed).then(|| reason::told(code, reply, status));
    Report {
        recipient: Some(Private::new(address)),
        original: None,
        outcome,
        status: status.map(|status| status.to_string()),
        reason,
    }
}
