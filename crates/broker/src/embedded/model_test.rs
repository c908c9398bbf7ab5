//! The store against a model in memory, under random publish, receive, ack, hand-back, dead letter, lease end, restart
//! and crash.

use std::path::{Path, PathBuf};

use proptest::prelude::*;
use proptest::test_runner::TestCaseError;
use runtime::{Clock, ManualClock};
use tempfile::TempDir;

use super::queue::LEASE;
use super::tests::{clock, content, envelope, letter, next, open, queue};
use super::{Store, Subscription};
use crate::source::Delivery;

#[derive(Debug, Clone)]
enum Step {
    /// So many publishes at once.
    Publish {
        queue: u16,
        count: u64,
        len: usize,
    },
    /// Up to so many messages taken.
    Receive {
        queue: u16,
        count: usize,
    },
    /// One of those in hand, by position.
    Ack {
        queue: u16,
        which: usize,
    },
    DeadLetter {
        queue: u16,
        which: usize,
    },
    /// Ends the subscription, politely or not, and begins another.
    Release {
        queue: u16,
        politely: bool,
        prefetch: u16,
    },
    /// Time goes by until the leases end, with another subscriber waiting.
    LeaseEnds {
        queue: u16,
        prefetch: u16,
    },
    Reopen,
    /// Goes on with the files as they are at this moment, as after a `kill -9`.
    Crash,
}

fn step() -> impl Strategy<Value = Step> {
    let queue = 0..2u16;
    prop_oneof![
        6 => (queue.clone(), 1..6u64, 0..3000usize).prop_map(|(queue, count, len)| Step::Publish { queue, count, len }),
        6 => (queue.clone(), 1..6usize).prop_map(|(queue, count)| Step::Receive { queue, count }),
        6 => (queue.clone(), 0..8usize).prop_map(|(queue, which)| Step::Ack { queue, which }),
        2 => (queue.clone(), 0..8usize).prop_map(|(queue, which)| Step::DeadLetter { queue, which }),
        2 => (queue.clone(), any::<bool>(), 1..5u16)
            .prop_map(|(queue, politely, prefetch)| Step::Release { queue, politely, prefetch }),
        1 => (queue, 1..5u16).prop_map(|(queue, prefetch)| Step::LeaseEnds { queue, prefetch }),
        1 => Just(Step::Reopen),
        1 => Just(Step::Crash),
    ]
}

/// What a queue must hold: everything stored and not settled, in order.
#[derive(Default)]
struct Expected {
    stored: Vec<(u64, usize)>,
    /// The last one given to this subscription, as a number that only grows.
    given: Option<u64>,
    prefetch: u16,
}

struct Line {
    expected: Expected,
    subscription: Option<Subscription>,
    in_hand: Vec<Delivery>,
}

struct World {
    folders: TempDir,
    folder: PathBuf,
    restarts: u32,
    clock: Clock,
    hand: ManualClock,
    store: Option<Store>,
    lines: Vec<Line>,
    published: u64,
    dead: Vec<String>,
}

impl World {
    async fn new() -> Self {
        let folders = tempfile::tempdir().unwrap();
        let folder = folders.path().join("0");
        let (clock, hand) = clock();
        let mut world = Self {
            folders,
            folder,
            restarts: 0,
            clock,
            hand,
            store: None,
            lines: Vec::new(),
            published: 0,
            dead: Vec::new(),
        };
        world.lines.extend((0..2).map(|_| Line {
            expected: Expected::default(),
            subscription: None,
            in_hand: Vec::new(),
        }));
        world.start().await;
        world
    }

    async fn start(&mut self) {
        self.store = Some(open(&self.folder, &self.clock).await);
        for line in 0..2 {
            self.subscribe(line, 3).await;
        }
    }

    fn store(&self) -> &Store {
        self.store.as_ref().unwrap()
    }

    async fn subscribe(&mut self, line: u16, prefetch: u16) {
        let subscription = self.store().subscribe(&queue(line), prefetch).await.unwrap();
        let line = &mut self.lines[usize::from(line)];
        line.in_hand.clear();
        line.expected.given = None;
        line.expected.prefetch = prefetch;
        line.subscription = Some(subscription);
    }

