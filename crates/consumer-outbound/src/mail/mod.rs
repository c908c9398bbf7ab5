//! An agent's mail on its way to one recipient: the ledger around one SMTP transaction.

mod directory;
mod draft;
mod files;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::anyhow;
use broker::{Done, Failure};
use email::outgoing::{Composed, Sending, Whose, compose};
use jiff::{SignedDuration, Timestamp};
use ledger::{AttemptId, Consent, Effect, Entry, Outcome, POISON, What, recorded};
use model::{AgentReply, ConversationKey, MailReply, MailThread, ReasonCode};
use tokio::time::{sleep, timeout};

pub(crate) use directory::PostOffices;
pub use directory::{Evidence, Leave, MailAccount, MailChannel};

use crate::begun::{Begun, time_left};
use crate::directory::WhenUnsure;
use crate::handler::{Room, ledger_down};
use files::Attachments;

/// Until each command before a mail is answered.
pub const MAIL_STEP: Duration = Duration::from_secs(60);

/// What a server takes of a mail in a second at least: a megabit.
pub const MAIL_PACE: u32 = 128 << 10;

/// What the deadline in the ledger is built on. A mail may take a quarter of an hour, and one whose process was killed is not to
/// wait for so long: whoever is at it says so again and again.
const LEASE: Duration = Duration::from_secs(60);
const AT_IT: Duration = Duration::from_secs(20);

/// The longest a mail waits for a place before others of its queue are looked after again.
const PLACE: Duration = Duration::from_secs(60);

/// How often a mail is handed over whose outcome nobody knows. Its server may have taken each of them, or none: the torture
/// cut two in a row before they came to it, for one mail in 260.
const COPIES: u32 = POISON;

/// How soon a login that was refused is tried again.
const ACCOUNT_PROBE: Duration = Duration::from_secs(60);

/// A mail that a server does not take now waits a quarter of its age, within these: servers that greylist want minutes, and
/// others seconds.
const LATER: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(600));

/// What an agent is told whose recipient does not want to be written to.
const UNSUBSCRIBED: &str = "The recipient has unsubscribed from mail of this channel; it was not sent.";

/// One mail on its way out, with everything its steps share.
struct Post<'a> {
    reply: &'a AgentReply,
    mail: &'a MailReply,
    effect: Effect,
    channel: Arc<MailChannel>,
    account: Arc<MailAccount>,
}

impl Room {
    pub(crate) async fn mail(&self, reply: &AgentReply, mail: &MailReply) -> Result<Done, Failure> {
        if !mail.files.is_empty() && self.was_done(reply).await? {
            return Ok(Done::Duplicate);
        }
        let effect = Effect::from(reply);
        let found = self.deps.directory.borrow().mail().find(&reply.channel);
        let had = match &found {
            Some((channel, _)) => self.attachments(reply, mail, channel).await?,
            None => Ok(Vec::new()),
        };
        // The deadline in the ledger counts from the record, so the wait for a place comes before it.
        let _place = match &found {
            Some((_, account)) => match timeout(PLACE, account.place()).await {
                Ok(place) => place,
                Err(_) => return Err(Failure::NotYet { after: LATER.0 }),
            },
            None => None,
        };
        // What may fail without having done anything comes before the record too.
        let taken = match had {
            Ok(had) => Ok(self.taken(mail, had).await?),
            Err(told) => Err(told),
        };
        let Some(begun) = self.begin(reply, &effect, LEASE).await? else { return Ok(Done::Duplicate) };
        let Some((channel, account)) = found.clone() else {
            let cause = anyhow!("channel {} is not a mail channel here; configure it and replay", reply.channel);
            return Err(Failure::Reject { code: "unknown-channel", cause });
        };
        let files = match taken {
            Ok(files) => files,
            Err((code, reason)) => return self.fail(reply, &effect, begun.attempt(), code, &reason).await,
        };
        let post = Post { reply, mail, effect, channel, account };
        match begun {
            Begun::First { attempt, since } => self.post(&post, files, (attempt, since)).await,
            Begun::Interrupted { attempt, until, now, begun, .. } => {
                let next = self.once_more(&post, attempt, (until, now, begun)).await?;
                self.post(&post, files, next).await
            }
        }
    }

