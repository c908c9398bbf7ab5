//! Files of messages: kept in a folder or an S3-compatible store, checked on the way in, and linked to.
//!
//! A file is never whole in memory. It is looked at while it is written: what lies about itself, or is more than it may be,
//! is not kept. What a message is, or who asks for a file, is not known here.

mod check;
mod connector;
mod error;
mod id;
mod keys;
mod kind;
mod links;
mod measure;
mod open;
mod store;
mod write;

pub use check::{Check, Refusal};
pub use error::{BlobError, PutError};
pub use id::BlobId;
pub use keys::made_up_key;
pub use kind::{Kind, is_active};
pub use links::{Keys, LinkError, Links};
pub use open::{Config, Place, S3};
pub use store::{About, Limits, Store, Turn};
