//! Genesys Digital Channels, as its Third-Party Messaging documents describe it.

mod api;
mod faults;
mod media;
mod message;
mod sim;
mod state;
mod types;
mod webhook;

pub use faults::GenesysFaults;
pub use message::sign;
pub use sim::GenesysSim;
pub(crate) use sim::client;
pub use types::{
    AgentMessage, Attempt, GenesysSimConfig, RawBody, ReceivedAttachment, ReceivedMessage, ReceivedReceipt, Redelivery,
    Refusal, SimChannel, SimMedia, WebhookAnswer, WebhookState,
};

#[cfg(test)]
mod tests;
