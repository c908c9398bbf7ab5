//! Mail in by SMTP, from the company's own mail server.
//!
//! A 250 is given only after the mail is stored by whoever asked for it; until then the sender keeps it.

mod config;
mod data;
mod refusals;
mod serve;
mod session;
mod spool;
mod transaction;
mod wire;

pub use config::{ListenConfig, ServerTls, SmtpLimits};
pub use refusals::Refusals;
pub use serve::{converse, serve};
pub use spool::{Received, Store, StoreError, Stored};
