use std::convert::Infallible;
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
}

impl Shutdown {
    /// Watches SIGTERM and SIGINT: the first begins the soft stage, the second, or `grace` after the first, the hard one.
    ///
    /// The watch begins at once; the future only waits, and ends with an error if watching fails.
    ///
    /// # Errors
    /// The process may not watch signals.
    pub fn on_signals(
        &self,
        grace: Duration,
    ) -> anyhow::Result<impl Future<Output = anyhow::Result<Infallible>> + Send + use<>> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let shutdown = self.clone();
        Ok(async move {
            let mut next = async || tokio::select! {
                received = terminate.recv() => received.map(|()| "SIGTERM"),
                received = interrupt.recv() => received.map(|()| "SIGINT"),
            };
            let first = next().await.context("signals are not delivered any more")?;
            tracing::info!(signal = first, grace_seconds = grace.as_secs(), "stopping: finishing what is in hand");
            shutdown.begin();
            match tokio::time::timeout(grace, next()).await {
                Ok(_) => tracing::warn!("a second signal: stopping at once"),
                Err(_) => tracing::warn!("the grace period is over: stopping at once"),
            }
            shutdown.force();
            pending().await
        })
    }
}

#[cfg(test)]
mod tests {
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
}
