use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use model::{ChannelId, ChannelName, InboundMessage, NeighbourName, Private, Receipt, TraceId};
use runtime::{Call, Clock, HttpClient, url_segment};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

use crate::classify::classify;
use crate::{MediaSignature, OpenMediaAccess, Secrets, reader, sign, wire};

/// One Genesys tenant.
#[derive(Debug, Clone)]
pub struct Tenant {
    /// Its configured name; the `target` in metrics.
    pub name: NeighbourName,
    /// Including `/nexus/v3`.
    pub base_url: String,
    /// `x-ccid`.
    pub ccid: String,
    /// `x-api-key`, sent on channel calls only where set here (section 11, A6).
    pub channel_api_key: Option<SecretString>,
    /// Whether inbound messages carry `channel.messageId` (section 11, A21).
    pub send_message_id: bool,
    /// Over which bytes an upload is signed.
    pub media_signature: MediaSignature,
    /// How tasks are made at it.
    pub open_media: OpenMediaAccess,
}

/// What a call on a channel needs.
#[derive(Debug, Clone)]
pub struct ChannelAccess {
    /// Its configured name, for errors.
    pub name: ChannelName,
    /// Its id, for paths and addresses.
    pub id: ChannelId,
    /// Its secrets.
    pub secrets: Secrets,
}

/// A message Genesys accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// The id Genesys gave it, where it gave one.
    pub id: Option<String>,
}

/// A file of a message, uploaded before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attachment {
    /// `genesys://nexus/<id>`.
    pub url: String,
    /// Its media type.
    pub media_type: String,
    /// What it is called.
    pub name: Option<Private<String>>,
}

/// A consumer's mail as it is given to Genesys.
#[derive(Clone, Copy)]
pub struct Email<'a> {
    /// The sender's display name; may be empty.
    pub from_name: &'a str,
    /// The company's address it was sent to.
    pub to: &'a str,
    /// The Message-ID without angle brackets; ours where it has none.
    pub message_id: &'a str,
    /// The subject; may be empty.
    pub subject: &'a str,
    /// The text part.
    pub text: &'a str,
    /// The HTML part.
    pub html: Option<&'a str>,
}

/// Why a call did not succeed, by what the caller does next.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Later.
    #[error("{cause}")]
    Later {
        /// What the far side asked for.
        after: Option<Duration>,
        /// Whom it counts against.
        blame: Blame,
        /// Whether the far side may have acted on it.
        maybe_done: bool,
        /// What happened.
        cause: String,
    },
    /// The channel is refused: its secret (401), its ccid or rights (403), or the channel is unknown (404).
    #[error("{cause}")]
    ChannelFault {
        /// The status.
        status: u16,
        /// What happened and what to do.
        cause: String,
    },
    /// Never.
    #[error("{cause}")]
    Never {
        /// A short, stable code.
        code: &'static str,
        /// What happened.
        cause: String,
    },
}

/// Whom a refusal that passes counts against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blame {
    /// A failed try of this message (500).
    Message,
    /// The channel calls too often (429): the narrowest there is.
    Channel,
    /// The tenant is down or overloaded (no connection, 408, 425, 502 to 504).
    Tenant,
    /// Who calls: a file of its own cannot be read.
    Caller,
}

/// Calls one tenant.
#[derive(Debug, Clone)]
pub struct Client {
    pub(crate) tenant: Tenant,
    pub(crate) http: HttpClient,
    pub(crate) clock: Clock,
}

/// For a call with a JSON body (section 9, suggested there).
const TIMEOUT: Duration = Duration::from_secs(15);

impl Client {
    /// A client of one tenant.
    pub fn new(tenant: Tenant, http: HttpClient, clock: Clock) -> Self {
        Self { tenant, http, clock }
    }

    /// Gives an agent a consumer's message.
    ///
    /// # Errors
    /// [`Refusal`].
    pub async fn send_message(&self, channel: &ChannelAccess, message: &InboundMessage) -> Result<Accepted, Refusal> {
        self.send_text(channel, message, message.text.expose()).await
    }

    /// Gives an agent a consumer's message, with another text than its own: one that holds links to its files.
    ///
    /// # Errors
    /// [`Refusal`].
    pub async fn send_text(
        &self,
        channel: &ChannelAccess,
        message: &InboundMessage,
        text: &str,
    ) -> Result<Accepted, Refusal> {
        let message_id = self.tenant.send_message_id.then(|| message.id.as_str());
        let body = wire::text(channel, message.from.normalised(), text, message_id);
        let answer = self.post(channel, "message", body, &message.trace).await?;
        Ok(Accepted { id: accepted_id(&answer) })
    }

