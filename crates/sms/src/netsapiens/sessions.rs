//! Message sessions: conversations of one user (section 4).

use bytes::Bytes;
use http::Method;
use model::SessionId;
use runtime::url_segment;
use serde_json::{Value, json};

use super::account::Account;
use super::answer;
use super::records::MessageSession;
use crate::SendError;

const ID: &[&str] = &["messagesession-id", "session-id"];

impl Account {
    /// At most so many sessions, of one user or of the whole domain; the newest first where the server does so.
    ///
    /// # Errors
    /// [`SendError`]: they could not be listed. Cores before v44 list those of a user only.
    pub async fn message_sessions(&self, user: Option<&str>, most: usize) -> Result<Vec<MessageSession>, SendError> {
        let path = format!("{}/messagesessions", self.scope(user));
        let rows = self.all_rows("list-sessions", &path, ID, most).await?;
        Ok(rows.iter().filter_map(|row| MessageSession::read(row, &self.config().time_zone)).collect())
    }

    /// One session; `None` where there is none of that id.
    ///
    /// # Errors
    /// [`SendError`]: it could not be read.
    pub async fn message_session(&self, user: &str, id: &SessionId) -> Result<Option<MessageSession>, SendError> {
        let answered = self.exchange("read-session", Method::GET, &self.session_path(user, id), Bytes::new()).await;
        if answered.as_ref().is_ok_and(|answer| answer.status.as_u16() == 404) {
            return Ok(None);
        }
        // Documented as an array, of one.
        let rows = answer::list(self.name(), answered, ID, self.now())?;
        Ok(rows.iter().find_map(|row| MessageSession::read(row, &self.config().time_zone)))
    }

    /// Makes these the participants of a chat, our own user among them. Groups of SMS and MMS cannot be changed.
    ///
    /// # Errors
    /// [`SendError`]: they are what they were, or nobody knows.
    pub async fn set_participants(&self, user: &str, id: &SessionId, everybody: &[String]) -> Result<(), SendError> {
        self.change(user, id, &json!({ "participants": everybody.join(",") })).await
    }

    /// Gives a chat a name.
    ///
    /// # Errors
    /// [`SendError`]: it has none, or nobody knows.
    pub async fn rename_session(&self, user: &str, id: &SessionId, name: &str) -> Result<(), SendError> {
        self.change(user, id, &json!({ "session-name": name })).await
    }

    /// Takes our user out of a chat.
    ///
    /// # Errors
    /// [`SendError`]: it is still in it, or nobody knows.
    pub async fn leave_session(&self, user: &str, id: &SessionId) -> Result<(), SendError> {
        self.act("leave-session", Method::PUT, &format!("{}/leave", self.session_path(user, id)), Bytes::new()).await
    }

    /// Deletes a session, with its messages, for our user.
    ///
    /// # Errors
    /// [`SendError`]: it is there, or nobody knows.
    pub async fn delete_session(&self, user: &str, id: &SessionId) -> Result<(), SendError> {
        self.act("delete-session", Method::DELETE, &self.session_path(user, id), Bytes::new()).await
    }

    async fn change(&self, user: &str, id: &SessionId, body: &Value) -> Result<(), SendError> {
        self.act("change-session", Method::PUT, &self.session_path(user, id), Bytes::from(body.to_string())).await
    }

    /// Something that is done, or is not: any 2xx is full success, at once or later (section 1).
    pub(super) async fn act(
        &self,
        operation: &'static str,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<(), SendError> {
        let answered = self.exchange(operation, method, path, body).await;
        answer::json(self.name(), answered, self.now()).map(drop)
    }

    /// The path of a user's things, or of the domain's.
    pub(super) fn scope(&self, user: Option<&str>) -> String {
        let domain = format!("/domains/{}", url_segment(&self.config().domain));
        match user {
            Some(user) => format!("{domain}/users/{}", url_segment(user)),
            None => domain,
        }
    }

    pub(super) fn session_path(&self, user: &str, id: &SessionId) -> String {
        format!("{}/messagesessions/{}", self.scope(Some(user)), url_segment(id.as_str()))
    }
}
