use std::ops::ControlFlow;
use std::time::Duration;

use model::Family;
use runtime::Clock;
use tokio::sync::mpsc::error::TryRecvError;
use tokio::sync::{mpsc, oneshot, watch};

use super::command::{Command, Control, Move, Settle, Write};
use super::database::{Database, Found, explain, family_of};
use super::queue::{Queue, Subscriber};
use crate::source::Lost;
use crate::{PublishError, QueueName, QueueReport, State, Topology};

/// The most commands in one transaction: it bounds the wait of the first of them.
const BATCH: usize = 512;

/// How often a disk that failed is tried again.
const PROBE: Duration = Duration::from_millis(200);

/// Where a family stands in [`Family::ALL`].
fn place(family: Family) -> usize {
    Family::ALL.iter().position(|one| *one == family).expect("ALL holds every family")
}

impl Drop for Writer {
    /// However the thread ends, nobody takes the store for ready afterwards.
    fn drop(&mut self) {
        self.state.send_replace(State::Connecting("the embedded store is closed".to_owned()));
    }
}

/// The thread's state: it alone touches the database.
pub(super) struct Writer {
    database: Database,
    queues: Vec<Queue>,
    strangers: Vec<(String, u64)>,
    dead: [u64; 3],
    clock: Clock,
    state: watch::Sender<State>,
}

impl Writer {
    pub(super) fn new(
        database: Database,
        found: Found,
        topology: &Topology,
        clock: Clock,
        state: watch::Sender<State>,
    ) -> Self {
        let named = topology.work_queues().into_iter().zip(found.queues);
        let queues = named.map(|(name, (key, length))| Queue::new(name, key, length)).collect();
        Self { database, queues, strangers: found.strangers, dead: found.dead, clock, state }
    }

    /// Works until it is told to close or nobody is left who could ask for anything.
    pub(super) fn run(mut self, mut commands: mpsc::Receiver<Command>) {
        let mut batch = Vec::with_capacity(BATCH);
        let mut writes = Vec::with_capacity(BATCH);
        let mut controls = Vec::new();
        while self.receive(&mut commands, &mut batch) {
            for command in batch.drain(..) {
                match command {
                    Command::Write(write) => writes.push(write),
                    Command::Control(control) => controls.push(control),
                }
            }
            let mut touched = vec![false; self.queues.len()];
            self.write(&mut writes, &mut touched);
            for control in controls.drain(..) {
                if let ControlFlow::Break(answer) = self.control(control, &mut touched) {
                    drop(self);
                    // Whoever asked may have given up waiting; the store is closed all the same.
                    let _ = answer.send(());
                    return;
                }
            }
            let now = self.clock.now();
            for (queue, _) in self.queues.iter_mut().zip(touched).filter(|(_, touched)| *touched) {
                queue.end_expired_lease(now);
                queue.serve(&self.database, now);
            }
        }
    }

    /// Waits for commands; while the disk fails, tries it from time to time. `false` when no more can come.
    fn receive(&self, commands: &mut mpsc::Receiver<Command>, batch: &mut Vec<Command>) -> bool {
        if *self.state.borrow() == State::Ready {
            return commands.blocking_recv_many(batch, BATCH) > 0;
        }
        loop {
            match commands.try_recv() {
                Ok(command) => {
                    batch.push(command);
                    return true;
                }
                Err(TryRecvError::Disconnected) => return false,
                Err(TryRecvError::Empty) => {}
            }
            match self.database.probe() {
                Ok(()) => {
                    self.tell(State::Ready);
                    return commands.blocking_recv_many(batch, BATCH) > 0;
                }
                Err(_) => std::thread::sleep(PROBE),
            }
        }
    }

    fn tell(&self, state: State) {
        self.state.send_if_modified(|old| {
            if *old == state {
                return false;
            }
            match &state {
                State::Ready => tracing::info!("the embedded broker stores messages again"),
                State::Connecting(why) | State::Blocked(why) | State::Topology(why) => {
                    tracing::error!(why, "the embedded broker stores nothing");
                }
            }
            *old = state;
            true
        });
    }

    /// Runs the writes in one transaction and answers them after its fsync.
    fn write(&mut self, writes: &mut Vec<Write>, touched: &mut [bool]) {
        let mut accepted = Vec::with_capacity(writes.len());
        for write in writes.drain(..) {
            match write {
                Write::Settle { hold, settle, answer } => {
                    match self.queues[hold.queue].take(hold.subscriber, hold.id) {
                        Ok(()) => accepted.push(Write::Settle { hold, settle, answer }),
                        Err(lost) => drop(answer.send(Err(lost))),
                    }
                }
                publish @ Write::Publish { .. } => accepted.push(publish),
            }
        }
        if accepted.is_empty() {
            return;
        }
        match self.transact(&accepted) {
            Ok(()) => {
                self.tell(State::Ready);
                accepted.into_iter().for_each(|write| self.stored(write, touched));
            }
            Err(error) => {
                self.database.rollback();
                let why = explain(&error);
                self.tell(State::Blocked(why.clone()));
                accepted.into_iter().for_each(|write| self.failed(write, &why, touched));
            }
        }
    }

    fn transact(&mut self, writes: &[Write]) -> rusqlite::Result<()> {
        self.database.begin()?;
        for write in writes {
            match write {
                Write::Publish { queue, envelope, .. } => self.database.insert(self.queues[*queue].key, envelope)?,
                Write::Settle { hold, settle, .. } => {
                    self.database.settle(hold.id, family_of(&self.queues[hold.queue].name), settle)?;
                }
            }
        }
        self.database.commit()
    }

