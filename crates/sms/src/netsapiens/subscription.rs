//! Event subscriptions (section 5.1).

use bytes::Bytes;
use http::Method;
use jiff::tz::TimeZone;
use runtime::{Answer, url_segment};
use serde_json::{Map, Value, json};

use super::account::Account;
use super::answer::Trouble;
use super::fields::Fields;
use super::{answer, time};
use crate::{Created, SendError, Subscription, SubscriptionForm, WantedSubscription};

/// The one model whose events are asked for: each text fires both, and the other tells less (section 5.4).
const MODEL: &str = "message";
/// Subscriptions of a page, and pages of a list.
const PAGE: usize = 200;
const PAGES: usize = 10;

impl Account {
    /// The subscriptions of the domain to text messages.
    pub(crate) async fn subscriptions(&self) -> Result<Vec<Subscription>, SendError> {
        match self.subscriptions_of(SubscriptionForm::Domain).await? {
            Some(found) => Ok(found),
            // Older cores have the one form only (section 12, 11).
            None => Ok(self.subscriptions_of(SubscriptionForm::Core).await?.unwrap_or_default()),
        }
    }

    /// `None` where the server has no such route.
    async fn subscriptions_of(&self, form: SubscriptionForm) -> Result<Option<Vec<Subscription>>, SendError> {
        let mut all: Vec<Subscription> = Vec::new();
        for page in 0..PAGES {
            let path = format!("{}?limit={PAGE}&start={}", self.path(form, None), page * PAGE);
            let answered = self.subscribing(Method::GET, &path, None).await;
            if page == 0 && answered.as_ref().is_ok_and(|answer| answer.status.as_u16() == 404) {
                return Ok(None);
            }
            let rows = answer::rows(self.name(), answered, self.now())?;
            let full = rows.len() >= PAGE;
            let before = all.len();
            for one in rows.iter().filter_map(|row| self.subscription(row, form)) {
                if !all.iter().any(|known| known.id == one.id) {
                    all.push(one);
                }
            }
            if !full || all.len() == before {
                break;
            }
        }
        Ok(Some(all))
    }

    /// Asks for the events of one user. What the server made of it is best seen in a list.
    pub(crate) async fn subscribe(&self, wanted: &WantedSubscription) -> Result<Created, SendError> {
        let mut body = self.fields(wanted);
        for (key, value) in [("model", MODEL), ("domain", &self.config().domain), ("user", &wanted.user)] {
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
    pub(crate) async fn unsubscribe(&self, one: &Subscription) -> Result<(), SendError> {
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

    fn subscription(&self, row: &Value, form: SubscriptionForm) -> Option<Subscription> {
        let row = Fields::of(row);
        let text = |names: &[&str]| row.first(names).unwrap_or_default().to_owned();
        let ours = row.first(&["model"]) == Some(MODEL) && row.first(&["domain"]) == Some(&self.config().domain);
        let expires = row.first(&["subscription-expires-datetime", "expires-datetime", "subscription-expires"]);
        let server = row.first(&["current-active-server"]);
        Some(Subscription {
            id: row.first(&["id", "subscription-id"]).filter(|_| ours)?.to_owned(),
            user: text(&["user"]),
            post_url: text(&["post-url"]).into(),
            status: text(&["status"]),
            expires: expires.and_then(|text| time::parse(text, &TimeZone::UTC)),
            has_server: server.is_some_and(|server| !server.contains("://")),
            form,
        })
    }

    fn path(&self, form: SubscriptionForm, id: Option<&str>) -> String {
        let id = id.map_or_else(String::new, |id| format!("/{}", url_segment(id)));
        match form {
            SubscriptionForm::Domain => format!("/domains/{}/subscriptions{id}", url_segment(&self.config().domain)),
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
        let answered = self.subscribing(method, &self.path(form, id), body).await;
        answered.map_err(|trouble| trouble.unanswered(self.name()))
    }

    async fn subscribing(&self, method: Method, path: &str, body: Option<Value>) -> Result<Answer, Trouble> {
        let body = body.map_or_else(Bytes::new, |body| Bytes::from(body.to_string()));
        self.exchange("subscribe", method, path, body).await
    }
}

fn fields(value: &Value) -> Map<String, Value> {
    value.as_object().cloned().unwrap_or_default()
}
