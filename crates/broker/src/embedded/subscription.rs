use std::collections::VecDeque;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use super::Store;
use super::command::{Batch, Command, Control, Hold, Settle, Write};
use crate::source::{DeadLetter, Delivery, Lost, Tag};

/// How often a subscription that has nothing asks whether the one before it is stuck.
const LEASE_LOOK: Duration = Duration::from_secs(60);

/// One reader of one queue. Dropped, it gives back what it holds, as [`Subscription::close`] does.
pub(crate) struct Subscription {
    store: Store,
    queue: usize,
    subscriber: u64,
    farewell: Option<mpsc::OwnedPermit<Command>>,
    fetched: VecDeque<Delivery>,
    fetching: Option<oneshot::Receiver<Batch>>,
}

impl Subscription {
    pub(super) const fn new(store: Store, queue: usize, subscriber: u64, farewell: mpsc::OwnedPermit<Command>) -> Self {
        let fetched = VecDeque::new();
        Self { store, queue, subscriber, farewell: Some(farewell), fetched, fetching: None }
    }

    /// The next message in the order of publishing. Cancel-safe: a fetch under way is kept for the next call.
    pub(crate) async fn next(&mut self) -> Result<Delivery, Lost> {
        loop {
            if let Some(delivery) = self.fetched.pop_front() {
                return Ok(delivery);
            }
            if self.fetching.is_none() {
                let (answer, answered) = oneshot::channel();
                let (queue, subscriber) = (self.queue, self.subscriber);
                self.store.control(Control::Fetch { queue, subscriber, answer }).await?;
                self.fetching = Some(answered);
            }
            let Some(fetching) = &mut self.fetching else { continue };
            tokio::select! {
                answer = self.store.answer(fetching) => {
                    self.fetching = None;
                    self.fetched.extend(answer??);
                }
                () = tokio::time::sleep(LEASE_LOOK) => {
                    self.store.control(Control::CheckLeases { queue: self.queue }).await?;
                }
            }
        }
    }

    /// Removes it, durably.
    pub(crate) async fn ack(&self, tag: Tag) -> Result<(), Lost> {
        self.settle(tag, Settle::Ack).await
    }

    /// Moves it to its family's dead letters, in one transaction.
    pub(crate) async fn dead_letter(&self, delivery: &Delivery, letter: &DeadLetter) -> Result<(), Lost> {
        let settle = Settle::DeadLetter {
            reason: letter.reason.clone(),
            detail: letter.detail.clone(),
            at: letter.at,
            origin: letter.from.to_string(),
        };
        self.settle(delivery.tag, settle).await
    }

    async fn settle(&self, tag: Tag, settle: Settle) -> Result<(), Lost> {
        let hold = Hold { queue: self.queue, subscriber: self.subscriber, id: tag.0.cast_signed() };
        self.store.settle(|answer| Write::Settle { hold, settle, answer }).await
    }

    /// Hands back everything not settled, in order, and returns when the next subscriber can have it.
    pub(crate) async fn close(mut self) {
        let (answer, mut answered) = oneshot::channel();
        self.leave(Some(answer));
        // A store that is closed holds nothing in hand either.
        let _ = self.store.answer(&mut answered).await;
    }

    fn leave(&mut self, answer: Option<oneshot::Sender<()>>) {
        if let Some(permit) = self.farewell.take() {
            let (queue, subscriber) = (self.queue, self.subscriber);
            drop(permit.send(Command::Control(Control::Unsubscribe { queue, subscriber, answer })));
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.leave(None);
    }
}
