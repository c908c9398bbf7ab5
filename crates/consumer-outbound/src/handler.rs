use std::sync::Arc;
use std::time::Duration;

use anyhow::anyhow;
use broker::{Broker, Consume, Done, Failure, Handle, PublishError, Rejection};
use jiff::Timestamp;
use ledger::{AttemptId, Begin, Effect, Entry, Ledger, LedgerError, Outcome, POISON, What};
use model::{Address, AgentReply, PhoneNumber, Private, ReasonCode, Receipt, ReceiptStatus, ReplyBody};
use runtime::{Clock, Shutdown};
use sms::{SendError, SendRequest};
use tokio::sync::watch;

use crate::directory::{Account, Channel, Directory};
use crate::maybe_sent::MaybeSent;
use crate::verdict;

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
    /// The time.
    pub clock: Clock,
}

/// The longest a call to a provider takes; the deadline in the ledger is built on it.
pub(crate) const CALL_TIMEOUT: Duration = Duration::from_secs(15);

/// Consumes `replies` until the shutdown.
///
/// # Errors
/// A fault of the broker that no reconnect mends.
pub async fn run(config: Config, deps: Deps, shutdown: Shutdown) -> anyhow::Result<()> {
    let broker = deps.broker.clone();
    let room = Room { deps, expire: config.consume.expire, maybe_sent: MaybeSent::default() };
    broker.consume::<AgentReply, _>(config.consume, Arc::new(room), shutdown).await
}

pub(crate) struct Room {
    pub(crate) deps: Deps,
    /// When the queue gives a reply up.
    pub(crate) expire: Duration,
    pub(crate) maybe_sent: MaybeSent,
}

/// One reply on its way out, with everything its steps share.
pub(crate) struct Walk<'a> {
    pub(crate) reply: &'a AgentReply,
    pub(crate) effect: Effect,
    pub(crate) channel: Arc<Channel>,
    pub(crate) account: Arc<Account>,
}

impl Handle<AgentReply> for Room {
    fn targets(&self, reply: &AgentReply) -> Vec<String> {
        // What cannot be sent needs no provider, so its verdict does not wait for one either.
        match reply.body {
            ReplyBody::Text(_) => {
                vec![verdict::number_target(&reply.provider, &reply.channel), reply.provider.to_string()]
            }
            ReplyBody::Unsendable(_) => Vec::new(),
        }
    }

    fn paused(&self, account: &str, paused: bool) {
        self.deps.directory.borrow().paused(account, paused);
    }

    async fn handle(&self, reply: &AgentReply, _attempt: u32) -> Result<Done, Failure> {
        let effect = Effect::from(reply);
        let Some(begun) = self.begin(reply, &effect).await? else { return Ok(Done::Duplicate) };
        // What cannot be sent needs no provider, so its verdict does not wait for one either.
        let (number, text) = match sendable(reply) {
            Ok(parts) => parts,
            Err((code, reason)) => {
                let attempt = match begun {
                    Begun::First(attempt) | Begun::Interrupted { attempt, .. } => attempt,
                };
                return self.fail(reply, &effect, &attempt, code, &reason).await;
            }
        };
        let directory = Arc::clone(&self.deps.directory.borrow());
        let Some((channel, account)) = directory.find(&reply.channel) else {
            let cause = anyhow!("channel {} is not an SMS channel here; configure it and replay", reply.channel);
            return Err(Failure::Reject { code: "unknown-channel", cause });
        };
        let walk = Walk { reply, effect, channel, account };
        let request = self.request(&walk, number, text).await?;
        match begun {
            Begun::First(attempt) => self.send(&walk, &request, attempt).await,
            Begun::Interrupted { until, begun, .. } if begun >= POISON && until <= self.deps.clock.now() => {
                let cause = anyhow!("begun {begun} times and never ended; look at what it crashed before replaying it");
                Err(Failure::Reject { code: "poison", cause })
            }
            Begun::Interrupted { attempt, began, until, .. } => {
                self.reconcile(&walk, &request, attempt, began, until).await
            }
        }
    }

