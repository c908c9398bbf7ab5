use std::time::Duration;

use clap::Args;
use runtime::{Clock, Shutdown};

use super::ConfigFile;
use super::exit::Exit;
use super::load::{load_file, reload};
use crate::house::{House, Opening, Role};

/// `causeway run`
#[derive(Args)]
pub(super) struct Run {
    /// A role to play; may be repeated. Left out: all five.
    #[arg(long = "role", value_enum)]
    roles: Vec<Role>,
    #[command(flatten)]
    file: ConfigFile,
}

/// How long the hard stage waits for those who notice it by themselves.
const NOTICES: Duration = Duration::from_secs(2);

impl Run {
    pub(super) async fn run(self) -> Result<(), Exit> {
        let loaded = load_file(&self.file.config, true)?;
        runtime::logging::init(loaded.config.log.format, &loaded.config.log.filter)?;
        let shutdown = Shutdown::new();
        let grace = loaded.config.stop.grace;
        let reload = reload(&self.file.config, &loaded.secret_files)?;
        let roles = if self.roles.is_empty() { Role::all() } else { self.roles.into_iter().collect() };
        let opening = Opening { loaded, roles, clock: Clock::system(), reload, shutdown: shutdown.clone() };
        let signals = shutdown.on_signals(grace)?;
        let house = House::open(opening).await?;
        tokio::select! {
            closed = house.closed() => closed?,
            // The watch on signals ends with the process; its only other end is a failure to watch.
            failed = signals => failed?,
            () = overdue(&shutdown) => tracing::warn!("parts that did not end by themselves are ended; what was in hand comes again"),
        }
        tracing::info!("causeway is closed");
        Ok(())
    }
}

/// Whoever sends a second signal means now, whatever a part still waits for.
async fn overdue(shutdown: &Shutdown) {
    shutdown.forced().await;
    tokio::time::sleep(NOTICES).await;
}
