use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::anyhow;
use broker::{Broker, Consume, Done, Failure, Foresight, Handle, Rejection};
use ledger::{AttemptId, Begin, Effect, Entry, Ledger, LedgerError, Outcome, What, recorded};
use model::text::segments;
use model::{
    Address, AgentReply, ChannelName, Errand, NeighbourName, PhoneNumber, Private, ReasonCode, ReceiptStatus, ReplyBody,
};
use runtime::{Clock, Shutdown};
use sms::{SendError, SendRequest};
use tokio::sync::watch;

use crate::begun::time_left;
use crate::consent::{Answers, Stops};
use crate::directory::{Account, Channel, Directory};
use crate::files::Files;
use crate::firewall::Firewalls;
use crate::last_words::LastWords;
use crate::maybe_sent::MaybeSent;
use crate::parts::{Letter, Place};
use crate::pictures::{Darkroom, Loaded};
use crate::{firewall, verdict};

/// What this room needs to know.
#[derive(Debug, Clone)]
pub struct Config {
    /// How it takes from its queues.
    pub consume: Consume,
}

/// The room's doors.
#[derive(Clone)]
pub struct Deps {
    /// Accounts and channels, which change when a secret file does.
    pub directory: watch::Receiver<Arc<Directory>>,
    /// The queues, also for receipts.
    pub broker: Broker,
    /// What was done before.
    pub ledger: Ledger,
    /// How agents' files are had and kept.
    pub files: Files,
    /// The time.
    pub clock: Clock,
}

/// The longest a call to a provider takes; the deadline in the ledger is built on it.
pub(crate) const CALL_TIMEOUT: Duration = Duration::from_secs(15);
/// The same for a picture.
pub(crate) const PICTURE_TIMEOUT: Duration = Duration::from_secs(45);

/// How often it is looked which replies of unknown outcome are another replica's by now.
const FORGET_EVERY: Duration = Duration::from_secs(60);

/// Consumes `replies` until the shutdown.
///
/// # Errors
/// A fault of the broker that no reconnect mends.
pub async fn run(config: Config, deps: Deps, shutdown: Shutdown) -> anyhow::Result<()> {
    let broker = deps.broker.clone();
    let room = Room {
        deps,
        expire: config.consume.expire,
        maybe_sent: MaybeSent::default(),
        last_words: LastWords::default(),
        stops: Stops::default(),
        firewalls: Firewalls::default(),
        darkroom: Darkroom::default(),
        answers: Answers::default(),
    };
    let room = Arc::new(room);
    let watched = Arc::clone(&room);
    let mut ticks = tokio::time::interval(FORGET_EVERY);
    let forget = async {
        loop {
            ticks.tick().await;
            watched.maybe_sent.forget(watched.deps.clock.now());
        }
    };
    tokio::select! {
        ended = broker.consume::<Errand, _>(config.consume, room, shutdown) => ended,
        () = forget => Ok(()),
    }
}

pub(crate) struct Room {
    pub(crate) deps: Deps,
    /// When the queue gives a reply up.
    pub(crate) expire: Duration,
    pub(crate) maybe_sent: MaybeSent,
    pub(crate) last_words: LastWords,
    pub(crate) stops: Stops,
    pub(crate) firewalls: Firewalls,
    pub(crate) darkroom: Darkroom,
    pub(crate) answers: Answers,
}

/// Who wrote what is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Author {
    /// An agent, who is told what became of it.
    Agent,
    /// The house, as an answer to a keyword: it is sent to those who are opted out too, and nobody is told.
    House,
}

/// One reply on its way out, with everything its steps share.
pub(crate) struct Walk<'a> {
    pub(crate) reply: &'a AgentReply,
    pub(crate) author: Author,
    pub(crate) effect: Effect,
    /// Which part of the reply this is about.
    pub(crate) place: Place,
    pub(crate) channel: Arc<Channel>,
    pub(crate) account: Arc<Account>,
    /// The picture that part is.
    pub(crate) loaded: Option<Loaded>,
}

impl Walk<'_> {
    /// The longest its call takes.
    pub(crate) const fn call_time(&self) -> Duration {
        if self.loaded.is_some() { PICTURE_TIMEOUT } else { CALL_TIMEOUT }
    }
}

