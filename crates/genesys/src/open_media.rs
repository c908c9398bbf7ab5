//! The Open Media API: tasks for agents, all seven operations (section 8).
//!
//! It is one way: nothing an agent answers comes back by it. A call is authenticated by the tenant's API key alone.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use jiff::Timestamp;
use model::Private;
use runtime::{Answer, Call, CallError, url_segment};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value};

use crate::classify::{self, fault, refused, unanswered};
use crate::client::{Client, Refusal};

mod body;

/// How a tenant's Open Media API is called.
#[derive(Debug, Clone, Default)]
pub struct OpenMediaAccess {
    /// `x-api-key`, which every call must carry.
    pub api_key: Option<SecretString>,
    /// What a body looks like.
    pub wrapper: BodyWrapper,
}

/// Whether a body is wrapped: the documents show one level (section 8.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BodyWrapper {
    /// `{"data": {…}}`
    #[default]
    Data,
    /// `{…}`
    Bare,
}

/// An id of ours under which an interaction is found again: the only thing that makes its creation repeatable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExternalId(String);

/// Characters an external id may have, so that it can stand in a path whatever decodes it (section 8.2).
const ID_LIMIT: usize = 64;

impl ExternalId {
    /// 1 to 64 of `A-Z a-z 0-9 _ -`.
    ///
    /// # Errors
    /// [`NotAnExternalId`].
    pub fn parse(text: &str) -> Result<Self, NotAnExternalId> {
        let fits = (1..=ID_LIMIT).contains(&text.len());
        let plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
        // The path would begin with ext_ext_, which is legal and read wrongly by everybody.
        if fits && plain && !text.starts_with("ext_") { Ok(Self(text.to_owned())) } else { Err(NotAnExternalId) }
    }

    /// As it stands in a body.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ExternalId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// A text cannot be an external id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an external id is 1 to 64 of A-Z a-z 0-9 _ -, and does not begin with ext_")]
pub struct NotAnExternalId;

/// By what an interaction is addressed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InteractionRef {
    /// The id Genesys gave it.
    Id(String),
    /// The id we gave it.
    External(ExternalId),
}

/// What an agent sees beside a task: texts under keys, in this order. They may hold what a consumer wrote.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UserData(Vec<(String, Private<String>)>);

impl UserData {
    /// With one more text; an empty one is left out.
    #[must_use]
    pub fn with(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.push(key, value);
        self
    }

    /// Adds a text; an empty one is left out.
    pub fn push(&mut self, key: impl Into<String>, value: impl Into<String>) {
        let value = value.into();
        if !value.is_empty() {
            self.0.push((key.into(), Private::new(value)));
        }
    }

    /// Bytes of all keys and texts.
    pub fn size(&self) -> usize {
        self.0.iter().map(|(key, value)| key.len() + value.expose().len()).sum()
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn pairs(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value.expose().as_str()))
    }
}

impl<K: Into<String>, V: Into<String>> FromIterator<(K, V)> for UserData {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(pairs: I) -> Self {
        pairs.into_iter().fold(Self::default(), |data, (key, value)| data.with(key, value))
    }
}

/// A task to make.
#[derive(Debug, Clone)]
pub struct NewInteraction {
    /// Ours.
    pub external_id: ExternalId,
    /// The id Genesys gave to the one before it.
    pub parent: Option<String>,
    /// When the consumer's message came in.
    pub received_at: Option<Timestamp>,
    /// What the agent sees.
    pub user_data: UserData,
}

/// What to change of a task.
#[derive(Debug, Clone, Default)]
pub struct Changes {
    /// Keys that are there.
    pub changed: UserData,
    /// Keys that are new.
    pub added: UserData,
    /// Keys that go.
    pub deleted: Vec<String>,
}

/// Why a task is stopped.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StopReason {
    /// `reasonSystemName`
    pub system_name: Option<String>,
    /// `reasonDescription`
    pub description: Option<String>,
}

/// A task as Genesys tells of it. Its body is documented only as an object, so there may be nothing to tell.
#[derive(Clone, PartialEq, Eq)]
pub struct Interaction {
    /// The id Genesys gave it, where it told one.
    pub id: Option<String>,
    /// It says of itself that it has ended.
    pub ended: bool,
    /// The whole answer.
    pub body: Value,
}

impl Interaction {
    /// Its user data: `None` where the answer shows none at all.
    pub fn user_data(&self) -> Option<&Map<String, Value>> {
        body::user_data(&self.body)
    }
}

impl fmt::Debug for Interaction {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What was answered may hold what a consumer wrote.
        formatter.debug_struct("Interaction").field("id", &self.id).field("ended", &self.ended).finish_non_exhaustive()
    }
}

/// How a creation ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Created {
    /// It was made.
    Made(Interaction),
    /// One with this external id is there, and open: an earlier try made it.
    There(Interaction),
    /// One with this external id was there and has ended: the id cannot be used any more.
    Ended,
}

/// How a call on a task that may have ended went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reached {
    /// It was done.
    Done,
    /// There is no such task any more; for a stop, that is as good.
    Gone,
}

/// As for a message.
const TIMEOUT: Duration = Duration::from_secs(15);

