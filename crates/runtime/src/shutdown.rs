use std::future::{Future, pending};
use std::time::Duration;

use anyhow::Context;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// The two stages of stopping: soft (take nothing new, finish what is in hand), then hard (stop at once).
#[derive(Clone, Debug, Default)]
pub struct Shutdown {
    soft: CancellationToken,
    hard: CancellationToken,
}

impl Shutdown {
    /// A shutdown nobody has asked for yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks for the soft stage.
    pub fn begin(&self) {
        self.soft.cancel();
    }

    /// Asks for the hard stage, which implies the soft one.
    pub fn force(&self) {
        self.soft.cancel();
        self.hard.cancel();
    }

    /// Whether the soft stage has begun.
    pub fn is_stopping(&self) -> bool {
        self.soft.is_cancelled()
    }

    /// Whether the hard stage has begun.
    pub fn is_forced(&self) -> bool {
        self.hard.is_cancelled()
    }

    /// Waits for the soft stage.
    pub async fn stopping(&self) {
        self.soft.cancelled().await;
    }

    /// Waits for the hard stage.
    pub async fn forced(&self) {
        self.hard.cancelled().await;
    }

    /// A shutdown that follows this one and can also be asked for alone.
    pub fn child(&self) -> Self {
        Self { soft: self.soft.child_token(), hard: self.hard.child_token() }
    }

    /// Watches SIGTERM and SIGINT: the first begins the soft stage, the second, or `grace` after the first, the hard one.
    /// The grace also counts when something else began the soft stage, such as a part of the process that failed.
    ///
    /// The watch begins at once. The future never ends well: it is selected against the end of everything else, and ends
    /// only when watching fails.
    ///
    /// # Errors
    /// The process may not watch signals.
    pub fn on_signals(
        &self,
        grace: Duration,
    ) -> anyhow::Result<impl Future<Output = anyhow::Result<()>> + Send + use<>> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let shutdown = self.clone();
        Ok(async move {
            let mut next = async || {
                let received = tokio::select! {
                    received = terminate.recv() => received.map(|()| "SIGTERM"),
                    received = interrupt.recv() => received.map(|()| "SIGINT"),
                };
                received.context("signals are not delivered any more")
            };
            let cause = tokio::select! {
                first = next() => first?,
                () = shutdown.stopping() => "from within",
            };
            tracing::info!(cause, grace_seconds = grace.as_secs(), "stopping: finishing what is in hand");
            shutdown.begin();
            match tokio::time::timeout(grace, next()).await {
                Ok(second) => tracing::warn!(cause = second?, "asked again: stopping at once"),
                Err(_) => tracing::warn!("the grace period is over: stopping at once"),
            }
            shutdown.force();
            pending().await
        })
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::process::Command;

    use super::*;

    #[tokio::test]
    async fn the_hard_stage_implies_the_soft_one_and_reaches_children() {
        let shutdown = Shutdown::new();
        let child = shutdown.child();
        child.begin();
        assert!(child.is_stopping() && !shutdown.is_stopping());
        shutdown.force();
        child.forced().await;
        assert!(shutdown.is_stopping() && shutdown.is_forced() && child.is_forced());
    }

    fn kill(signal: &str) {
        let told = Command::new("kill").args([signal, &std::process::id().to_string()]).status().unwrap();
        assert!(told.success());
    }

    /// One test, because signals go to the whole process.
    #[tokio::test]
    async fn a_first_signal_is_soft_and_a_second_one_or_the_grace_is_hard() {
        let (shutdown, quick) = (Shutdown::new(), Shutdown::new());
        let mut watch = pin!(shutdown.on_signals(Duration::from_secs(600)).unwrap());
        let mut impatient = pin!(quick.on_signals(Duration::from_millis(50)).unwrap());
        kill("-TERM");
        tokio::select! {
            ended = &mut watch => panic!("the watch ended: {ended:?}"),
            () = shutdown.stopping() => {}
        }
        assert!(!shutdown.is_forced());
        tokio::select! {
            ended = &mut impatient => panic!("the watch ended: {ended:?}"),
            () = quick.forced() => {}
        }
        kill("-INT");
        tokio::select! {
            ended = &mut watch => panic!("the watch ended: {ended:?}"),
            () = shutdown.forced() => {}
        }
        let failed = Shutdown::new();
        let mut watch = pin!(failed.on_signals(Duration::from_millis(50)).unwrap());
        failed.begin();
        tokio::select! {
            ended = &mut watch => panic!("the watch ended: {ended:?}"),
            () = failed.forced() => {}
        }
    }
}