    async fn before_dead_letter(&self, reply: &AgentReply, rejection: &Rejection) -> Result<(), Failure> {
        let effect = Effect::from(reply);
        let (code, reason) = match self.deps.ledger.begin(effect.clone(), CALL_TIMEOUT).await.map_err(ledger_down)? {
            // Its verdict was told before; a late rejection adds nothing to it.
            Begin::Done(outcome) => return self.tell_again(reply, &outcome).await,
            Begin::Interrupted { attempt, .. } => {
                let verdict = (ReasonCode::General, verdict::MAYBE_SENT.to_owned());
                if let Some((_, account)) = self.deps.directory.borrow().find(&reply.channel) {
                    self.maybe_sent.leave(&account, reply, self.deps.clock.now());
                }
                self.finish_failed(&effect, &attempt, &verdict).await?;
                verdict
            }
            Begin::First(attempt) => {
                let verdict = verdict::of_rejection(&rejection.reason);
                self.finish_failed(&effect, &attempt, &verdict).await?;
                verdict
            }
        };
        let detail = format!("{}: {}", rejection.reason.word(), rejection.detail);
        self.deps.ledger.note(Entry { effect, what: What::Dead, detail }).await.map_err(ledger_down)?;
        self.publish_receipt(reply, ReceiptStatus::failed(code, reason)).await
    }
}

/// An attempt this replica holds, or one that nobody knows the end of.
enum Begun {
    First(AttemptId),
    Interrupted { attempt: AttemptId, began: Timestamp, until: Timestamp, begun: u32 },
}

impl Room {
    /// The record before the effect; `None` when the effect was made before and its outcome has been told again.
    async fn begin(&self, reply: &AgentReply, effect: &Effect) -> Result<Option<Begun>, Failure> {
        match self.deps.ledger.begin(effect.clone(), CALL_TIMEOUT).await.map_err(ledger_down)? {
            Begin::First(attempt) => Ok(Some(Begun::First(attempt))),
            Begin::Interrupted { attempt, began, until, begun } => {
                Ok(Some(Begun::Interrupted { attempt, began, until, begun }))
            }
            Begin::Done(outcome) => {
                self.tell_again(reply, &outcome).await?;
                // The crash may have come after the record that matched them, and before they were told.
                if let Outcome::Sent { foreign_id: Some(id) } = &outcome {
                    let reports = self.deps.ledger.reported(&effect.target, id).await.map_err(ledger_down)?;
                    self.publish_reports(reports).await?;
                }
                Ok(None)
            }
        }
    }

    /// What the provider had reported before this reply was recorded as sent.
    async fn publish_reports(&self, receipts: Vec<Receipt>) -> Result<(), Failure> {
        for receipt in &receipts {
            self.deps.broker.publish(receipt).await.map_err(not_published)?;
        }
        Ok(())
    }

    async fn request(&self, walk: &Walk<'_>, to: PhoneNumber, text: Private<String>) -> Result<SendRequest, Failure> {
        let consumer = &walk.reply.to;
        let session = self.deps.ledger.session(&walk.reply.channel, consumer).await.map_err(ledger_down)?;
        Ok(SendRequest {
            user: walk.channel.user.clone(),
            from: walk.channel.number.clone(),
            to,
            text,
            session,
            attempt: String::new(),
        })
    }

    /// One attempt at the effect itself, and the record after it.
    pub(crate) async fn send(
        &self,
        walk: &Walk<'_>,
        request: &SendRequest,
        attempt: AttemptId,
    ) -> Result<Done, Failure> {
        let request = SendRequest { attempt: attempt.0.clone(), ..request.clone() };
        match walk.account.provider.send(&request).await {
            Ok(sent) => self.sent(walk, &attempt, sent.provider_id).await,
            Err(SendError::Never { code, reason, cause }) => {
                tracing::warn!(channel = %walk.reply.channel, cause, "a reply was refused for good; its agent is told");
                self.fail(walk.reply, &walk.effect, &attempt, code, &reason).await
            }
            // The attempt stays open: the next turn finds it interrupted, and looks before it does anything.
            Err(SendError::Unknown { cause }) => {
                self.maybe_sent.enter(&walk.account, walk.reply, self.deps.clock.now());
                self.deps.ledger.lapse(&walk.effect, &attempt, &cause).await.map_err(ledger_down)?;
                Err(verdict::unavailable(walk, None, anyhow!("outcome unknown: {cause}")))
            }
            Err(error @ (SendError::Later { .. } | SendError::AccountFault { .. })) => {
                self.release(walk, &attempt, &error).await
            }
        }
    }

