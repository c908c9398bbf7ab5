use clap::Args;
use http::Method;
use ledger::Line;
use runtime::{Clock, url_segment};

use super::control::ask;
use super::exit::Exit;
use super::load::load_file;
use super::{ConfigFile, Json, output};
use crate::config::{Config, LedgerSettings};

/// `causeway trace`
#[derive(Args)]
pub(super) struct Trace {
    /// An id of the house, a Genesys message id, a trace id, or a consumer's number.
    #[arg(value_name = "ID|NUMBER")]
    query: String,
    #[command(flatten)]
    file: ConfigFile,
    #[command(flatten)]
    json: Json,
}

impl Trace {
    pub(super) async fn run(self) -> Result<(), Exit> {
        let config = load_file(&self.file.config, false)?.config;
        let lines = self.lines(&config).await?;
        if self.json.json {
            return Ok(output::json(&lines)?);
        }
        if lines.is_empty() {
            return Err(Exit::Failed(anyhow::anyhow!("nothing is known of that id or number")));
        }
        let mut last = None;
        for line in lines {
            if last.as_ref() != Some(&line.id) {
                output::line(&format!("{} {} on {} (trace {})", line.family.word(), line.id, line.channel, line.trace));
                last = Some(line.id.clone());
            }
            output::line(&format!("  {:.3}  {:<16} {}", line.at, line.what.word(), line.detail));
        }
        Ok(())
    }

    /// From the running process; without one, from the ledger itself, which processes of one machine may share.
    async fn lines(&self, config: &Config) -> anyhow::Result<Vec<Line>> {
        let query = url_segment(&self.query);
        let asked = ask(config, Method::GET, &format!("/trace?query={query}")).await;
        let (Err(error), LedgerSettings::Sqlite { path, .. }) = (&asked, &config.ledger) else { return asked };
        if !path.exists() {
            return asked;
        }
        tracing::debug!(%error, "no process answers; the ledger is read directly");
        let ledger = crate::house::open_ledger_as_it_is(config, &Clock::system()).await?;
        let lines = ledger.timeline(&self.query).await?;
        ledger.close().await;
        Ok(lines)
    }
}
