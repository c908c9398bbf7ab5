//! What a mail provider and a mail channel are once they have been read.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use email::listen::SmtpLimits;
use email::{LoginKind, Security};
use ipnet::IpNet;
use jiff::Timestamp;
use model::Private;
use secrecy::SecretString;

use crate::config::{DeliveredWhen, Tls};

/// A mail provider: a way out, and ways in.
#[derive(Debug, Clone)]
pub struct EmailProvider {
    /// The server that takes agents' mail.
    pub smtp: Option<Smtp>,
    /// Mailboxes that are watched for consumers' mail and for bounces.
    pub imap: Option<Imap>,
    /// Where the company's mail server hands us mail.
    pub listen: Option<Listen>,
    /// Domains mail is taken for, in lower case; always known once everything was read.
    pub domains: Vec<String>,
    /// Our name in EHLO and in the greeting; always known once everything was read.
    pub hello: String,
    /// The envelope's sender before it is made unique; there where `smtp` is.
    pub bounce_address: Option<String>,
    /// What counts as delivered.
    pub delivered_when: DeliveredWhen,
    /// What signs mail.
    pub dkim: Option<Dkim>,
    /// Mails an hour that one sender may bring before the rest is held; `None` holds nothing.
    pub max_per_sender: Option<u32>,
    /// What is found older in a mailbox is never given to an agent; always known once everything was read.
    pub max_inbound_age: Option<Duration>,
    /// Where the looking begins, instead of the moment of the first installation.
    pub catch_up_from: Option<Timestamp>,
    /// Where large mails wait while they come in.
    pub spool: PathBuf,
    /// Authorities beside the system's, in PEM.
    pub ca_files: Vec<PathBuf>,
}

/// A server that is logged into.
#[derive(Debug, Clone)]
pub struct Server {
    /// Its name.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How the connection is protected.
    pub security: Security,
    /// Who we are, where it asks.
    pub login: Option<MailLogin>,
    /// Until a connection is greeted, protected and logged in.
    pub connect_timeout: Duration,
}

/// `smtp = { … }`
#[derive(Debug, Clone)]
pub struct Smtp {
    /// The server.
    pub server: Server,
    /// Connections at a time.
    pub connections: usize,
    /// How long a connection waits for its next mail.
    pub idle: Duration,
    /// Until the server says what became of a mail it has.
    pub answer_timeout: Duration,
}

/// `imap = { … }`
#[derive(Debug, Clone)]
pub struct Imap {
    /// The server.
    pub server: Server,
    /// The mailboxes.
    pub mailboxes: Vec<String>,
    /// How often each is looked at, whatever the server says or does not say.
    pub every: Duration,
    /// Until a command is answered.
    pub command_timeout: Duration,
    /// Bytes of a mail; a larger one is skipped.
    pub mail_limit: u64,
}

/// `listen`, and what belongs to it.
#[derive(Debug, Clone)]
pub struct Listen {
    /// The address.
    pub address: SocketAddr,
    /// Who may send.
    pub allow: Vec<IpNet>,
    /// For STARTTLS.
    pub tls: Option<Tls>,
    /// Whether mail is taken over TLS only.
    pub require_tls: bool,
    /// What is bounded.
    pub limits: SmtpLimits,
}

/// How to log in to a mail server.
#[derive(Debug, Clone)]
pub struct MailLogin {
    /// The user.
    pub user: Private<String>,
    /// What the secret is.
    pub kind: LoginKind,
    /// The secret.
    pub secret: MailSecret,
}

/// Where a secret comes from; a file is read again for each connection, for tokens are good for an hour.
#[derive(Debug, Clone)]
pub enum MailSecret {
    /// The configuration.
    Given(SecretString),
    /// A file.
    File(PathBuf),
}

/// `dkim = { … }`
#[derive(Debug, Clone)]
pub struct Dkim {
    /// The name of the key in DNS: `{selector}._domainkey.{domain}`.
    pub selector: String,
    /// The domain that signs; that of each channel, where there is none.
    pub domain: Option<String>,
    /// The private key, PEM.
    pub key: SecretString,
}

/// What is particular to a mail channel.
#[derive(Debug, Clone)]
pub struct EmailChannel {
    /// In which shape consumers' mail is given to Genesys as messages.
    pub email_as: EmailAs,
    /// How consumers leave.
    pub list_unsubscribe: ListUnsubscribe,
    /// Whether consumers' answers are sent to an address that tells their thread.
    pub reply_token: bool,
}

/// In which shape consumers' mail is given to Genesys as messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EmailAs {
    /// Subject and parts, as outgoing mail has them.
    Email,
    /// A plain text.
    Text,
}

/// The List-Unsubscribe header of agents' mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListUnsubscribe {
    /// None.
    Off,
    /// An address of the channel's domain.
    Mailto,
    /// A URL of ours (RFC 8058).
    Url,
}

/// Where consumers' messages of a channel go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Inbound {
    /// To the agent as messages.
    Messages,
    /// To the agent as Open Media interactions.
    OpenMedia {
        /// The name of the service at Genesys.
        service: String,
        /// After how long without a message an interaction is ended by us; never, where there is none.
        idle: Option<Duration>,
    },
}
