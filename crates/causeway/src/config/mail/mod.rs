//! Mail: the tables of its providers, and what its channels have of their own.

mod channel;
mod listen;
mod provider;
mod server;
mod settings;

pub(super) use channel::{email_kind, inbound};
pub(super) use provider::{read, settle};
pub use settings::{
    Dkim, EmailAs, EmailChannel, EmailProvider, Imap, Inbound, ListUnsubscribe, Listen, MailLogin, MailSecret, Server,
    Smtp,
};

#[cfg(test)]
mod tests;
