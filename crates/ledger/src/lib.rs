//! What was done to the outside world: effects with their attempts, receipts, the timeline, conversation context.
//!
//! A record stands before and after each outside effect, so that a crash between the two is seen as what it is:
//! *interrupted*, to be looked into, never blindly repeated. No text of a message is ever in here.

mod common;
mod consent;
mod interactions;
mod ledger;
mod marks;
mod passport;
mod person;
mod postgres;
mod pull;
mod receipts;
mod recorded;
mod sqlite;
mod types;

#[cfg(feature = "contract")]
pub mod contract;

pub use consent::{Consent, ConsentRecord, Said, When};
pub use interactions::{Interaction, InteractionState, KeptInteraction};
pub use ledger::{Config, Ledger, MARGIN, PostgresConfig, SqliteConfig, TimeSource};
pub use marks::{Lease, Mark};
pub use person::{Erased, Erasure, KeptArrival, KeptEffect, KeptReceipt, KeptSession, KeptTask, Person};
pub use recorded::recorded;
pub use types::{
    ArrivalVerdict, AttemptId, Begin, CameIn, Effect, Entry, Incoming, LedgerError, Line, Outcome, POISON, Parties,
    ReceiptVerdict, Reopened, Reported, Standing, What,
};
