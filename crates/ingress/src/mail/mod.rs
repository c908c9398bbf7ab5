//! The doors mail comes in by: an SMTP listener behind the company's mail server, and mailboxes that are watched.
//!
//! The listener needs the broker and the store of files, and answers 250 only after both have the mail. The watch over a
//! mailbox also needs the ledger, where its cursor is.

mod accept;
mod attachments;
mod carrier;
mod compose;
mod listen;
mod mailbox;
mod provider;

pub use accept::MailRoom;
pub use listen::{Listen, listen};
pub use mailbox::{MailWatch, watch_mailbox};
pub use provider::{MailChannel, MailProvider};
