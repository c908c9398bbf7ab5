//! Genesys, an SMS provider and a consumers' mail server, simulated, with faults on purpose and a web page.
//!
//! The far sides are written from the foreign documents alone. They share no wire type with the bridge, because a shared
//! type that is wrong would be wrong on both sides and no test would see it.

mod crew;
mod door;
mod genesys;
mod kept;
mod mail;
mod netsapiens;
pub mod page;
mod switch;
#[cfg(test)]
mod testing;

pub use genesys::{
    AgentMessage, Attempt, GenesysFaults, GenesysSim, GenesysSimConfig, OpenMediaManners, RawBody, ReceivedAttachment,
    ReceivedEmail, ReceivedMessage, ReceivedReceipt, Redelivery, Refusal, SimChannel, SimInteraction, SimMedia,
    WebhookAnswer, WebhookState, sign,
};
pub use mail::{Brought, ConsumerMail, DeliveredMail, MailFaults, MailFile, MailSim, OutgoingState, SmtpWire};
pub use netsapiens::{
    ConsumerFile, ConsumerSms, EventOptions, NetSapiensFaults, NetSapiensSim, NetSapiensSimConfig, SendAnswer, SentSms,
    SimLogin, SimNumber, SimSubscription,
};
pub use switch::Times;
