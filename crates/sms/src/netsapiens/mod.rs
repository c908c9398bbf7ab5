//! NetSapiens (Crexendo) ns-api v2 (`reference/netsapiens.md`; sections are named where a fact is used).

mod account;
mod answer;
mod event;
mod fields;
mod history;
mod session;
mod time;

pub use account::{Account, Config};
pub use session::derive_session;
