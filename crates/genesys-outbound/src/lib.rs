//! The room that gives agents what consumers wrote: queue `inbound` → Genesys.
//!
//! What an event did not tell in full is read from the provider here, in its conversation's own lane.

mod fetched;
mod files;
mod handler;
mod idle;
mod installed;
mod lately;
mod mail_tasks;
mod mails;
mod media;
mod orphans;
mod quiet;
mod sources;
mod tasks;
mod unread;

pub use handler::{Config, Deps, run};
pub use idle::{IdleDeps, end_idle_tasks};
pub use mails::{MailAs, MailChannel, Mails};
pub use media::{Form, Media, MediaChannel, MediaDirectory, MediaSource};
pub use quiet::QuietChannel;
pub use sources::{Source, Sources};
