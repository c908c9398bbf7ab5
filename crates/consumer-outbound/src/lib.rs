//! The room that gives consumers what agents wrote: queue `replies` → provider, and a receipt for each reply.

mod consent;
mod directory;
mod files;
mod handler;
mod maybe_sent;
mod parts;
mod pictures;
mod reconcile;
mod tell;
mod verdict;

pub use directory::{Account, Answers, Channel, Directory, Mms, Pictures, Texts, WhenUnsure};
pub use files::{Files, Limits};
pub use handler::{Config, Deps, run};
pub use verdict::{MAYBE_SENT, number_target};
