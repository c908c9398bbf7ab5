use std::collections::BTreeSet;
use std::fmt;

use clap::ValueEnum;
use model::Family;

/// The five roles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Role {
    /// Consumers' messages in.
    Ingress,
    /// Queue `inbound` to Genesys.
    GenesysOutbound,
    /// Agents' replies in.
    WebhookIngest,
    /// Queue `replies` to the consumer.
    ConsumerOutbound,
    /// Queue `receipts` to Genesys.
    ReceiptEmitter,
}

impl Role {
    /// All five.
    pub fn all() -> BTreeSet<Self> {
        Self::value_variants().iter().copied().collect()
    }

    /// The word on the command line, in metrics and in logs.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Ingress => "ingress",
            Self::GenesysOutbound => "genesys-outbound",
            Self::WebhookIngest => "webhook-ingest",
            Self::ConsumerOutbound => "consumer-outbound",
            Self::ReceiptEmitter => "receipt-emitter",
        }
    }

    /// Whether it answers HTTP; the others take from queues and keep a ledger.
    pub const fn answers_http(self) -> bool {
        matches!(self, Self::Ingress | Self::WebhookIngest)
    }

    /// Whose queues it consumes.
    pub(super) const fn takes_from(self) -> Option<Family> {
        match self {
            Self::GenesysOutbound => Some(Family::Inbound),
            Self::ConsumerOutbound => Some(Family::Replies),
            Self::ReceiptEmitter => Some(Family::Receipts),
            Self::Ingress | Self::WebhookIngest => None,
        }
    }

    /// Whether it needs the store of files.
    pub(super) const fn keeps_files(self) -> bool {
        matches!(self, Self::Ingress | Self::GenesysOutbound | Self::ConsumerOutbound)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.word())
    }
}
