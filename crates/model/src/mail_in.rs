use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::mail::thread_token;
use crate::{Address, ChannelName, MessageId, Private};

/// What a consumer's mail says beside what every message says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InboundMail {
    /// The Message-ID without angle brackets; none where the mail has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_id: Option<Private<String>>,
    /// What it answers: In-Reply-To, then References from the right, without angle brackets.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub answers: Vec<Private<String>>,
    /// What stood behind the plus in an address of ours it was sent to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tokens: Vec<Private<String>>,
    /// The subject, in one line.
    pub subject: Private<String>,
    /// The sender's display name; empty where there is none.
    #[serde(default)]
    pub from_name: Private<String>,
    /// Where answers are wanted, where that is not at the sender's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply_to: Option<Private<String>>,
    /// The company's address it was sent to.
    pub to: Private<String>,
    /// Everybody else it was sent to, as written.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<Private<String>>,
    /// What was written now.
    pub text: Private<String>,
    /// What was written before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quoted: Option<Private<String>>,
    /// The HTML as it came: data, with scripts and all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub html: Option<Private<String>>,
    /// Sentences for the agent about what is peculiar or was left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// When its author says it was written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub written_at: Option<Timestamp>,
    /// When the last server took it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub taken_at: Option<Timestamp>,
}

impl InboundMail {
    /// The short name of its thread, as [`crate::MailThread::token`] tells it; none where the mail has no id.
    pub fn thread_token(&self) -> Option<String> {
        let own = self.message_id.as_ref()?;
        let first = self.answers.iter().rev().find(|id| *id != own).unwrap_or(own);
        Some(thread_token(first.expose()))
    }

    /// The identity of a mail on a channel: the same by whichever way it comes in.
    ///
    /// The Message-ID alone would not do: some programs give all their mails one, and whoever knows one could keep another's
    /// mail from arriving. Where there is none, what was written takes its place, and the names and sizes of the files; spaces
    /// do not count, for servers change them.
    pub fn derive_id(&self, channel: &ChannelName, from: &Address, files: &[(&str, u64)]) -> MessageId {
        let written = self.written_at.map(|at| at.as_second().to_string()).unwrap_or_default();
        let named = match &self.message_id {
            Some(id) => format!("id:{}", id.expose()),
            None => format!("text:{}", self.digest(files)),
        };
        MessageId::derive("in", &["mail", channel.as_str(), from.normalised(), &named, &written])
    }

    fn digest(&self, files: &[(&str, u64)]) -> String {
        let mut hash = Sha256::new();
        let quoted = self.quoted.as_ref().map(|quoted| quoted.expose().as_str()).unwrap_or_default();
        for part in [self.subject.expose().as_str(), self.text.expose(), quoted] {
            for word in part.split_whitespace() {
                hash.update(word);
                hash.update(" ");
            }
            hash.update("\0");
        }
        for (name, size) in files {
            hash.update(format!("{size} {name}\0"));
        }
        hex::encode(hash.finalize())
    }

    /// What an agent reads of it where only a text can be shown.
    pub fn as_text(&self) -> String {
        let subject = self.subject.expose().trim();
        let heading = (!subject.is_empty()).then(|| format!("Subject: {subject}\n"));
        heading.into_iter().chain([self.body()]).collect::<Vec<_>>().join("\n")
    }

    /// What was written, and what is to be known about it. The history is left out where something new stands before it.
    pub fn body(&self) -> String {
        let text = self.text.expose().trim();
        let quoted = self.quoted.as_ref().map(|quoted| quoted.expose().trim()).filter(|quoted| !quoted.is_empty());
        let mut lines: Vec<String> = Vec::new();
        match (text.is_empty(), quoted) {
            (true, None) => lines.push("[The mail has no text.]".to_owned()),
            (true, Some(quoted)) => lines.extend(quoted.lines().map(|line| format!("> {line}"))),
            (false, None) => lines.push(text.to_owned()),
            (false, Some(_)) => {
                lines.push(text.to_owned());
                lines.push("[Earlier messages were quoted below and are left out.]".to_owned());
            }
        }
        let answers = self.reply_to.as_ref().map(|address| format!("[Answers are wanted at {}.]", address.expose()));
        lines.extend(answers);
        lines.extend(self.notes.iter().cloned());
        lines.join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mail(message_id: Option<&str>, text: &str) -> InboundMail {
        InboundMail {
            message_id: message_id.map(|id| Private::new(id.to_owned())),
            subject: Private::new("Order 42".to_owned()),
            text: Private::new(text.to_owned()),
            written_at: Some(Timestamp::from_second(1_795_169_730).unwrap()),
            ..InboundMail::default()
        }
    }

    #[test]
    fn one_mail_has_one_identity_however_it_comes() {
        let channel = ChannelName::new("company.com");
        let ann = Address::mail("ann@consumer.example").unwrap();
        let id = |mail: &InboundMail| mail.derive_id(&channel, &ann, &[]);
        let named = mail(Some("a@consumer.example"), "Hello");
        assert_eq!(id(&named), id(&mail(Some("a@consumer.example"), "Hello, as another server wrote it down")));
        assert_ne!(id(&named), id(&mail(Some("b@consumer.example"), "Hello")));
        assert_ne!(id(&named), id(&InboundMail { written_at: None, ..named.clone() }), "one id for several mails");
        assert_ne!(id(&named), named.derive_id(&channel, &Address::mail("eve@consumer.example").unwrap(), &[]));
        assert_ne!(id(&named), named.derive_id(&ChannelName::new("other.com"), &ann, &[]));
        assert_eq!(id(&mail(None, "Hello  there\r\n")), id(&mail(None, "Hello there\n")));
        assert_ne!(id(&mail(None, "Hello")), id(&mail(None, "Goodbye")));
        let with = |mail: &InboundMail, name, size| mail.derive_id(&channel, &ann, &[(name, size)]);
        let scan = mail(None, "");
        assert_eq!(with(&scan, "a.pdf", 10), with(&scan, "a.pdf", 10));
        assert_ne!(with(&scan, "a.pdf", 10), id(&scan));
        assert_ne!(with(&scan, "a.pdf", 10), with(&scan, "a.pdf", 11), "a scanner sends files and no text");
        assert_ne!(with(&scan, "a.pdf", 10), with(&scan, "b.pdf", 10));
        assert_eq!(with(&named, "a.pdf", 10), id(&named), "the Message-ID does where there is one");
    }

    #[test]
    fn an_agent_reads_what_is_new_and_what_is_left_out() {
        let plain = mail(None, "Where is it?\n");
        assert_eq!(plain.as_text(), "Subject: Order 42\n\nWhere is it?");
        let quoting = InboundMail {
            quoted: Some(Private::new("> On Friday".to_owned())),
            notes: vec!["[A calendar invitation is attached.]".to_owned()],
            ..plain
        };
        assert_eq!(
            quoting.body(),
            "Where is it?\n[Earlier messages were quoted below and are left out.]\n[A calendar invitation is attached.]"
        );
        let forwarded =
            InboundMail { text: Private::default(), subject: Private::default(), notes: Vec::new(), ..quoting };
        assert_eq!(forwarded.as_text(), "> > On Friday");
        assert_eq!(InboundMail::default().as_text(), "[The mail has no text.]");
    }

    #[test]
    fn a_mail_shows_nothing_private() {
        let shown = format!("{:?}", mail(Some("a@consumer.example"), "secret"));
        assert!(!shown.contains("secret") && !shown.contains("Order") && !shown.contains("consumer"), "{shown}");
    }
}