    // A caller that was cancelled no longer listens; what was asked for is done all the same.
    fn stored(&mut self, write: Write, touched: &mut [bool]) {
        match write {
            Write::Publish { queue, answer, .. } => {
                self.queues[queue].length += 1;
                touched[queue] = true;
                drop(answer.send(Ok(())));
            }
            Write::Settle { hold, settle, answer } => {
                let queue = &mut self.queues[hold.queue];
                queue.length -= 1;
                touched[hold.queue] = true;
                if matches!(settle, Settle::DeadLetter { .. }) {
                    self.dead[place(family_of(&queue.name))] += 1;
                }
                drop(answer.send(Ok(())));
            }
        }
    }

    fn failed(&mut self, write: Write, why: &str, touched: &mut [bool]) {
        match write {
            Write::Publish { answer, .. } => drop(answer.send(Err(PublishError::Blocked(why.to_owned())))),
            Write::Settle { hold, answer, .. } => {
                // It is in nobody's hand now; only a new subscription, from the start, keeps the order.
                self.queues[hold.queue].remove(hold.subscriber, why);
                touched[hold.queue] = true;
                drop(answer.send(Err(Lost(why.to_owned()))));
            }
        }
    }

    fn control(&mut self, control: Control, touched: &mut [bool]) -> ControlFlow<oneshot::Sender<()>> {
        match control {
            Control::Subscribe { queue, subscriber, prefetch } => {
                self.queues[queue].subscribers.push_back(Subscriber { id: subscriber, prefetch, parked: None });
                touched[queue] = true;
            }
            Control::Unsubscribe { queue, subscriber, answer } => {
                self.queues[queue].remove(subscriber, "the subscription is closed");
                touched[queue] = true;
                answer.map(|answer| answer.send(()));
            }
            Control::Fetch { queue, subscriber, answer } => {
                let name = &self.queues[queue].name;
                let lost = Lost(format!("{name}: this subscription was ended"));
                match self.queues[queue].subscribers.iter_mut().find(|one| one.id == subscriber) {
                    Some(subscriber) => subscriber.parked = Some(answer),
                    None => drop(answer.send(Err(lost))),
                }
                touched[queue] = true;
            }
            Control::CheckLeases { queue } => touched[queue] = true,
            Control::Queues { answer } => drop(answer.send(self.report())),
            Control::Letters { family, after, limit, answer } => {
                let found = self.database.letters(family, after, limit);
                drop(answer.send(found.map_err(|error| anyhow::anyhow!(explain(&error)))));
            }
            Control::Sift { family, moves, answer } => drop(answer.send(self.sift(family, &moves, touched))),
            Control::Close { answer } => return ControlFlow::Break(answer),
            #[cfg(test)]
            Control::LimitPages { pages, answer } => {
                self.database.limit_pages(pages);
                answer.send(()).unwrap();
            }
        }
        ControlFlow::Continue(())
    }

    /// Moves dead letters in one transaction.
    fn sift(&mut self, family: Family, moves: &[Move], touched: &mut [bool]) -> anyhow::Result<()> {
        let gone = self.transact_sift(moves).map_err(|error| {
            self.database.rollback();
            let why = explain(&error);
            self.tell(State::Blocked(why.clone()));
            anyhow::anyhow!(why)
        })?;
        for one in gone {
            self.dead[place(family)] -= 1;
            if let Some(queue) = one.queue {
                self.queues[queue].length += 1;
                touched[queue] = true;
            }
        }
        Ok(())
    }

    /// The moves whose letters were there.
    fn transact_sift(&mut self, moves: &[Move]) -> rusqlite::Result<Vec<Move>> {
        self.database.begin()?;
        let mut gone = Vec::with_capacity(moves.len());
        for one in moves {
            let queue = one.queue.map(|queue| self.queues[queue].key);
            if self.database.sift(one.row, queue)? {
                gone.push(*one);
            }
        }
        self.database.commit()?;
        Ok(gone)
    }

    fn report(&self) -> anyhow::Result<Vec<QueueReport>> {
        let now = self.clock.now();
        let age = |since: Option<jiff::Timestamp>| since.map(|since| now.duration_since(since).as_secs_f64().max(0.0));
        let read = |found: rusqlite::Result<_>| found.map(age).map_err(|error| anyhow::anyhow!(explain(&error)));
        let mut reports = Vec::new();
        for queue in &self.queues {
            let in_hand = queue.in_hand.len() as u64;
            reports.push(QueueReport {
                queue: queue.name.to_string(),
                ready: queue.length.saturating_sub(in_hand),
                in_hand: Some(in_hand),
                consumers: Some(queue.subscribers.len() as u64),
                oldest_seconds: read(self.database.oldest(queue.key, queue.cursor))?,
            });
        }
        let idle = |queue: String, ready, oldest_seconds| QueueReport {
            queue,
            ready,
            in_hand: Some(0),
            consumers: Some(0),
            oldest_seconds,
        };
        for (family, ready) in Family::ALL.into_iter().zip(self.dead) {
            let oldest = read(self.database.oldest_dead(family))?;
            reports.push(idle(QueueName::Dead(family).to_string(), ready, oldest));
        }
        reports.extend(self.strangers.iter().map(|(name, length)| idle(name.clone(), *length, None)));
        Ok(reports)
    }
}
