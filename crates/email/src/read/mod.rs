//! A mail as it comes in, read as far as it can be, within limits.

mod bounce;
mod classify;
mod decode;
mod flowed;
mod head;
mod informal;
mod leaf;
mod limits;
mod lines;
mod mail;
mod names;
mod note;
mod quotes;
mod report;
mod thread;
mod walk;

pub use bounce::{Bounce, Outcome, Report, read_status};
pub use classify::Cause;
pub use limits::Limits;
pub use mail::{Attachment, Context, Envelope, Kind, Mail, read};
pub use note::Note;
pub use thread::{Thread, normalised_subject};

/// A file name that leads nowhere, for what is attached to a mail of ours.
pub(crate) fn safe_name(written: &str, media_type: &str) -> String {
    names::safe(Some(written), media_type)
}
