//! The Genesys door: Third-Party Messaging calls, and the webhook's verification and reader.
//!
//! Wire shapes stay inside. A webhook body reaches the reader only as [`Verified`]. Where a fact is from is named by the
//! section of `reference/genesys.md`.

mod classify;
mod client;
mod directory;
mod media;
mod reader;
mod signature;
mod webhook;
mod wire;

pub use client::{Accepted, Attachment, Blame, ChannelAccess, Client, Refusal, Tenant};
pub use directory::{Channel, Directory, channel_target};
pub use media::{MediaSignature, Upload, Uploaded, is_media_id};
pub use signature::{SecretEncoding, Secrets, SignatureError, Verified, sign};
pub use webhook::{Webhook, WebhookContent, WebhookError, WebhookMessage, peek_channel};
