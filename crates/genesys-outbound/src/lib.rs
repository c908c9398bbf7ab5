//! The room that gives agents what consumers wrote: queue `inbound` → Genesys.

mod files;
mod handler;
mod media;

pub use handler::{Config, Deps, run};
pub use media::{Form, Media, MediaChannel, MediaDirectory};
