//! The room where agents' replies come in: Genesys webhook → queue `replies`.
//!
//! It needs the broker and nothing else to be up. A 200 is given only after every reply of the webhook is stored;
//! what cannot be sent is accepted all the same, and its agent is told by a `Failed` receipt further on.

mod answer;
mod body;
mod directory;
mod mail;
mod replies;
mod routes;

pub use directory::{Channel, Channels, Kind};
pub use routes::{Config, Room, routes};