impl Handle<Errand> for Room {
    fn targets(&self, errand: &Errand) -> Vec<String> {
        let targets = |provider: &NeighbourName, channel: &ChannelName| {
            vec![verdict::number_target(provider, channel), provider.to_string()]
        };
        let reply = match errand {
            Errand::Reply(reply) => reply,
            // A keyword is recorded whatever state its provider is in, and answered when it is its turn.
            Errand::Consent(change) if self.answers.are_due(change) => {
                return targets(&change.provider, &change.channel);
            }
            Errand::Consent(_) | Errand::Report(_) => return Vec::new(),
        };
        // What cannot be sent needs no provider, so its verdict does not wait for one either.
        if self.firewalls.gave_up(reply) {
            return Vec::new();
        }
        match reply.body {
            ReplyBody::Text(_) | ReplyBody::Media(_) | ReplyBody::Mail(_) => targets(&reply.provider, &reply.channel),
            ReplyBody::Unsendable(_) => Vec::new(),
        }
    }

    fn paused(&self, account: &str, paused: bool) {
        self.deps.directory.borrow().paused(account, paused);
    }

    fn foresee(&self, errand: &Errand) -> Option<Foresight> {
        match errand {
            Errand::Reply(_) | Errand::Report(_) => None,
            Errand::Consent(change) => self.hear(change),
        }
    }

    async fn handle(&self, errand: &Errand, _attempt: u32) -> Result<Done, Failure> {
        match errand {
            Errand::Reply(reply) => self.reply(reply).await,
            Errand::Consent(change) => self.change(change).await,
            Errand::Report(report) => self.report(report).await,
        }
    }

    async fn before_dead_letter(&self, errand: &Errand, rejection: &Rejection) -> Result<(), Failure> {
        match errand {
            Errand::Reply(reply) => self.reply_is_dead(reply, rejection).await,
            Errand::Consent(change) => self.change_is_dead(change, rejection).await,
            Errand::Report(_) => Ok(()),
        }
    }
}

impl Room {
    async fn reply(&self, reply: &AgentReply) -> Result<Done, Failure> {
        if self.firewalls.gave_up(reply) {
            return Err(firewall::rejection(reply));
        }
        if let ReplyBody::Mail(mail) = &reply.body {
            return self.mail(reply, mail).await;
        }
        if matches!(reply.body, ReplyBody::Media(_)) && self.was_done(reply).await? {
            return Ok(Done::Duplicate);
        }
        let found = self.deps.directory.borrow().find(&reply.channel);
        let letter = match &found {
            Some((channel, account)) => self.letter(reply, channel, account).await?,
            None => Letter::of(reply, None),
        };
        if let (Ok(letter), Some((channel, account))) = (&letter, &found)
            && let Some(done) = self.earlier_part(reply, letter, channel, account).await?
        {
            return Ok(done);
        }
        let last = letter.as_ref().ok().and_then(|letter| letter.places().next_back());
        let loaded = match last {
            Some((_, part)) => self.load(part).await?,
            None => None,
        };
        let effect = Effect::from(reply);
        let time = last.map_or(CALL_TIMEOUT, |(_, part)| part.call_time());
        let Some(begun) = self.begin(reply, &effect, time).await? else { return Ok(Done::Duplicate) };
        // What cannot be sent needs no provider, so its verdict does not wait for one either.
        let letter = match letter {
            Ok(letter) => letter,
            Err((code, reason)) => {
                return self.fail(reply, &effect, begun.attempt(), code, &reason).await;
            }
        };
        let Some((channel, account)) = found else {
            let cause = anyhow!("channel {} is not an SMS channel here; configure it and replay", reply.channel);
            return Err(Failure::Reject { code: "unknown-channel", cause });
        };
        let (place, part) = letter.places().next_back().expect("there is at least one part");
        let walk = Walk { reply, author: Author::Agent, effect, place, channel, account, loaded };
        let request = self.request(&walk, letter.to.clone(), part.text().clone()).await?;
        self.attempt(&walk, &request, begun).await
    }

