//! Messages of every type an engineer may want to try (section 3.1).

use base64::display::Base64Display;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::Method;
use model::{Private, SessionId};
use serde::{Serialize, Serializer};

use super::account::Account;
use super::{answer, derive_session, session};
use crate::{OutgoingFile, SendError, SendRequest, Sent};

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
    pub attachment: Option<OutgoingFile>,
}

/// Strict: `from-number`, and a string for one recipient; several are one group conversation (section 12, 5 and 6).
#[derive(Serialize)]
struct Written<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    message: &'a str,
    destination: Destination<'a>,
    #[serde(rename = "from-number", skip_serializing_if = "Option::is_none")]
    from_number: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Base64<'a>>,
    #[serde(rename = "mime-type", skip_serializing_if = "Option::is_none")]
    mime_type: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<usize>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Destination<'a> {
    One(&'a str),
    Group(&'a [String]),
}

/// A file is written into the body as it is encoded: a text of it beside the body would be a third copy.
struct Base64<'a>(&'a [u8]);

impl Serialize for Base64<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&Base64Display::new(self.0, &STANDARD))
    }
}

impl From<&SendRequest> for Outgoing {
    fn from(request: &SendRequest) -> Self {
        let everybody = std::iter::once(&request.to).chain(&request.others);
        Self {
            from_number: Some(request.from.clone()),
            to: everybody.map(|number| number.digits().to_owned()).collect(),
            text: request.text.clone(),
            attachment: request.file.clone(),
        }
    }
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

    /// The body of the call.
    pub(super) fn body(&self) -> Bytes {
        let text = match self.text.expose().as_str() {
            // Documented with a word in its place; a space is the least of them (section 12, 7).
            "" if self.attachment.is_some() => " ",
            text => text,
        };
        let data = self.attachment.as_ref().map(|file| file.data.expose());
        let written = Written {
            kind: self.kind(),
            message: text,
            destination: match self.to.as_slice() {
                [one] => Destination::One(one),
                several => Destination::Group(several),
            },
            from_number: self.from_number.as_deref(),
            data: data.map(|data| Base64(data)),
            mime_type: self.attachment.as_ref().map(|file| file.media_type.as_str()),
            size: data.map(Bytes::len),
        };
        serde_json::to_vec(&written).expect("texts and numbers have a JSON form").into()
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
        let answered = self.exchange("post", Method::POST, path, message.body()).await;
        answer::sent(self.name(), answered, session, self.now())
    }
}
