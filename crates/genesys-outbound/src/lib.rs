//! The room that gives agents what consumers wrote: queue `inbound` → Genesys.

mod handler;

pub use handler::{Config, Deps, run};
