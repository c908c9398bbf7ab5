use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use serde_json::Value;

/// What a simulated Genesys consists of.
#[derive(Clone)]
pub struct GenesysSimConfig {
    /// The contact centre id every call must carry.
    pub ccid: String,
    /// Its channels.
    pub channels: Vec<SimChannel>,
}

/// One channel of a simulated Genesys.
#[derive(Clone)]
pub struct SimChannel {
    /// Its id: for SMS the company's number.
    pub id: String,
    /// The secret both directions are signed with.
    pub secret: String,
    /// Where agents' replies are posted; may be set later.
    pub webhook_url: Option<String>,
}

/// How often and how long Genesys tries a webhook.
#[derive(Debug, Clone, Copy)]
pub struct Redelivery {
    /// Attempts in all.
    pub attempts: u32,
    /// Between two of them.
    pub interval: Duration,
    /// For one answer.
    pub timeout: Duration,
}

impl Default for Redelivery {
    /// The documented ten seconds for an answer; the count and interval of the sibling product, since a tenant's own are unknown.
    fn default() -> Self {
        Self { attempts: 6, interval: Duration::from_secs(5), timeout: Duration::from_secs(10) }
    }
}

/// A consumer's message that the bridge brought.
#[derive(Debug, Clone)]
pub struct ReceivedMessage {
    /// When.
    pub at: Timestamp,
    /// The channel of the path.
    pub channel_id: String,
    /// `channel.from.id`.
    pub from: String,
    /// `channel.to.id`.
    pub to: String,
    /// `channel.messageId`, if it was given.
    pub message_id: Option<String>,
    /// `text`.
    pub text: String,
    /// `content`, of a RichMedia, and what an Email has beside its parts.
    pub attachments: Vec<ReceivedAttachment>,
    /// What an Email says beside its text.
    pub email: Option<ReceivedEmail>,
    /// `X-B3-TraceId`.
    pub trace: Option<String>,
    /// Whether the signature was right; a wrong one comes this far only with `accept_any_signature`.
    pub signature_ok: bool,
    /// The body as it came.
    pub raw: Bytes,
}

/// What an Email says beside its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceivedEmail {
    /// `subject`.
    pub subject: String,
    /// `channel.from.name`.
    pub from_name: Option<String>,
    /// The part of type `html`.
    pub html: Option<String>,
}

/// A file that a message refers to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceivedAttachment {
    /// `mediaType`: `Image`, `Video`, `Audio` or `File`.
    pub media_type: String,
    /// `url`: `genesys://nexus/<id>`.
    pub url: String,
    /// `mime`.
    pub mime: String,
}

/// A file that is here.
#[derive(Debug, Clone)]
pub struct SimMedia {
    /// Its id.
    pub id: String,
    /// The channel it belongs to.
    pub channel_id: String,
    /// What it is called.
    pub filename: String,
    /// Its media type.
    pub mimetype: String,
    /// Its bytes.
    pub bytes: Bytes,
    /// An agent sent it; otherwise the bridge uploaded it.
    pub by_agent: bool,
}

impl SimMedia {
    /// How messages refer to it.
    pub fn url(&self) -> String {
        format!("genesys://nexus/{}", self.id)
    }
}

/// What a tenant's Open Media API does where the documents are silent.
#[derive(Debug, Clone, Copy, Default)]
pub struct OpenMediaManners {
    /// Bodies stand by themselves, and not under `data`.
    pub bare_bodies: bool,
    /// A task that has ended can still be looked at.
    pub shows_stopped: bool,
    /// The external id of one that has ended can be used again.
    pub reuses_external_ids: bool,
    /// An answer tells nothing of the task, not even its id.
    pub tells_nothing: bool,
}

/// A task for an agent that the bridge made.
#[derive(Debug, Clone)]
pub struct SimInteraction {
    /// When.
    pub at: Timestamp,
    /// Its id.
    pub id: String,
    /// The service of the path.
    pub service: String,
    /// `externalId`
    pub external_id: Option<String>,
    /// `parentInteractionId`
    pub parent: Option<String>,
    /// `receivedAt`
    pub received_at: Option<String>,
    /// What it holds now.
    pub user_data: BTreeMap<String, String>,
    /// It has ended.
    pub stopped: bool,
    /// `reasonSystemName` of its stop.
    pub stop_reason: Option<String>,
    /// How often it was changed.
    pub updates: u32,
}

/// A receipt that the bridge brought.
#[derive(Debug, Clone)]
pub struct ReceivedReceipt {
    /// When.
    pub at: Timestamp,
    /// The channel of the path.
    pub channel_id: String,
    /// `channel.from.id`.
    pub from: String,
    /// `channel.to.id`.
    pub to: String,
    /// `channel.messageId`.
    pub message_id: String,
    /// `status`.
    pub status: String,
    /// `reasons`: code and text.
    pub reasons: Vec<(i64, Option<String>)>,
    /// It came before the webhook of its message was answered.
    pub early: bool,
    /// The message it is about is one of ours.
    pub known: bool,
    /// `X-B3-TraceId`.
    pub trace: Option<String>,
    /// The body as it came.
    pub raw: Bytes,
}

/// A call of the bridge that was refused for what it was, not for a fault that was switched on.
#[derive(Debug, Clone)]
pub struct Refusal {
    /// When.
    pub at: Timestamp,
    /// The channel of the path.
    pub channel_id: String,
    /// The answer.
    pub status: u16,
    /// Why.
    pub why: String,
}

/// Where the webhook of an agent's message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WebhookState {
    /// It is being posted, or waits for its next try.
    Sending,
    /// The bridge answered 2xx.
    Accepted,
    /// The bridge answered with something that is not tried again.
    Refused(u16),
    /// Every try failed.
    GaveUp,
}

/// One try of a webhook.
#[derive(Debug, Clone)]
pub struct Attempt {
    /// When it ended.
    pub at: Timestamp,
    /// The status, if there was an answer.
    pub status: Option<u16>,
    /// `messageId` of the answer.
    pub echoed: Option<String>,
}

/// What an agent wrote, and what became of it.
#[derive(Debug, Clone)]
pub struct AgentMessage {
    /// When.
    pub at: Timestamp,
    /// `channel.messageId`.
    pub id: String,
    /// The channel.
    pub channel_id: String,
    /// The consumer.
    pub to: String,
    /// The text.
    pub text: String,
    /// The subject, of a mail.
    pub subject: Option<String>,
    /// The trace id its webhook carries.
    pub trace: String,
    /// Where its webhook is.
    pub webhook: WebhookState,
    /// Every try so far, of duplicates too; the newest hundred.
    pub attempts: Vec<Attempt>,
}

/// The bridge's answer to a webhook.
#[derive(Debug, Clone)]
pub struct WebhookAnswer {
    /// Status.
    pub status: u16,
    /// Body.
    pub body: Bytes,
}

/// A webhook body that need not be a good one.
pub struct RawBody(pub(super) Bytes);

impl From<Value> for RawBody {
    fn from(value: Value) -> Self {
        Self(value.to_string().into())
    }
}

impl From<Bytes> for RawBody {
    fn from(bytes: Bytes) -> Self {
        Self(bytes)
    }
}

impl From<&str> for RawBody {
    fn from(text: &str) -> Self {
        Self(Bytes::copy_from_slice(text.as_bytes()))
    }
}

impl From<Vec<u8>> for RawBody {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes.into())
    }
}
