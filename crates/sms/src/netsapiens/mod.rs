//! NetSapiens (Crexendo) ns-api v2 (`reference/netsapiens.md`; sections are named where a fact is used).

mod account;
mod answer;
mod auth;
mod clock;
mod event;
mod fields;
mod history;
mod keys;
mod lists;
mod media;
mod messages;
mod numbers;
mod post;
mod raw;
mod read;
mod records;
mod session;
mod sessions;
mod subscription;
mod time;

pub use account::{Account, Config};
pub(crate) use answer::EDGE_PAUSE;
pub use auth::{Auth, Login, Stored, TokenStore};
pub use clock::ClockFinding;
pub use keys::NewKey;
pub use numbers::{ExpectedNumber, NumberFinding};
pub use post::Outgoing;
pub use raw::{Elsewhere, RawAnswer};
pub use records::{ApiKey, Direction, MessageSession, SmsNumber, StoredMessage, Version};
pub use session::derive_session;
