use std::marker::PhantomData;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use jiff::SignedDuration;
use model::Taken;
use runtime::{Clock, Shutdown};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::gate::{Faulty, Gates, LONGEST_ASKED, Passes, Told};
use super::meters::Meters;
use crate::consumers::Seat;
use crate::source::{Content, DeadLetter, Delivery};
use crate::{Consume, DeadReason, Done, Envelope, Failure, Handle, QueueName, Rejection};

/// The longest `dead-detail`: a header, not a log.
const DETAIL: usize = 500;

/// The longest a message waits for what stands in the house itself, the broker or the ledger. Asking it costs little, and
/// whoever waited minutes for a neighbour would wait on, long after it is back.
const HOUSE: Duration = Duration::from_secs(2);

/// How often a message that waits for its leave is asked anew whom it calls.
const LOOK: Duration = Duration::from_secs(30);

/// What the messages of one queue are worked on with.
pub(super) struct Worker<M, H> {
    pub(super) queue: QueueName,
    pub(super) handler: Arc<H>,
    pub(super) gates: Arc<Gates>,
    pub(super) clock: Clock,
    pub(super) shutdown: Shutdown,
    pub(super) consume: Consume,
    pub(super) meters: Meters,
    pub(super) seat: Seat,
    pub(super) message: PhantomData<fn() -> M>,
}

/// A message whose work is over.
pub(super) struct Finished {
    pub(super) delivery: Delivery,
    pub(super) verdict: Verdict,
}

pub(super) enum Verdict {
    Ack(Done),
    Dead(DeadLetter),
    /// Not finished, because the subscription or the process ends; with the tries that failed.
    Abandoned(u32),
}

/// The subscription or the process ends.
struct Ends;

/// A panic of our own, which is no neighbour's trouble.
#[derive(Debug, thiserror::Error)]
#[error("the handler panicked")]
struct Panicked;

/// What follows from a try.
enum Step {
    Settle(Done),
    Reject(DeadReason, String),
    Wait(Duration),
}

/// Whether a call may be made.
enum Leave {
    Given(Passes),
    Refused(Faulty),
    /// The message expired meanwhile, or calls others by now.
    Late,
    Ended,
}

impl<M: Taken, H: Handle<M>> Worker<M, H> {
    /// Works on one message until it has a verdict. `failed` tries were made before; `ended` ends with the subscription.
    pub(super) async fn work(self: Arc<Self>, delivery: Delivery, failed: u32, ended: CancellationToken) -> Finished {
        let verdict = match &delivery.content {
            Content::Foreign { detail, .. } => {
                tracing::warn!(queue = %self.queue, detail, "not a message of ours; dead-lettered");
                Verdict::Dead(self.letter(&DeadReason::Unreadable, detail))
            }
            Content::Envelope(envelope) => {
                let span = tracing::info_span!(
                    "message",
                    message.id = %envelope.id,
                    trace.id = %envelope.trace,
                    conversation = envelope.conversation,
                    queue = %self.queue,
                    attempt = tracing::field::Empty,
                );
                self.read(envelope, failed, &ended).instrument(span).await
            }
        };
        Finished { delivery, verdict }
    }

    async fn read(&self, envelope: &Envelope, failed: u32, ended: &CancellationToken) -> Verdict {
        let unreadable = |detail: &str| {
            tracing::warn!(detail, "a message cannot be read; dead-lettered");
            Verdict::Dead(self.letter(&DeadReason::Unreadable, detail))
        };
        match M::read(&envelope.kind, &envelope.body) {
            Ok(message) => self.try_until_settled(&message, failed, ended).await,
            Err(error) => unreadable(&error.to_string()),
        }
    }

