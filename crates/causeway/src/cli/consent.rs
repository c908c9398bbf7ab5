use clap::{Args, Subcommand, ValueEnum};
use http::Method;
use ledger::{ConsentRecord, Ledger};
use runtime::{Clock, url_segment};

use super::control::{ask, post};
use super::exit::Exit;
use super::load::load_file;
use super::{ConfigFile, Json, output};
use crate::config::{Config, LedgerSettings};
use crate::house::consent::{After, Changed, Consents, Holds, Of, Set};

/// `causeway consent`
#[derive(Subcommand)]
pub(super) enum Consent {
    /// Everybody of whom something is recorded.
    List(List),
    /// What holds for one consumer, on every channel.
    Show(Show),
    /// Opt somebody out or in again, with a reason that stands in the timeline. Nobody is texted about it.
    Set(Change),
    /// Every record, one a line: CSV, or JSON with --json.
    Export(Export),
}

/// In or out.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum State {
    /// May be written to.
    In,
    /// May not.
    Out,
}

impl State {
    const fn consent(self) -> ledger::Consent {
        match self {
            Self::In => ledger::Consent::In,
            Self::Out => ledger::Consent::Out,
        }
    }
}

#[derive(Args)]
pub(super) struct List {
    /// Only those of this channel.
    #[arg(long)]
    channel: Option<String>,
    /// Only those in this state.
    #[arg(long, value_enum)]
    state: Option<State>,
    #[command(flatten)]
    file: ConfigFile,
    #[command(flatten)]
    json: Json,
}

#[derive(Args)]
pub(super) struct Show {
    /// The consumer's number, as people write it.
    consumer: String,
    /// Only on this channel.
    #[arg(long)]
    channel: Option<String>,
    #[command(flatten)]
    file: ConfigFile,
    #[command(flatten)]
    json: Json,
}

#[derive(Args)]
pub(super) struct Change {
    /// The consumer's number, as people write it.
    consumer: String,
    /// Whether they may be written to.
    #[arg(value_enum)]
    state: State,
    /// On which channel.
    #[arg(long)]
    channel: String,
    /// Why; nothing private.
    #[arg(long)]
    reason: String,
    #[command(flatten)]
    file: ConfigFile,
    #[command(flatten)]
    json: Json,
}

#[derive(Args)]
pub(super) struct Export {
    #[command(flatten)]
    file: ConfigFile,
    #[command(flatten)]
    json: Json,
}

impl Consent {
    pub(super) async fn run(self) -> Result<(), Exit> {
        match self {
            Self::List(list) => list.run().await,
            Self::Show(show) => show.run().await,
            Self::Set(change) => change.run().await,
            Self::Export(export) => export.run().await,
        }
    }
}

impl List {
    async fn run(self) -> Result<(), Exit> {
        let desk = Desk::open(&self.file).await?;
        let mut found = Vec::new();
        let wanted = |record: &ConsentRecord| {
            self.channel.as_ref().is_none_or(|name| record.channel.as_str() == name)
                && self.state.is_none_or(|state| record.consent == state.consent())
        };
        desk.each(|record| found.extend(wanted(&record).then_some(record))).await?;
        desk.close().await;
        if self.json.json {
            return Ok(output::json(&found)?);
        }
        let row = |record: ConsentRecord| {
            let at = format!("{:.0}", record.at);
            let word = record.consent.word().to_owned();
            vec![record.channel.to_string(), record.consumer.into_inner(), word, at, record.reason]
        };
        let rows: Vec<Vec<String>> = found.into_iter().map(row).collect();
        output::table(&["CHANNEL", "CONSUMER", "STATE", "SINCE", "REASON"], &rows);
        Ok(())
    }
}

impl Show {
    async fn run(self) -> Result<(), Exit> {
        let desk = Desk::open(&self.file).await?;
        let all = desk.of(Of { consumer: self.consumer, channel: self.channel }).await?;
        desk.close().await;
        if self.json.json {
            return Ok(output::json(&all)?);
        }
        all.iter().for_each(tell);
        Ok(())
    }
}

fn tell(holds: &Holds) {
    let why = match &holds.record {
        Some(record) => format!("since {:.0}, {}", record.at, record.reason),
        None => "nothing is recorded".to_owned(),
    };
    let note = if holds.in_force { "" } else { " (consent is \"off\" on this channel: the platform sees to it)" };
    output::line(&format!("{}: {}, {why}{note}", holds.channel, holds.consent.word()));
}

