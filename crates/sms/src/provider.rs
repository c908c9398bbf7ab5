use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use model::{Arrival, InboundFile, InboundFiles, NeighbourName, PhoneNumber, Private, ReasonCode, SessionId};
use runtime::{ByteStream, Clock, HttpClient};

use crate::events::{Created, Subscription, WantedSubscription};
use crate::netsapiens;

/// A provider account.
#[derive(Debug, Clone)]
pub struct Provider {
    inner: Inner,
}

#[derive(Debug, Clone)]
enum Inner {
    NetSapiens(netsapiens::Account),
}

/// One text to send.
#[derive(Debug, Clone)]
pub struct SendRequest {
    /// The provider's user that owns the number.
    pub user: String,
    /// The company's number as the provider writes it.
    pub from: String,
    /// The consumer.
    pub to: PhoneNumber,
    /// The other members of a group; nobody where one consumer is written to.
    pub others: Vec<PhoneNumber>,
    /// What to say; beside a file its caption, which may be empty.
    pub text: Private<String>,
    /// One picture or file.
    pub file: Option<OutgoingFile>,
    /// The conversation's session, where one is known.
    pub session: Option<SessionId>,
    /// Names this attempt to the provider, so that it can be found again.
    pub attempt: String,
    /// The longest the call may take, where that is less than a call takes.
    pub within: Duration,
}

/// A picture or file that goes with a text.
#[derive(Debug, Clone)]
pub struct OutgoingFile {
    /// Its type, such as `image/png`.
    pub media_type: String,
    /// It.
    pub data: Private<Bytes>,
}

/// Whether a number sends pictures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Pictures {
    /// To one consumer.
    pub to_one: bool,
    /// To groups.
    pub to_groups: bool,
}

/// A consumer's file, opened.
pub struct OpenedFile {
    /// The bytes it has, where the provider says so.
    pub size: Option<u64>,
    /// Its bytes.
    pub body: ByteStream,
}

/// Why a consumer's file could not be opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MediaError {
    /// Later perhaps.
    #[error("{cause}")]
    Later {
        /// What happened.
        cause: String,
    },
    /// Its URL opens it no more; a fresh one may.
    #[error("the URL of the picture has expired")]
    Expired,
    /// Never.
    #[error("{cause}")]
    Refused {
        /// The word in metrics and the timeline.
        word: &'static str,
        /// What happened.
        cause: String,
    },
}

/// A text the provider accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// The provider's id, where it gave one.
    pub provider_id: Option<String>,
    /// The session it stands in.
    pub session: SessionId,
}

/// Why a text was not sent, by what the caller does next.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// Certainly not sent; later.
    #[error("{cause}")]
    Later {
        /// What the provider asked for.
        after: Option<Duration>,
        /// The number sends too often, and the rest of the account is not concerned.
        throttled: bool,
        /// What happened.
        cause: String,
    },
    /// Nobody knows: look before anything else.
    #[error("{cause}")]
    Unknown {
        /// What happened.
        cause: String,
    },
    /// Certainly not sent, and never will be.
    #[error("{cause}")]
    Never {
        /// What the agent is told.
        code: ReasonCode,
        /// A sentence for the agent.
        reason: String,
        /// What happened.
        cause: String,
    },
    /// Certainly not sent: a firewall in front of the provider refused the call, which may be for what that call says.
    #[error("{cause}")]
    Blocked {
        /// What happened.
        cause: String,
    },
    /// The channel's number or user is not what the provider knows: certainly not sent, nor is anything else from there.
    #[error("{cause}")]
    ChannelFault {
        /// What happened and what to do.
        cause: String,
    },
    /// The account's key is refused; nothing of this account can be sent.
    #[error("{cause}")]
    AccountFault {
        /// What happened and what to do.
        cause: String,
    },
}

impl SendError {
    /// How long whoever it concerns is to be left alone, where that is known.
    pub const fn after(&self) -> Option<Duration> {
        match self {
            Self::Later { after, .. } => *after,
            Self::Blocked { .. } => Some(netsapiens::EDGE_PAUSE),
            Self::Unknown { .. } | Self::Never { .. } | Self::ChannelFault { .. } | Self::AccountFault { .. } => None,
        }
    }
}

