//! Messages of every type an engineer may want to try (section 3.1).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::Method;
use model::{Private, SessionId};
use serde_json::{Map, Value, json};

use super::account::Account;
use super::{answer, derive_session, session};
use crate::{SendError, Sent};

/// A message of any type.
#[derive(Debug, Clone)]
pub struct Outgoing {
    /// The company's number for a text; nothing for a chat between users.
    pub from_number: Option<String>,
    /// Numbers of a text, users of a chat. More than one is one group conversation.
    pub to: Vec<String>,
    /// What it says; the caption where there is a file.
    pub text: Private<String>,
    /// One picture or file.
    pub attachment: Option<Attachment>,
}

/// A picture or file.
#[derive(Debug, Clone)]
pub struct Attachment {
    /// Its type, such as `image/png`.
    pub mime_type: String,
    /// It.
    pub data: Private<Bytes>,
}

impl Outgoing {
    const fn kind(&self) -> &'static str {
        match (self.from_number.is_some(), self.attachment.is_some()) {
            (true, false) => "sms",
            (true, true) => "mms",
            (false, false) => "chat",
            (false, true) => "chat-media",
        }
    }

    /// Strict: a string for one recipient, `from-number` alone, and a word where a caption is missing (section 12).
    fn body(&self) -> Value {
        let text = match self.text.expose().as_str() {
            "" if self.attachment.is_some() => " ",
            text => text,
        };
        let destination = match self.to.as_slice() {
            [one] => json!(one),
            several => json!(several),
        };
        let mut body = Map::new();
        body.insert("type".to_owned(), self.kind().into());
        body.insert("message".to_owned(), text.into());
        body.insert("destination".to_owned(), destination);
        if let Some(from) = &self.from_number {
            body.insert("from-number".to_owned(), from.as_str().into());
        }
        if let Some(Attachment { mime_type, data }) = &self.attachment {
            body.insert("data".to_owned(), STANDARD.encode(data.expose()).into());
            body.insert("mime-type".to_owned(), mime_type.as_str().into());
            body.insert("size".to_owned(), data.expose().len().into());
        }
        Value::Object(body)
    }

    /// The session these have among them, whichever of them is named first.
    fn session(&self, user: &str) -> SessionId {
        let mut members = self.to.clone();
        members.sort();
        derive_session(self.from_number.as_deref().unwrap_or(user), &members.join("/"))
    }
}

impl Account {
    /// Sends a message into a session, or into the one these numbers have among them.
    ///
    /// # Errors
    /// [`SendError`].
    pub async fn post_message(
        &self,
        user: &str,
        into: Option<&SessionId>,
        message: &Outgoing,
    ) -> Result<Sent, SendError> {
        let session = into.filter(|id| session::usable(id)).cloned().unwrap_or_else(|| message.session(user));
        self.post_to(&format!("{}/messages", self.session_path(user, &session)), session, message).await
    }

    /// Sends a message and leaves the session to the server, which may name it (section 3.2).
    ///
    /// # Errors
    /// [`SendError`].
    pub async fn start_session(&self, user: &str, message: &Outgoing) -> Result<Option<SessionId>, SendError> {
        let nameless = SessionId::new("");
        let sent = self.post_to(&format!("{}/messages", self.scope(Some(user))), nameless, message).await?;
        Ok(Some(sent.session).filter(|session| !session.as_str().is_empty()))
    }

    async fn post_to(&self, path: &str, session: SessionId, message: &Outgoing) -> Result<Sent, SendError> {
        let body = Bytes::from(message.body().to_string());
        let answered = self.exchange("post", Method::POST, path, body).await;
        answer::sent(self.name(), answered, session, self.now())
    }
}
