//! What consumers ask for with a keyword: recorded in the order of their conversation, and answered once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::anyhow;
use broker::{Done, Failure, Foresight, Rejection};
use jiff::{SignedDuration, Timestamp};
use ledger::{ArrivalVerdict, AttemptId, Begin, Consent, Effect, Entry, Outcome, Said, What, When};
use model::{
    Address, AgentReply, Arrival, ArrivalPath, ChannelName, ConsentChange, ConversationKey, Keyword, MessageId,
    NeighbourName, Private, ReasonCode, ReplyBody,
};
use sms::SendRequest;

use crate::begun::Begun;
use crate::directory::Channel;
use crate::handler::{Author, CALL_TIMEOUT, Room, Walk, ledger_down};
use crate::parts::Place;
use crate::verdict;

/// What is recorded as the reason of a change.
const ASKED: &str = "the consumer sent a keyword";

/// Conversations with a STOP in hand whose turn has not come. What stands before it in its lane is not sent any more.
#[derive(Clone, Default)]
pub(crate) struct Stops {
    ahead: Arc<Mutex<HashMap<ConversationKey, usize>>>,
}

/// A STOP in hand.
struct Ahead {
    stops: Stops,
    conversation: ConversationKey,
}

impl Stops {
    fn enter(&self, conversation: ConversationKey) -> Ahead {
        let mut ahead = self.ahead.lock().unwrap_or_else(PoisonError::into_inner);
        *ahead.entry(conversation.clone()).or_default() += 1;
        Ahead { stops: self.clone(), conversation }
    }

    pub(crate) fn has(&self, conversation: &ConversationKey) -> bool {
        self.ahead.lock().unwrap_or_else(PoisonError::into_inner).contains_key(conversation)
    }
}

impl Drop for Ahead {
    fn drop(&mut self) {
        let mut ahead = self.stops.ahead.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = ahead.get_mut(&self.conversation) {
            *count -= 1;
            if *count == 0 {
                ahead.remove(&self.conversation);
            }
        }
    }
}

/// Keywords that are recorded, and whose answers wait for their turn: a keyword waits for nobody, and its answer is a call on
/// the provider as any reply is.
#[derive(Default)]
pub(crate) struct Answers {
    due: Mutex<HashMap<MessageId, Timestamp>>,
}

/// A keyword that was not heard of for so long is another replica's by now.
const FORGOTTEN: SignedDuration = SignedDuration::from_hours(1);

impl Answers {
    /// Whether the answer of a keyword is what is to be made next.
    pub(crate) fn are_due(&self, change: &ConsentChange) -> bool {
        self.due.lock().unwrap_or_else(PoisonError::into_inner).contains_key(&change.id)
    }

    fn enter(&self, change: &ConsentChange, now: Timestamp) {
        let mut due = self.due.lock().unwrap_or_else(PoisonError::into_inner);
        due.retain(|_, at| now.duration_since(*at) < FORGOTTEN);
        due.insert(change.id.clone(), now);
    }

    fn leave(&self, change: &ConsentChange) {
        self.due.lock().unwrap_or_else(PoisonError::into_inner).remove(&change.id);
    }
}

impl Room {
    /// A STOP is heard as soon as it is in hand. Anything else waits for its turn.
    pub(crate) fn hear(&self, change: &ConsentChange) -> Option<Foresight> {
        let conversation = ConversationKey::new(&change.channel, &change.from);
        (change.keyword == Keyword::Stop).then(|| Box::new(self.stops.enter(conversation)) as Foresight)
    }

