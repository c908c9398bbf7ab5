//! Mail in by IMAP: what is new in a mailbox, once, in order, and nothing that was there before.
//!
//! The mailbox itself is only looked at: nothing is marked, moved or removed.

mod command;
mod config;
mod connect;
mod cursor;
mod fetch;
mod trouble;
mod watch;

pub use config::{ImapConfig, ImapLimits};
pub use connect::ImapError;
pub use cursor::{Cursor, Event, Fetched, Handler, Skipped};
pub use watch::{probe, watch};
