use clap::{Args, Subcommand};

use super::exit::Exit;
use super::load::load_file;
use super::{ConfigFile, output};
use crate::config::REFERENCE;

/// `causeway config`
#[derive(Subcommand)]
pub(super) enum Config {
    /// Name every problem with a configuration; exit 78 when there is one.
    Check(Check),
    /// Print the configuration in force, with secrets as ***.
    Show(Show),
    /// Print the commented reference configuration.
    Default,
}

#[derive(Args)]
pub(super) struct Check {
    #[command(flatten)]
    file: ConfigFile,
    /// Do not read secret files, for places that do not have them (CI).
    #[arg(long)]
    without_secrets: bool,
}

#[derive(Args)]
pub(super) struct Show {
    #[command(flatten)]
    file: ConfigFile,
}

impl Config {
    pub(super) fn run(self) -> Result<(), Exit> {
        match self {
            Self::Check(Check { file, without_secrets }) => {
                let loaded = load_file(&file.config, !without_secrets)?;
                for warning in &loaded.warnings {
                    output::line(&format!("warning: {warning}"));
                }
                let channels = loaded.config.channels.len();
                output::line(&format!("{}: well; {channels} channel(s)", file.config.display()));
            }
            Self::Show(Show { file }) => output::line(load_file(&file.config, false)?.shown.trim_end()),
            Self::Default => output::line(REFERENCE.trim_end()),
        }
        Ok(())
    }
}
