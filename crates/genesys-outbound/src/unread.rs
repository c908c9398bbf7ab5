//! Reads what an event did not tell in full. It happens in the lane of the conversation, so that a picture is not overtaken
//! by the text that was sent after it, and what stands in the queue outlives any crash.

use std::time::Duration;

use anyhow::anyhow;
use broker::{Done, Failure};
use jiff::{SignedDuration, Timestamp};
use ledger::{AttemptId, Begin, Effect};
use model::{Arrival, ArrivalPath, InboundMessage, Keyword, MessageId, NeighbourName, Queued, SessionId, Unread};
use sms::SendError;

use crate::handler::{CALL_TIMEOUT, How, Room, effect, ledger_down, wait_until};
use crate::lately::{Seen, is_told, told_by};
use crate::sources::Source;

/// Events about one message come about a second apart: after it one read answers all of them (`reference/netsapiens.md` 5.4).
const SETTLE: SignedDuration = SignedDuration::from_secs(1);
/// How long a message is looked for that an event told of: the platform's servers copy from each other.
const LOOKED_FOR: SignedDuration = SignedDuration::from_secs(30);
/// Between two looks.
const LOOK_AGAIN: Duration = Duration::from_secs(2);
/// How soon a turn to read is asked for again.
const TURN_AGAIN: Duration = Duration::from_millis(500);
/// How long a conversation waits for a provider that cannot be read.
const HOLDS: SignedDuration = SignedDuration::from_mins(10);

impl Room {
    /// What reading a message's session is called among the targets. Once it waited long enough it waits for no provider
    /// any more, and the next try gives up reading where that fails.
    pub(crate) fn reads_at(&self, message: &InboundMessage) -> Option<String> {
        let patience = if message.unread? == Unread::Text { LOOKED_FOR } else { HOLDS };
        if self.deps.clock.now().duration_since(message.received_at) >= patience {
            return None;
        }
        let sources = self.deps.sources.borrow();
        sources.find(&message.channel).map(|source| target(source.provider.name()))
    }

    /// A text that is told in full goes straight to its agent, unless a row that was read before is like it: then the session says
    /// whether it is that one, or came after it.
    pub(crate) async fn straight(&self, message: &InboundMessage, tries: u32) -> Result<Done, Failure> {
        let event = message.arrival.path == ArrivalPath::MessageEvent && message.files.is_empty();
        let can_look =
            event && message.session.is_some() && self.deps.sources.borrow().find(&message.channel).is_some();
        let how = match self.fetches_first(message) {
            true => How::OnlyFetched,
            false if can_look => How::MayLook,
            false => How::Given,
        };
        match self.deliver_as(message, tries, how).await? {
            Some(done) => Ok(done),
            None => {
                self.read(&InboundMessage { unread: Some(Unread::Text), ..message.clone() }, Unread::Text, tries).await
            }
        }
    }

