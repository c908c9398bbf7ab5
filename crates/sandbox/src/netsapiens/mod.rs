//! NetSapiens, as its API documents and the field reports describe it.

mod api;
mod events;
mod faults;
mod rows;
mod send;
mod session;
mod sim;
mod state;
mod types;

pub use faults::NetSapiensFaults;
pub use sim::NetSapiensSim;
pub use types::{ConsumerSms, EventOptions, NetSapiensSimConfig, SendAnswer, SentSms, SimNumber};

#[cfg(test)]
mod tests;