impl Client {
    /// Makes a task. Where its external id is taken, whoever has it is looked at. With `look_first` that is done before
    /// anything is made: for a creation of which nobody knows whether it was made before.
    ///
    /// # Errors
    /// [`Refusal`].
    pub async fn create_interaction(
        &self,
        service: &str,
        new: &NewInteraction,
        look_first: bool,
    ) -> Result<Created, Refusal> {
        let at = InteractionRef::External(new.external_id.clone());
        if look_first && let Some(there) = self.interaction(service, &at).await? {
            return Ok(if there.ended { Created::Ended } else { Created::There(there) });
        }
        let url = self.interactions_url(service);
        let body = body::create(new, self.tenant.open_media.wrapper);
        let answer = self.open_media("create-interaction", Method::POST, url, body).await?;
        match answer.status {
            StatusCode::CONFLICT => Ok(match self.interaction(service, &at).await? {
                Some(there) if !there.ended => Created::There(there),
                _ => Created::Ended,
            }),
            StatusCode::NOT_FOUND => Err(fault(
                answer.status,
                format!("Genesys does not know the service {service} (404); check open_media_service"),
            )),
            _ => self.open_media_success(&answer).map(|body| Created::Made(body::interaction(body))),
        }
    }

    /// Looks at a task; `None` where there is none.
    ///
    /// # Errors
    /// [`Refusal`].
    pub async fn interaction(&self, service: &str, at: &InteractionRef) -> Result<Option<Interaction>, Refusal> {
        let url = self.interaction_url(service, at, "");
        let answer = self.open_media("get-interaction", Method::GET, url, Bytes::new()).await?;
        match answer.status {
            StatusCode::NOT_FOUND => Ok(None),
            _ => self.open_media_success(&answer).map(|body| Some(body::interaction(body))),
        }
    }

    /// Ends a task. One that has ended already is as good.
    ///
    /// # Errors
    /// [`Refusal`].
    pub async fn stop_interaction(
        &self,
        service: &str,
        at: &InteractionRef,
        reason: &StopReason,
    ) -> Result<Reached, Refusal> {
        let body = body::stop(reason, self.tenant.open_media.wrapper);
        self.reach("stop-interaction", self.interaction_url(service, at, "/stop"), body).await
    }

    /// Changes what an agent sees beside a task.
    ///
    /// # Errors
    /// [`Refusal`].
    pub async fn update_interaction(
        &self,
        service: &str,
        at: &InteractionRef,
        changes: &Changes,
    ) -> Result<Reached, Refusal> {
        let body = body::update(changes, self.tenant.open_media.wrapper);
        self.reach("update-interaction", self.interaction_url(service, at, "/update"), body).await
    }

    /// Whether Genesys takes our key, without making anything: it is asked for a task nobody made.
    ///
    /// # Errors
    /// [`Refusal`].
    pub async fn probe_open_media(&self, service: &str) -> Result<(), Refusal> {
        let nobodys = ExternalId(format!("probe-{}", uuid::Uuid::new_v4().simple()));
        self.interaction(service, &InteractionRef::External(nobodys)).await.map(drop)
    }

    async fn reach(&self, operation: &'static str, url: String, body: Bytes) -> Result<Reached, Refusal> {
        let answer = self.open_media(operation, Method::POST, url, body).await?;
        match answer.status {
            StatusCode::NOT_FOUND => Ok(Reached::Gone),
            _ => self.open_media_success(&answer).map(|_| Reached::Done),
        }
    }

    async fn open_media(
        &self,
        operation: &'static str,
        method: Method,
        url: String,
        body: Bytes,
    ) -> Result<Answer, Refusal> {
        let mut headers = HeaderMap::new();
        if !body.is_empty() {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        if let Some(key) = &self.tenant.open_media.api_key {
            let key = HeaderValue::from_str(key.expose_secret()).map_err(|_| Refusal::ChannelFault {
                status: 0,
                cause: format!("api_key of tenant {} holds characters no header can carry", self.tenant.name),
            })?;
            headers.insert("x-api-key", key);
        }
        headers.values_mut().for_each(|value| value.set_sensitive(true));
        let call = Call { method, url, headers, body, timeout: TIMEOUT };
        let answered: Result<Answer, CallError> = self.http.call(self.tenant.name.as_str(), operation, call).await;
        answered.map_err(unanswered)
    }

    fn open_media_success(&self, answer: &Answer) -> Result<Value, Refusal> {
        match answer.status.as_u16() {
            401 | 403 => Err(fault(
                answer.status,
                format!(
                    "Genesys refused the API key of tenant {} ({}); check its api_key_file",
                    self.tenant.name,
                    answer.status.as_u16()
                ),
            )),
            200..=299 => classify::success(answer),
            _ => Err(refused(answer, self.clock.now())),
        }
    }

    fn interactions_url(&self, service: &str) -> String {
        format!("{}/openmedia/{}/interactions", self.tenant.base_url, url_segment(service))
    }

    fn interaction_url(&self, service: &str, at: &InteractionRef, operation: &str) -> String {
        let all = self.interactions_url(service);
        match at {
            InteractionRef::Id(id) => format!("{all}/{}{operation}", url_segment(id)),
            InteractionRef::External(id) => format!("{all}/ext_{}{operation}", url_segment(id.as_str())),
        }
    }
}

#[cfg(test)]
mod tests;