    /// The provider has it.
    pub(crate) async fn sent(
        &self,
        walk: &Walk<'_>,
        attempt: &AttemptId,
        provider_id: Option<String>,
    ) -> Result<Done, Failure> {
        walk.account.paused.clear();
        self.maybe_sent.leave(&walk.account, walk.reply, self.deps.clock.now());
        let outcome = Outcome::Sent { foreign_id: provider_id.clone() };
        let reports = self.deps.ledger.sent(&walk.effect, attempt, provider_id).await.map_err(ledger_down)?;
        if !walk.account.accepted_is_delivered {
            let provider = walk.account.provider.name().to_string();
            metrics::counter!("causeway_unconfirmed_total", "provider" => provider).increment(1);
        }
        self.tell_again(walk.reply, &outcome).await?;
        self.publish_reports(reports).await.map(|()| Done::Done)
    }

    async fn release(&self, walk: &Walk<'_>, attempt: &AttemptId, error: &SendError) -> Result<Done, Failure> {
        self.deps.ledger.release(&walk.effect, attempt, &error.to_string()).await.map_err(ledger_down)?;
        Err(verdict::not_sent(walk, error))
    }

    async fn fail(
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

    async fn finish_failed(
        &self,
        effect: &Effect,
        attempt: &AttemptId,
        (code, reason): &(ReasonCode, String),
    ) -> Result<(), Failure> {
        let outcome = Outcome::Failed { code: *code, reason: reason.clone() };
        self.deps.ledger.finish(effect, attempt, outcome).await.map_err(ledger_down)
    }

    /// Publishes the receipt of an outcome, as often as asked: the crash may have come between the effect and its
    /// receipt, and the receipt ledger drops repeats.
    async fn tell_again(&self, reply: &AgentReply, outcome: &Outcome) -> Result<(), Failure> {
        let directory = Arc::clone(&self.deps.directory.borrow());
        let evidence = directory.find(&reply.channel).is_some_and(|(_, account)| account.accepted_is_delivered);
        match outcome {
            Outcome::Sent { .. } if evidence => self.publish_receipt(reply, ReceiptStatus::Delivered).await,
            Outcome::Sent { .. } | Outcome::SameAs(_) => Ok(()),
            Outcome::Failed { code, reason } => {
                self.publish_receipt(reply, ReceiptStatus::failed(*code, reason.clone())).await
            }
        }
    }

    async fn publish_receipt(&self, reply: &AgentReply, status: ReceiptStatus) -> Result<(), Failure> {
        self.deps.broker.publish(&reply.receipt(status)).await.map_err(not_published)
    }
}

/// The parts of a reply that can be sent, or what its agent is told.
fn sendable(reply: &AgentReply) -> Result<(PhoneNumber, Private<String>), (ReasonCode, String)> {
    let text = match &reply.body {
        ReplyBody::Text(text) => text.clone(),
        ReplyBody::Unsendable(why) => return Err((why.code, why.reason.clone())),
    };
    match &reply.to {
        Address::Phone(number) => Ok((number.clone(), text)),
        Address::Mail(_) => Err((ReasonCode::Unsupported, "This channel does not send mail.".to_owned())),
        Address::Invalid(_) => {
            Err((ReasonCode::InvalidDestination, "The recipient is not a telephone number.".to_owned()))
        }
    }
}

pub(crate) fn ledger_down(error: LedgerError) -> Failure {
    Failure::Unavailable { target: "ledger".to_owned(), after: None, cause: error.into() }
}

fn not_published(error: PublishError) -> Failure {
    Failure::Unavailable { target: "broker".to_owned(), after: None, cause: error.into() }
}
