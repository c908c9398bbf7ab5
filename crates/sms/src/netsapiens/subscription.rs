//! Event subscriptions (section 5.1).

use bytes::Bytes;
use http::Method;
use jiff::tz::TimeZone;
use runtime::{Answer, url_segment};
use serde_json::{Map, Value, json};

use super::account::Account;
use super::fields::Fields;
use super::{answer, time};
use crate::{Created, EventModel, SendError, Subscription, SubscriptionForm, WantedSubscription};

/// Subscriptions that are read.
const MOST: usize = 2_000;
const ID: &[&str] = &["id", "subscription-id"];

impl EventModel {
    /// The word of the platform.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Messages => "message",
            Self::Sessions => "messagesession",
        }
    }
}

impl Account {
    /// Every event subscription that this login may see.
    ///
    /// # Errors
    /// [`SendError`]: they could not be listed.
    pub async fn all_subscriptions(&self) -> Result<Vec<Subscription>, SendError> {
        let form = self.form().await?;
        let rows = self.all_rows("list-subscriptions", &self.path(form, None), ID, MOST).await?;
        Ok(rows.iter().filter_map(|row| read(row, form)).collect())
    }

    /// Those of the domain to messages.
    pub(crate) async fn subscriptions(&self) -> Result<Vec<Subscription>, SendError> {
        let mut all = self.all_subscriptions().await?;
        let domain = &self.config().domain;
        all.retain(|one| one.model == EventModel::Messages.word() && one.domain.as_deref() == Some(domain));
        Ok(all)
    }

    /// Asks for the events of one user. What the server made of it is best seen in a list.
    ///
    /// # Errors
    /// [`SendError`]: it was not made, or nobody knows.
    pub async fn subscribe(&self, wanted: &WantedSubscription) -> Result<Created, SendError> {
        let mut body = self.fields(wanted);
        for (key, value) in [("model", wanted.model.word()), ("domain", &self.config().domain), ("user", &wanted.user)]
        {
            body.insert(key.to_owned(), value.into());
        }
        body.insert("synchronous".to_owned(), "yes".into());
        let mut answered = self.write(Method::POST, SubscriptionForm::Domain, None, &body).await?;
        if answered.status.as_u16() == 404 {
            answered = self.write(Method::POST, SubscriptionForm::Core, None, &body).await?;
        }
        match answered.status.as_u16() {
            409 => Ok(Created::WasThere),
            200..=299 => Ok(Created::Made),
            _ => Err(answer::refusal(self.name(), &answered, self.now())),
        }
    }

    /// Gives a subscription a new expiry, its URL and its server, and forgets its errors.
    pub(crate) async fn renew(&self, one: &Subscription, wanted: &WantedSubscription) -> Result<(), SendError> {
        let mut body = self.fields(wanted);
        body.insert("error-count".to_owned(), 0.into());
        let answered = self.write(Method::PUT, one.form, Some(&one.id), &body).await?;
        if answered.status.is_success() { Ok(()) } else { Err(answer::refusal(self.name(), &answered, self.now())) }
    }

    /// Ends a subscription; one that is gone is as well.
    ///
    /// # Errors
    /// [`SendError`]: it is there, or nobody knows.
    pub async fn unsubscribe(&self, one: &Subscription) -> Result<(), SendError> {
        let body = match one.form {
            SubscriptionForm::Domain => Map::new(),
            SubscriptionForm::Core => fields(&json!({ "subscription_id": one.id, "domain": self.config().domain })),
        };
        let answered = self.write(Method::DELETE, one.form, Some(&one.id), &body).await?;
        match answered.status.as_u16() {
            200..=299 | 404 => Ok(()),
            _ => Err(answer::refusal(self.name(), &answered, self.now())),
        }
    }

    /// The form this core has: older ones know none below a domain (section 12, 11).
    async fn form(&self) -> Result<SubscriptionForm, SendError> {
        let path = format!("{}?limit=1", self.path(SubscriptionForm::Domain, None));
        let answer = self.subscribing(Method::GET, &path, None).await?;
        Ok(if answer.status.as_u16() == 404 { SubscriptionForm::Core } else { SubscriptionForm::Domain })
    }

    fn fields(&self, wanted: &WantedSubscription) -> Map<String, Value> {
        let expires = wanted.expires.to_zoned(TimeZone::UTC).strftime("%Y-%m-%d %H:%M:%S").to_string();
        let mut body = fields(&json!({
            "post-url": wanted.post_url.expose(),
            "subscription-geo-support": "yes",
            // Left out, it would be that of the token: an hour.
            "subscription-expires-datetime": expires,
        }));
        if let Some(server) = &wanted.preferred_server {
            body.insert("preferred-server".to_owned(), server.as_str().into());
        }
        body
    }

    fn path(&self, form: SubscriptionForm, id: Option<&str>) -> String {
        let id = id.map_or_else(String::new, |id| format!("/{}", url_segment(id)));
        match form {
            SubscriptionForm::Domain => format!("{}/subscriptions{id}", self.scope(None)),
            SubscriptionForm::Core => format!("/subscriptions{id}"),
        }
    }

    async fn write(
        &self,
        method: Method,
        form: SubscriptionForm,
        id: Option<&str>,
        body: &Map<String, Value>,
    ) -> Result<Answer, SendError> {
        let body = (!body.is_empty()).then(|| Value::Object(body.clone()));
        self.subscribing(method, &self.path(form, id), body).await
    }

    async fn subscribing(&self, method: Method, path: &str, body: Option<Value>) -> Result<Answer, SendError> {
        let body = body.map_or_else(Bytes::new, |body| Bytes::from(body.to_string()));
        let answered = self.exchange("subscribe", method, path, body).await;
        answered.map_err(|trouble| trouble.unanswered(self.name()))
    }
}

/// A row without an id is none.
fn read(row: &Value, form: SubscriptionForm) -> Option<Subscription> {
    let row = Fields::of(row);
    let text = |names: &[&str]| row.first(names).unwrap_or_default().to_owned();
    let count = |name: &str| row.first(&[name]).and_then(|count| count.parse().ok());
    let expires = row.first(&["subscription-expires-datetime", "expires-datetime", "subscription-expires"]);
    Some(Subscription {
        id: row.first(ID)?.to_owned(),
        model: text(&["model"]),
        user: text(&["user"]),
        domain: row.first(&["domain"]).map(str::to_owned),
        post_url: text(&["post-url"]).into(),
        status: text(&["status"]),
        expires: expires.and_then(|text| time::parse(text, &TimeZone::UTC)),
        server: row.first(&["current-active-server"]).map(str::to_owned),
        errors: count("error-count"),
        posts: count("posts-count"),
        form,
    })
}

fn fields(value: &Value) -> Map<String, Value> {
    value.as_object().cloned().unwrap_or_default()
}