    async fn take(&mut self, step: Step) -> Result<(), TestCaseError> {
        match step {
            Step::Publish { queue: line, count, len } => {
                for number in self.published..self.published + count {
                    self.store().publish(&queue(line), envelope(number, len)).await.unwrap();
                    self.lines[usize::from(line)].expected.stored.push((number, len));
                }
                self.published += count;
            }
            Step::Receive { queue, count } => {
                for _ in 0..count {
                    self.receive(queue).await?;
                }
            }
            Step::Ack { queue: line, which } => {
                let Some(delivery) = self.pick(line, which) else { return Ok(()) };
                self.subscription(line).ack(delivery.tag).await.unwrap();
                prop_assert!(self.subscription(line).ack(delivery.tag).await.is_err(), "settled twice");
            }
            Step::DeadLetter { queue: line, which } => {
                let Some(delivery) = self.pick(line, which) else { return Ok(()) };
                let letter = letter(queue(line), self.clock.now());
                self.subscription(line).dead_letter(&delivery, &letter).await.unwrap();
                self.dead.push(content(&delivery).id.to_string());
            }
            Step::Release { queue: line, politely, prefetch } => {
                let ended = self.lines[usize::from(line)].subscription.take().unwrap();
                if politely {
                    ended.close().await;
                } else {
                    drop(ended);
                }
                self.subscribe(line, prefetch).await;
            }
            Step::LeaseEnds { queue: line, prefetch } => self.lease_ends(line, prefetch).await?,
            Step::Reopen => {
                self.let_go();
                self.store.take().unwrap().close().await;
                self.start().await;
            }
            Step::Crash => {
                self.restarts += 1;
                let copy = self.folders.path().join(self.restarts.to_string());
                copy_folder(&self.folder, &copy);
                self.let_go();
                drop(self.store.take());
                self.folder = copy;
                self.start().await;
            }
        }
        self.check().await
    }

    async fn lease_ends(&mut self, line: u16, prefetch: u16) -> Result<(), TestCaseError> {
        let stuck = self.lines[usize::from(line)].subscription.take().unwrap();
        let kept = self.lines[usize::from(line)].in_hand.pop();
        self.hand.advance(LEASE);
        self.subscribe(line, prefetch).await;
        // A report is answered after the newcomer was seen, and with it the end of the lease.
        self.store().queues().await.unwrap();
        self.other_line_starts_again(line).await;
        if let Some(kept) = kept {
            prop_assert!(stuck.ack(kept.tag).await.is_err(), "acked after the end of its lease");
        }
        Ok(())
    }

    /// The clock is everybody's: the other queue's leases have ended too, though nobody may have noticed yet.
    async fn other_line_starts_again(&mut self, line: u16) {
        let other = 1 - line;
        drop(self.lines[usize::from(other)].subscription.take());
        self.subscribe(other, 3).await;
    }

    fn let_go(&mut self) {
        for line in &mut self.lines {
            line.subscription = None;
        }
    }

    fn subscription(&self, line: u16) -> &Subscription {
        self.lines[usize::from(line)].subscription.as_ref().unwrap()
    }

    /// Takes a message out of the model's hand and queue.
    fn pick(&mut self, line: u16, which: usize) -> Option<Delivery> {
        let line = &mut self.lines[usize::from(line)];
        if line.in_hand.is_empty() {
            return None;
        }
        let delivery = line.in_hand.remove(which % line.in_hand.len());
        let id = &content(&delivery).id;
        line.expected.stored.retain(|(number, _)| envelope(*number, 0).id != *id);
        Some(delivery)
    }

    async fn receive(&mut self, line: u16) -> Result<(), TestCaseError> {
        let store = self.store.clone().unwrap();
        let Line { expected, subscription, in_hand } = &mut self.lines[usize::from(line)];
        let subscription = subscription.as_mut().unwrap();
        let room = in_hand.len() < usize::from(expected.prefetch);
        let due = expected.stored.iter().find(|(number, _)| expected.given.is_none_or(|given| *number > given));
        match due.filter(|_| room).copied() {
            Some((number, len)) => {
                let delivery = next(subscription).await;
                prop_assert!(*content(&delivery) == envelope(number, len), "another message than {number}");
                expected.given = Some(number);
                in_hand.push(delivery);
            }
            None => {
                let mut early = std::pin::pin!(subscription.next());
                prop_assert!(futures_util::poll!(&mut early).is_pending());
                // A report is answered after the fetch was seen.
                store.queues().await.unwrap();
                prop_assert!(futures_util::poll!(&mut early).is_pending());
            }
        }
        Ok(())
    }

    async fn check(&self) -> Result<(), TestCaseError> {
        let reports = self.store().queues().await.unwrap();
        for (report, line) in reports.iter().zip(&self.lines) {
            let held = report.ready + report.in_hand.unwrap();
            prop_assert_eq!(held, line.expected.stored.len() as u64, "{}", &report.queue);
            prop_assert!(report.in_hand.unwrap() <= u64::from(line.expected.prefetch));
        }
        let mut dead = Vec::new();
        let mut see = |letter: &crate::Letter| {
            dead.push(letter.report.id.clone());
            std::ops::ControlFlow::Continue(())
        };
        self.store().letters(model::Family::Inbound, 1000, &mut see).await.unwrap();
        prop_assert_eq!(&dead, &self.dead);
        Ok(())
    }
}

fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn the_store_is_what_the_model_says(steps in prop::collection::vec(step(), 1..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut world = World::new().await;
            for step in steps {
                world.take(step).await?;
            }
            Ok::<_, TestCaseError>(())
        })?;
    }
}
