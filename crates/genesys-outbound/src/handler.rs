use std::sync::Arc;
use std::time::Duration;

use anyhow::anyhow;
use broker::{Broker, Consume, Done, Failure, Handle, Rejection};
use genesys::{Accepted, Blame, Channel, Client, Directory, Refusal, channel_target};
use jiff::Timestamp;
use ledger::{AttemptId, Begin, CameIn, Effect, Entry, Incoming, Ledger, LedgerError, Outcome, POISON, What, recorded};
use model::{Family, InboundMessage, ReasonCode, Unread};
use runtime::{Clock, Shutdown};
use tokio::sync::watch;

use crate::fetched::Fetched;
use crate::files::{self, HOUSE_STORE};
use crate::installed::Installed;
use crate::lately::Lately;
use crate::mails::Mails;
use crate::media::Media;
use crate::orphans::Orphans;
use crate::quiet::{Quiet, QuietChannel};
use crate::sources::Sources;
use crate::tasks;

/// What this room needs to know.
#[derive(Clone)]
pub struct Config {
    /// How it takes from its queues.
    pub consume: Consume,
    /// Channels whose silence is told.
    pub quiet: Vec<QuietChannel>,
}

/// The room's doors.
#[derive(Clone)]
pub struct Deps {
    /// Tenants and channels, which change when a secret file does.
    pub directory: watch::Receiver<Arc<Directory>>,
    /// Where each channel's messages are kept, for those that must be read there first.
    pub sources: watch::Receiver<Arc<Sources>>,
    /// The queues.
    pub broker: Broker,
    /// What was done before.
    pub ledger: Ledger,
    /// How files are had and kept.
    pub media: Media,
    /// How mail is given.
    pub mails: Mails,
    /// The time.
    pub clock: Clock,
}

/// The longest a call to Genesys takes; the deadline in the ledger is built on it.
pub(crate) const CALL_TIMEOUT: Duration = Duration::from_secs(15);

/// The same for a file, which is fetched, where need be with a fresh URL, and uploaded.
const FILE_TIME: Duration = Duration::from_secs(150);

/// Consumes `inbound` until the shutdown.
///
/// # Errors
/// A fault of the broker that no reconnect mends.
pub async fn run(config: Config, deps: Deps, shutdown: Shutdown) -> anyhow::Result<()> {
    let broker = deps.broker.clone();
    let room = Arc::new(Room::new(deps, config.quiet));
    room.note_installation().await;
    tokio::select! {
        ended = broker.consume::<InboundMessage, _>(config.consume, Arc::clone(&room), shutdown) => ended,
        never = room.orphans.try_again(&room.deps.directory) => match never {},
        never = room.quiet.watch(&room.deps.broker, &room.deps.ledger, &room.deps.clock) => match never {},
    }
}

/// How soon a message that another replica took up is looked at again.
const ELSEWHERE: Duration = Duration::from_secs(1);

/// What a try of a message is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum How {
    /// Its agent is given it.
    Given,
    /// Its files are fetched, and giving it is another try.
    OnlyFetched,
    /// Its agent is given it, unless it is like a row and the provider has to be asked.
    MayLook,
    /// It is a row of a session that was read: where Genesys refuses it, it becomes a message of its own first.
    Row,
}

pub(crate) struct Room {
    pub(crate) deps: Deps,
    pub(crate) lately: Lately,
    pub(crate) installed: Installed,
    pub(crate) fetched: Fetched,
    pub(crate) orphans: Orphans,
    quiet: Quiet,
}

impl Room {
    fn new(deps: Deps, quiet: Vec<QuietChannel>) -> Self {
        let installed = Installed::new(deps.clock.now());
        let (lately, fetched) = (Lately::default(), Fetched::default());
        Self { deps, lately, installed, fetched, orphans: Orphans::default(), quiet: Quiet::new(quiet) }
    }
}

impl Handle<InboundMessage> for Room {
    fn targets(&self, message: &InboundMessage) -> Vec<String> {
        if self.fetches_first(message) {
            return self.fetches_at(message).into_iter().collect();
        }
        let mut targets = vec![channel_target(&message.genesys, &message.channel), message.genesys.to_string()];
        targets.extend(self.reads_at(message));
        if message.unread == Some(Unread::Media) {
            targets.extend(self.fetches_at(message));
        }
        targets
    }

    fn paused(&self, account: &str, paused: bool) {
        self.deps.directory.borrow().paused(account, paused);
    }

    async fn handle(&self, message: &InboundMessage, tries: u32) -> Result<Done, Failure> {
        let handled = match message.unread {
            None => self.straight(message, tries).await,
            Some(unread) => self.read(message, unread, tries).await,
        };
        if matches!(handled, Ok(_) | Err(Failure::Reject { .. })) {
            self.fetched.forget(&message.id);
        }
        handled
    }

