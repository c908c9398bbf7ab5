//! The Genesys door: Third-Party Messaging and Open Media calls, and the webhook's verification and reader.
//!
//! Wire shapes stay inside. A webhook body reaches the reader only as [`Verified`]. Where a fact is from is named by the
//! section of `reference/genesys.md`.

mod classify;
mod client;
mod directory;
mod media;
mod open_media;
mod reader;
mod references;
mod signature;
mod webhook;
mod wire;

pub use client::{Accepted, Attachment, Blame, ChannelAccess, Client, Email, Refusal, Tenant};
pub use directory::{Channel, Directory, OpenMediaService, channel_target};
pub use media::{MediaSignature, Upload, Uploaded, is_media_id};
pub use open_media::{
    BodyWrapper, Changes, Created, ExternalId, Interaction, InteractionRef, NewInteraction, NotAnExternalId,
    OpenMediaAccess, Reached, StopReason, UserData,
};
pub use signature::{SecretEncoding, Secrets, SignatureError, Verified, sign};
pub use webhook::{Webhook, WebhookContent, WebhookError, WebhookMail, WebhookMessage, peek_channel};
