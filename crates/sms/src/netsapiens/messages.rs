//! Messages of a session, as the platform keeps them (section 4).

use model::SessionId;

use super::account::Account;
use super::records::StoredMessage;
use crate::SendError;

impl Account {
    /// At most so many messages of a session, the newest first.
    ///
    /// # Errors
    /// [`SendError`]: they could not be read, or there is no such session.
    pub async fn messages(&self, user: &str, id: &SessionId, most: usize) -> Result<Vec<StoredMessage>, SendError> {
        let path = format!("{}/messages", self.session_path(user, id));
        let rows = self.all_rows("read-messages", &path, &["id"], most).await?;
        Ok(rows.iter().map(|row| StoredMessage::read(row, &self.config().time_zone)).collect())
    }
}
