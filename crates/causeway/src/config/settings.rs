//! What a configuration is once it has been read.

use broker::Pace;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use genesys::Secrets;
use http::StatusCode;
use jiff::Timestamp;
use model::{ChannelId, ChannelName, Country, Keywords, NeighbourName};
use secrecy::SecretString;

use super::mail::{EmailChannel, EmailProvider, Inbound};

/// Everything a process needs.
#[derive(Debug, Clone)]
pub struct Config {
    /// `[http]`
    pub http: Http,
    /// `[admin]`
    pub admin: Admin,
    /// `[broker]`
    pub broker: broker::Config,
    /// `broker.management_url`: RabbitMQ's management API, with user and password.
    pub management: Option<SecretString>,
    /// `broker.partitions`
    pub partitions: u16,
    /// `broker.prefetch`
    pub prefetch: u16,
    /// `[ledger]`
    pub ledger: LedgerSettings,
    /// `[blobs]`
    pub blobs: Blobs,
    /// `[net]`
    pub net: runtime::HttpClientConfig,
    /// `[shutdown]`
    pub stop: Stop,
    /// `[expire]`
    pub expire: Expire,
    /// `[receipts] hold`: a receipt is not sent sooner than this after its webhook came in.
    pub receipt_hold: Duration,
    /// `[log]`
    pub log: Log,
    /// `[[genesys]]`
    pub genesys: Vec<Genesys>,
    /// `[[provider]]`
    pub providers: Vec<Provider>,
    /// `[[channel]]`
    pub channels: Vec<Channel>,
}

/// `[http]`
#[derive(Debug, Clone)]
pub struct Http {
    /// Where Genesys and providers reach us.
    pub listen: SocketAddr,
    /// As the outside sees us, without a slash at the end.
    pub public_url: Option<String>,
    /// Of a request.
    pub body_limit: u64,
    /// Certificate and key, when nothing terminates TLS in front.
    pub tls: Option<Tls>,
    /// The status of a webhook whose signature matches no secret.
    pub bad_signature_status: StatusCode,
    /// The status of a webhook of an unknown channel.
    pub unknown_channel_status: StatusCode,
}

/// A certificate and its key, PEM.
#[derive(Debug, Clone)]
pub struct Tls {
    /// Certificate chain.
    pub cert_file: PathBuf,
    /// Private key.
    pub key_file: PathBuf,
}

/// `[admin]`
#[derive(Debug, Clone)]
pub struct Admin {
    /// Probes and metrics.
    pub listen: SocketAddr,
    /// Inspection and changes.
    pub control: Control,
}

/// Where the control socket is.
#[derive(Debug, Clone)]
pub enum Control {
    /// A socket file, mode 0600.
    Unix(PathBuf),
    /// A TCP address, with the token every request must carry.
    Tcp {
        /// The address.
        listen: SocketAddr,
        /// The token.
        token: SecretString,
    },
}

/// `[ledger]`
#[derive(Debug, Clone)]
pub enum LedgerSettings {
    /// One machine.
    Sqlite {
        /// The file.
        path: PathBuf,
        /// How long finished business is remembered.
        retain: Duration,
    },
    /// Several machines.
    Postgres {
        /// With user, password and database.
        url: SecretString,
        /// Authorities beside the system's.
        ca_file: Option<PathBuf>,
        /// How long finished business is remembered.
        retain: Duration,
    },
}

impl LedgerSettings {
    /// How long finished business is remembered.
    pub const fn retain(&self) -> Duration {
        match self {
            Self::Sqlite { retain, .. } | Self::Postgres { retain, .. } => *retain,
        }
    }
}

/// `[blobs]`
#[derive(Debug, Clone)]
pub struct Blobs {
    /// Where files are kept.
    pub place: blobs::Place,
    /// Whether every host sees it, where it is a folder.
    pub shared: bool,
    /// What signs links; the first signs, all verify. None: made up where the broker is embedded.
    pub signing_keys: Vec<SecretString>,
    /// How long a link is good.
    pub link_ttl: Duration,
}

/// `[shutdown]`
#[derive(Debug, Clone)]
pub struct Stop {
    /// From the first signal to the hard stage.
    pub grace: Duration,
    /// How long listeners still accept after the first signal.
    pub lag: Duration,
}

