use std::io;

use email::listen::Received;
use email::mailbox::Fetched;
use email::read::{Context, Limits, Mail, read};
use jiff::Timestamp;

/// A mail by the way it came.
pub(crate) enum Carrier {
    Smtp(Received),
    /// With the time before which nothing is given to an agent.
    Mailbox(Fetched, Timestamp),
}

impl Carrier {
    /// The word in metrics.
    pub(crate) const fn way(&self) -> &'static str {
        match self {
            Self::Smtp(_) => "smtp",
            Self::Mailbox(..) => "imap",
        }
    }

    /// Reads it. This is work of a processor and a disk.
    pub(crate) fn read(self, mut context: Context, limits: &Limits) -> io::Result<Mail> {
        match self {
            Self::Smtp(received) => {
                context.envelope = Some(received.envelope.clone());
                read(received.open()?, &context, limits)
            }
            Self::Mailbox(mut fetched, _) => read(fetched.open()?, &context, limits),
        }
    }
}
