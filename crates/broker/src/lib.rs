//! Publish, consume and dead letters, over RabbitMQ or an embedded store that pass the same contract.
//!
//! This crate settles messages; nothing else does. It knows queues, conversations and verdicts, and no word of
//! what the messages are about.

mod broker;
mod config;
mod consumers;
#[cfg(feature = "contract")]
pub mod contract;
mod dead;
mod embedded;
mod engine;
mod envelope;
mod error;
mod handle;
mod letters;
mod management;
mod pace;
mod rabbitmq;
mod report;
mod source;
mod topology;

pub use broker::Broker;
pub use config::{Config, EmbeddedConfig, RabbitMqConfig};
pub use consumers::{Away, Consumers};
pub use dead::{DeadLetterReport, DeadReason};
pub use engine::Consume;
pub use envelope::Envelope;
pub use error::{OpenError, PublishError};
pub use handle::{Done, Failure, Foresight, Handle, Rejection};
pub use letters::{Letter, Sift, Sifted, Sifting};
pub use management::{Management, policies};
pub use pace::{Pace, Paces};
pub use report::{QueueReport, State};
pub use topology::{QueueName, Topology};