/// What the provider's own store says of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Look {
    /// It is there.
    Found {
        /// The provider's id.
        provider_id: Option<String>,
    },
    /// It is there, and the provider says that it failed.
    Failed,
    /// It answered, and it is not there.
    NotThere,
}

/// A consumer's text, as a provider told of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsumerText {
    /// The provider's id of the message, or one synthesised from its content.
    pub provider_id: String,
    /// The company's number, digits.
    pub to_number: String,
    /// The provider's user it came in for.
    pub user: Option<String>,
    /// The consumer, as the provider wrote it.
    pub from: Private<String>,
    /// What it says.
    pub text: Private<String>,
    /// The files that came with it.
    pub files: InboundFiles,
    /// Everyone else of a group, as the provider wrote them; nobody where the consumer wrote to the company alone.
    pub others: Vec<Private<String>>,
    /// Its session.
    pub session: Option<SessionId>,
    /// For telling two arrivals of one message.
    pub arrival: Arrival,
    /// Whether the provider's own row of it has to be read, because what told of it may not have told all.
    pub unread: bool,
}

/// An event that says no more than that something happened in a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trigger {
    /// The session.
    pub session: SessionId,
    /// The company's number, digits, where it says so.
    pub to_number: Option<String>,
    /// The provider's user whose session it is, where it says so.
    pub user: Option<String>,
}

/// A session as a list of them shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionSummary {
    /// The session.
    pub id: SessionId,
    /// The company's number, as the provider writes it.
    pub number: String,
    /// When something happened in it last.
    pub last_at: Option<Timestamp>,
}

/// What a provider's event holds.
#[derive(Debug, Default)]
pub struct ReadEvents {
    /// Consumers' texts, in order.
    pub texts: Vec<ConsumerText>,
    /// Sessions to read.
    pub triggers: Vec<Trigger>,
    /// What was left out, by cause (`own-echo`, `not-a-text`, `read-mark`, …), for the metric.
    pub dropped: Vec<&'static str>,
}

/// A body nobody can read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the body is not JSON (line {line}, column {column})")]
pub struct Unreadable {
    /// Line of the fault, from 1.
    pub line: usize,
    /// Column of the fault.
    pub column: usize,
}

impl Provider {
    /// A NetSapiens account.
    pub fn netsapiens(
        config: netsapiens::Config,
        http: HttpClient,
        clock: Clock,
        store: Option<Arc<dyn netsapiens::TokenStore>>,
    ) -> Self {
        Self { inner: Inner::NetSapiens(netsapiens::Account::new(config, http, clock, store)) }
    }

    /// The account itself, for what only this kind of provider has.
    pub fn as_netsapiens(&self) -> Option<&netsapiens::Account> {
        match &self.inner {
            Inner::NetSapiens(account) => Some(account),
        }
    }

    /// Its configured name.
    pub fn name(&self) -> &NeighbourName {
        match &self.inner {
            Inner::NetSapiens(account) => account.name(),
        }
    }

    /// Sends one text, trying once.
    ///
    /// # Errors
    /// [`SendError`].
    pub async fn send(&self, request: &SendRequest) -> Result<Sent, SendError> {
        match &self.inner {
            Inner::NetSapiens(account) => account.send(request).await,
        }
    }

    /// Whether one of the company's numbers sends pictures; what the provider does not say it does not.
    ///
    /// # Errors
    /// [`SendError`]: it could not be asked.
    pub async fn pictures(&self, user: &str, number: &str) -> Result<Pictures, SendError> {
        match &self.inner {
            Inner::NetSapiens(account) => account.pictures(user, number).await,
        }
    }

    /// Looks for an attempt that began at `began` in the provider's own store. Rows that are `claimed` by other replies are none
    /// of this one's.
    ///
    /// # Errors
    /// [`SendError::Later`], [`SendError::Blocked`] or [`SendError::AccountFault`]: the look could not be made.
    pub async fn look(&self, request: &SendRequest, began: Timestamp, claimed: &[String]) -> Result<Look, SendError> {
        match &self.inner {
            Inner::NetSapiens(account) => account.look(request, began, claimed).await,
        }
    }