    /// Gives an agent a consumer's message with its files, in the shape nobody documented (section 4.1.2, A).
    ///
    /// # Errors
    /// [`Refusal`]; [`Refusal::Never`] may mean no more than that the shape is another.
    pub async fn send_rich_media(
        &self,
        channel: &ChannelAccess,
        message: &InboundMessage,
        text: &str,
        attachments: &[Attachment],
    ) -> Result<Accepted, Refusal> {
        let message_id = self.tenant.send_message_id.then(|| message.id.as_str());
        let body = wire::rich_media(channel, message.from.normalised(), text, attachments, message_id);
        let answer = self.post(channel, "message", body, &message.trace).await?;
        Ok(Accepted { id: accepted_id(&answer) })
    }

    /// Gives an agent a consumer's mail with what is attached, in a shape nobody documented (section 4.1.4).
    ///
    /// # Errors
    /// [`Refusal`]; [`Refusal::Never`] may mean no more than that the shape is another.
    pub async fn send_email(
        &self,
        channel: &ChannelAccess,
        message: &InboundMessage,
        email: &Email<'_>,
        attachments: &[Attachment],
    ) -> Result<Accepted, Refusal> {
        let message_id = self.tenant.send_message_id.then_some(email.message_id);
        let body = wire::email(message.from.normalised(), email, attachments, message_id);
        let answer = self.post(channel, "message", body, &message.trace).await?;
        Ok(Accepted { id: accepted_id(&answer) })
    }

    /// Tells an agent what became of a reply.
    ///
    /// # Errors
    /// [`Refusal`].
    pub async fn send_receipt(&self, channel: &ChannelAccess, receipt: &Receipt) -> Result<(), Refusal> {
        self.post(channel, "receipt", wire::receipt(receipt), &receipt.trace).await.map(|_| ())
    }

    /// Whether Genesys takes calls on a channel, without making anything there: it is asked for media nobody uploaded. A 404
    /// that names the channel says that it is unknown; any other says that all before it was well (section 4.3).
    ///
    /// # Errors
    /// [`Refusal`].
    pub async fn probe(&self, channel: &ChannelAccess) -> Result<(), Refusal> {
        let media = uuid::Uuid::new_v4();
        let url = format!("{}/channels/{}/media/{media}", self.tenant.base_url, url_segment(channel.id.as_str()));
        let signature = sign(&channel.secrets, b"");
        let headers = self.headers(channel, &signature, &TraceId::new(uuid::Uuid::new_v4().to_string()))?;
        let call = Call { method: Method::GET, url, headers, body: Bytes::new(), timeout: TIMEOUT };
        let answered = self.http.call(self.tenant.name.as_str(), "probe", call).await;
        if let Ok(answer) = &answered
            && answer.status == StatusCode::NOT_FOUND
            && !String::from_utf8_lossy(&answer.body).to_lowercase().contains("channel")
        {
            return Ok(());
        }
        classify(&channel.name, answered, self.clock.now()).map(|_| ())
    }

    async fn post(
        &self,
        channel: &ChannelAccess,
        operation: &'static str,
        body: Vec<u8>,
        trace: &TraceId,
    ) -> Result<Value, Refusal> {
        let url = format!("{}/channels/{}/messages", self.tenant.base_url, url_segment(channel.id.as_str()));
        let headers = self.headers(channel, &sign(&channel.secrets, &body), trace)?;
        let call = Call { method: Method::POST, url, headers, body: Bytes::from(body), timeout: TIMEOUT };
        let answered = self.http.call(self.tenant.name.as_str(), operation, call).await;
        classify(&channel.name, answered, self.clock.now())
    }

    pub(crate) fn headers(
        &self,
        channel: &ChannelAccess,
        signature: &str,
        trace: &TraceId,
    ) -> Result<HeaderMap, Refusal> {
        let value = |name: &str, text: &str| {
            HeaderValue::from_str(text).map_err(|_| Refusal::ChannelFault {
                status: 0,
                cause: format!("channel {}: {name} holds characters no header can carry", channel.name),
            })
        };
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert("x-hub-signature", value("signature", signature)?);
        headers.insert("x-ccid", value("ccid", &self.tenant.ccid)?);
        headers.insert("x-b3-traceid", value("trace id", trace.as_str())?);
        if let Some(api_key) = &self.tenant.channel_api_key {
            let mut api_key = value("api_key", api_key.expose_secret())?;
            api_key.set_sensitive(true);
            headers.insert("x-api-key", api_key);
        }
        Ok(headers)
    }
}

/// The first of `data.ids`, in any of its five forms (section 11, A2).
fn accepted_id(answer: &Value) -> Option<String> {
    let ids = answer.get("data")?.get("ids")?;
    let first = match ids {
        Value::Array(ids) => ids.first()?,
        other => other,
    };
    match first {
        Value::Object(object) => reader::text(object, "id").or_else(|| reader::text(object, "messageId")),
        other => reader::scalar(other),
    }
}

#[cfg(test)]
mod tests;
