//! The consume loop: the only place where a message is acked, tried again, handed back or dead-lettered.

mod gate;
mod lane;
mod meters;
mod session;
mod work;

#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use model::{NeighbourName, Taken};
use runtime::{Backoff, Shutdown};
use tokio::task::JoinSet;

pub(crate) use gate::Lamps;

use crate::{Broker, Handle, Paces, QueueName};
use gate::Gates;
use meters::Meters;
use session::{End, Session};
use work::Worker;

/// How a consumer of one family behaves.
#[derive(Debug, Clone)]
pub struct Consume {
    /// The neighbours whose queues it takes from, every partition of each.
    pub neighbours: Vec<NeighbourName>,
    /// Messages in hand per partition.
    pub prefetch: u16,
    /// A message older than this is dead-lettered as expired.
    pub expire: Duration,
    /// Tries that may fail before a message is dead-lettered.
    pub max_attempts: u32,
    /// Waits between tries.
    pub backoff: Backoff,
    /// How many calls a target is given; those not named, as many as there are.
    pub paces: Paces,
}

/// Waits between subscriptions that are lost.
const RESUBSCRIBE: Backoff = Backoff { base: Duration::from_millis(100), cap: Duration::from_secs(5) };

/// Runs one loop per neighbour and partition until all have stopped.
pub(crate) async fn consume<M: Taken, H: Handle<M>>(
    broker: Broker,
    consume: Consume,
    handler: Arc<H>,
    shutdown: Shutdown,
) -> anyhow::Result<()> {
    let known: HashSet<QueueName> = broker.topology().work_queues().into_iter().collect();
    let told = Arc::clone(&handler);
    let paused = Box::new(move |account: &str, paused: bool| told.paused(account, paused));
    let gates = Arc::new(Gates::new(consume.paces.clone(), consume.prefetch, paused, broker.lamps().clone()));
    broker.roster().begin(M::QUEUES);
    let mut loops = JoinSet::new();
    for neighbour in &consume.neighbours {
        for partition in 0..broker.topology().partitions {
            let queue = QueueName::Work { family: M::QUEUES, neighbour: neighbour.clone(), partition };
            anyhow::ensure!(known.contains(&queue), "{queue} is not a queue of this installation");
            let worker = Worker {
                meters: Meters::of(&queue),
                seat: broker.roster().seat(M::QUEUES, queue.clone()),
                queue,
                handler: Arc::clone(&handler),
                gates: Arc::clone(&gates),
                clock: broker.clock().clone(),
                shutdown: shutdown.clone(),
                consume: consume.clone(),
                message: std::marker::PhantomData,
            };
            loops.spawn(read(broker.clone(), Arc::new(worker)));
        }
    }
    while let Some(ended) = loops.join_next().await {
        ended.context("the loop of a queue panicked")?;
    }
    Ok(())
}

/// Reads one queue, one subscription after the other, until the soft stage.
async fn read<M: Taken, H: Handle<M>>(broker: Broker, worker: Arc<Worker<M, H>>) {
    let mut carried = HashMap::new();
    let mut losses: u32 = 0;
    while !worker.shutdown.is_stopping() {
        let subscribed = tokio::select! {
            subscribed = broker.subscribe(&worker.queue, worker.consume.prefetch) => subscribed,
            () = worker.shutdown.stopping() => return,
        };
        let end = match subscribed {
            Ok(source) => {
                worker.seat.subscribed();
                Session::new(Arc::clone(&worker), source, &mut carried).run(&mut losses).await
            }
            Err(lost) => End::Lost(lost),
        };
        worker.meters.idle();
        match end {
            End::Stopped => return,
            End::HandedBack => worker.seat.lost("it was handed back and is being subscribed anew"),
            End::Lost(lost) => {
                worker.seat.lost(&lost.0);
                losses = losses.saturating_add(1);
                // The first of a row is news; the rest are its repetition until a message comes again.
                if losses == 1 {
                    tracing::error!(queue = %worker.queue, cause = %lost, "lost the queue; subscribing again");
                } else {
                    tracing::debug!(queue = %worker.queue, cause = %lost, losses, "lost the queue again");
                }
                tokio::select! {
                    () = tokio::time::sleep(RESUBSCRIBE.wait(losses)) => {}
                    () = worker.shutdown.stopping() => return,
                }
            }
        }
    }
}
