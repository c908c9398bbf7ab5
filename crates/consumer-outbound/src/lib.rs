//! The room that gives consumers what agents wrote: queue `replies` → provider, and a receipt for each reply.

mod begun;
mod consent;
mod directory;
mod files;
mod firewall;
mod handler;
mod last_words;
mod mail;
mod maybe_sent;
mod parts;
mod pictures;
mod reconcile;
mod reports;
mod tell;
mod verdict;

pub use directory::{Account, Answers, Channel, Directory, Mms, Pictures, Texts, WhenUnsure};
pub use files::{Files, Limits};
pub use handler::{Config, Deps, run};
pub use mail::{Evidence, Leave, MAIL_PACE, MAIL_STEP, MailAccount, MailChannel};
pub use verdict::{MAYBE_SENT, number_target};
