//! SMS providers, one module each, as a closed set. Wire shapes stay inside.

pub mod netsapiens;
mod provider;

pub use provider::{
    ConsumerText, Look, MediaError, OpenedFile, Provider, ReadEvents, SendError, SendRequest, Sent, Unreadable,
};