    /// Why a reply is not wanted, where its consumer or a member of its group does not want it. A text to a group reaches all of
    /// them, or would be another group's.
    pub(crate) async fn unwanted(&self, walk: &Walk<'_>) -> Result<Option<&'static str>, Failure> {
        if walk.author == Author::House || walk.channel.consent.is_none() {
            return Ok(None);
        }
        let (channel, to) = (&walk.reply.channel, &walk.reply.to);
        if self.is_out(channel, to).await? {
            return Ok(Some(verdict::OPTED_OUT));
        }
        if let Address::Group(group) = to {
            for member in group.members() {
                if self.is_out(channel, &Address::Phone(member)).await? {
                    return Ok(Some(verdict::MEMBER_OPTED_OUT));
                }
            }
        }
        Ok(None)
    }

    async fn is_out(&self, channel: &ChannelName, consumer: &Address) -> Result<bool, Failure> {
        let known = self.deps.ledger.consent(channel, consumer).await.map_err(ledger_down)?;
        let out = known.is_some_and(|known| known.consent == Consent::Out);
        Ok(out || self.stops.has(&ConversationKey::new(channel, consumer)))
    }

    /// Records what a consumer asked for, and answers it.
    pub(crate) async fn change(&self, change: &ConsentChange) -> Result<Done, Failure> {
        let done = self.record_and_answer(change).await;
        if done.is_ok() {
            self.answers.leave(change);
        }
        done
    }

    async fn record_and_answer(&self, change: &ConsentChange) -> Result<Done, Failure> {
        let reply = answer_to(change, String::new());
        let effect = effect_of(&reply);
        let since = Instant::now();
        let found = self.deps.ledger.begin(effect.clone(), CALL_TIMEOUT).await.map_err(ledger_down)?;
        let Ok(begun) = Begun::of(found, since) else { return Ok(Done::Duplicate) };
        let (ledger, attempt) = (&self.deps.ledger, begun.attempt().clone());
        let arrived = ledger.arrive(&change.channel, &change.id, &arrival_of(change)).await.map_err(ledger_down)?;
        if let ArrivalVerdict::SameAs(other) = arrived {
            ledger.finish(&effect, &attempt, Outcome::SameAs(other)).await.map_err(ledger_down)?;
            return Ok(Done::Duplicate);
        }
        if let Some(session) = &change.session {
            ledger.remember_session(&change.channel, &change.from, session).await.map_err(ledger_down)?;
        }
        let changed = self.record(change).await?;
        // What is asked for by mail is answered by nothing but the silence that follows.
        if self.deps.directory.borrow().mail().find(&change.channel).is_some() {
            return self.recorded(&reply, &attempt).await;
        }
        let found = self.deps.directory.borrow().find(&change.channel);
        let Some((channel, account)) = found else {
            let cause = anyhow!("channel {} is not an SMS channel here; configure it and replay", change.channel);
            return Err(Failure::Reject { code: "unknown-channel", cause });
        };
        let text = if changed { text_for(&channel, change.keyword) } else { None };
        let (Some(text), Address::Phone(to)) = (text, &change.from) else {
            return self.recorded(&reply, &attempt).await;
        };
        if self.is_late(change) {
            return self.late(&reply, &begun).await;
        }
        if !self.answers.are_due(change) {
            return Err(self.answer_in_turn(change, &effect, &begun).await?);
        }
        let reply = answer_to(change, text.clone());
        let place = Place { number: 1, of: 1 };
        let walk = Walk { reply: &reply, author: Author::House, effect, place, channel, account, loaded: None };
        let request: SendRequest = self.request(&walk, to.clone(), Private::new(text)).await?;
        self.attempt(&walk, &request, begun).await
    }

    /// It is recorded; the next try is a call on the provider, and waits for its turn.
    async fn answer_in_turn(&self, change: &ConsentChange, effect: &Effect, begun: &Begun) -> Result<Failure, Failure> {
        self.answers.enter(change, self.deps.clock.now());
        if let Begun::First { attempt, .. } = begun {
            let told = "recorded; its answer waits for its turn";
            self.deps.ledger.release(effect, attempt, told).await.map_err(ledger_down)?;
        }
        Ok(Failure::NotYet { after: Duration::ZERO })
    }

    /// Whether it is to be answered: a STOP of who is opted out already changes nothing, and is not confirmed again; nor does a word
    /// that was said before the one that holds.
    async fn record(&self, change: &ConsentChange) -> Result<bool, Failure> {
        let consent = match change.keyword {
            Keyword::Stop => Consent::Out,
            Keyword::Start => Consent::In,
            Keyword::Help => return Ok(true),
        };
        let effect = effect_of(&answer_to(change, String::new()));
        let said = Said {
            sent_at: change.arrival.sent_at,
            received_at: change.received_at,
            live: change.arrival.path != ArrivalPath::StoredRow,
        };
        let asked = (ASKED, When::Said(said));
        let record = self.deps.ledger.set_consent(&effect, consent, asked).await.map_err(ledger_down)?;
        Ok(record.is_some_and(|record| record.by == change.id.as_str()))
    }

    async fn recorded(&self, reply: &AgentReply, attempt: &AttemptId) -> Result<Done, Failure> {
        self.deps.ledger.finish(&effect_of(reply), attempt, Outcome::Recorded).await.map_err(ledger_down)?;
        Ok(Done::Done)
    }

    /// An answer that comes hours later would only be a riddle.
    fn is_late(&self, change: &ConsentChange) -> bool {
        let expire = SignedDuration::try_from(self.expire).unwrap_or(SignedDuration::MAX);
        self.deps.clock.now().duration_since(change.received_at) >= expire
    }

    async fn late(&self, reply: &AgentReply, begun: &Begun) -> Result<Done, Failure> {
        tracing::warn!(channel = %reply.channel, "a keyword was recorded, and could not be answered in time");
        match begun {
            Begun::First { attempt, .. } => self.recorded(reply, attempt).await,
            Begun::Interrupted { attempt, .. } => {
                self.forget(reply);
                let verdict = (ReasonCode::Expired, verdict::MAYBE_SENT.to_owned());
                self.finish_failed(&effect_of(reply), attempt, &verdict).await.map(|()| Done::Done)
            }
        }
    }

    /// What a consumer asked for holds, whatever becomes of the message that says so.
    pub(crate) async fn change_is_dead(&self, change: &ConsentChange, rejection: &Rejection) -> Result<(), Failure> {
        let reply = answer_to(change, String::new());
        let effect = effect_of(&reply);
        let attempt = match self.deps.ledger.begin(effect.clone(), CALL_TIMEOUT).await.map_err(ledger_down)? {
            Begin::Done(_) => return Ok(()),
            Begin::First(attempt) | Begin::Interrupted { attempt, .. } => attempt,
        };
        self.answers.leave(change);
        self.record(change).await?;
        self.forget(&reply);
        let (code, reason) = verdict::of_rejection(&rejection.reason);
        self.finish_failed(&effect, &attempt, &(code, reason)).await?;
        let detail = format!("{}: {}", rejection.reason.word(), rejection.detail);
        self.deps.ledger.note(Entry { effect, what: What::Dead, detail }).await.map_err(ledger_down)
    }
}

/// A keyword is told from its repetition by another path apart from the message that says it, which is told from its own.
fn arrival_of(change: &ConsentChange) -> Arrival {
    let arrival = &change.arrival;
    let beside = arrival.beside.iter().map(ConsentChange::derive_id).collect();
    Arrival { fingerprint: format!("{} consent", arrival.fingerprint), beside, ..arrival.clone() }
}

fn text_for(channel: &Channel, keyword: Keyword) -> Option<String> {
    let answers = channel.consent.as_ref()?;
    match keyword {
        Keyword::Stop => answers.stop.clone(),
        Keyword::Start => answers.start.clone(),
        Keyword::Help => answers.help.clone(),
    }
}

/// The answer, in the form in which everything is sent; no agent wrote it, so no tenant hears of it.
fn answer_to(change: &ConsentChange, text: String) -> AgentReply {
    AgentReply {
        id: change.id.clone(),
        channel: change.channel.clone(),
        provider: change.provider.clone(),
        genesys: NeighbourName::new(""),
        genesys_message_id: change.message.to_string(),
        from_id: Private::default(),
        to_id: Private::default(),
        to: change.from.clone(),
        body: ReplyBody::Text(Private::new(text)),
        trace: change.trace.clone(),
        received_at: change.received_at,
    }
}

/// No agent is told what became of it.
fn effect_of(answer: &AgentReply) -> Effect {
    Effect { parties: None, ..Effect::from(answer) }
}
