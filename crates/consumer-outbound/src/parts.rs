//! A text that is longer than one request takes is sent in parts, in order, and so are several pictures. Each part but the last
//! is an effect of its own; the last is the effect of the reply, so that a reply is done when all of it is.

use std::sync::Arc;
use std::time::{Duration, Instant};

use broker::{Done, Failure};
use ledger::{Effect, Outcome, Standing};
use model::text::{fold, segments, split};
use model::{Address, AgentReply, MessageId, PhoneNumber, Private, ReasonCode, ReplyBody};

use crate::begun::Begun;
use crate::directory::{Account, Channel, Texts};
use crate::files::Kept;
use crate::handler::{Author, CALL_TIMEOUT, PICTURE_TIMEOUT, Room, Walk, ledger_down};
use crate::verdict;

/// A reply as it is sent: to whom, and in which parts, of which there is at least one.
pub(crate) struct Letter {
    pub(crate) to: PhoneNumber,
    pub(crate) parts: Vec<Part>,
}

/// What one request takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Part {
    /// A text.
    Text(Private<String>),
    /// A picture, with what is said beside it.
    Picture { caption: Private<String>, kept: Kept },
}

impl Part {
    pub(crate) const fn text(&self) -> &Private<String> {
        match self {
            Self::Text(text) | Self::Picture { caption: text, .. } => text,
        }
    }

    /// The longest a call with it takes.
    pub(crate) const fn call_time(&self) -> Duration {
        match self {
            Self::Text(_) => CALL_TIMEOUT,
            Self::Picture { .. } => PICTURE_TIMEOUT,
        }
    }
}

/// Where a part stands among the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    /// From 1.
    pub(crate) number: usize,
    pub(crate) of: usize,
}

impl Letter {
    /// A reply without files as its channel sends it, or what its agent is told. A channel that is not known here cuts nothing.
    pub(crate) fn of(reply: &AgentReply, channel: Option<&Channel>) -> Result<Self, (ReasonCode, String)> {
        let text = match &reply.body {
            ReplyBody::Text(text) => text,
            ReplyBody::Media(media) => &media.text,
            ReplyBody::Mail(_) => return Err((ReasonCode::Unsupported, "This channel does not send mail.".to_owned())),
            ReplyBody::Unsendable(why) => return Err((why.code, why.reason.clone())),
        };
        let to = recipient(reply, channel.is_none_or(|channel| channel.groups))?;
        let parts = match channel {
            Some(channel) => cut(text, channel.texts)?,
            None => vec![text.clone()],
        };
        Ok(Self { to, parts: parts.into_iter().map(Part::Text).collect() })
    }

    /// The place of each part.
    pub(crate) fn places(&self) -> impl DoubleEndedIterator<Item = (Place, &Part)> {
        let of = self.parts.len();
        self.parts.iter().enumerate().map(move |(index, part)| (Place { number: index + 1, of }, part))
    }
}

impl Place {
    /// Whether it is what the effect of the whole reply stands for.
    pub(crate) const fn is_last(self) -> bool {
        self.number == self.of
    }

    /// The effect of this part.
    pub(crate) fn effect(self, reply: &AgentReply) -> Effect {
        let whole = Effect::from(reply);
        if self.is_last() {
            return whole;
        }
        // What a provider reports of a part is not what became of the reply.
        Effect { id: MessageId::new(format!("{}.{}", whole.id, self.number)), parties: None, ..whole }
    }
}

/// To whom, or what its agent is told. Of a group that is its first member.
pub(crate) fn recipient(reply: &AgentReply, groups: bool) -> Result<PhoneNumber, (ReasonCode, String)> {
    match &reply.to {
        Address::Phone(number) => Ok(number.clone()),
        Address::Group(group) => group.members().next().filter(|_| groups).ok_or_else(|| {
            let reason = "This channel does not write to groups; write to one of its members instead.";
            (ReasonCode::Unsupported, reason.to_owned())
        }),
        Address::Mail(_) => Err((ReasonCode::Unsupported, "This channel does not send mail.".to_owned())),
        Address::Invalid(_) => {
            Err((ReasonCode::InvalidDestination, "The recipient is not a telephone number.".to_owned()))
        }
    }
}

pub(crate) fn cut(text: &Private<String>, texts: Texts) -> Result<Vec<Private<String>>, (ReasonCode, String)> {
    let text = if texts.fold { fold(text.expose()) } else { text.expose().into() };
    let parts = split(&text, texts.max_characters);
    let all: usize = parts.iter().map(|part| segments(part).count).sum();
    if all > texts.max_segments {
        let most = texts.max_segments;
        let reason = format!("The text is too long: it takes {all} segments, and this channel sends at most {most}.");
        return Err((ReasonCode::InvalidStructure, reason));
    }
    Ok(parts.into_iter().map(|part| Private::new(part.to_owned())).collect())
}

