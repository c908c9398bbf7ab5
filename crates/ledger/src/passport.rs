use jiff::Timestamp;
use model::{ChannelName, MessageId, Receipt, ReceiptStatus, TraceId};

use crate::{Effect, Parties};

/// Everything the receipts of one reply have in common.
#[derive(Clone)]
pub(crate) struct Passport {
    pub(crate) id: MessageId,
    pub(crate) channel: ChannelName,
    pub(crate) genesys_message_id: String,
    pub(crate) trace: TraceId,
    pub(crate) received_at: Timestamp,
    pub(crate) parties: Parties,
}

impl Passport {
    /// Of a reply that is in hand.
    pub(crate) fn of(effect: &Effect) -> Option<Self> {
        Some(Self {
            id: effect.id.clone(),
            channel: effect.channel.clone(),
            genesys_message_id: effect.foreign_id.clone(),
            trace: effect.trace.clone(),
            received_at: effect.received_at,
            parties: effect.parties.clone()?,
        })
    }

    /// The receipt that tells this of the reply.
    pub(crate) fn receipt(self, status: ReceiptStatus) -> Receipt {
        let Parties { genesys, from_id, to_id, to } = self.parties;
        Receipt {
            id: self.id,
            channel: self.channel,
            genesys,
            genesys_message_id: self.genesys_message_id,
            from_id,
            to_id,
            to,
            status,
            accepted: false,
            trace: self.trace,
            received_at: self.received_at,
            told_at: None,
        }
    }
}

/// Parties as a store holds them.
pub(crate) fn written(parties: Option<&Parties>) -> Option<String> {
    parties.map(|parties| serde_json::to_string(parties).expect("names and addresses have a JSON form"))
}

/// A status as a store holds it.
pub(crate) fn status_written(status: &ReceiptStatus) -> String {
    serde_json::to_string(status).expect("a status has a JSON form")
}
