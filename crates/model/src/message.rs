use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{
    Address, ChannelName, ConversationKey, Family, InboundFiles, InboundMail, MessageId, NeighbourName, Private,
    Queued, ReceiptStatus, ReplyBody, SessionId, TraceId,
};

/// The way a consumer's message was learnt of. The same message may come in by two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ArrivalPath {
    /// An event that named the message.
    MessageEvent,
    /// An event about its session, which carries no id of the message.
    SessionEvent,
    /// A row read from the provider's store.
    StoredRow,
}

/// What tells whether two arrivals by different paths are one message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Arrival {
    /// The path it came by.
    pub path: ArrivalPath,
    /// A hash over session, direction, sender, type and the text after numeric coercion; behind it, after spaces, the type and
    /// the size of a file, each `?` where it is not told.
    pub fingerprint: String,
    /// The provider's own time of the message; arrivals of one message differ by at most two seconds.
    pub sent_at: Option<Timestamp>,
    /// Messages that cannot be this one however alike they are, because the provider keeps them in rows of their own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub beside: Vec<MessageId>,
}

/// Times of one message on two paths differ by at most this (design 4).
const APART: SignedDuration = SignedDuration::from_secs(2);

impl Arrival {
    /// Whether this may be the message of another arrival: equal, sent at about the same time, and of their files nothing says
    /// otherwise. One path may tell less of a file than the other.
    pub fn may_be(&self, other: &Self) -> bool {
        let near = self.sent_at.zip(other.sent_at).is_some_and(|(one, two)| one.duration_since(two).abs() <= APART);
        let (mut one, mut two) = (self.fingerprint.split(' '), other.fingerprint.split(' '));
        near && one.next() == two.next() && one.zip(two).all(|(one, two)| one == two || one == "?" || two == "?")
    }
}

/// What an event left to be read at the provider, before an agent can have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Unread {
    /// One text, as the event told it; the row tells it better.
    Text,
    /// One message with a picture or file, of which the event told the caption.
    Media,
    /// Whatever is new in the session: the event told of no message.
    Session,
}

/// A consumer's message on its way to Genesys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InboundMessage {
    /// Derived from the provider's id; also the `channel.messageId` Genesys sees.
    pub id: MessageId,
    /// The channel it came in on.
    pub channel: ChannelName,
    /// The Genesys tenant of that channel.
    pub genesys: NeighbourName,
    /// The consumer.
    pub from: Address,
    /// What the consumer wrote.
    pub text: Private<String>,
    /// The files the consumer sent.
    #[serde(default, skip_serializing_if = "InboundFiles::is_empty")]
    pub files: InboundFiles,
    /// The provider's session, where a reply belongs.
    pub session: Option<SessionId>,
    /// How it arrived.
    pub arrival: Arrival,
    /// What has to be read in the session first; nothing where the message is all there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unread: Option<Unread>,
    /// What it says as a mail. The text is readable without it: it is for a program that is older than mail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mail: Option<Box<InboundMail>>,
    /// The trace.
    pub trace: TraceId,
    /// When the house accepted it.
    pub received_at: Timestamp,
}

impl Queued for InboundMessage {
    const FAMILY: Family = Family::Inbound;
    const TYPE: &'static str = "InboundMessage";
    const VERSION: u32 = 1;

    fn id(&self) -> &MessageId {
        &self.id
    }
    fn neighbour(&self) -> &NeighbourName {
        &self.genesys
    }
    fn conversation(&self) -> ConversationKey {
        ConversationKey::new(&self.channel, &self.from)
    }
    fn trace(&self) -> &TraceId {
        &self.trace
    }
    fn received_at(&self) -> Timestamp {
        self.received_at
    }
}

/// An agent's reply to one recipient.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentReply {
    /// Derived from channel, Genesys message id and recipient.
    pub id: MessageId,
    /// The channel it leaves by.
    pub channel: ChannelName,
    /// The provider account of that channel.
    pub provider: NeighbourName,
    /// The Genesys tenant that is told what became of it.
    pub genesys: NeighbourName,
    /// `channel.messageId` of the webhook, byte for byte.
    pub genesys_message_id: String,
    /// `channel.from.id` of the webhook, byte for byte, for the receipt.
    pub from_id: Private<String>,
    /// `channel.to.id` of the webhook, byte for byte, for the receipt.
    pub to_id: Private<String>,
    /// The recipient, normalised.
    pub to: Address,
    /// What to send.
    pub body: ReplyBody,
    /// The trace.
    pub trace: TraceId,
    /// When the webhook came in.
    pub received_at: Timestamp,
}

