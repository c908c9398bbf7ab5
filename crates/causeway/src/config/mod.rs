//! The configuration: defaults under a TOML file under the environment, read into types that cannot be illegal.

mod check;
mod consent;
mod inbound;
mod load;
mod mail;
mod media;
mod net;
mod problems;
mod pull;
mod quiet;
mod secrets;
mod section;
mod settings;
mod show;
mod texts;
mod tree;
mod units;

pub use load::{Loaded, load};
pub use mail::{
    Dkim, EmailAs, EmailChannel, EmailProvider, Imap, Inbound, ListUnsubscribe, Listen, MailLogin, MailSecret, Server,
    Smtp,
};
pub use problems::{Problem, Problems};
pub use settings::{
    Admin, Auth, Blobs, Channel, ChannelKind, Config, Consent, Control, DeliveredWhen, Expire, Genesys, Http,
    LedgerSettings, Log, Login, Media, MmsSettings, NetSapiensProvider, Provider, ProviderKind, Pull, ReplyPolicy,
    Stop, Texts, Tls, WhenUnsure,
};
pub use tree::Source;
pub(crate) use units::parse_duration;

/// The commented reference, which is also what `causeway config default` prints.
pub const REFERENCE: &str = include_str!("../../../../config/causeway.toml");

#[cfg(test)]
mod tests;
