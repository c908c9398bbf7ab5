//! The room where consumers' messages come in: provider event → queue `inbound`.
//!
//! It needs the broker and nothing else to be up. An event is answered with 200 only after every message in it is stored.

mod directory;
mod media;
mod routes;

pub use directory::{Channel, Directory};
pub use media::{Media, media_routes};
pub use routes::{Config, Room, routes};
