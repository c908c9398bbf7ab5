//! What a mail holds on its way to a consumer, and the thread it belongs to.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{MediaRef, Private, SessionId};

/// Somebody a mail names.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Named {
    /// The address as it was written.
    pub id: Private<String>,
    /// The display name; empty where there is none.
    #[serde(default)]
    pub name: Private<String>,
}

/// An agent's mail to one recipient.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MailReply {
    /// The display name of the sender, whose address is that of the reply.
    #[serde(default)]
    pub from_name: Private<String>,
    /// The display name of the recipient.
    #[serde(default)]
    pub to_name: Private<String>,
    /// Where answers go, if not to the sender.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply_to: Option<Named>,
    /// The subject; where there is none, that of the thread is taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Private<String>>,
    /// The text; made from the HTML where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<Private<String>>,
    /// The HTML.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub html: Option<Private<String>>,
    /// What is attached.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<MediaRef>,
}

/// The thread of a conversation by mail: its last mail, ours or the consumer's. The ledger keeps it as the conversation's session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MailThread {
    /// The Message-ID of the last mail, without its brackets.
    pub message_id: Private<String>,
    /// The Message-IDs before it, the oldest first.
    #[serde(default)]
    pub references: Vec<Private<String>>,
    /// The subject of the last mail.
    #[serde(default)]
    pub subject: Private<String>,
}

/// Ids of a thread that are kept: the first, and the last ones.
const KEPT: usize = 20;

impl MailThread {
    /// The thread once this mail was added to it; the same, where it is its last already.
    pub fn after(before: Option<Self>, message_id: String, subject: Private<String>) -> Self {
        let mut references = Vec::new();
        if let Some(before) = before {
            references = before.references;
            references.push(before.message_id);
        }
        references.retain(|known| *known.expose() != message_id);
        if references.len() > KEPT {
            references.drain(1..=references.len() - KEPT);
        }
        Self { message_id: Private::new(message_id), references, subject }
    }

    /// The short name of the thread, by which an answer is known that lost its headers.
    pub fn token(&self) -> String {
        thread_token(self.references.first().unwrap_or(&self.message_id).expose())
    }

    /// As the ledger keeps it.
    pub fn to_session(&self) -> SessionId {
        SessionId::new(serde_json::to_string(self).expect("texts have a JSON form"))
    }

    /// Reads what [`MailThread::to_session`] wrote; anything else is no thread.
    pub fn from_session(session: &SessionId) -> Option<Self> {
        serde_json::from_str(session.as_str()).ok()
    }
}

/// The short name of the thread that begins with this mail: it stands behind the plus of an address, tells nothing of the mail,
/// and survives servers that change the case of addresses.
pub(crate) fn thread_token(first: &str) -> String {
    let hash: [u8; 32] = Sha256::digest(format!("thread|{first}")).into();
    hash[..10].iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add(thread: Option<MailThread>, id: &str) -> MailThread {
        MailThread::after(thread, id.to_owned(), Private::new("Order 42".to_owned()))
    }

    fn ids(thread: &MailThread) -> Vec<&str> {
        thread.references.iter().map(|id| id.expose().as_str()).collect()
    }

    #[test]
    fn a_thread_grows_by_its_mails() {
        let thread = add(Some(add(None, "a@b")), "c@d");
        assert_eq!((thread.message_id.expose().as_str(), ids(&thread)), ("c@d", vec!["a@b"]));
        assert_eq!(add(Some(thread.clone()), "c@d"), thread, "the same mail again changes nothing");
        assert_eq!(MailThread::from_session(&thread.to_session()), Some(thread));
        assert_eq!(MailThread::from_session(&SessionId::new("3f9c")), None);
    }

    #[test]
    fn a_long_thread_keeps_its_first_mail_and_the_last_ones() {
        let thread = (0..100).fold(None, |thread, number| Some(add(thread, &format!("{number}@a")))).unwrap();
        assert_eq!(thread.references.len(), KEPT);
        assert_eq!((ids(&thread)[0], ids(&thread)[1], ids(&thread)[19]), ("0@a", "80@a", "98@a"));
        assert_eq!(thread.token(), add(None, "0@a").token(), "its name stays");
        assert_ne!(thread.token(), add(None, "1@a").token());
    }
}
