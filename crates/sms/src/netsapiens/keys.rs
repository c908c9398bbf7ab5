//! API keys (section 2.2).

use std::fmt;

use bytes::Bytes;
use http::Method;
use runtime::url_segment;
use secrecy::SecretString;
use serde_json::{Map, Value};

use super::account::Account;
use super::answer;
use super::fields::Fields;
use super::records::ApiKey;
use crate::SendError;

const MOST: usize = 1_000;
/// What a bridge needs, and no more.
const MODELS: [&str; 4] = ["message", "messagesession", "smsnumber", "event"];

/// A key that was made. The platform shows it this once.
pub struct NewKey {
    /// What is known of it.
    pub about: ApiKey,
    /// The key itself.
    pub key: SecretString,
}

impl fmt::Debug for NewKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("NewKey").field("about", &self.about).finish_non_exhaustive()
    }
}

impl Account {
    /// The keys this login may see, without the keys themselves.
    ///
    /// # Errors
    /// [`SendError`]: they could not be listed.
    pub async fn keys(&self) -> Result<Vec<ApiKey>, SendError> {
        let rows = self.all_rows("list-keys", "/apikeys", &["key-id", "id"], MOST).await?;
        Ok(rows.iter().map(ApiKey::read).collect())
    }

    /// Makes a key for the account's domain, limited to messaging.
    ///
    /// # Errors
    /// [`SendError`]: it was not made, or nobody knows. A key may only be made by one that may make keys.
    pub async fn create_key(&self, description: &str, user: Option<&str>) -> Result<NewKey, SendError> {
        let mut body = Map::new();
        body.insert("description".to_owned(), description.into());
        body.insert("domain".to_owned(), self.config().domain.as_str().into());
        if let Some(user) = user {
            body.insert("user".to_owned(), user.into());
        }
        body.insert("readonly".to_owned(), "no".into());
        body.insert("allowed-models".to_owned(), MODELS.to_vec().into());
        body.insert("synchronous".to_owned(), "yes".into());
        let body = Bytes::from(Value::Object(body).to_string());
        let answered = self.exchange("create-key", Method::POST, "/apikeys", body).await;
        let made = answer::json(self.name(), answered, self.now())?;
        let made = made.as_array().and_then(|rows| rows.first()).unwrap_or(&made);
        let key = Fields::of(made).first(&["apikey", "api-key", "key", "token"]).map(SecretString::from);
        let key = key.ok_or_else(|| SendError::Unknown {
            cause: format!(
                "provider {} made a key and did not show it; delete the key of that description, and make one in the portal",
                self.name()
            ),
        })?;
        Ok(NewKey { about: ApiKey::read(made), key })
    }

    /// Deletes a key, by its id.
    ///
    /// # Errors
    /// [`SendError`]: it is there, or nobody knows.
    pub async fn delete_key(&self, id: &str) -> Result<(), SendError> {
        self.act("delete-key", Method::DELETE, &format!("/apikeys/{}", url_segment(id)), Bytes::new()).await
    }
}
