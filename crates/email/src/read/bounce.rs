//! What servers say about a mail of ours, for each of its recipients.

use std::io::Read;

use mail_parser::HeaderName;
use model::{Private, ReceiptReason};
use serde::{Deserialize, Serialize};

use super::head::Head;
use super::leaf::{Content, Leaf};
use super::walk::Tree;
use super::{Context, classify, informal, thread};
use crate::Mailbox;
use crate::reason::{self, Status, Step};

/// A report about a mail of ours, or several of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bounce {
    /// The Message-ID of the mail that is spoken of, without angle brackets.
    pub message_id: Option<Private<String>>,
    /// The token in the address the report was sent to; each mail has its own.
    pub token: Option<Private<String>>,
    /// What became of it, for each recipient that is named. Empty where none is.
    pub recipients: Vec<Report>,
}

/// What became of a mail for one recipient.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The recipient's address as the last server knew it, and as we had written it.
    pub recipient: Option<Private<String>>,
    /// The address we wrote to, where the report tells it apart.
    pub original: Option<Private<String>>,
    /// What became of it.
    pub outcome: Outcome,
    /// The enhanced status code, as in `5.1.1`.
    pub status: Option<String>,
    /// The code and the sentence for the agent, where the mail failed.
    pub reason: Option<ReceiptReason>,
}

/// What a server says became of a mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It reached the mailbox.
    Delivered,
    /// It did not and will not.
    Failed,
    /// Not yet; another report follows if it fails.
    Delayed,
    /// It went on to where no reports come from.
    Relayed,
}

/// Reports name no more recipients than this.
pub(crate) const MOST: usize = 100;

/// Reads a report, where the mail is one.
pub(crate) fn read(tree: &mut Tree, from: Option<&Mailbox>, addressed: &[String], context: &Context) -> Option<Bounce> {
    let token = context.bounce_address.as_deref().and_then(|base| thread::token_of(addressed, base));
    let formal = tree.report.as_deref() == Some("delivery-status") || has_status(&tree.leaves);
    let returned = returned_id(&mut tree.leaves);
    let mut recipients: Vec<Report> = if formal { reports(&tree.leaves) } else { Vec::new() };
    if recipients.is_empty() {
        let null_sender = classify::null_sender(&tree.head, context);
        // A report by its form is none of those machines' mails.
        let machine = || !formal && classify::says_machine(&tree.head, tree.report.as_deref()).is_some();
        let told = informal::read(&tree.head, &tree.leaves, from, null_sender, returned.is_some(), machine, context);
        match told {
            Some(told) => recipients = told,
            None if formal => {}
            None => return None,
        }
    }
    let answered = || thread::ids(&tree.head, HeaderName::InReplyTo).into_iter().next();
    let message_id = returned.or_else(|| informal::quoted_id(&tree.leaves)).or_else(answered);
    Some(Bounce { message_id: message_id.map(Private::new), token: token.map(Private::new), recipients })
}

fn has_status(leaves: &[Leaf]) -> bool {
    leaves.iter().any(|leaf| leaf.media_type.ends_with("delivery-status"))
}

fn reports(leaves: &[Leaf]) -> Vec<Report> {
    let statuses = leaves.iter().filter(|leaf| leaf.media_type.ends_with("delivery-status"));
    let bodies = statuses.filter_map(|leaf| match &leaf.content {
        Content::Report(body) => Some(body.as_slice()),
        _ => None,
    });
    bodies.flat_map(read_status).take(MOST).collect()
}

/// Reads a `message/delivery-status` body: groups of fields, of which those that name a recipient are reports.
pub fn read_status(body: &[u8]) -> Vec<Report> {
    let text = super::decode::text(body, None);
    let groups = text.split("\n\n").take(MOST * 2);
    groups.filter_map(|group| report(&fields(group))).take(MOST).collect()
}

fn fields(group: &str) -> Vec<(String, String)> {
    let mut fields: Vec<(String, String)> = Vec::new();
    for line in group.lines() {
        if line.starts_with([' ', '\t']) {
            if let Some((_, value)) = fields.last_mut() {
                value.push(' ');
                value.push_str(line.trim());
            }
        } else if let Some((name, value)) = line.split_once(':') {
            fields.push((name.trim().to_ascii_lowercase(), value.trim().to_owned()));
        }
    }
    fields
}

fn report(fields: &[(String, String)]) -> Option<Report> {
    let field = |name: &str| fields.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
    let final_recipient = field("final-recipient").and_then(address);
    let original = field("original-recipient").and_then(address);
    let recipient = final_recipient.or_else(|| original.clone())?;
    let diagnostic = field("diagnostic-code").map(|code| code.split_once(';').map_or(code, |(_, text)| text).trim());
    let stated = field("status").and_then(Status::parse);
    // Servers that have nothing to say in the field say more in words.
    let spoken = diagnostic.and_then(Status::find);
    let status = match stated {
        Some(Status { subject: 0, detail: 0, class }) => spoken.filter(|spoken| spoken.class == class).or(stated),
        Some(stated) => Some(stated),
        None => spoken,
    };
    let action = field("action").unwrap_or_default().to_ascii_lowercase();
    let outcome = outcome(action.split([' ', ';', '(']).next().unwrap_or_default(), status);
    let reply = diagnostic.and_then(informal::reply_code);
    let reason =
        (outcome == Outcome::Failed).then(|| reason::told(reason::code(reply, status, Step::Unknown), reply, status));
    Some(Report {
        recipient: Some(Private::new(recipient)),
        original: original.map(Private::new),
        outcome,
        status: status.map(|status| status.to_string()),
        reason,
    })
}