    async fn try_until_settled(&self, message: &M, mut failed: u32, ended: &CancellationToken) -> Verdict {
        let mut waits = 0;
        loop {
            let targets = self.handler.targets(message);
            if self.shutdown.is_stopping() || ended.is_cancelled() {
                return Verdict::Abandoned(failed);
            }
            let Some(left) = self.time_left(message) else {
                return self.reject(message, DeadReason::Expired, "older than it may be", failed, ended).await;
            };
            let passes = match self.leave_to_call(message, &targets, left, ended).await {
                Leave::Given(passes) => passes,
                Leave::Refused(Faulty { target }) => {
                    let told = format!("{target} refuses every call; mend its configuration and replay");
                    return self
                        .reject(message, DeadReason::Rejected("channel-fault".into()), &told, failed, ended)
                        .await;
                }
                Leave::Late => continue,
                Leave::Ended => return Verdict::Abandoned(failed),
            };
            tracing::Span::current().record("attempt", failed + 1);
            let probe = passes.is_probe();
            // On the heap, so that what waits for its leave does not take the memory of a call meanwhile.
            let tried = self.guarded(Box::pin(self.handler.handle(message, failed + 1))).await;
            passes.told(&told_by(&tried, &targets));
            let house = of_the_house(&tried, &targets);
            let wait = match self.next_step(tried, probe, &mut failed, &mut waits) {
                Step::Settle(done) => return Verdict::Ack(done),
                Step::Reject(reason, detail) => return self.reject(message, reason, &detail, failed, ended).await,
                Step::Wait(wait) if house => wait.min(left).min(HOUSE),
                Step::Wait(wait) => wait.min(left),
            };
            if self.wait(wait, ended).await.is_err() {
                return Verdict::Abandoned(failed);
            }
        }
    }

    /// What follows from a try. `waits` counts those that ended in a wait.
    fn next_step(&self, tried: Result<Done, Failure>, probe: bool, failed: &mut u32, waits: &mut u32) -> Step {
        let after = match tried {
            Ok(done) => {
                tracing::info!(outcome = done.word(), "settled");
                return Step::Settle(done);
            }
            Err(Failure::NotYet { after }) => return Step::Wait(after),
            Err(Failure::Onward) => return Step::Wait(Duration::ZERO),
            Err(Failure::Reject { code, cause }) => {
                return Step::Reject(DeadReason::Rejected(code.into()), said(&cause));
            }
            Err(Failure::GivenUp { reason, cause }) => {
                return Step::Reject(DeadReason::of_word(reason), said(&cause));
            }
            Err(Failure::Retry { after, cause } | Failure::RetryAt { after, cause, .. }) => {
                let cause = said(&cause);
                // What fails while its neighbour is known to be in trouble says nothing about the message.
                *failed += u32::from(!probe);
                if *failed >= self.consume.max_attempts {
                    return Step::Reject(DeadReason::AttemptsExhausted, cause);
                }
                tracing::warn!(cause, "a try failed");
                after
            }
            Err(Failure::Unavailable { target, after, cause }) => {
                tell_trouble(&target, &cause, *waits);
                after
            }
            Err(Failure::Fault { target, cause }) => {
                tell_trouble(&target, &cause, *waits);
                None
            }
        };
        self.meters.retried.increment(1);
        *waits += 1;
        Step::Wait(after.map_or_else(|| self.consume.backoff.wait(*waits), |after| after.min(LONGEST_ASKED)))
    }

    /// Waits for pace and breakers.
    async fn leave_to_call(&self, message: &M, targets: &[String], left: Duration, ended: &CancellationToken) -> Leave {
        tokio::select! {
            biased;
            passed = self.gates.pass(targets) => passed.map_or_else(Leave::Refused, Leave::Given),
            () = tokio::time::sleep(left) => Leave::Late,
            () = self.calls_others(message, targets) => Leave::Late,
            () = self.shutdown.stopping() => Leave::Ended,
            () = ended.cancelled() => Leave::Ended,
        }
    }

    /// Waits until a message calls others than it did: only one of those that wait for a breaker comes to be tried.
    async fn calls_others(&self, message: &M, targets: &[String]) {
        loop {
            tokio::time::sleep(LOOK).await;
            if self.handler.targets(message) != targets {
                return;
            }
        }
    }

