use clap::Subcommand;
use ledger::Ledger as Store;
use runtime::Clock;

use super::exit::Exit;
use super::load::load_file;
use super::{ConfigFile, output};
use crate::house::ledger_settings;

/// `causeway ledger`
#[derive(Subcommand)]
pub(super) enum Ledger {
    /// Bring the ledger's schema up to date, as a user that may; old and new programs run side by side on it.
    Migrate(ConfigFile),
}

impl Ledger {
    pub(super) async fn run(self) -> Result<(), Exit> {
        let Self::Migrate(file) = self;
        let config = load_file(&file.config, true)?.config;
        let schema = Store::migrate(ledger_settings(&config, false), Clock::system()).await;
        let schema = schema.map_err(|error| Exit::Failed(error.into()))?;
        output::line(&format!("the ledger is at schema {schema}"));
        Ok(())
    }
}
