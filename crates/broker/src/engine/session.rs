use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use jiff::{SignedDuration, Timestamp};
use model::Taken;
use tokio::task::{JoinError, JoinSet};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::lane::{Lanes, lane_of};
use super::meters::seconds;
use super::work::{Finished, Verdict, Worker};
use crate::source::{Content, Delivery, Lost, Source, Tag};
use crate::{Foresight, Handle};

/// A message in hand for longer goes back with everything behind it, well before RabbitMQ's consumer timeout or the
/// embedded store's lease (half an hour each) would take it away.
const HOLD: SignedDuration = SignedDuration::from_mins(10);

/// How often ages are measured.
const TICK: Duration = Duration::from_secs(1);

/// Messages taken from the source before anything else is looked at.
const BURST: usize = 64;

/// How a subscription ended.
pub(super) enum End {
    /// The process stops.
    Stopped,
    /// A message was held too long; its queue is to be read again from the start.
    HandedBack,
    /// A fault.
    Lost(Lost),
}

/// One subscription and what is in hand from it.
///
/// The loop settles what is finished in batches. While a batch is on its way to the disk the handlers go on, and what
/// they finish is the next batch; so the source needs no lock and the store gets its acks in groups.
pub(super) struct Session<'a, M, H> {
    worker: Arc<Worker<M, H>>,
    source: Source,
    lanes: Lanes,
    running: JoinSet<Finished>,
    in_hand: HashMap<Tag, InHand>,
    /// Tries that failed before a message was handed back, by message id.
    carried: &'a mut HashMap<String, u32>,
    ended: CancellationToken,
    /// Nothing new is taken or started any more, and why.
    draining: Option<End>,
}

struct InHand {
    received_at: Timestamp,
    taken_at: Timestamp,
    /// Kept until the message is settled, or handed back.
    _foreseen: Option<Foresight>,
}

/// The hard stage.
struct Forced;

impl<'a, M: Taken, H: Handle<M>> Session<'a, M, H> {
    pub(super) fn new(worker: Arc<Worker<M, H>>, source: Source, carried: &'a mut HashMap<String, u32>) -> Self {
        Self {
            worker,
            source,
            lanes: Lanes::default(),
            running: JoinSet::new(),
            in_hand: HashMap::new(),
            carried,
            ended: CancellationToken::new(),
            draining: None,
        }
    }

    /// Takes, works and settles until something ends it. A message that comes sets `losses` back.
    pub(super) async fn run(mut self, losses: &mut u32) -> End {
        let shutdown = self.worker.shutdown.clone();
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while self.draining.is_none() || !self.running.is_empty() {
            let open = self.draining.is_none();
            let step = tokio::select! {
                () = shutdown.forced() => Err(Forced),
                () = shutdown.stopping(), if open => {
                    self.drain(End::Stopped);
                    Ok(())
                }
                Some(finished) = self.running.join_next() => self.finish(finished).await,
                delivery = self.source.next(), if open => {
                    *losses = 0;
                    self.take(delivery);
                    Ok(())
                }
                _ = ticks.tick() => {
                    self.look();
                    Ok(())
                }
            };
            self.worker.meters.lanes.set(self.lanes.len() as f64);
            if let Err(Forced) = step {
                return self.abort().await;
            }
        }
        let closing = self.source.close();
        tokio::select! {
            () = closing => {}
            () = shutdown.forced() => {}
        }
        self.draining.unwrap_or(End::Stopped)
    }

    /// Takes what has come, up to a bound, and starts or queues it.
    fn take(&mut self, first: Result<Option<Delivery>, Lost>) {
        let mut next = Some(first);
        let mut left = BURST;
        while let Some(delivery) = next.take() {
            match delivery {
                Ok(Some(delivery)) => self.enter(delivery),
                Ok(None) => {
                    tracing::info!(queue = %self.worker.queue, "replicas came or went; subscribing anew");
                    return self.drain(End::HandedBack);
                }
                Err(lost) => return self.drain(End::Lost(lost)),
            }
            left -= 1;
            if left > 0 {
                next = self.source.next().now_or_never();
            }
        }
    }

    fn enter(&mut self, delivery: Delivery) {
        let taken_at = self.worker.clock.now();
        let received_at = match &delivery.content {
            Content::Envelope(envelope) => envelope.received_at,
            Content::Foreign { .. } => taken_at,
        };
        let foreseen = self.foresee(&delivery);
        self.in_hand.insert(delivery.tag, InHand { received_at, taken_at, _foreseen: foreseen });
        if let Some(delivery) = self.lanes.enter(delivery) {
            self.start(delivery);
        }
    }

    /// What cannot be read is told of in its turn.
    fn foresee(&self, delivery: &Delivery) -> Option<Foresight> {
        let Content::Envelope(envelope) = &delivery.content else { return None };
        if !M::is_foreseen(&envelope.kind) {
            return None;
        }
        let message = M::read(&envelope.kind, &envelope.body).ok()?;
        self.worker.handler.foresee(&message)
    }

