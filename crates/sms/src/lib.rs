//! SMS providers, one module each, as a closed set. Wire shapes stay inside.

mod inbound;
pub mod netsapiens;
mod provider;

pub use inbound::Destination;
pub use provider::{
    ConsumerText, Created, EventModel, Look, MediaError, OpenedFile, OutgoingFile, Pictures, Provider, ReadEvents,
    SendError, SendRequest, Sent, SessionSummary, Subscription, SubscriptionForm, Trigger, Unreadable,
    WantedSubscription,
};