    async fn before_dead_letter(&self, message: &InboundMessage, rejection: &Rejection) -> Result<(), Failure> {
        self.fetched.forget(&message.id);
        self.take_back_of_dead(message).await?;
        let detail = format!("{}: {}", rejection.reason.word(), rejection.detail);
        let entry = Entry { effect: effect(message), what: What::Dead, detail };
        self.deps.ledger.note(entry).await.map_err(ledger_down)
    }
}

impl Room {
    /// Gives one message to its agent.
    pub(crate) async fn deliver(&self, message: &InboundMessage, tries: u32) -> Result<Done, Failure> {
        Ok(self.deliver_as(message, tries, How::Given).await?.unwrap_or(Done::Duplicate))
    }

    /// The same; `None` where the provider has to be asked first which of its rows it is.
    pub(crate) async fn deliver_as(
        &self,
        message: &InboundMessage,
        tries: u32,
        how: How,
    ) -> Result<Option<Done>, Failure> {
        let directory = Arc::clone(&self.deps.directory.borrow());
        let (channel, client) = directory.find(&message.channel).ok_or_else(|| Failure::Reject {
            code: "unknown-channel",
            cause: anyhow!("channel {} is not configured here any more; configure it and replay", message.channel),
        })?;
        self.quiet.note(&message.channel, message.received_at);
        let effect = effect(message);
        let (arrival, session) = (message.arrival.clone(), message.session.clone());
        let can_look = how == How::MayLook;
        let incoming = Incoming { effect: effect.clone(), arrival, session, can_look };
        if self.is_too_much(message, &effect).await? {
            return Err(self.hold(incoming).await?);
        }
        if !message.files.list.is_empty() {
            // Before anything is written down: while the store is away, every try would be two lines in the ledger.
            self.deps.media.store.look().await.map_err(files::house)?;
        }
        let came = self.deps.ledger.begin_incoming(incoming, self.call_time(message)).await.map_err(ledger_down)?;
        let (attempt, unsure) = match came {
            CameIn::Like(_) => return Ok(None),
            CameIn::Begun(Begin::First(attempt)) => (attempt, false),
            CameIn::Begun(Begin::Done(Outcome::Failed { dead: Some(reason), .. })) if how != How::Row => {
                let cause = anyhow!("channel {}: it was given up before, and comes again", message.channel);
                return Err(Failure::GivenUp { reason, cause });
            }
            CameIn::Begun(Begin::Done(_)) => return Ok(Some(Done::Duplicate)),
            CameIn::Begun(Begin::Interrupted { attempt, until, begun, .. }) => {
                (self.again(message, &effect, &attempt, until, begun).await?, true)
            }
        };
        self.give((&channel, client), (message, tries, how), &effect, (&attempt, unsure)).await.map(Some)
    }

    /// What was begun: the files are fetched, and the message is sent.
    async fn give(
        &self,
        (channel, client): (&Channel, &Client),
        (message, tries, how): (&InboundMessage, u32, How),
        effect: &Effect,
        (attempt, unsure): (&AttemptId, bool),
    ) -> Result<Done, Failure> {
        let only_fetch = how == How::OnlyFetched;
        // Within the record of the call: a message that is the same as another fetches nothing, and fetching twice does no harm.
        let files = match self.files_of(message, effect, tries, only_fetch).await {
            Ok(files) => files,
            Err(failure) => {
                self.deps.ledger.release(effect, attempt, "a file could not be fetched").await.map_err(ledger_down)?;
                return Err(failure);
            }
        };
        // What is perhaps there already must be given by this very try, which knows that.
        if only_fetch && !unsure {
            self.deps.ledger.release(effect, attempt, "its files are fetched").await.map_err(ledger_down)?;
            return Err(Failure::Onward);
        }
        let access = &channel.access;
        let sent = match (&channel.open_media, self.as_email(message)) {
            (Some(service), _) => match message.mail.as_deref() {
                Some(mail) => self.put_mail_into_task(client, &service.name, message, mail, &files, unsure).await?,
                None => self.put_into_task(client, service, access, message, &files, unsure).await?,
            },
            (None, Some(mail)) => self.send_email(client, access, message, mail, &files).await,
            (None, None) if files.is_empty() => client.send_message(access, message).await,
            (None, None) => self.send_with_files(client, access, message, &files).await,
        };
        match sent {
            Ok(accepted) => self.accepted(channel, effect, attempt, accepted).await,
            Err(Refusal::Never { code, cause }) if how != How::Row => {
                Err(self.given_up(effect, attempt, (code, &cause)).await?)
            }
            Err(refusal) => Err(self.refused(channel, effect, attempt, refusal).await?),
        }
    }

    /// The longest a message takes to send, its files included. Into a task it takes several calls.
    fn call_time(&self, message: &InboundMessage) -> Duration {
        let files = u32::try_from(message.files.list.len()).unwrap_or(u32::MAX);
        let directory = self.deps.directory.borrow();
        let task = directory.find(&message.channel).is_some_and(|(channel, _)| channel.open_media.is_some());
        let call = if task { tasks::TIME } else { CALL_TIMEOUT };
        call.saturating_add(FILE_TIME.saturating_mul(files))
    }