    /// Tells whoever waits for the message that it will be dead-lettered, until that has succeeded.
    async fn reject(
        &self,
        message: &M,
        reason: DeadReason,
        detail: &str,
        failed: u32,
        ended: &CancellationToken,
    ) -> Verdict {
        tracing::warn!(reason = reason.word(), detail, "a message is dead-lettered");
        let rejection = Rejection { reason, detail: shortened(detail) };
        let mut waits = 0;
        loop {
            let told = self.guarded(Box::pin(self.handler.before_dead_letter(message, &rejection))).await;
            let (after, cause) = match told {
                Ok(()) => return Verdict::Dead(self.letter(&rejection.reason, &rejection.detail)),
                Err(
                    Failure::Retry { after, cause }
                    | Failure::RetryAt { after, cause, .. }
                    | Failure::Unavailable { after, cause, .. },
                ) => (after, cause),
                Err(Failure::NotYet { after }) => (Some(after), anyhow::anyhow!("not due yet")),
                Err(Failure::Onward) => (Some(Duration::ZERO), anyhow::anyhow!("there is more to do")),
                Err(Failure::Reject { cause, .. } | Failure::GivenUp { cause, .. } | Failure::Fault { cause, .. }) => {
                    (None, cause)
                }
            };
            tracing::warn!(cause = said(&cause), "what comes before the dead letter failed; trying it again");
            waits += 1;
            let wait = after.unwrap_or_else(|| self.consume.backoff.wait(waits)).min(HOUSE);
            if self.wait(wait, ended).await.is_err() {
                return Verdict::Abandoned(failed);
            }
        }
    }

    /// Runs the handler so that its panic is a failed try. The panic's words are dropped: they may quote the message.
    async fn guarded<T>(&self, handler: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
        AssertUnwindSafe(handler).catch_unwind().await.unwrap_or_else(|_| {
            tracing::error!("the handler panicked");
            Err(Failure::Retry { after: None, cause: anyhow::Error::new(Panicked) })
        })
    }

    async fn wait(&self, wait: Duration, ended: &CancellationToken) -> Result<(), Ends> {
        tokio::select! {
            () = tokio::time::sleep(wait) => Ok(()),
            () = self.shutdown.stopping() => Err(Ends),
            () = ended.cancelled() => Err(Ends),
        }
    }

    fn time_left(&self, message: &M) -> Option<Duration> {
        if !message.expires() {
            return Some(Duration::MAX);
        }
        let expire = SignedDuration::try_from(self.consume.expire).unwrap_or(SignedDuration::MAX);
        let left = expire.saturating_sub(self.clock.now().duration_since(message.since()));
        Duration::try_from(left).ok().filter(|left| !left.is_zero())
    }

    fn letter(&self, reason: &DeadReason, detail: &str) -> DeadLetter {
        DeadLetter {
            reason: reason.word().to_owned(),
            detail: shortened(detail),
            at: self.clock.now(),
            from: self.queue.clone(),
        }
    }
}

/// A neighbour that is down fails every message in hand again and again: once each is enough to know.
fn tell_trouble(neighbour: &str, cause: &anyhow::Error, waits: u32) {
    if waits == 0 {
        tracing::warn!(neighbour, cause = said(cause), "unavailable; waiting");
    } else {
        tracing::debug!(neighbour, cause = said(cause), "still unavailable");
    }
}

/// Whether what is unavailable is none of the targets: the broker itself, or the ledger.
fn of_the_house(tried: &Result<Done, Failure>, targets: &[String]) -> bool {
    matches!(tried, Err(Failure::Unavailable { target, .. }) if !targets.contains(target))
}

/// What a try told about its targets. A failed try counts against the widest of them; which it was, only they know.
fn told_by<'a>(tried: &'a Result<Done, Failure>, targets: &'a [String]) -> Told<'a> {
    match tried {
        Ok(Done::Done) | Err(Failure::Onward | Failure::Reject { .. }) => Told::Well,
        // For what was done before nobody was called.
        Ok(Done::Duplicate) | Err(Failure::NotYet { .. } | Failure::GivenUp { .. }) => Told::Nothing,
        Err(Failure::Retry { cause, .. }) if cause.is::<Panicked>() => Told::Nothing,
        Err(Failure::Retry { .. }) => {
            targets.last().map_or(Told::Nothing, |target| Told::Trouble { target, after: None })
        }
        Err(Failure::RetryAt { target, .. }) => Told::Trouble { target, after: None },
        Err(Failure::Unavailable { target, after, .. }) => Told::Trouble { target, after: *after },
        Err(Failure::Fault { target, .. }) => Told::Fault { target },
    }
}

fn said(cause: &anyhow::Error) -> String {
    format!("{cause:#}")
}

fn shortened(detail: &str) -> String {
    detail.chars().take(DETAIL).collect()
}