    /// An attempt was interrupted, and no server can be asked what became of it: the next one, if there is to be one.
    async fn once_more(
        &self,
        post: &Post<'_>,
        attempt: AttemptId,
        (until, now, begun): (Timestamp, Timestamp, u32),
    ) -> Result<(AttemptId, Instant), Failure> {
        if let Some(after) = Duration::try_from(until.duration_since(now)).ok().filter(|wait| !wait.is_zero()) {
            tracing::info!(channel = %post.reply.channel, "an attempt at a mail was interrupted, and may still be at work");
            return Err(Failure::NotYet { after });
        }
        if post.channel.when_unsure == WhenUnsure::Park || begun >= COPIES {
            let cause =
                anyhow!("the mail may have been sent: it was handed over {begun} times, and no answer was heard");
            return Err(Failure::Reject { code: "maybe-sent", cause });
        }
        let detail = "it may have been sent; it is sent again under the same Message-ID".to_owned();
        let entry = Entry { effect: post.effect.clone(), what: What::Looked, detail };
        self.deps.ledger.note(entry).await.map_err(ledger_down)?;
        let since = Instant::now();
        let next = self.deps.ledger.retake(&post.effect, &attempt, LEASE).await.map_err(ledger_down)?;
        next.map(|next| (next, since)).ok_or(Failure::NotYet { after: Duration::from_secs(1) })
    }

    /// One attempt at the effect itself, and the record after it.
    async fn post(
        &self,
        post: &Post<'_>,
        files: Attachments,
        (attempt, since): (AttemptId, Instant),
    ) -> Result<Done, Failure> {
        let Post { reply, effect, channel, account, .. } = post;
        let Some(sender) = &account.sender else {
            let told = "This channel takes mail and sends none.";
            return self.fail(reply, effect, &attempt, ReasonCode::Unsupported, told).await;
        };
        if self.is_unsubscribed(reply).await? {
            return self.fail(reply, effect, &attempt, ReasonCode::NotAllowed, UNSUBSCRIBED).await;
        }
        let session = self.deps.ledger.session(&reply.channel, &reply.to).await.map_err(ledger_down)?;
        let thread = session.as_ref().and_then(MailThread::from_session);
        let mut draft = draft::draft(reply, post.mail, channel, account, thread.as_ref());
        files.attach(&mut draft);
        let next = MailThread::after(thread, draft.message_id.as_str().to_owned(), draft.subject.clone());
        // The draft and its files end here: a mail stands in memory once while it is sent.
        let composed: Composed = match compose(draft, channel.dkim.as_ref()) {
            Ok(composed) => composed,
            Err(error) => {
                tracing::warn!(channel = %reply.channel, %error, "a mail could not be made; its agent is told");
                let reason = error.reason();
                return self.fail(reply, effect, &attempt, reason.code, &reason.message).await;
            }
        };
        // Whoever is at it says so in time only where the deadline was just set.
        if time_left(LEASE, since.elapsed()) != Some(LEASE) {
            return Err(self.too_slow(reply, effect, &attempt).await?);
        }
        let sending = tokio::select! {
            sending = sender.send(&composed) => sending,
            never = self.stay_at(post, &attempt) => match never {},
        };
        match sending {
            Sending::Sent { .. } => self.posted(post, &attempt, &next).await,
            sending => self.not_posted(post, &attempt, sending).await,
        }
    }

    /// Says again and again that somebody is at it. Where the ledger does not hear it, another replica that is given the mail as
    /// well may send a second one: that is no worse than to break off what may have been taken.
    async fn stay_at(&self, post: &Post<'_>, attempt: &AttemptId) -> Infallible {
        loop {
            sleep(AT_IT).await;
            if let Err(error) = self.deps.ledger.extend(&post.effect, attempt, LEASE).await {
                tracing::warn!(%error, "the ledger does not hear that a mail is still being sent");
            }
        }
    }

