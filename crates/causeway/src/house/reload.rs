//! Reads the configuration again when a secret file changes, so that a rotation needs no restart.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use runtime::Shutdown;
use tokio::time::{MissedTickBehavior, interval};

use super::directories::Directories;
use crate::config::{Loaded, Problems};

/// How to read the configuration again, and which files it was read from.
pub struct Reload {
    /// Reads it.
    pub read: Box<dyn Fn() -> Result<Loaded, Problems> + Send + Sync>,
    /// Files whose change is looked for.
    pub files: Vec<PathBuf>,
    /// How often.
    pub every: Duration,
}

type Stamps = BTreeMap<PathBuf, Option<(SystemTime, u64)>>;

impl Reload {
    pub(super) async fn run(self, directories: Directories, shutdown: Shutdown) -> anyhow::Result<()> {
        let mut ticks = interval(self.every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut known = self.stamps().await;
        loop {
            tokio::select! {
                () = shutdown.stopping() => return Ok(()),
                _ = ticks.tick() => {}
            }
            let found = self.stamps().await;
            if found == known {
                continue;
            }
            match (self.read)() {
                Ok(loaded) => {
                    directories.replace(&loaded.config);
                    tracing::info!("a secret file changed; the secrets of channels and providers were read again");
                }
                Err(problems) => {
                    tracing::error!(%problems, "a secret file changed and cannot be used; the secrets read before stay in force");
                }
            }
            known = found;
        }
    }

    async fn stamps(&self) -> Stamps {
        let mut stamps = Stamps::new();
        for file in &self.files {
            let stamp = tokio::fs::metadata(file).await.ok();
            stamps.insert(file.clone(), stamp.and_then(|data| Some((data.modified().ok()?, data.len()))));
        }
        stamps
    }
}