    /// Gives the agent whatever is new in a session.
    pub(crate) async fn read(&self, message: &InboundMessage, unread: Unread, tries: u32) -> Result<Done, Failure> {
        let sources = std::sync::Arc::clone(&self.deps.sources.borrow());
        let source = sources.find(&message.channel).ok_or_else(|| Failure::Reject {
            code: "unknown-channel",
            cause: anyhow!("channel {} has no provider that can be read; configure it and replay", message.channel),
        })?;
        let Some(session) = message.session.clone() else { return self.deliver(&as_told(message), tries).await };
        let now = self.deps.clock.now();
        let settled = message.received_at.saturating_add(SETTLE).unwrap_or(now);
        if let Some(after) = wait_until(now, settled) {
            return Err(Failure::NotYet { after });
        }
        let of = (source.provider.name().clone(), session);
        let covered = match self.lately.seen(&of, message) {
            Some(Seen::Session) => true,
            Some(Seen::Rows(rows)) => self.stands_for(message, &rows).await?,
            None => false,
        };
        if covered {
            return Ok(Done::Duplicate);
        }
        let installed = self.installed.of(&of.0, &self.deps.ledger).await.map_err(ledger_down)?;
        let effect = read_effect(message);
        // Before anything is begun: a wait for others must not eat up the time the call has.
        let permit = match sources.reads(&of.0) {
            Some(reads) => match reads.try_acquire_owned() {
                Ok(permit) => Some(permit),
                Err(_taken) => return self.not_in_turn(message, (unread, tries)).await,
            },
            None => None,
        };
        let attempt = match self.deps.ledger.begin(effect.clone(), CALL_TIMEOUT).await.map_err(ledger_down)? {
            Begin::First(attempt) => attempt,
            Begin::Done(_) => return Ok(Done::Duplicate),
            Begin::Interrupted { attempt, until, begun, .. } => {
                self.again(message, &effect, &attempt, until, begun).await?
            }
        };
        let began = self.deps.clock.now();
        let rows = rows(source, &of.1, message, source.oldest(installed, began)).await;
        drop(permit);
        match rows {
            Ok(rows) => {
                let found = match self.hear(source, message, &rows).await {
                    Ok(()) => self.hand_on(message, &rows, tries).await,
                    Err(failure) => Err(failure),
                };
                let detail = format!("the session was read: {} rows", rows.len());
                self.deps.ledger.release(&effect, &attempt, &detail).await.map_err(ledger_down)?;
                let found = found?;
                let own = rows.iter().map(|row| (row.id.clone(), row.arrival.clone())).collect::<Vec<_>>();
                let told = unread == Unread::Session || self.stands_for(message, &told_by(message, &own)).await?;
                self.lately.remember(of, began, own);
                if told { Ok(found) } else { self.not_there(message, began, tries).await }
            }
            Err(error) => self.unreadable(message, (unread, tries), (&effect, &attempt), error, &of.0).await,
        }
    }

    /// As many sessions are read as may be. It does not stand in line: a line moves as slowly as a provider that answers nothing,
    /// and whoever stands in it sees neither a breaker that opened meanwhile nor the end of its own patience.
    async fn not_in_turn(&self, message: &InboundMessage, (unread, tries): (Unread, u32)) -> Result<Done, Failure> {
        let waited = self.deps.clock.now().duration_since(message.received_at);
        if unread == Unread::Text && waited >= LOOKED_FOR {
            return self.deliver(&as_told(message), tries).await;
        }
        if waited >= HOLDS {
            let cause = anyhow!("it was not its session's turn to be read for {} minutes", HOLDS.as_mins());
            return Err(Failure::Reject { code: "unread", cause });
        }
        Err(Failure::NotYet { after: TURN_AGAIN })
    }

    /// Whether one of the rows that may be what an event told of is free to be it: each is the message of one event only, so that
    /// an equal one that is still to come is waited for.
    async fn stands_for(&self, message: &InboundMessage, rows: &[(MessageId, Arrival)]) -> Result<bool, Failure> {
        if rows.is_empty() {
            return Ok(false);
        }
        let told = (&message.id, message.arrival.path);
        let sighted = self.deps.ledger.sight(&message.channel, told, rows).await.map_err(ledger_down)?;
        Ok(sighted || rows.iter().any(|(id, _)| *id == message.id))
    }

    /// Hears what rows nobody has seen ask for, before anything waits for Genesys. A STOP the event told of was heard with it.
    async fn hear(&self, source: &Source, message: &InboundMessage, rows: &[InboundMessage]) -> Result<(), Failure> {
        let told =
            |row: &InboundMessage| message.unread == Some(Unread::Text) && is_told(message, &row.id, &row.arrival);
        let changes = rows.iter().filter_map(|row| Some((row, source.destination.consent_change(row)?)));
        let changes: Vec<_> = changes.filter(|(row, change)| change.keyword != Keyword::Stop || !told(row)).collect();
        if changes.is_empty() {
            return Ok(());
        }
        let ids: Vec<MessageId> = changes.iter().map(|(row, _)| row.id.clone()).collect();
        let known = self.deps.ledger.arrived(&message.channel, &ids).await.map_err(ledger_down)?;
        for (row, change) in changes {
            if !known.contains(&row.id) {
                self.publish(&change).await?;
            }
        }
        Ok(())
    }