impl Room {
    /// Sends the first part that was not sent yet, where that is not the last one. Each is a try of its own, so that it waits for
    /// its turn as every call does; `None` when it is the last one's turn.
    pub(crate) async fn earlier_part(
        &self,
        reply: &AgentReply,
        letter: &Letter,
        channel: &Arc<Channel>,
        account: &Arc<Account>,
    ) -> Result<Option<Done>, Failure> {
        if letter.parts.len() == 1 {
            return Ok(None);
        }
        if self.was_done(reply).await? {
            return Ok(Some(Done::Duplicate));
        }
        for (place, part) in letter.places().filter(|(place, _)| !place.is_last()) {
            let effect = place.effect(reply);
            let standing = self.deps.ledger.standing(&effect).await.map_err(ledger_down)?;
            if matches!(standing, Standing::Done(_)) {
                continue;
            }
            // Before its record: while it waits for its turn in memory nobody takes it for interrupted.
            let loaded = self.load(part).await?;
            let since = Instant::now();
            let found = self.deps.ledger.begin(effect.clone(), part.call_time()).await.map_err(ledger_down)?;
            let Ok(begun) = Begun::of(found, since) else { continue };
            let (author, channel, account) = (Author::Agent, Arc::clone(channel), Arc::clone(account));
            let walk = Walk { reply, author, effect, place, channel, account, loaded };
            let request = self.request(&walk, letter.to.clone(), part.text().clone()).await?;
            self.attempt(&walk, &request, begun).await?;
            return Err(Failure::Onward);
        }
        Ok(None)
    }

    /// What became of the parts before the last one, in words for the agent of a reply that is given up.
    pub(crate) async fn told_of_parts(&self, reply: &AgentReply) -> Result<PartsTold, Failure> {
        let of = match &reply.body {
            ReplyBody::Media(_) => self.parts_planned(reply).await?,
            ReplyBody::Mail(_) => 1,
            ReplyBody::Text(_) | ReplyBody::Unsendable(_) => {
                let found = self.deps.directory.borrow().find(&reply.channel);
                let channel = found.as_ref().map(|(channel, _)| channel.as_ref());
                Letter::of(reply, channel).map_or(1, |letter| letter.parts.len())
            }
        };
        let (mut sent, mut in_doubt) = (0, false);
        for number in 1..of {
            let place = Place { number, of };
            match self.deps.ledger.standing(&place.effect(reply)).await.map_err(ledger_down)? {
                Standing::Done(Outcome::Sent { .. }) => sent += 1,
                Standing::Open => in_doubt = true,
                Standing::Done(_) | Standing::Untouched => break,
            }
        }
        let prefix = if sent == 0 { String::new() } else { verdict::parts_sent(sent, of) };
        Ok(PartsTold { prefix, in_doubt })
    }
}

/// What is told of the parts of a reply.
#[derive(Default)]
pub(crate) struct PartsTold {
    /// What comes before the reason: how many were sent.
    pub(crate) prefix: String,
    /// Nobody knows whether one of them was sent.
    pub(crate) in_doubt: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXTS: Texts = Texts { fold: true, max_characters: 1600, max_segments: 50 };

    fn parts(text: &str, texts: Texts) -> Result<Vec<String>, (ReasonCode, String)> {
        let parts = cut(&Private::new(text.to_owned()), texts)?;
        Ok(parts.into_iter().map(Private::into_inner).collect())
    }

    #[test]
    fn a_text_is_cut_as_its_channel_says() {
        assert_eq!(parts("one two", TEXTS), Ok(vec!["one two".to_owned()]));
        let small = Texts { max_characters: 4, ..TEXTS };
        assert_eq!(parts("one two", small), Ok(vec!["one".to_owned(), "two".to_owned()]));
        let smart = format!("“{}”", "a".repeat(80));
        assert_eq!(parts(&smart, TEXTS), Ok(vec![smart.replace(['“', '”'], "\"")]));
        assert_eq!(parts(&smart, Texts { fold: false, ..TEXTS }), Ok(vec![smart]));
    }

    #[test]
    fn what_is_too_long_is_refused_with_its_count() {
        let long = "word ".repeat(100);
        let refused = parts(&long, Texts { max_segments: 3, ..TEXTS });
        let told = "The text is too long: it takes 4 segments, and this channel sends at most 3.";
        assert_eq!(refused, Err((ReasonCode::InvalidStructure, told.to_owned())));
        assert!(parts(&long, Texts { max_segments: 4, ..TEXTS }).is_ok());
    }
}