    fn start(&mut self, delivery: Delivery) {
        let failed = match &delivery.content {
            Content::Envelope(envelope) if !self.carried.is_empty() => {
                self.carried.remove(envelope.id.as_str()).unwrap_or(0)
            }
            _ => 0,
        };
        self.running.spawn(Arc::clone(&self.worker).work(delivery, failed, self.ended.clone()));
    }

    /// Settles what is finished, all of it at once, and starts the next of each lane.
    async fn finish(&mut self, first: Result<Finished, JoinError>) -> Result<(), Forced> {
        let mut batch = Vec::new();
        let mut next = Some(first);
        while let Some(finished) = next {
            match finished {
                Ok(Finished { delivery, verdict: Verdict::Abandoned(failed) }) => self.abandon(&delivery, failed),
                // A lost subscription settles nothing: the messages are somebody else's already.
                Ok(_) if matches!(self.draining, Some(End::Lost(_))) => {}
                Ok(finished) => batch.push(finished),
                Err(_) => self.drain(End::Lost(Lost("the work on a message panicked".to_owned()))),
            }
            next = self.running.try_join_next();
        }
        let settled = tokio::select! {
            settled = settle(&self.worker, &self.source, batch) => settled,
            () = self.worker.shutdown.forced() => return Err(Forced),
        };
        match settled {
            Ok(settled) => settled.into_iter().for_each(|(lane, tag)| self.leave(&lane, tag)),
            Err(lost) => self.drain(End::Lost(lost)),
        }
        Ok(())
    }

    /// A message is settled, so the next of its lane may begin.
    fn leave(&mut self, lane: &str, tag: Tag) {
        self.in_hand.remove(&tag);
        if self.draining.is_none()
            && let Some(delivery) = self.lanes.leave(lane)
        {
            self.start(delivery);
        }
    }

    /// Remembers how often a message failed, so that handing it back does not give it all its tries again.
    fn abandon(&mut self, delivery: &Delivery, failed: u32) {
        if failed > 0
            && self.carried.len() < usize::from(self.worker.consume.prefetch)
            && let Content::Envelope(envelope) = &delivery.content
        {
            self.carried.insert(envelope.id.as_str().to_owned(), failed);
        }
    }

    /// Takes and starts nothing more. A fault outweighs a reason to stop, because it forbids settling.
    fn drain(&mut self, why: End) {
        if let End::Lost(lost) = &why {
            // Told now: what is in hand may take its time before the queue is subscribed anew.
            self.worker.seat.lost(&lost.0);
        }
        if self.draining.is_none() || matches!(why, End::Lost(_)) {
            self.draining = Some(why);
        }
        self.ended.cancel();
    }

    fn look(&mut self) {
        let now = self.worker.clock.now();
        let oldest = self.in_hand.values().map(|one| one.received_at).min();
        self.worker.meters.oldest.set(oldest.map_or(0.0, |oldest| seconds(oldest, now)));
        let held = self.in_hand.values().any(|one| now.duration_since(one.taken_at) > HOLD);
        if held && self.draining.is_none() {
            tracing::info!(queue = %self.worker.queue, "a message was held long; handing back and reading again");
            self.drain(End::HandedBack);
        }
    }

    async fn abort(mut self) -> End {
        self.running.shutdown().await;
        End::Stopped
    }
}

/// Settles a batch, which it consumes: nothing is settled twice. What cannot be settled comes back with the subscription.
async fn settle<M: Taken, H: Handle<M>>(
    worker: &Worker<M, H>,
    source: &Source,
    batch: Vec<Finished>,
) -> Result<Vec<(String, Tag)>, Lost> {
    let mut settled = Vec::with_capacity(batch.len());
    let (mut acked, mut dead) = (Vec::new(), Vec::new());
    for Finished { delivery, verdict } in batch {
        let received_at = match &delivery.content {
            Content::Envelope(envelope) => envelope.received_at,
            Content::Foreign { .. } => worker.clock.now(),
        };
        settled.push((lane_of(&delivery), delivery.tag));
        match verdict {
            Verdict::Ack(done) => acked.push((delivery.tag, done, received_at)),
            Verdict::Dead(letter) => dead.push((delivery, letter, received_at)),
            Verdict::Abandoned(_) => {}
        }
    }
    let tags: Vec<Tag> = acked.iter().map(|(tag, ..)| *tag).collect();
    source.ack(&tags).await?;
    let now = worker.clock.now();
    for (_, done, received_at) in acked {
        worker.meters.acked(done, received_at, now);
    }
    // Last: a letter that cannot be stored ends the subscription, and what was done is not done again for it.
    for (delivery, letter, received_at) in dead {
        source.dead_letter(&delivery, &letter).await?;
        worker.meters.dead(received_at, worker.clock.now());
    }
    Ok(settled)
}