    /// Rows of this conversation are given to the agent here and now, in their order; others go to lanes of their own.
    async fn hand_on(&self, message: &InboundMessage, rows: &[InboundMessage], tries: u32) -> Result<Done, Failure> {
        let mut done = Done::Duplicate;
        for row in rows {
            if row.conversation() != message.conversation() {
                self.publish(row).await?;
                continue;
            }
            match self.deliver_as(row, tries, How::Row).await {
                Ok(Some(Done::Done)) => done = Done::Done,
                Ok(Some(Done::Duplicate) | None) => {}
                // What Genesys refuses for good becomes a dead letter in a turn of its own, and holds up none of the others.
                Err(Failure::Reject { .. }) => self.publish(row).await?,
                Err(failure) => return Err(failure),
            }
        }
        Ok(done)
    }

    async fn publish<M: Queued>(&self, row: &M) -> Result<(), Failure> {
        let target = || "broker".to_owned();
        let published = self.deps.broker.publish(row).await;
        published.map_err(|error| Failure::Unavailable { target: target(), after: None, cause: error.into() })
    }

    /// The session was read, and what the event told of is not in it.
    async fn not_there(&self, message: &InboundMessage, now: Timestamp, tries: u32) -> Result<Done, Failure> {
        if now.duration_since(message.received_at) < LOOKED_FOR {
            return Err(Failure::NotYet { after: LOOK_AGAIN });
        }
        tracing::warn!(channel = %message.channel, "a message is not in its session; its agent gets what the event told of it");
        self.deliver(&as_told(message), tries).await
    }

    async fn unreadable(
        &self,
        message: &InboundMessage,
        (unread, tries): (Unread, u32),
        (effect, attempt): (&Effect, &AttemptId),
        error: SendError,
        provider: &NeighbourName,
    ) -> Result<Done, Failure> {
        self.deps.ledger.release(effect, attempt, &error.to_string()).await.map_err(ledger_down)?;
        let waited = self.deps.clock.now().duration_since(message.received_at);
        // A text is all there: its event is as good as its row (`reference/netsapiens.md` 5.5).
        if unread == Unread::Text && waited >= LOOKED_FOR {
            return self.deliver(&as_told(message), tries).await;
        }
        if waited >= HOLDS {
            let cause = anyhow!("{error}; its session could not be read for {} minutes", HOLDS.as_mins());
            return Err(Failure::Reject { code: "unread", cause });
        }
        let target = target(provider);
        let cause = anyhow!("channel {}: its session cannot be read: {error}", message.channel);
        Err(match error {
            SendError::AccountFault { .. } => Failure::Fault { target, cause },
            other => Failure::Unavailable { target, after: other.after(), cause },
        })
    }
}

/// The rows an agent may have, oldest first. The one an event told of is new by itself; all others must be newer than the
/// first installation, and young.
async fn rows(
    source: &Source,
    session: &SessionId,
    message: &InboundMessage,
    oldest: Timestamp,
) -> Result<Vec<InboundMessage>, SendError> {
    let texts = source.provider.read_session(&source.user, session, &source.number, oldest).await?;
    let row = |text| source.destination.message(text, message.trace.clone(), message.received_at);
    let may = |row: &InboundMessage| {
        row.arrival.sent_at.is_some_and(|at| at >= oldest) || is_told(message, &row.id, &row.arrival)
    };
    Ok(texts.iter().map(row).filter(may).collect())
}

fn target(provider: &NeighbourName) -> String {
    format!("{provider}/sessions")
}

/// What an event told, without what its row would tell beside it.
fn as_told(message: &InboundMessage) -> InboundMessage {
    InboundMessage { unread: None, ..message.clone() }
}

/// The reading is an effect of its own: its message may be another one, and one that brings the process down is poison.
fn read_effect(message: &InboundMessage) -> Effect {
    let id = MessageId::new(format!("{}-read", message.id));
    Effect { id: id.clone(), foreign_id: id.to_string(), ..effect(message) }
}
