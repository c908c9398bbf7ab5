//! What became of an attempt whose end nobody knows: the provider is asked, and nothing is repeated before it answered.

use std::time::{Duration, Instant};

use anyhow::anyhow;
use broker::{Done, Failure};
use jiff::Timestamp;
use ledger::{AttemptId, Entry, What};
use model::ReasonCode;
use sms::{Look, SendRequest};

use crate::directory::WhenUnsure;
use crate::handler::{Room, Walk, ledger_down};
use crate::verdict;

/// How soon a reply that another replica took up is looked at again.
const ELSEWHERE: Duration = Duration::from_secs(1);

impl Room {
    /// One turn of a reconciliation. Looks are due at `reconcile_at` after the attempt began, and never before its
    /// deadline, while its owner may still be calling; all three times are the ledger's.
    pub(crate) async fn reconcile(
        &self,
        walk: &Walk<'_>,
        request: &SendRequest,
        attempt: AttemptId,
        (began, until, now): (Timestamp, Timestamp, Timestamp),
    ) -> Result<Done, Failure> {
        self.maybe_sent.enter(&walk.account, walk.reply, self.deps.clock.now());
        let at = &walk.account.reconcile_at;
        let first = wait(now, until).max(at.first().and_then(|first| wait(now, later(began, *first))));
        if let Some(first) = first {
            return Err(verdict::looks_later(walk, first, "an attempt was interrupted; looking for it later"));
        }
        let looked = SendRequest { attempt: attempt.0.clone(), ..request.clone() };
        let claimed =
            self.deps.ledger.claimed(&walk.reply.channel, &walk.reply.to, began).await.map_err(ledger_down)?;
        match walk.account.provider.look(&looked, began, &claimed).await {
            Ok(Look::Found { provider_id }) => {
                self.note(walk, "the provider has it").await?;
                self.sent(walk, &looked, &attempt, provider_id).await
            }
            Ok(Look::Failed) => {
                self.note(walk, "the provider has it, and says that it failed").await?;
                self.maybe_sent.leave(&walk.account, walk.reply, self.deps.clock.now());
                self.refuse(walk, &attempt, ReasonCode::General, verdict::PROVIDER_FAILED).await
            }
            Ok(Look::NotThere) => {
                self.note(walk, "the provider does not have it").await?;
                match at.iter().find_map(|due| wait(now, later(began, *due))) {
                    Some(next) => Err(verdict::looks_later(walk, next, "the provider does not have it; looking again")),
                    None => self.try_again(walk, request, &attempt).await,
                }
            }
            Err(error) => {
                self.note(walk, "the provider could not be asked").await?;
                let told =
                    format!("it is not known whether replies were sent, and the provider cannot be asked: {error}");
                walk.account.maybe_sent.raise(told);
                if self.unsure_to_the_end(walk, self.deps.clock.now()) {
                    return self.try_again(walk, request, &attempt).await;
                }
                Err(verdict::unavailable(
                    walk,
                    None,
                    anyhow!("{error}").context("an attempt was interrupted and cannot be looked for"),
                ))
            }
        }
    }

    /// `resend` prefers a second text to none, but only once the last look before expiry could not be made.
    fn unsure_to_the_end(&self, walk: &Walk<'_>, now: Timestamp) -> bool {
        let pause = walk.account.reconcile_at.last().copied().unwrap_or_default();
        let end = later(walk.reply.received_at, self.expire.saturating_sub(pause.saturating_mul(2)));
        walk.channel.when_unsure == WhenUnsure::Resend && wait(now, end).is_none()
    }

    async fn try_again(&self, walk: &Walk<'_>, request: &SendRequest, attempt: &AttemptId) -> Result<Done, Failure> {
        let since = Instant::now();
        match self.deps.ledger.retake(&walk.effect, attempt, walk.call_time()).await.map_err(ledger_down)? {
            Some(next) => {
                self.maybe_sent.leave(&walk.account, walk.reply, self.deps.clock.now());
                self.send(walk, request, next, since).await
            }
            None => Err(verdict::looks_later(walk, ELSEWHERE, "another replica took this reply up")),
        }
    }

    async fn note(&self, walk: &Walk<'_>, detail: &str) -> Result<(), Failure> {
        let entry = Entry { effect: walk.effect.clone(), what: What::Looked, detail: detail.to_owned() };
        self.deps.ledger.note(entry).await.map_err(ledger_down)
    }
}

fn later(since: Timestamp, by: Duration) -> Timestamp {
    since.saturating_add(by).unwrap_or(Timestamp::MAX)
}

fn wait(now: Timestamp, until: Timestamp) -> Option<Duration> {
    Duration::try_from(until.duration_since(now)).ok().filter(|wait| !wait.is_zero())
}