impl Change {
    async fn run(self) -> Result<(), Exit> {
        let desk = Desk::open(&self.file).await?;
        let (channel, consumer) = (self.channel, self.consumer);
        let set = Set { channel, consumer, consent: self.state.consent(), reason: self.reason };
        let done = desk.set(set).await?;
        desk.close().await;
        if self.json.json {
            return Ok(output::json(&done)?);
        }
        if !done.changed {
            output::line("it was so already; nothing was changed");
        }
        tell(&done.holds);
        Ok(())
    }
}

impl Export {
    async fn run(self) -> Result<(), Exit> {
        let desk = Desk::open(&self.file).await?;
        let json = self.json.json;
        if !json {
            output::line("channel,consumer,state,since,reason,by");
        }
        let mut failed = None;
        desk.each(|record| match json {
            true => match serde_json::to_string(&record) {
                Ok(text) => output::line(&text),
                Err(error) => failed = Some(error),
            },
            false => output::line(&csv(&record)),
        })
        .await?;
        desk.close().await;
        failed.map_or(Ok(()), |error| Err(anyhow::Error::new(error).into()))
    }
}

fn csv(record: &ConsentRecord) -> String {
    let at = record.at.to_string();
    let cells =
        [record.channel.as_str(), record.consumer.expose(), record.consent.word(), &at, &record.reason, &record.by];
    cells.map(quoted).join(",")
}

/// A cell as RFC 4180 has it.
fn quoted(cell: &str) -> String {
    if cell.contains([',', '"', '\n', '\r']) { format!("\"{}\"", cell.replace('"', "\"\"")) } else { cell.to_owned() }
}

/// The running process; without one the ledger itself, which processes of one machine may share.
struct Desk {
    config: Config,
    beside: Option<(Consents, Ledger)>,
}

impl Desk {
    async fn open(file: &ConfigFile) -> Result<Self, Exit> {
        let config = load_file(&file.config, false)?.config;
        let asked: anyhow::Result<Vec<ConsentRecord>> = ask(&config, Method::GET, &path_of(&After::default())).await;
        let (Err(error), LedgerSettings::Sqlite { path, .. }) = (asked, &config.ledger) else {
            return Ok(Self { config, beside: None });
        };
        if !path.exists() {
            return Err(error.into());
        }
        tracing::debug!(%error, "no process answers; the ledger is opened directly");
        let clock = Clock::system();
        let ledger = crate::house::open_ledger_as_it_is(&config, &clock).await.map_err(anyhow::Error::from)?;
        let consents = Consents::new(&config, Some(&ledger), &clock);
        Ok(Self { config, beside: Some((consents, ledger)) })
    }

    async fn close(self) {
        if let Some((consents, ledger)) = self.beside {
            drop(consents);
            ledger.close().await;
        }
    }

    /// Every record, page by page.
    async fn each(&self, mut see: impl FnMut(ConsentRecord)) -> anyhow::Result<()> {
        let mut after = After::default();
        loop {
            let page: Vec<ConsentRecord> = match &self.beside {
                Some((consents, _)) => consents.page(after).await?,
                None => ask(&self.config, Method::GET, &path_of(&after)).await?,
            };
            let Some(last) = page.last() else { return Ok(()) };
            after = After { channel: last.channel.to_string(), consumer: last.consumer.expose().clone() };
            page.into_iter().for_each(&mut see);
        }
    }

    async fn of(&self, of: Of) -> anyhow::Result<Vec<Holds>> {
        let Some((consents, _)) = &self.beside else {
            let channel = of.channel.map(|name| format!("&channel={}", url_segment(&name))).unwrap_or_default();
            let path = format!("/consent/of?consumer={}{channel}", url_segment(&of.consumer));
            return ask(&self.config, Method::GET, &path).await;
        };
        Ok(consents.of(&of).await?)
    }

    async fn set(&self, set: Set) -> anyhow::Result<Changed> {
        match &self.beside {
            Some((consents, _)) => Ok(consents.set(&set).await?),
            None => post(&self.config, "/consent", &set).await,
        }
    }
}

fn path_of(after: &After) -> String {
    format!("/consent?channel={}&consumer={}", url_segment(&after.channel), url_segment(&after.consumer))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_quoted_where_they_must_be() {
        assert_eq!(quoted("plain"), "plain");
        assert_eq!(quoted("a, \"b\"\nc"), "\"a, \"\"b\"\"\nc\"");
    }
}