fn outcome(action: &str, status: Option<Status>) -> Outcome {
    match action {
        "delivered" => Outcome::Delivered,
        "relayed" | "expanded" => Outcome::Relayed,
        "delayed" => Outcome::Delayed,
        "failed" => Outcome::Failed,
        // Without a word that is known, the status tells.
        _ => match status.map(|status| status.class) {
            Some(2) => Outcome::Delivered,
            Some(4) => Outcome::Delayed,
            _ => Outcome::Failed,
        },
    }
}

/// `rfc822;address`, with or without the first half, brackets and a comment.
fn address(value: &str) -> Option<String> {
    let (kind, address) = value.split_once(';').unwrap_or(("rfc822", value));
    let address = address.trim().trim_matches(['<', '>']).trim();
    let address = address.split(['>', ' ']).next().unwrap_or_default();
    let address = if kind.trim().eq_ignore_ascii_case("rfc822") { from_xtext(address) } else { address.to_owned() };
    crate::address::is_address(&address).then_some(address)
}

/// RFC 3461 writes `+3D` for what may not stand in a parameter. A plus of an address is followed by other characters, or its
/// writer would have encoded it.
fn from_xtext(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('+') {
        out.push_str(&rest[..at]);
        let upper = rest
            .get(at + 1..at + 3)
            .filter(|pair| pair.bytes().all(|b| b.is_ascii_digit() || (b'A'..=b'F').contains(&b)));
        let character =
            upper.and_then(|pair| u8::from_str_radix(pair, 16).ok()).filter(|byte| matches!(byte, b'+' | b'='));
        out.push(character.map_or('+', char::from));
        rest = &rest[at + if character.is_some() { 3 } else { 1 }..];
    }
    out + rest
}

/// The Message-ID in the mail, or the piece of it, that came back.
fn returned_id(leaves: &mut [Leaf]) -> Option<String> {
    leaves.iter_mut().find_map(|leaf| {
        let header = matches!(
            leaf.media_type.as_str(),
            "message/rfc822" | "message/global" | "text/rfc822-headers" | "message/global-headers"
        );
        let raw = match &mut leaf.content {
            Content::Report(raw) if header => raw.clone(),
            Content::File(file) if header => {
                let mut raw = Vec::new();
                // A file that cannot be read again is one without an id; whoever takes the attachment sees the error.
                let _read = std::io::Seek::rewind(file).and_then(|()| file.take(64 * 1024).read_to_end(&mut raw));
                let _rewound = std::io::Seek::rewind(file);
                raw
            }
            _ => return None,
        };
        let end = header_end(&raw);
        let head = Head::read(raw[..end].to_vec());
        thread::ids(&head, HeaderName::MessageId).into_iter().next()
    })
}

fn header_end(raw: &[u8]) -> usize {
    let blank = raw.windows(2).position(|pair| pair == b"\n\n");
    let blank = blank.into_iter().chain(raw.windows(4).position(|four| four == b"\r\n\r\n")).min();
    blank.unwrap_or(raw.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_of_fields_are_recipients() {
        let body = b"Reporting-MTA: dns; mx.example\r\n\r\nFinal-Recipient: rfc822; a@b.example\r\nAction: failed\r\n\
                     Status: 5.0.0\r\nDiagnostic-Code: smtp; 550\r\n 5.1.1 no such user\r\n\r\n\
                     Original-Recipient: rfc822;c+2Bd@e.example\r\nAction: Delayed (1 hour)\r\nStatus: 4.4.1\r\n";
        let found = read_status(body);
        let told: Vec<_> = found
            .iter()
            .map(|report| {
                (report.recipient.clone().unwrap().into_inner(), report.outcome, report.status.clone().unwrap())
            })
            .collect();
        assert_eq!(
            told,
            [
                ("a@b.example".to_owned(), Outcome::Failed, "5.1.1".to_owned()),
                ("c+d@e.example".to_owned(), Outcome::Delayed, "4.4.1".to_owned()),
            ]
        );
        assert_eq!(found[0].reason.as_ref().unwrap().code, model::ReasonCode::InvalidDestination);
        assert_eq!(found[1].reason, None);
    }

    #[test]
    fn addresses_of_reports_come_in_many_dresses() {
        for (written, expected) in [
            ("rfc822; a@b.example", Some("a@b.example")),
            ("RFC822;<a@b.example>", Some("a@b.example")),
            ("a@b.example", Some("a@b.example")),
            ("rfc822;help+token@b.example", Some("help+token@b.example")),
            ("x400; /c=us/", None),
            ("rfc822; undisclosed", None),
        ] {
            assert_eq!(address(written).as_deref(), expected, "{written}");
        }
    }
}