    async fn reply_is_dead(&self, reply: &AgentReply, rejection: &Rejection) -> Result<(), Failure> {
        let effect = Effect::from(reply);
        let parts = self.told_of_parts(reply).await?;
        let (code, reason) = match self.deps.ledger.begin(effect.clone(), CALL_TIMEOUT).await.map_err(ledger_down)? {
            // Its verdict was told before; a late rejection adds nothing to it.
            Begin::Done(outcome) => return self.tell_again(reply, &outcome).await,
            Begin::Interrupted { attempt, .. } => {
                let verdict = (ReasonCode::General, format!("{}{}", parts.prefix, verdict::MAYBE_SENT));
                self.forget(reply);
                self.finish_dead(&effect, &attempt, &verdict, rejection).await?;
                verdict
            }
            Begin::First(attempt) => {
                let (code, reason) = match parts.in_doubt {
                    true => (ReasonCode::General, verdict::MAYBE_SENT.to_owned()),
                    false => self.last_words.of(reply, rejection),
                };
                self.forget(reply);
                let verdict = (code, format!("{}{reason}", parts.prefix));
                self.finish_dead(&effect, &attempt, &verdict, rejection).await?;
                verdict
            }
        };
        let detail = format!("{}: {}", rejection.reason.word(), rejection.detail);
        self.deps.ledger.note(Entry { effect, what: What::Dead, detail }).await.map_err(ledger_down)?;
        self.publish_receipt(reply, ReceiptStatus::failed(code, reason)).await
    }
}

impl Room {
    /// It is given up, so nobody looks for it any more.
    pub(crate) fn forget(&self, reply: &AgentReply) {
        self.firewalls.forget(reply);
        let directory = Arc::clone(&self.deps.directory.borrow());
        if let Some((_, account)) = directory.find(&reply.channel) {
            self.maybe_sent.leave(&account, reply, self.deps.clock.now());
        }
        if let Some((_, account)) = directory.mail().find(&reply.channel) {
            self.maybe_sent.leave_mail(&account, reply, self.deps.clock.now());
        }
    }

    pub(crate) async fn request(
        &self,
        walk: &Walk<'_>,
        to: PhoneNumber,
        text: Private<String>,
    ) -> Result<SendRequest, Failure> {
        let consumer = &walk.reply.to;
        let others = match consumer {
            Address::Group(group) => group.members().skip(1).collect(),
            _ => Vec::new(),
        };
        let session = self.deps.ledger.session(&walk.reply.channel, consumer).await.map_err(ledger_down)?;
        Ok(SendRequest {
            user: walk.channel.user.clone(),
            from: walk.channel.number.clone(),
            to,
            others,
            text,
            file: walk.loaded.as_ref().map(|loaded| loaded.file.clone()),
            session,
            attempt: String::new(),
            within: walk.call_time(),
        })
    }

    /// One attempt at the effect itself, and the record after it.
    pub(crate) async fn send(
        &self,
        walk: &Walk<'_>,
        request: &SendRequest,
        attempt: AttemptId,
        since: Instant,
    ) -> Result<Done, Failure> {
        if let Some(reason) = self.unwanted(walk).await? {
            return self.refuse(walk, &attempt, ReasonCode::NotAllowed, reason).await;
        }
        let Some(within) = time_left(walk.call_time(), since.elapsed()) else {
            return Err(self.too_slow(walk.reply, &walk.effect, &attempt).await?);
        };
        let request = SendRequest { attempt: attempt.0.clone(), within, ..request.clone() };
        match walk.account.provider.send(&request).await {
            Ok(sent) => self.sent(walk, &request, &attempt, sent.provider_id).await,
            Err(SendError::Never { code, reason, cause }) => {
                self.firewalls.passed(walk.reply);
                tracing::warn!(channel = %walk.reply.channel, cause, "a reply was refused for good; its agent is told");
                self.refuse(walk, &attempt, code, &reason).await
            }
            // The attempt stays open: the next turn finds it interrupted, and looks before it does anything.
            Err(SendError::Unknown { cause }) => {
                self.maybe_sent.enter(&walk.account, walk.reply, self.deps.clock.now());
                self.deps.ledger.lapse(&walk.effect, &attempt, &cause).await.map_err(ledger_down)?;
                Err(verdict::unavailable(walk, None, anyhow!("outcome unknown: {cause}")))
            }
            Err(SendError::Blocked { cause }) => self.blocked(walk, &attempt, &cause).await,
            Err(error) => self.release(walk, &attempt, &error).await,
        }
    }