    /// An interrupted send to Genesys is sent again with the same ids: at worst the agent sees one message twice. But not
    /// while the replica that began it may still be calling.
    pub(crate) async fn again(
        &self,
        message: &InboundMessage,
        effect: &Effect,
        interrupted: &AttemptId,
        until: Timestamp,
        begun: u32,
    ) -> Result<AttemptId, Failure> {
        if let Some(wait) = wait_until(self.deps.clock.now(), until) {
            tracing::info!(channel = %effect.channel, "an interrupted call may still be running; waiting for its deadline");
            return Err(Failure::NotYet { after: wait });
        }
        if begun >= POISON {
            let cause = anyhow!("begun {begun} times and never ended; look at what it crashed before replaying it");
            return Err(Failure::Reject { code: "poison", cause });
        }
        let retaken =
            self.deps.ledger.retake(effect, interrupted, self.call_time(message)).await.map_err(ledger_down)?;
        // Another replica took this message up.
        retaken.ok_or(Failure::NotYet { after: ELSEWHERE })
    }

    async fn accepted(
        &self,
        channel: &Channel,
        effect: &Effect,
        attempt: &AttemptId,
        accepted: Accepted,
    ) -> Result<Done, Failure> {
        channel.fault.clear();
        self.fetched.forget(&effect.id);
        let outcome = Outcome::Sent { foreign_id: accepted.id };
        recorded(|| self.deps.ledger.finish(effect, attempt, outcome.clone())).await.map_err(ledger_down)?;
        Ok(Done::Done)
    }

    /// Genesys will never take it. The record says so before the dead letter is stored, and so that it is stored.
    async fn given_up(
        &self,
        effect: &Effect,
        attempt: &AttemptId,
        (code, cause): (&'static str, &str),
    ) -> Result<Failure, Failure> {
        let dead = Some(code.to_owned());
        let outcome = Outcome::Failed { code: ReasonCode::General, reason: code.to_owned(), dead };
        recorded(|| self.deps.ledger.finish(effect, attempt, outcome.clone())).await.map_err(ledger_down)?;
        Ok(Failure::Reject { code, cause: anyhow!("channel {}: {cause}", effect.channel) })
    }

    /// Records how a call ended and says what the queue does next.
    async fn refused(
        &self,
        channel: &Channel,
        effect: &Effect,
        attempt: &AttemptId,
        refusal: Refusal,
    ) -> Result<Failure, Failure> {
        let ledger = &self.deps.ledger;
        let cause = anyhow!("channel {}: {refusal}", effect.channel);
        // What was perhaps put into a task is looked for before it is put there again.
        match (&channel.open_media, &refusal) {
            (Some(_), Refusal::Later { maybe_done: true, .. }) => {
                ledger.lapse(effect, attempt, &refusal.to_string()).await.map_err(ledger_down)?;
            }
            _ => ledger.release(effect, attempt, &refusal.to_string()).await.map_err(ledger_down)?,
        }
        Ok(match refusal {
            Refusal::Later { after, blame: Blame::Message, .. } => {
                Failure::RetryAt { target: effect.target.to_string(), after, cause }
            }
            Refusal::Later { after, blame: Blame::Channel, .. } => {
                Failure::Unavailable { target: channel_target(&effect.target, &effect.channel), after, cause }
            }
            Refusal::Later { after, blame: Blame::Tenant, .. } => {
                Failure::Unavailable { target: effect.target.to_string(), after, cause }
            }
            Refusal::Later { after, blame: Blame::Caller, .. } => {
                Failure::Unavailable { target: HOUSE_STORE.to_owned(), after, cause }
            }
            // A row: nothing is recorded of it until its own message is in the queue.
            Refusal::Never { code, .. } => Failure::Reject { code, cause },
            Refusal::ChannelFault { .. } => {
                channel.fault.raise(refusal.to_string());
                Failure::Fault { target: channel_target(&effect.target, &effect.channel), cause }
            }
        })
    }
}

pub(crate) fn effect(message: &InboundMessage) -> Effect {
    Effect {
        family: Family::Inbound,
        id: message.id.clone(),
        channel: message.channel.clone(),
        target: message.genesys.clone(),
        consumer: message.from.clone(),
        foreign_id: message.id.to_string(),
        trace: message.trace.clone(),
        received_at: message.received_at,
        parties: None,
    }
}

pub(crate) fn ledger_down(error: LedgerError) -> Failure {
    Failure::Unavailable { target: "ledger".to_owned(), after: None, cause: error.into() }
}

pub(crate) fn wait_until(now: Timestamp, until: Timestamp) -> Option<Duration> {
    Duration::try_from(until.duration_since(now)).ok().filter(|wait| !wait.is_zero())
}
