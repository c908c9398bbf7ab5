//! The room that gives consumers what agents wrote: queue `replies` → provider, and a receipt for each reply.

mod consent;
mod directory;
mod handler;
mod maybe_sent;
mod parts;
mod reconcile;
mod verdict;

pub use directory::{Account, Answers, Channel, Directory, Texts, WhenUnsure};
pub use handler::{Config, Deps, run};
pub use verdict::{MAYBE_SENT, number_target};
