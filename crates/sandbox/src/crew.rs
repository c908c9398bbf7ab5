use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::task::JoinSet;

/// The tasks of one simulated server; they end with its last handle.
#[derive(Default)]
pub(crate) struct Crew {
    set: Mutex<JoinSet<()>>,
}

/// A way to give the crew work from inside its own tasks, without keeping it alive.
#[derive(Clone)]
pub(crate) struct Foreman(Weak<Crew>);

impl Crew {
    pub(crate) fn foreman(self: &Arc<Self>) -> Foreman {
        Foreman(Arc::downgrade(self))
    }
}

impl Foreman {
    /// Starts a task; where the server is gone already, so is the work.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let Some(crew) = self.0.upgrade() else { return };
        let mut set = crew.set.lock().unwrap_or_else(PoisonError::into_inner);
        // What has ended is taken out here, so that the set holds only what runs.
        while let Some(ended) = set.try_join_next() {
            if let Err(error) = ended
                && error.is_panic()
            {
                tracing::error!("a task of a simulated server panicked");
            }
        }
        set.spawn(task);
    }
}
