//! SMS providers, one module each, as a closed set. Wire shapes stay inside.

mod events;
mod inbound;
pub mod netsapiens;
mod provider;

pub use events::{Created, EventModel, Subscription, SubscriptionForm, WantedSubscription};
pub use inbound::Destination;
pub use provider::{
    ConsumerText, Look, MediaError, OpenedFile, OutgoingFile, Pictures, Provider, ReadEvents, SendError, SendRequest,
    Sent, SessionSummary, Trigger, Unreadable,
};
