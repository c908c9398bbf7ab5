use std::collections::HashMap;
use std::future::Future;

use anyhow::anyhow;
use tokio::task::{Id, JoinError, JoinSet};

use crate::Shutdown;

/// Tasks that have an owner: each ends with a result somebody reads, and one that fails stops the others.
pub struct Tasks {
    set: JoinSet<anyhow::Result<()>>,
    names: HashMap<Id, Name>,
    shutdown: Shutdown,
}

struct Name {
    name: String,
    /// Whether it may end before the shutdown.
    finite: bool,
}

impl Tasks {
    /// An empty set that begins `shutdown` when one of its tasks fails.
    pub fn new(shutdown: Shutdown) -> Self {
        Self { set: JoinSet::new(), names: HashMap::new(), shutdown }
    }

    /// Starts a task that runs until the shutdown; ending sooner is a failure.
    pub fn spawn(&mut self, name: impl Into<String>, task: impl Future<Output = anyhow::Result<()>> + Send + 'static) {
        let id = self.set.spawn(task).id();
        self.names.insert(id, Name { name: name.into(), finite: false });
    }

    /// Starts a task that may end by itself.
    pub fn spawn_finite(
        &mut self,
        name: impl Into<String>,
        task: impl Future<Output = anyhow::Result<()>> + Send + 'static,
    ) {
        let id = self.set.spawn(task).id();
        self.names.insert(id, Name { name: name.into(), finite: true });
    }

    /// Waits for all of them. The first failure begins the shutdown and is the result.
    ///
    /// # Errors
    /// The first task that failed, panicked, or ended before it should, by name.
    pub async fn join(mut self) -> anyhow::Result<()> {
        let mut first = Ok(());
        while let Some(ended) = self.set.join_next_with_id().await {
            if let Err(error) = self.verdict(ended) {
                tracing::error!(error = format!("{error:#}"), "a part of the process failed; the process stops");
                self.shutdown.begin();
                if first.is_ok() {
                    first = Err(error);
                }
            }
        }
        first
    }

    fn verdict(&mut self, ended: Result<(Id, anyhow::Result<()>), JoinError>) -> anyhow::Result<()> {
        let id = match &ended {
            Ok((id, _)) => *id,
            Err(error) => error.id(),
        };
        let Name { name, finite } = self.names.remove(&id).expect("every task was named when it was started");
        match ended {
            Ok((_, Ok(()))) if finite || self.shutdown.is_stopping() => Ok(()),
            Ok((_, Ok(()))) => Err(anyhow!("{name} ended before the shutdown")),
            Ok((_, Err(error))) => Err(error.context(name)),
            Err(error) if error.is_panic() => Err(anyhow!("{name} panicked")),
            Err(error) => Err(anyhow!(error).context(name)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_failure_stops_the_others_and_is_the_result() {
        let shutdown = Shutdown::new();
        let mut tasks = Tasks::new(shutdown.clone());
        let waiting = shutdown.clone();
        tasks.spawn("patient", async move {
            waiting.stopping().await;
            Ok(())
        });
        tasks.spawn("broken", async { Err(anyhow!("no disk")) });
        assert_eq!(format!("{:#}", tasks.join().await.unwrap_err()), "broken: no disk");
        assert!(shutdown.is_stopping());
    }

    #[tokio::test]
    async fn a_panic_and_an_early_end_are_failures() {
        let mut tasks = Tasks::new(Shutdown::new());
        tasks.spawn("jumpy", async { panic!("never mind") });
        assert_eq!(tasks.join().await.unwrap_err().to_string(), "jumpy panicked");
        let mut tasks = Tasks::new(Shutdown::new());
        tasks.spawn_finite("short", async { Ok(()) });
        tasks.spawn("early", async { Ok(()) });
        assert_eq!(tasks.join().await.unwrap_err().to_string(), "early ended before the shutdown");
    }

    #[tokio::test]
    async fn every_task_is_waited_for_and_the_first_failure_is_the_result() {
        let shutdown = Shutdown::new();
        let mut tasks = Tasks::new(shutdown.clone());
        let (done, mut finished) = tokio::sync::mpsc::channel(1);
        let stopping = shutdown.clone();
        tasks.spawn("thorough", async move {
            stopping.stopping().await;
            tokio::task::yield_now().await;
            done.send(()).await?;
            Err(anyhow!("a second failure"))
        });
        tasks.spawn_finite("broken", async { Err(anyhow!("the first failure")) });
        assert_eq!(format!("{:#}", tasks.join().await.unwrap_err()), "broken: the first failure");
        assert_eq!(finished.try_recv(), Ok(()), "the other one was waited for");
    }

    #[tokio::test]
    async fn tasks_that_end_with_the_shutdown_are_well() {
        let shutdown = Shutdown::new();
        let mut tasks = Tasks::new(shutdown.clone());
        for name in ["one", "two"] {
            let shutdown = shutdown.clone();
            tasks.spawn(name, async move {
                shutdown.stopping().await;
                Ok(())
            });
        }
        shutdown.begin();
        assert!(tasks.join().await.is_ok());
    }
}
