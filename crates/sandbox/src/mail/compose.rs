//! Mails as consumers' programs write them, and reports as mail servers do (RFC 3464).

use std::fmt::Write as _;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use jiff::Timestamp;

use super::state::DeliveredMail;

/// A mail that a consumer writes.
#[derive(Debug, Clone, Default)]
pub struct ConsumerMail {
    /// The consumer's address.
    pub from: String,
    /// The consumer's name.
    pub from_name: String,
    /// The company's address.
    pub to: String,
    /// The subject.
    pub subject: String,
    /// The text.
    pub text: String,
    /// What is attached.
    pub files: Vec<MailFile>,
    /// The Message-ID of what it answers, without angle brackets.
    pub in_reply_to: Option<String>,
}

/// Something attached to a mail.
#[derive(Debug, Clone)]
pub struct MailFile {
    /// What it is called.
    pub name: String,
    /// Its media type.
    pub media_type: String,
    /// Its bytes.
    pub bytes: Bytes,
}

/// A mail as it goes over the wire.
pub(super) fn mail(mail: &ConsumerMail, message_id: &str, now: Timestamp) -> String {
    let mut out = String::new();
    let mut line = |text: &str| {
        let _written = write!(out, "{text}\r\n");
    };
    line(&format!("From: {} <{}>", encoded(&mail.from_name), mail.from));
    line(&format!("To: <{}>", mail.to));
    line(&format!("Subject: {}", encoded(&mail.subject)));
    line(&format!("Date: {}", date(now)));
    line(&format!("Message-ID: <{message_id}>"));
    if let Some(id) = &mail.in_reply_to {
        line(&format!("In-Reply-To: <{id}>\r\nReferences: <{id}>"));
    }
    line("MIME-Version: 1.0");
    let boundary = format!("mixed-{}", message_id.split('@').next().unwrap_or_default());
    if !mail.files.is_empty() {
        line(&format!("Content-Type: multipart/mixed; boundary=\"{boundary}\"\r\n\r\n--{boundary}"));
    }
    line("Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n");
    line(&folded(mail.text.as_bytes()));
    for file in &mail.files {
        let name = header_word(&file.name).replace(['"', '\\'], "_");
        line(&format!("--{boundary}\r\nContent-Type: {}", header_word(&file.media_type)));
        line(&format!("Content-Disposition: attachment; filename=\"{name}\""));
        line("Content-Transfer-Encoding: base64\r\n");
        line(&folded(&file.bytes));
    }
    if !mail.files.is_empty() {
        line(&format!("--{boundary}--"));
    }
    out
}

/// A report that a mail this server took could not be delivered after all.
pub(super) fn report(about: &DeliveredMail, domain: &str, message_id: &str, now: Timestamp) -> String {
    let header_end = about.raw.windows(4).position(|four| four == b"\r\n\r\n").unwrap_or(about.raw.len());
    let header = String::from_utf8_lossy(&about.raw[..header_end]);
    let (to, now) = (&about.to, date(now));
    format!(
        "From: Mail Delivery System <MAILER-DAEMON@{domain}>\r\nTo: <{}>\r\nSubject: Undelivered Mail Returned to Sender\r\n\
         Date: {now}\r\nMessage-ID: <{message_id}>\r\nAuto-Submitted: auto-replied\r\nMIME-Version: 1.0\r\n\
         Content-Type: multipart/report; report-type=delivery-status; boundary=\"report\"\r\n\r\n\
         --report\r\nContent-Type: text/plain; charset=us-ascii\r\n\r\n\
         This is the mail system at {domain}. Your message could not be delivered.\r\n\r\n\
         --report\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mail.{domain}\r\n\r\n\
         Final-Recipient: rfc822; {to}\r\nOriginal-Recipient: rfc822;{to}\r\nAction: failed\r\nStatus: 5.1.1\r\n\
         Diagnostic-Code: smtp; 550 5.1.1 The mailbox does not exist\r\n\r\n\
         --report\r\nContent-Type: text/rfc822-headers\r\n\r\n{header}\r\n\r\n--report--\r\n",
        about.envelope_from
    )
}

fn date(at: Timestamp) -> String {
    at.strftime("%a, %d %b %Y %H:%M:%S +0000").to_string()
}

/// A header's text as one encoded word for each few characters; nothing in it can end the line.
fn encoded(text: &str) -> String {
    let characters: Vec<char> = text.chars().filter(|c| !c.is_control()).collect();
    let word = |part: &[char]| format!("=?utf-8?B?{}?=", STANDARD.encode(part.iter().collect::<String>()));
    characters.chunks(10).map(word).collect::<Vec<_>>().join("\r\n ")
}

fn header_word(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).collect()
}

fn folded(bytes: &[u8]) -> String {
    let encoded = STANDARD.encode(bytes);
    let lines = encoded.as_bytes().chunks(76).map(|line| String::from_utf8_lossy(line).into_owned());
    lines.collect::<Vec<_>>().join("\r\n")
}