impl AgentReply {
    /// The identity of a reply: channel, message id, recipient as written.
    pub fn derive_id(channel: &ChannelName, genesys_message_id: &str, to_id: &str) -> MessageId {
        MessageId::derive("re", &[channel.as_str(), genesys_message_id, to_id])
    }

    /// The receipt that tells the agent what became of this reply.
    pub fn receipt(&self, status: ReceiptStatus) -> Receipt {
        Receipt {
            id: self.id.clone(),
            channel: self.channel.clone(),
            genesys: self.genesys.clone(),
            genesys_message_id: self.genesys_message_id.clone(),
            from_id: self.from_id.clone(),
            to_id: self.to_id.clone(),
            to: self.to.clone(),
            status,
            accepted: false,
            trace: self.trace.clone(),
            received_at: self.received_at,
            told_at: None,
        }
    }

    /// The receipt that tells the agent it was delivered, because the provider accepted it.
    pub fn accepted(&self) -> Receipt {
        Receipt { accepted: true, ..self.receipt(ReceiptStatus::Delivered) }
    }
}

impl Queued for AgentReply {
    const FAMILY: Family = Family::Replies;
    const TYPE: &'static str = "AgentReply";
    const VERSION: u32 = 1;

    fn id(&self) -> &MessageId {
        &self.id
    }
    fn neighbour(&self) -> &NeighbourName {
        &self.provider
    }
    fn conversation(&self) -> ConversationKey {
        ConversationKey::new(&self.channel, &self.to)
    }
    fn trace(&self) -> &TraceId {
        &self.trace
    }
    fn received_at(&self) -> Timestamp {
        self.received_at
    }
}

/// What became of one agent's reply, on its way to Genesys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// The id of the reply it speaks of.
    pub id: MessageId,
    /// The channel of that reply.
    pub channel: ChannelName,
    /// The Genesys tenant to tell.
    pub genesys: NeighbourName,
    /// `channel.messageId` of the reply, byte for byte.
    pub genesys_message_id: String,
    /// `channel.from.id` of the reply, byte for byte.
    pub from_id: Private<String>,
    /// `channel.to.id` of the reply, byte for byte.
    pub to_id: Private<String>,
    /// The recipient, normalised.
    pub to: Address,
    /// What became of it.
    pub status: ReceiptStatus,
    /// Whether it is called `Delivered` on no more evidence than that the provider accepted it: a failure may follow.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub accepted: bool,
    /// The trace of the reply.
    pub trace: TraceId,
    /// When the reply's webhook came in: a receipt must not overtake the answer to it.
    pub received_at: Timestamp,
    /// When it became known, where that was not before the webhook came in. A reply may be given up, bounce or be taken back
    /// days later, and what is told of it then is news, however old the reply is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub told_at: Option<Timestamp>,
}

impl Receipt {
    /// The same, known since `at`: its age is counted from there.
    #[must_use]
    pub fn told(self, at: Timestamp) -> Self {
        Self { told_at: Some(at.max(self.received_at)), ..self }
    }
}

impl Queued for Receipt {
    const FAMILY: Family = Family::Receipts;
    const TYPE: &'static str = "Receipt";
    const VERSION: u32 = 1;

    fn id(&self) -> &MessageId {
        &self.id
    }
    fn neighbour(&self) -> &NeighbourName {
        &self.genesys
    }
    fn conversation(&self) -> ConversationKey {
        ConversationKey::new(&self.channel, &self.to)
    }
    fn trace(&self) -> &TraceId {
        &self.trace
    }
    fn received_at(&self) -> Timestamp {
        self.told_at.unwrap_or(self.received_at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_both_paths_tell_of_a_file_tells_two_pictures_apart() {
        let arrival = |fingerprint: &str, second: i64| Arrival {
            path: ArrivalPath::StoredRow,
            fingerprint: fingerprint.to_owned(),
            sent_at: Timestamp::from_second(second).ok(),
            beside: Vec::new(),
        };
        let may_be = |one: &str, other: &str| arrival(one, 0).may_be(&arrival(other, 2));
        for (one, other) in [("a", "a"), ("a ? ?", "a image/png 5"), ("a image/png ?", "a image/png 5"), ("a", "a ? 5")]
        {
            assert!(may_be(one, other) && may_be(other, one), "{one} and {other}");
        }
        for (one, other) in [("a", "b"), ("a image/png 5", "a image/png 6"), ("a image/png 5", "a image/gif 5")] {
            assert!(!may_be(one, other), "{one} and {other}");
        }
        assert!(!arrival("a", 0).may_be(&arrival("a", 3)), "too far apart");
        assert!(!Arrival { sent_at: None, ..arrival("a", 0) }.may_be(&arrival("a", 0)));
    }
}
