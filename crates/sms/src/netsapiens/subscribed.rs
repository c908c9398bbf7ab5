//! Event subscriptions as an engineer sees them (section 5.1).

use bytes::Bytes;
use http::Method;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use runtime::url_segment;
use serde::Serialize;
use serde_json::{Value, json};

use super::account::Account;
use super::answer;
use super::fields::Fields;
use super::time;
use crate::SendError;

const MOST: usize = 1_000;

/// A subscription to events.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EventSubscription {
    /// Its id.
    pub id: String,
    /// What happens to.
    pub model: Option<String>,
    /// Whose events.
    pub user: Option<String>,
    /// Of which domain.
    pub domain: Option<String>,
    /// `pending`, `active` or `error`.
    pub status: Option<String>,
    /// When it ends.
    pub expires: Option<Timestamp>,
    /// Posts that failed lately.
    pub errors: Option<u64>,
    /// Posts there were.
    pub posts: Option<u64>,
    /// The server that posts.
    pub server: Option<String>,
    /// The host events are posted to; the path holds a secret.
    pub host: Option<String>,
}

impl EventSubscription {
    fn read(row: &Value) -> Option<Self> {
        let row = Fields::of(row);
        let text = |names: &[&str]| row.first(names).map(str::to_owned);
        let count = |name: &str| row.first(&[name]).and_then(|count| count.parse().ok());
        let expires = row.first(&["subscription-expires-datetime", "expires-datetime"]);
        Some(Self {
            id: text(&["id", "subscription-id"])?,
            model: text(&["model"]),
            user: text(&["user"]),
            domain: text(&["domain"]),
            status: text(&["status"]),
            expires: expires.and_then(|text| time::parse(text, &TimeZone::UTC)),
            errors: count("error-count"),
            posts: count("posts-count"),
            server: text(&["current-active-server"]),
            host: row.first(&["post-url"]).and_then(|url| url.parse::<http::Uri>().ok()?.host().map(str::to_owned)),
        })
    }
}

impl Account {
    /// The event subscriptions of the domain.
    ///
    /// # Errors
    /// [`SendError`]: they could not be listed.
    pub async fn event_subscriptions(&self) -> Result<Vec<EventSubscription>, SendError> {
        let (form, _) = self.subscription_form().await?;
        let rows = self.all_rows("list-subscriptions", &form, &["id", "subscription-id"], MOST).await?;
        Ok(rows.iter().filter_map(EventSubscription::read).collect())
    }

    /// Has the events of a user posted; whether it was made, or there is one like it.
    ///
    /// # Errors
    /// [`SendError`]: it was not made, or nobody knows.
    pub async fn create_event_subscription(
        &self,
        model: &str,
        user: &str,
        post_url: &str,
        expires: Timestamp,
    ) -> Result<bool, SendError> {
        let (form, _) = self.subscription_form().await?;
        let expires = expires.to_zoned(TimeZone::UTC).strftime("%Y-%m-%d %H:%M:%S").to_string();
        let body = json!({
            "model": model, "post-url": post_url, "domain": self.config().domain, "user": user,
            // Left out, it would be that of the token: an hour.
            "subscription-expires-datetime": expires, "subscription-geo-support": "yes", "synchronous": "yes",
        });
        let body = Bytes::from(body.to_string());
        let answered = self.exchange("create-subscription", Method::POST, &form, body).await;
        if answered.as_ref().is_ok_and(|answer| answer.status.as_u16() == 409) {
            return Ok(false);
        }
        answer::json(self.name(), answered, self.now()).map(|_made| true)
    }

    /// Ends a subscription, by its id.
    ///
    /// # Errors
    /// [`SendError`]: it is there, or nobody knows.
    pub async fn delete_event_subscription(&self, id: &str) -> Result<(), SendError> {
        let (form, of_core) = self.subscription_form().await?;
        let body = if of_core {
            Bytes::from(json!({ "subscription_id": id, "domain": self.config().domain }).to_string())
        } else {
            Bytes::new()
        };
        self.act("delete-subscription", Method::DELETE, &format!("{form}/{}", url_segment(id)), body).await
    }

    /// The path subscriptions have on this core, and whether it is the one of older cores (section 12, 11).
    async fn subscription_form(&self) -> Result<(String, bool), SendError> {
        let form = format!("{}/subscriptions", self.scope(None));
        let answered = self.exchange("list-subscriptions", Method::GET, &format!("{form}?limit=1"), Bytes::new()).await;
        let answer = answer::raw(self.name(), answered)?;
        if answer.status.as_u16() == 404 { Ok(("/subscriptions".to_owned(), true)) } else { Ok((form, false)) }
    }
}
