use jiff::Timestamp;
use model::{
    Address, Arrival, ArrivalPath, ChannelName, ConsentChange, Country, Group, InboundFiles, InboundMessage, Keyword,
    Keywords, MessageId, NeighbourName, PhoneNumber, Private, TraceId, Unread,
};

use crate::{ConsumerText, Trigger};

/// Where a consumer's message goes in the house.
#[derive(Debug, Clone)]
pub struct Destination {
    /// The account it came in on.
    pub provider: NeighbourName,
    /// The channel of the number it came in for.
    pub channel: ChannelName,
    /// The tenant of that channel.
    pub genesys: NeighbourName,
    /// How consumers' numbers are normalised.
    pub country: Option<Country>,
    /// What consumers may ask for with a word; `None` where the platform sees to that itself.
    pub keywords: Option<Keywords>,
}

/// The identity of a text at a provider.
pub(crate) fn message_id(provider: &NeighbourName, text: &ConsumerText) -> MessageId {
    MessageId::derive("in", &[provider.as_str(), &text.provider_id])
}

impl Destination {
    /// The identity of a text, whichever way it was learnt of.
    pub fn id(&self, text: &ConsumerText) -> MessageId {
        message_id(&self.provider, text)
    }

    /// A consumer's text as the house's message: the same one whichever way it was learnt of, as far as its id tells.
    pub fn message(&self, text: &ConsumerText, trace: TraceId, received_at: Timestamp) -> InboundMessage {
        let (from, prefix) = self.conversation(text);
        let named = |said: &Private<String>| Private::new(format!("{prefix}{}", said.expose()));
        let list = text.files.list.clone();
        let caption = if list.is_empty() { Private::default() } else { named(&text.files.caption) };
        InboundMessage {
            id: self.id(text),
            channel: self.channel.clone(),
            genesys: self.genesys.clone(),
            from,
            text: named(&text.text),
            files: InboundFiles { caption, list },
            session: text.session.clone(),
            arrival: text.arrival.clone(),
            unread: text.unread.then_some(if text.files.is_empty() { Unread::Text } else { Unread::Media }),
            mail: None,
            trace,
            received_at,
        }
    }

    /// What a message asks for, where it is a keyword. It goes straight to where replies are sent from, so that a STOP never
    /// waits for a Genesys that is down, and goes first, so that it is not lost to a broker that takes one and not the other.
    ///
    /// Of a message whose row has to be read first only a STOP counts already: the row will say the rest, and a STOP heard
    /// twice is one.
    ///
    /// In a group it counts for the member who said it, and is answered to them alone: outside the group's session.
    pub fn consent_change(&self, message: &InboundMessage) -> Option<ConsentChange> {
        let (from, said) = said(message);
        let keyword = self.keywords.as_ref()?.find(said)?;
        if message.unread.is_some() && keyword != Keyword::Stop {
            return None;
        }
        Some(ConsentChange {
            id: ConsentChange::derive_id(&message.id),
            channel: message.channel.clone(),
            provider: self.provider.clone(),
            session: message.session.clone().filter(|_| from == message.from),
            from,
            keyword,
            message: message.id.clone(),
            arrival: message.arrival.clone(),
            trace: message.trace.clone(),
            received_at: message.received_at,
        })
    }

    /// A session to read, of which nobody knows yet who wrote: it stands in a lane of its own.
    pub fn trigger(&self, trigger: &Trigger, trace: TraceId, received_at: Timestamp) -> InboundMessage {
        let session = trigger.session.as_str();
        let arrival =
            Arrival { path: ArrivalPath::SessionEvent, fingerprint: String::new(), sent_at: None, beside: Vec::new() };
        InboundMessage {
            // Every trigger is one of its own: a session is read as often as something happens in it.
            id: MessageId::derive("in", &[self.provider.as_str(), session, trace.as_str()]),
            channel: self.channel.clone(),
            genesys: self.genesys.clone(),
            from: Address::Invalid(session.to_owned()),
            text: Private::new(String::new()),
            files: InboundFiles::default(),
            session: Some(trigger.session.clone()),
            arrival,
            unread: Some(Unread::Session),
            mail: None,
            trace,
            received_at,
        }
    }

