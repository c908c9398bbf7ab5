//! Genesys Digital Channels, as its Third-Party Messaging and Open Media documents describe it.

mod api;
mod faults;
mod media;
mod message;
mod open_media;
mod sim;
mod state;
mod types;
mod webhook;

pub use faults::GenesysFaults;
pub use message::sign;
pub use sim::GenesysSim;
pub(crate) use sim::client;
pub use types::{
    AgentMessage, Attempt, GenesysSimConfig, OpenMediaManners, RawBody, ReceivedAttachment, ReceivedEmail,
    ReceivedMessage, ReceivedReceipt, Redelivery, Refusal, SimChannel, SimInteraction, SimMedia, WebhookAnswer,
    WebhookState,
};

#[cfg(test)]
mod tests;
