use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{Address, ChannelName, ConversationKey, Family, MessageId, NeighbourName, Queued, ReceiptStatus, TraceId};

/// What a provider says became of a message that was sent: a bounce, or a delivery report. It stands with the replies, because
/// who sends them keeps the ledger that knows which one is meant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeliveryReport {
    /// Derived from provider, message and status.
    pub id: MessageId,
    /// The provider account that says so.
    pub provider: NeighbourName,
    /// The id the provider gave the message; for mail the token of its Message-ID and its envelope's sender.
    pub foreign_id: String,
    /// What became of it.
    pub status: ReceiptStatus,
    /// The trace.
    pub trace: TraceId,
    /// When the house accepted it.
    pub received_at: Timestamp,
}

impl DeliveryReport {
    /// The identity of a report: provider, message, and what it says.
    pub fn derive_id(provider: &NeighbourName, foreign_id: &str, status: &ReceiptStatus) -> MessageId {
        MessageId::derive("dr", &[provider.as_str(), foreign_id, status.word()])
    }
}

impl Queued for DeliveryReport {
    const FAMILY: Family = Family::Replies;
    const TYPE: &'static str = "DeliveryReport";
    const VERSION: u32 = 1;

    fn id(&self) -> &MessageId {
        &self.id
    }
    fn neighbour(&self) -> &NeighbourName {
        &self.provider
    }
    /// Whose conversation it belongs to is not known where it comes in, so the reports of one message are a lane of their own.
    fn conversation(&self) -> ConversationKey {
        ConversationKey::new(&ChannelName::new(self.provider.as_str()), &Address::Invalid(self.foreign_id.clone()))
    }
    fn trace(&self) -> &TraceId {
        &self.trace
    }
    fn received_at(&self) -> Timestamp {
        self.received_at
    }
}
