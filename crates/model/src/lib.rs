//! What walks through the house: the three messages, their ids, addresses and channels, and the pure rules about them.
//!
//! Nothing here does I/O, reads a clock or knows the JSON of a foreign system.

mod address;
mod consent;
mod conversation;
mod files;
mod hours;
mod ids;
mod mail;
mod mail_in;
mod message;
mod private;
mod queue;
mod receipt;
mod reply;
mod report;
mod taken;
pub mod text;

pub use address::{Address, AddressError, Country, Group, PhoneNumber};
pub use consent::{ConsentChange, Keyword, KeywordError, Keywords};
pub use conversation::ConversationKey;
pub use files::{InboundFile, InboundFiles};
pub use hours::{BusinessHours, HoursError};
pub use ids::{ChannelId, ChannelName, IdError, MessageId, NeighbourName, SessionId, TraceId};
pub use mail::{MailReply, MailThread, Named};
pub use mail_in::InboundMail;
pub use message::{AgentReply, Arrival, ArrivalPath, InboundMessage, Receipt, Unread};
pub use private::Private;
pub use queue::{DecodeError, Family, Queued, decode, encode};
pub use receipt::{ReasonCode, ReceiptReason, ReceiptStatus};
pub use reply::{MediaPlace, MediaRef, ReplyBody, ReplyMedia, Unsendable};
pub use report::DeliveryReport;
pub use taken::{Errand, Taken};