/// `[expire]`
#[derive(Debug, Clone)]
pub struct Expire {
    /// Replies, then a receipt 305.
    pub replies: Duration,
    /// Consumer messages, then dead letters.
    pub inbound: Duration,
    /// Receipts, then dead letters.
    pub receipts: Duration,
}

/// `[log]`
#[derive(Debug, Clone)]
pub struct Log {
    /// Text or JSON.
    pub format: runtime::logging::Format,
    /// As in `info,broker=debug`.
    pub filter: String,
}

/// `[[genesys]]`
#[derive(Debug, Clone)]
pub struct Genesys {
    /// Its name.
    pub name: NeighbourName,
    /// Including `/nexus/v3`.
    pub base_url: String,
    /// The contact centre.
    pub ccid: String,
    /// Sent on channel calls only with `send_api_key`.
    pub api_key: Option<SecretString>,
    /// Whether channel calls carry it.
    pub send_api_key: bool,
    /// Whether inbound messages carry `channel.messageId`.
    pub send_message_id: bool,
    /// Over which bytes an upload is signed.
    pub media_signature: genesys::MediaSignature,
    /// Whether bodies of the Open Media API are wrapped.
    pub open_media_body: genesys::BodyWrapper,
    /// How many calls it is given.
    pub pace: Option<Pace>,
}

/// `[[provider]]`
#[derive(Debug, Clone)]
pub struct Provider {
    /// Its name.
    pub name: NeighbourName,
    /// What it is.
    pub kind: ProviderKind,
    /// How many sends it is given.
    pub pace: Option<Pace>,
    /// Whether its channels look for keywords, where they say nothing themselves.
    pub consent: bool,
}

/// What a provider is.
#[derive(Debug, Clone)]
pub enum ProviderKind {
    /// SMS by NetSapiens.
    NetSapiens(Box<NetSapiensProvider>),
    /// Mail.
    Email(Box<EmailProvider>),
}

/// A NetSapiens account.
#[derive(Debug, Clone)]
pub struct NetSapiensProvider {
    /// Including `/ns-api/v2`.
    pub base_url: String,
    /// The domain.
    pub domain: String,
    /// How to log in.
    pub auth: Auth,
    /// Secrets of the event URL; the first is handed out.
    pub webhook_secrets: Vec<SecretString>,
    /// Zone of its naive timestamps.
    pub time_zone: jiff::tz::TimeZone,
    /// What counts as delivered.
    pub delivered_when: DeliveredWhen,
    /// When to look for a send nobody answered.
    pub reconcile_at: Vec<Duration>,
    /// Hosts beside that of `base_url` whose URLs of pictures are followed.
    pub media_hosts: Vec<String>,
    /// What is pulled, beside or instead of events.
    pub pull: Box<Pull>,
}

/// What is pulled from a provider.
#[derive(Debug, Clone)]
pub struct Pull {
    /// How often its sessions are looked through for what events lost; never, where there is none.
    pub poll: Option<Duration>,
    /// Whether the event subscription is created, renewed and healed; always known once everything was read.
    pub subscribe: Option<bool>,
    /// The server that should post the events.
    pub preferred_server: Option<String>,
    /// What is older is never given to an agent; always known once everything was read.
    pub max_inbound_age: Option<Duration>,
    /// Where the looking begins, instead of the moment of the first installation.
    pub catch_up_from: Option<Timestamp>,
}

/// How to log in.
#[derive(Debug, Clone)]
pub enum Auth {
    /// An API key.
    ApiKey(SecretString),
    /// A password, for a token that is renewed.
    OAuth(Login),
    /// A password, for a JSON Web Token.
    Jwt(Login),
}

/// What a login takes.
#[derive(Debug, Clone)]
pub struct Login {
    /// Issued by whoever runs the platform.
    pub client_id: String,
    /// Issued by whoever runs the platform.
    pub client_secret: SecretString,
    /// `1001@example.com`
    pub username: SecretString,
    /// Its password.
    pub password: SecretString,
}

