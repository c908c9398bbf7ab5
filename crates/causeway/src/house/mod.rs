//! The house: opens what the roles need, starts them, and stops them in order.

pub(crate) mod accounts;
pub(crate) mod consent;
mod consumers;
mod control;
pub(crate) mod dead_letters;
mod directories;
mod front;
pub mod mail;
mod mail_in;
mod media;
mod monitor;
mod open;
pub(crate) mod receipts;
mod reload;
mod roles;
mod watch;

pub use control::{ChannelUrls, channel_urls};
pub(crate) use directories::{genesys_doors, provider_doors, tenant_door};
pub(crate) use media::open as open_store;
pub(crate) use monitor::CLOCKS_DIFFER;
pub use open::{Addresses, House, Opening, Refused};
pub(crate) use open::{ledger_settings, open_broker, open_ledger_as_it_is, topology};
pub use reload::Reload;
pub use roles::Role;
pub(crate) use watch::subscribed;