    /// Opens a consumer's file, in the session of one of the provider's users.
    ///
    /// # Errors
    /// [`MediaError::Later`] or [`MediaError::Refused`].
    pub async fn open_media(
        &self,
        user: &str,
        file: &InboundFile,
        session: Option<&SessionId>,
    ) -> Result<OpenedFile, MediaError> {
        match &self.inner {
            Inner::NetSapiens(account) => account.open_media(user, file, session).await,
        }
    }

    /// Whether the account's key is taken, without doing anything there: warnings about the key, in words.
    ///
    /// # Errors
    /// [`SendError`], as a send would be refused.
    pub async fn check(&self) -> Result<Vec<String>, SendError> {
        match &self.inner {
            Inner::NetSapiens(account) => account.check().await,
        }
    }

    /// Whether a secret in the event URL's path is one of the account's; constant time.
    pub fn accepts_secret(&self, secret: &str) -> bool {
        match &self.inner {
            Inner::NetSapiens(account) => account.accepts_secret(secret),
        }
    }

    /// Reads an event.
    ///
    /// # Errors
    /// [`Unreadable`].
    pub fn read_events(&self, body: &[u8]) -> Result<ReadEvents, Unreadable> {
        match &self.inner {
            Inner::NetSapiens(account) => account.read_events(body),
        }
    }

    /// What consumers wrote in a session since then, the oldest first; nothing where there is no such session. `number` is
    /// the company's, where a row does not name it.
    ///
    /// # Errors
    /// [`SendError::Later`], [`SendError::Blocked`] or [`SendError::AccountFault`]: it could not be read.
    pub async fn read_session(
        &self,
        user: &str,
        session: &SessionId,
        number: &str,
        since: Timestamp,
    ) -> Result<Vec<ConsumerText>, SendError> {
        match &self.inner {
            Inner::NetSapiens(account) => account.read_session(user, session, number, since).await,
        }
    }

    /// The sessions of a user in which something happened since then.
    ///
    /// # Errors
    /// [`SendError::Later`], [`SendError::Blocked`] or [`SendError::AccountFault`]: they could not be listed.
    pub async fn list_sessions(&self, user: &str, since: Timestamp) -> Result<Vec<SessionSummary>, SendError> {
        match &self.inner {
            Inner::NetSapiens(account) => account.list_sessions(user, since).await,
        }
    }

    /// The subscriptions to consumers' messages.
    ///
    /// # Errors
    /// [`SendError`]: they could not be listed.
    pub async fn subscriptions(&self) -> Result<Vec<Subscription>, SendError> {
        match &self.inner {
            Inner::NetSapiens(account) => account.subscriptions().await,
        }
    }

    /// Asks for a subscription.
    ///
    /// # Errors
    /// [`SendError`]: it was not made.
    pub async fn subscribe(&self, wanted: &WantedSubscription) -> Result<Created, SendError> {
        match &self.inner {
            Inner::NetSapiens(account) => account.subscribe(wanted).await,
        }
    }

    /// Makes a subscription what it should be.
    ///
    /// # Errors
    /// [`SendError`]: it stays what it is.
    pub async fn renew(&self, one: &Subscription, wanted: &WantedSubscription) -> Result<(), SendError> {
        match &self.inner {
            Inner::NetSapiens(account) => account.renew(one, wanted).await,
        }
    }

    /// Ends a subscription.
    ///
    /// # Errors
    /// [`SendError`]: it may be there still.
    pub async fn unsubscribe(&self, one: &Subscription) -> Result<(), SendError> {
        match &self.inner {
            Inner::NetSapiens(account) => account.unsubscribe(one).await,
        }
    }

    /// The path of the event URL below the public URL, with the secret that is handed out.
    pub fn event_path(&self) -> Option<Private<String>> {
        match &self.inner {
            Inner::NetSapiens(account) => account.event_path(),
        }
    }
}