/// What evidence makes a reply `Delivered`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeliveredWhen {
    /// The provider accepted it.
    Accepted,
    /// A delivery status notification says so (mail).
    Dsn,
    /// Nothing does: an accepted reply stays silent.
    Never,
}

/// What to do with a send of which nobody can say whether it happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhenUnsure {
    /// Dead-letter it and tell the agent.
    Park,
    /// Send it again.
    Resend,
}

/// `[[channel]]`
#[derive(Debug, Clone)]
pub struct Channel {
    /// In URLs, metrics and logs.
    pub name: ChannelName,
    /// At Genesys.
    pub id: ChannelId,
    /// What it carries.
    pub kind: ChannelKind,
    /// Its tenant.
    pub genesys: NeighbourName,
    /// Its provider.
    pub provider: NeighbourName,
    /// Its secrets.
    pub secrets: Secrets,
    /// Where consumers' messages go.
    pub inbound: Inbound,
    /// How sends of unknown outcome end.
    pub policy: ReplyPolicy,
    /// How many sends its number is given.
    pub pace: Option<Pace>,
    /// How its pictures and files are treated.
    pub media: Media,
    /// When its silence is worth an alarm.
    pub quiet: Option<Quiet>,
}

/// When silence is worth an alarm.
#[derive(Debug, Clone)]
pub struct Quiet {
    /// After how much of the hours that count.
    pub after: Duration,
    /// The hours that count; all, where there are none.
    pub hours: Option<model::BusinessHours>,
}

/// How pictures and files of a channel are treated.
#[derive(Debug, Clone)]
pub struct Media {
    /// How an agent is given one.
    pub form: genesys_outbound::Form,
    /// The types that are taken, in both directions.
    pub types: Vec<String>,
    /// The most bytes one may have.
    pub limit: u64,
}

/// Which files leave as pictures; others become links.
#[derive(Debug, Clone)]
pub struct MmsSettings {
    /// Whether the number sends any.
    pub mode: consumer_outbound::Mms,
    /// The types that are sent.
    pub types: Vec<String>,
    /// The most bytes of one.
    pub limit: u64,
}

/// How replies of a channel are treated.
#[derive(Debug, Clone, Copy)]
pub struct ReplyPolicy {
    /// When nobody can say whether a reply was sent.
    pub when_unsure: WhenUnsure,
}

/// The keywords of a channel and the answers to them; `None` is no answer.
#[derive(Debug, Clone)]
pub struct Consent {
    /// The words.
    pub keywords: Keywords,
    /// To who opts out.
    pub stop: Option<String>,
    /// To who opts in again.
    pub start: Option<String>,
    /// To who asks for help.
    pub help: Option<String>,
}

/// How long texts of a channel are treated.
#[derive(Debug, Clone, Copy)]
pub struct Texts {
    /// Whether smart punctuation is written plainly where that saves a segment.
    pub fold: bool,
    /// What one request takes.
    pub max_characters: usize,
    /// What a reply takes, all its parts together.
    pub max_segments: usize,
}

/// What a channel carries.
#[derive(Debug, Clone)]
pub enum ChannelKind {
    /// Text messages.
    Sms {
        /// The provider's user that owns the number.
        user: String,
        /// The company's number as the provider writes it.
        number: String,
        /// How consumers' numbers are normalised.
        country: Option<Country>,
        /// How long texts are treated.
        texts: Texts,
        /// What consumers may ask for with a keyword; `None` where the platform sees to that itself.
        consent: Option<Consent>,
        /// Whether agents may write to groups.
        groups: bool,
        /// Which of agents' files leave as pictures.
        mms: Box<MmsSettings>,
    },
    /// Mail.
    Email(EmailChannel),
}

impl Config {
    /// The provider of a name.
    pub fn provider(&self, name: &NeighbourName) -> Option<&Provider> {
        self.providers.iter().find(|provider| provider.name == *name)
    }

    /// Names of the Genesys tenants.
    pub fn genesys_names(&self) -> Vec<NeighbourName> {
        self.genesys.iter().map(|tenant| tenant.name.clone()).collect()
    }

    /// Names of the providers.
    pub fn provider_names(&self) -> Vec<NeighbourName> {
        self.providers.iter().map(|provider| provider.name.clone()).collect()
    }
}