    /// The provider has it.
    pub(crate) async fn sent(
        &self,
        walk: &Walk<'_>,
        request: &SendRequest,
        attempt: &AttemptId,
        provider_id: Option<String>,
    ) -> Result<Done, Failure> {
        walk.account.paused.clear();
        walk.channel.fault.clear();
        self.firewalls.passed(walk.reply);
        self.maybe_sent.leave(&walk.account, walk.reply, self.deps.clock.now());
        self.last_words.forget(walk.reply);
        let outcome = Outcome::Sent { foreign_id: provider_id.clone() };
        let record = || self.deps.ledger.sent(&walk.effect, attempt, provider_id.clone());
        let reports = recorded(record).await.map_err(ledger_down)?;
        if request.file.is_none() {
            metrics::counter!("causeway_segments_total", "channel" => walk.reply.channel.to_string())
                .increment(segments(request.text.expose()).count as u64);
        }
        if !walk.place.is_last() || walk.author == Author::House {
            return Ok(Done::Done);
        }
        if !walk.account.accepted_is_delivered {
            let provider = walk.account.provider.name().to_string();
            metrics::counter!("causeway_unconfirmed_total", "provider" => provider).increment(1);
        }
        self.tell_again(walk.reply, &outcome).await?;
        self.publish_reports(reports).await.map(|()| Done::Done)
    }

    /// The provider never takes this, nor the reply it is a part of. What a part was refused for is the outcome of the reply, so
    /// that the part itself may be tried again should a person replay it.
    pub(crate) async fn refuse(
        &self,
        walk: &Walk<'_>,
        attempt: &AttemptId,
        code: ReasonCode,
        reason: &str,
    ) -> Result<Done, Failure> {
        if walk.author == Author::House {
            return self.finish_failed(&walk.effect, attempt, &(code, reason.to_owned())).await.map(|()| Done::Done);
        }
        if self.links_instead(walk, attempt, code).await? {
            return Err(Failure::Onward);
        }
        let sent = walk.place.number - 1;
        let prefix = if sent == 0 { String::new() } else { verdict::parts_sent(sent, walk.place.of) };
        let reason = format!("{prefix}{reason}");
        if walk.place.is_last() {
            return self.fail(walk.reply, &walk.effect, attempt, code, &reason).await;
        }
        self.deps.ledger.release(&walk.effect, attempt, &reason).await.map_err(ledger_down)?;
        let whole = Effect::from(walk.reply);
        match self.begin(walk.reply, &whole, CALL_TIMEOUT).await? {
            Some(begun) => self.fail(walk.reply, &whole, begun.attempt(), code, &reason).await,
            None => Ok(Done::Duplicate),
        }
    }

    async fn release(&self, walk: &Walk<'_>, attempt: &AttemptId, error: &SendError) -> Result<Done, Failure> {
        self.deps.ledger.release(&walk.effect, attempt, &error.to_string()).await.map_err(ledger_down)?;
        self.last_words.note_error(walk.reply, error, self.deps.clock.now());
        if matches!(error, SendError::ChannelFault { .. }) {
            self.firewalls.passed(walk.reply);
        }
        Err(verdict::not_sent(walk, error))
    }

    pub(crate) async fn fail(
        &self,
        reply: &AgentReply,
        effect: &Effect,
        attempt: &AttemptId,
        code: ReasonCode,
        reason: &str,
    ) -> Result<Done, Failure> {
        self.finish_failed(effect, attempt, &(code, reason.to_owned())).await?;
        self.publish_receipt(reply, ReceiptStatus::failed(code, reason)).await?;
        Ok(Done::Done)
    }

    pub(crate) async fn finish_failed(
        &self,
        effect: &Effect,
        attempt: &AttemptId,
        (code, reason): &(ReasonCode, String),
    ) -> Result<(), Failure> {
        let outcome = Outcome::Failed { code: *code, reason: reason.clone(), dead: None };
        recorded(|| self.deps.ledger.finish(effect, attempt, outcome.clone())).await.map_err(ledger_down)
    }

    /// The same of what is about to be dead-lettered.
    pub(crate) async fn finish_dead(
        &self,
        effect: &Effect,
        attempt: &AttemptId,
        (code, reason): &(ReasonCode, String),
        rejection: &Rejection,
    ) -> Result<(), Failure> {
        let dead = Some(rejection.reason.word().to_owned());
        let outcome = Outcome::Failed { code: *code, reason: reason.clone(), dead };
        recorded(|| self.deps.ledger.finish(effect, attempt, outcome.clone())).await.map_err(ledger_down)
    }
}

pub(crate) fn ledger_down(error: LedgerError) -> Failure {
    Failure::Unavailable { target: "ledger".to_owned(), after: None, cause: error.into() }
}
