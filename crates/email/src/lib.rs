//! Mail: out by SMTP, in by SMTP and IMAP, and everything about what stands in one. Wire shapes stay inside.

mod address;
mod html;
mod leave;
pub mod listen;
mod login;
pub mod mailbox;
pub mod outgoing;
pub mod read;
mod reason;
mod tls;

pub use address::Mailbox;
pub use leave::{LEAVE_ADDRESS, LeaveKeys};
pub use login::{Login, LoginKind, SecretSource, Security};
pub use reason::Status;