    async fn is_unsubscribed(&self, reply: &AgentReply) -> Result<bool, Failure> {
        let known = self.deps.ledger.consent(&reply.channel, &reply.to).await.map_err(ledger_down)?;
        let out = known.is_some_and(|known| known.consent == Consent::Out);
        Ok(out || self.stops.has(&ConversationKey::new(&reply.channel, &reply.to)))
    }

    /// The server has it.
    async fn posted(&self, post: &Post<'_>, attempt: &AttemptId, thread: &MailThread) -> Result<Done, Failure> {
        let Post { reply, effect, channel, account, .. } = post;
        account.paused.clear();
        self.maybe_sent.leave_mail(account, reply, self.deps.clock.now());
        self.last_words.forget(reply);
        let token = draft::token(reply, channel);
        let outcome = Outcome::Sent { foreign_id: Some(token.clone()) };
        let record = || self.deps.ledger.sent(effect, attempt, Some(token.clone()));
        let reports = recorded(record).await.map_err(ledger_down)?;
        let session = thread.to_session();
        self.deps.ledger.remember_session(&reply.channel, &reply.to, &session).await.map_err(ledger_down)?;
        if account.evidence != Evidence::Accepted {
            metrics::counter!("causeway_unconfirmed_total", "provider" => account.name.to_string()).increment(1);
        }
        self.tell_again(reply, &outcome).await?;
        self.publish_reports(reports).await.map(|()| Done::Done)
    }

    /// The server has it not, or nobody knows.
    async fn not_posted(&self, post: &Post<'_>, attempt: &AttemptId, sending: Sending) -> Result<Done, Failure> {
        let Post { reply, effect, account, .. } = post;
        let unavailable = |after, cause: String| {
            let cause = anyhow!("{cause}").context(format!("channel {}", reply.channel));
            Failure::Unavailable { target: account.name.to_string(), after, cause }
        };
        let release =
            |cause: String| async move { self.deps.ledger.release(effect, attempt, &cause).await.map_err(ledger_down) };
        match sending {
            Sending::Sent { .. } => Ok(Done::Done),
            Sending::Refused(reason) => {
                tracing::warn!(channel = %reply.channel, code = reason.code.number(), "a mail was refused for good; its agent is told");
                account.paused.clear();
                self.fail(reply, effect, attempt, reason.code, &reason.message).await
            }
            Sending::Later { whose: Whose::Mail, reason } => {
                self.last_words.note(reply, reason.clone(), self.deps.clock.now());
                release(reason.message).await?;
                tracing::info!(channel = %reply.channel, "a mail server does not take a mail yet");
                Err(Failure::NotYet { after: later(reply, self.deps.clock.now()) })
            }
            Sending::Later { whose: Whose::Server, reason } => {
                self.last_words.note(reply, reason.clone(), self.deps.clock.now());
                release(reason.message.clone()).await?;
                Err(unavailable(None, reason.message))
            }
            Sending::Unavailable { cause } => {
                self.last_words.forget(reply);
                release(cause.clone()).await?;
                Err(unavailable(None, cause))
            }
            Sending::LoginRefused { cause } => {
                release(cause.clone()).await?;
                account.paused.raise(format!("{cause}; mail waits"));
                Err(unavailable(Some(ACCOUNT_PROBE), cause))
            }
            // The attempt stays open: the next turn finds it interrupted, and counted.
            Sending::Unknown { cause } => {
                self.maybe_sent.enter_mail(account, reply, self.deps.clock.now());
                account.maybe_sent.raise(format!("it is not known whether mails were sent: {cause}"));
                self.deps.ledger.doubt(effect, attempt, &cause).await.map_err(ledger_down)?;
                Err(unavailable(None, format!("outcome unknown: {cause}")))
            }
        }
    }
}

fn later(reply: &AgentReply, now: Timestamp) -> Duration {
    let age = now.duration_since(reply.received_at).max(SignedDuration::ZERO);
    let quarter = Duration::try_from(age).unwrap_or_default() / 4;
    quarter.clamp(LATER.0, LATER.1)
}
