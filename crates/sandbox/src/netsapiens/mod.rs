//! NetSapiens, as its API documents and the field reports describe it.

mod api;
mod events;
mod faults;
mod login;
mod manage;
mod media;
mod rows;
mod send;
mod session;
mod sim;
mod state;
mod subscriptions;
mod types;

pub use faults::NetSapiensFaults;
pub use media::ConsumerFile;
pub use sim::NetSapiensSim;
pub use subscriptions::SimSubscription;
pub use types::{ConsumerSms, EventOptions, NetSapiensSimConfig, SendAnswer, SentSms, SimLogin, SimNumber};

#[cfg(test)]
mod tests;
