//! The room that tells agents what became of their replies: queue `receipts` → Genesys.

mod handler;

pub use handler::{Config, Deps, run};