    /// The consumer as replies will address him, and what stands before his words. In a group the conversation is everybody's,
    /// so they name who wrote them.
    fn conversation(&self, text: &ConsumerText) -> (Address, String) {
        let sender = self.sender(text.from.expose());
        let others = text.others.iter().map(|other| self.sender(other.expose()));
        let everybody = others.chain([sender.clone()]).filter_map(|one| match one {
            Address::Phone(number) => Some(number),
            _ => None,
        });
        match (Group::new(everybody), &sender) {
            (Some(group), Address::Phone(number)) if !text.others.is_empty() => {
                (Address::Group(group), format!("+{}: ", number.digits()))
            }
            _ => (sender, String::new()),
        }
    }

    /// A sender that is no number (an alphanumeric one) still reaches the agent.
    fn sender(&self, raw: &str) -> Address {
        match PhoneNumber::normalise(raw, self.country) {
            Ok(number) => Address::Phone(number),
            Err(_) => Address::Invalid(raw.trim().to_owned()),
        }
    }
}

/// Who wrote a message, and what: of a group's the text names the member (see [`Destination::conversation`]).
fn said(message: &InboundMessage) -> (Address, &str) {
    let text = message.text.expose();
    let by_member = || {
        let Address::Group(group) = &message.from else { return None };
        let (number, said) = text.strip_prefix('+')?.split_once(": ")?;
        let member = group.members().find(|member| member.digits() == number)?;
        Some((Address::Phone(member), said))
    };
    by_member().unwrap_or_else(|| (message.from.clone(), text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(from: &str, others: &[&str]) -> ConsumerText {
        ConsumerText {
            provider_id: "1".to_owned(),
            to_number: "13125550100".to_owned(),
            user: None,
            from: from.to_owned().into(),
            text: "hello".to_owned().into(),
            files: InboundFiles::default(),
            others: others.iter().map(|other| (*other).to_owned().into()).collect(),
            session: None,
            arrival: Arrival {
                path: ArrivalPath::StoredRow,
                fingerprint: "f".to_owned(),
                sent_at: None,
                beside: Vec::new(),
            },
            unread: false,
        }
    }

    fn destination() -> Destination {
        Destination {
            provider: NeighbourName::new("crexendo"),
            channel: ChannelName::new("sales"),
            genesys: NeighbourName::new("main"),
            country: "US".parse().ok(),
            keywords: Keywords::new(Keyword::COMMON).ok(),
        }
    }

    fn from(text: &ConsumerText) -> (String, String) {
        let message = destination().message(text, TraceId::new("t"), Timestamp::UNIX_EPOCH);
        (message.from.normalised().to_owned(), message.text.into_inner())
    }

    #[test]
    fn a_keyword_in_a_group_is_its_members() {
        let change = |said: &str, others: &[&str]| {
            let session = Some(model::SessionId::new("s"));
            let text = ConsumerText { text: said.to_owned().into(), session, ..text("13125550142", others) };
            let message = destination().message(&text, TraceId::new("t"), Timestamp::UNIX_EPOCH);
            let change = destination().consent_change(&message)?;
            assert_eq!(change.message, message.id);
            Some((change.from.normalised().to_owned(), change.keyword, change.session.is_some()))
        };
        let one = "13125550142".to_owned();
        assert_eq!(change("Stop!", &["13125550143"]), Some((one.clone(), Keyword::Stop, false)));
        assert_eq!(change("unstop", &["13125550143", "13125550144"]), Some((one.clone(), Keyword::Start, false)));
        assert_eq!(change("STOP", &[]), Some((one, Keyword::Stop, true)));
        for said in ["+13125550143: STOP", "13125550142: STOP", "please stop", ": STOP all of you"] {
            assert_eq!(change(said, &["13125550143"]), None, "{said}");
        }
    }

    #[test]
    fn a_group_is_one_conversation_whoever_writes() {
        let one = from(&text("3125550142", &["13125550143"]));
        let other = from(&text("13125550143", &["+1 312 555 0142"]));
        assert_eq!(one, ("13125550142,13125550143".to_owned(), "+13125550142: hello".to_owned()));
        assert_eq!(other, ("13125550142,13125550143".to_owned(), "+13125550143: hello".to_owned()));
        assert_eq!(from(&text("13125550142", &[])), ("13125550142".to_owned(), "hello".to_owned()));
        assert_eq!(from(&text("BANK", &[])), ("BANK".to_owned(), "hello".to_owned()));
    }
}
