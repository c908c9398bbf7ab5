use std::marker::PhantomData;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use jiff::{SignedDuration, Timestamp};
use model::Queued;
use runtime::{Clock, Shutdown};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::meters::Meters;
use crate::source::{Content, DeadLetter, Delivery};
use crate::{Consume, DeadReason, Done, Envelope, Failure, Handle, QueueName, Rejection};

/// The longest `dead-detail`: a header, not a log.
const DETAIL: usize = 500;

/// What the messages of one queue are worked on with.
pub(super) struct Worker<M, H> {
    pub(super) queue: QueueName,
    pub(super) handler: Arc<H>,
    pub(super) clock: Clock,
    pub(super) shutdown: Shutdown,
    pub(super) consume: Consume,
    pub(super) meters: Meters,
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

impl<M: Queued, H: Handle<M>> Worker<M, H> {
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
        if envelope.kind != M::TYPE {
            return unreadable(&format!("its type is not {}", M::TYPE));
        }
        match model::decode::<M>(&envelope.body) {
            Ok(message) => self.try_until_settled(&message, failed, ended).await,
            Err(error) => unreadable(&error.to_string()),
        }
    }

    async fn try_until_settled(&self, message: &M, mut failed: u32, ended: &CancellationToken) -> Verdict {
        let mut waits = 0;
        loop {
            if self.shutdown.is_stopping() || ended.is_cancelled() {
                return Verdict::Abandoned(failed);
            }
            let Some(left) = self.time_left(message.received_at()) else {
                return self.reject(message, DeadReason::Expired, "older than it may be", failed, ended).await;
            };
            tracing::Span::current().record("attempt", failed + 1);
            let after = match self.guarded(self.handler.handle(message, failed + 1)).await {
                Ok(done) => {
                    tracing::info!(outcome = done.word(), "settled");
                    return Verdict::Ack(done);
                }
                Err(Failure::Reject { code, cause }) => {
                    return self.reject(message, DeadReason::Rejected(code), &said(&cause), failed, ended).await;
                }
                Err(Failure::Retry { after, cause }) => {
                    failed += 1;
                    let cause = said(&cause);
                    if failed >= self.consume.max_attempts {
                        return self.reject(message, DeadReason::AttemptsExhausted, &cause, failed, ended).await;
                    }
                    tracing::warn!(cause, "a try failed");
                    after
                }
                Err(Failure::Unavailable { target, after, cause }) => {
                    // A neighbour that is down fails every message in hand again and again: once each is enough to know.
                    if waits == 0 {
                        tracing::warn!(neighbour = target, cause = said(&cause), "unavailable; waiting");
                    } else {
                        tracing::debug!(neighbour = target, cause = said(&cause), "still unavailable");
                    }
                    after
                }
                Err(Failure::NotYet { after }) => {
                    if self.wait(after.min(left), ended).await.is_err() {
                        return Verdict::Abandoned(failed);
                    }
                    continue;
                }
            };
            self.meters.retried.increment(1);
            waits += 1;
            let wait = after.unwrap_or_else(|| self.consume.backoff.wait(waits)).min(left);
            if self.wait(wait, ended).await.is_err() {
                return Verdict::Abandoned(failed);
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
            let told = self.guarded(self.handler.before_dead_letter(message, &rejection)).await;
            let (after, cause) = match told {
                Ok(()) => return Verdict::Dead(self.letter(&rejection.reason, &rejection.detail)),
                Err(Failure::Retry { after, cause } | Failure::Unavailable { after, cause, .. }) => (after, cause),
                Err(Failure::NotYet { after }) => (Some(after), anyhow::anyhow!("not due yet")),
                Err(Failure::Reject { cause, .. }) => (None, cause),
            };
            tracing::warn!(cause = said(&cause), "what comes before the dead letter failed; trying it again");
            waits += 1;
            let wait = after.unwrap_or_else(|| self.consume.backoff.wait(waits));
            if self.wait(wait, ended).await.is_err() {
                return Verdict::Abandoned(failed);
            }
        }
    }

    /// Runs the handler so that its panic is a failed try. The panic's words are dropped: they may quote the message.
    async fn guarded<T>(&self, handler: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
        AssertUnwindSafe(handler).catch_unwind().await.unwrap_or_else(|_| {
            tracing::error!("the handler panicked");
            Err(Failure::Retry { after: None, cause: anyhow::anyhow!("the handler panicked") })
        })
    }

    async fn wait(&self, wait: Duration, ended: &CancellationToken) -> Result<(), Ends> {
        tokio::select! {
            () = tokio::time::sleep(wait) => Ok(()),
            () = self.shutdown.stopping() => Err(Ends),
            () = ended.cancelled() => Err(Ends),
        }
    }

    fn time_left(&self, received_at: Timestamp) -> Option<Duration> {
        let expire = SignedDuration::try_from(self.consume.expire).unwrap_or(SignedDuration::MAX);
        let left = expire.saturating_sub(self.clock.now().duration_since(received_at));
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

fn said(cause: &anyhow::Error) -> String {
    format!("{cause:#}")
}

fn shortened(detail: &str) -> String {
    detail.chars().take(DETAIL).collect()
}
