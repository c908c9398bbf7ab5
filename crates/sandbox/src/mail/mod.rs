//! A consumer's mail server: it takes the company's mail and keeps it in a mailbox, brings the consumer's mail to the company,
//! and returns what it took, when it is told to.

mod bring;
mod compose;
mod faults;
mod serve;
mod sim;
mod state;
mod wire;

pub use compose::{ConsumerMail, MailFile};
pub use faults::MailFaults;
pub use sim::MailSim;
pub use state::{Brought, DeliveredMail, OutgoingState};
pub use wire::SmtpWire;

#[cfg(test)]
mod tests;
