//! Mail on its way to a consumer: composed, signed, and handed to a server.

mod compose;
mod dkim;
mod ids;
mod log_in;
mod outcome;
mod sender;
mod transaction;

pub use compose::{ComposeError, Composed, Draft, File, Unsubscribe, compose};
pub use dkim::{DkimKey, DkimKeyError};
pub(crate) use ids::base32;
pub use ids::{MessageRef, envelope_sender, message_id, message_token, token_of};
pub use outcome::{Sending, Whose};
pub use sender::{SmtpConfig, SmtpSender};

/// Stamped on each mail with the channel's domain, so that it is known when it comes back.
pub const LOOP_HEADER: &str = "X-Causeway-Domain";
/// How the ids of our mails begin.
pub const MESSAGE_ID_PREFIX: &str = "nx.";
