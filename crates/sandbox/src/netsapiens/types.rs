use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::media::ConsumerFile;

/// What a simulated NetSapiens consists of.
#[derive(Clone)]
pub struct NetSapiensSimConfig {
    /// Its one domain.
    pub domain: String,
    /// The key every call must carry.
    pub api_key: String,
    /// The numbers and the users that own them.
    pub numbers: Vec<SimNumber>,
    /// Where events are posted; may be set later.
    pub event_url: Option<String>,
}

/// One number of a simulated NetSapiens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SimNumber {
    /// The user (extension) that owns it.
    pub user: String,
    /// Its digits.
    pub number: String,
}

/// A login of a simulated NetSapiens, beside its key.
#[derive(Clone)]
pub struct SimLogin {
    /// `client_id`
    pub client_id: String,
    /// `client_secret`
    pub client_secret: String,
    /// `username`
    pub username: String,
    /// `password`
    pub password: String,
    /// How long a token is good.
    pub lasts: SignedDuration,
}

/// What is posted to the event URL.
#[derive(Debug, Clone, Copy)]
pub struct EventOptions {
    /// `message` events.
    pub messages: bool,
    /// A `messagesession` event this long after each message, as a subscription to both models has it.
    pub twins: Option<Duration>,
    /// Every event this many times more.
    pub duplicates: u32,
    /// Events about what the bridge itself sent.
    pub echo: bool,
    /// The `id` of an event is not the one of its row: nobody has seen yet whether they are equal.
    pub other_ids: bool,
}

impl Default for EventOptions {
    /// A subscription to `message` alone: each message once, own sends too.
    fn default() -> Self {
        Self { messages: true, twins: None, duplicates: 0, echo: true, other_ids: false }
    }
}

/// The forms in which servers confirm a send.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SendAnswer {
    /// 202 `{"code":202,"message":"Accepted"}`.
    #[default]
    Accepted,
    /// 200 and the message.
    Object,
    /// 200 and an array of the one message.
    Array,
}

/// What the bridge sent to a consumer.
#[derive(Debug, Clone)]
pub struct SentSms {
    /// When.
    pub at: Timestamp,
    /// The session of the path.
    pub session: String,
    /// The user of the path.
    pub user: String,
    /// `from-number`.
    pub from: String,
    /// `destination`; of a group the numbers in order, with commas between.
    pub to: String,
    /// `message`.
    pub text: String,
    /// `User-Agent`, in full.
    pub user_agent: String,
    /// The row's id.
    pub id: String,
    /// The picture, of an MMS.
    pub file: Option<ConsumerFile>,
}

/// What a consumer sent.
#[derive(Debug, Clone)]
pub struct ConsumerSms {
    /// When.
    pub at: Timestamp,
    /// The session it is in.
    pub session: String,
    /// The consumer.
    pub from: String,
    /// The company's number.
    pub to: String,
    /// The text.
    pub text: String,
    /// The row's id.
    pub id: String,
    /// Type and bytes of its picture or file, where there is one.
    pub file: Option<(String, u64)>,
}
