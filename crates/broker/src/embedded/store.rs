use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use runtime::Clock;
use tokio::sync::{mpsc, oneshot, watch};

use super::Subscription;
use super::command::{Command, Control, Write};
use super::database::Database;
use super::writer::Writer;
use crate::source::Lost;
use crate::{EmbeddedConfig, Envelope, OpenError, PublishError, QueueName, QueueReport, State, Topology};

/// Commands that may wait for the thread. Beyond that, callers wait.
const CHANNEL: usize = 2048;

/// The embedded broker. Cheap to clone; the last clone that is dropped ends the thread.
#[derive(Clone)]
pub(crate) struct Store {
    shared: Arc<Shared>,
}

struct Shared {
    commands: Option<mpsc::Sender<Command>>,
    queues: HashMap<QueueName, usize>,
    state: watch::Receiver<State>,
    subscribers: AtomicU64,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// The store was closed by somebody else.
pub(super) struct Closed;

impl From<Closed> for PublishError {
    fn from(_: Closed) -> Self {
        Self::Unavailable("the embedded store is closed".to_owned())
    }
}

impl From<Closed> for Lost {
    fn from(_: Closed) -> Self {
        Self("the embedded store is closed".to_owned())
    }
}

impl From<Closed> for anyhow::Error {
    fn from(_: Closed) -> Self {
        anyhow::anyhow!("the embedded store is closed")
    }
}

impl Store {
    /// Opens the store or makes it; the queues of the topology exist from here on.
    pub(crate) async fn open(config: &EmbeddedConfig, topology: Topology, clock: Clock) -> Result<Self, OpenError> {
        let (commands, receiver) = mpsc::channel(CHANNEL);
        let (state_sender, state) = watch::channel(State::Ready);
        let (opened, answer) = oneshot::channel();
        let queues = topology.work_queues().into_iter().enumerate().map(|(index, name)| (name, index)).collect();
        let folder = config.path.clone();
        let thread =
            std::thread::Builder::new().name("embedded-broker".to_owned()).spawn(move || {
                match Database::open(&folder, &topology) {
                    Ok((database, found)) => {
                        if opened.send(Ok(())).is_ok() {
                            Writer::new(database, found, &topology, clock, state_sender).run(receiver);
                        }
                    }
                    Err(error) => drop(opened.send(Err(error))),
                }
            });
        let failed = |detail: String| OpenError::Store { path: config.path.display().to_string(), detail };
        let thread = thread.map_err(|error| failed(format!("no thread could be started: {error}")))?;
        answer.await.map_err(|_| failed("opening it panicked".to_owned()))??;
        let thread = Mutex::new(Some(thread));
        let subscribers = AtomicU64::new(1);
        Ok(Self { shared: Arc::new(Shared { commands: Some(commands), queues, state, subscribers, thread }) })
    }

    /// The queue of a name, as the thread numbers them.
    pub(super) fn queue_named(&self, name: &str) -> Option<usize> {
        self.shared.queues.iter().find(|(queue, _)| queue.to_string() == name).map(|(_, index)| *index)
    }

    pub(super) fn commands(&self) -> &mpsc::Sender<Command> {
        self.shared.commands.as_ref().expect("only the drop of the last clone takes the sender")
    }

    /// Sends a command and waits for its answer.
    pub(super) async fn ask<T>(&self, command: impl FnOnce(oneshot::Sender<T>) -> Command) -> Result<T, Closed> {
        let (answer, mut answered) = oneshot::channel();
        self.commands().send(command(answer)).await.map_err(|_| Closed)?;
        self.answer(&mut answered).await
    }

    /// Waits for an answer. A command that came in behind the thread's back as it closed is never looked at, nor
    /// dropped while a sender lives, so the closing is waited for as well.
    pub(super) async fn answer<T>(&self, answered: &mut oneshot::Receiver<T>) -> Result<T, Closed> {
        tokio::select! {
            biased;
            answer = &mut *answered => answer.map_err(|_| Closed),
            () = self.commands().closed() => answered.try_recv().map_err(|_| Closed),
        }
    }

    /// A write of a subscription.
    pub(super) async fn settle(
        &self,
        write: impl FnOnce(oneshot::Sender<Result<(), Lost>>) -> Write,
    ) -> Result<(), Lost> {
        self.ask(|answer| Command::Write(write(answer))).await?
    }

    pub(super) async fn control(&self, control: Control) -> Result<(), Lost> {
        Ok(self.commands().send(Command::Control(control)).await.map_err(|_| Closed)?)
    }

    /// Returns after the fsync of the commit that holds the message.
    pub(crate) async fn publish(&self, queue: &QueueName, envelope: Envelope) -> Result<(), PublishError> {
        let Some(&queue) = self.shared.queues.get(queue) else {
            return Err(PublishError::Refused(format!("there is no queue {queue}")));
        };
        self.ask(|answer| Command::Write(Write::Publish { queue, envelope, answer })).await?
    }

    /// Takes from a queue, alone: a second subscription waits until the first is gone.
    pub(crate) async fn subscribe(&self, queue: &QueueName, prefetch: u16) -> Result<Subscription, Lost> {
        let Some(&index) = self.shared.queues.get(queue) else {
            return Err(Lost(format!("there is no queue {queue}")));
        };
        // A place in the channel is kept for the farewell, so that a drop can always send it.
        let farewell = self.commands().clone().reserve_owned().await.map_err(|_| Closed)?;
        let subscriber = self.shared.subscribers.fetch_add(1, Ordering::Relaxed);
        let prefetch = usize::from(prefetch.max(1));
        self.control(Control::Subscribe { queue: index, subscriber, prefetch }).await?;
        Ok(Subscription::new(self.clone(), index, subscriber, farewell))
    }

    pub(crate) fn state(&self) -> watch::Receiver<State> {
        self.shared.state.clone()
    }

    /// Every queue was made when the store was opened.
    pub(crate) async fn apply_topology(&self) -> anyhow::Result<Vec<String>> {
        let mut names: Vec<_> = self.shared.queues.keys().map(|name| format!("{name}: there")).collect();
        names.extend(Topology::dead_queues().map(|name| format!("{name}: there")));
        names.sort();
        Ok(names)
    }

    pub(crate) async fn queues(&self) -> anyhow::Result<Vec<QueueReport>> {
        self.ask(|answer| Command::Control(Control::Queues { answer })).await?
    }

    /// Stores what was asked for before, closes the file and ends the thread. Other clones find the store closed.
    pub(crate) async fn close(self) {
        // Nobody answers when another clone has closed it; then there is only the thread to wait for.
        let _ = self.ask(|answer| Command::Control(Control::Close { answer })).await;
        self.shared.join();
    }

    #[cfg(test)]
    pub(super) async fn limit_pages(&self, pages: u32) {
        assert!(self.ask(|answer| Command::Control(Control::LimitPages { pages, answer })).await.is_ok());
    }
}

impl Shared {
    fn join(&self) {
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread
            && thread.join().is_err()
        {
            tracing::error!("the thread of the embedded broker panicked");
        }
    }
}

impl Drop for Shared {
    /// The lock on the folder is gone when the last handle is.
    fn drop(&mut self) {
        self.commands = None;
        self.join();
    }
}
