use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::anyhow;
use clap::{Args, Subcommand};
use http::Method;
use jiff::Timestamp;
use model::Family;
use serde::Serialize;

use super::control::{ask, post};
use super::exit::Exit;
use super::load::load_file;
use super::{ConfigFile, Json, output};
use crate::config::{Config, parse_duration};
use crate::house::dead_letters::{Body, By, Discard, Entry, Fate, Listing, Replay, Selector, Shown, Verdict};

/// `causeway dead-letters`
#[derive(Subcommand)]
pub(super) enum DeadLetters {
    /// Every dead letter without its body, by cause, the oldest first.
    List(List),
    /// One dead letter: its headers, its cause, its timeline.
    Show(Show),
    /// Put dead letters back into the queues they came from, in their order.
    Replay(ReplayThem),
    /// Remove dead letters for good.
    Discard(DiscardThem),
}

#[derive(Args)]
pub(super) struct List {
    /// inbound, replies or receipts; all of them where it is left out.
    #[arg(long, value_parser = family)]
    family: Option<Family>,
    #[command(flatten)]
    file: ConfigFile,
    #[command(flatten)]
    json: Json,
}

#[derive(Args)]
pub(super) struct Show {
    /// The id of a dead letter, as `list` prints it.
    id: String,
    /// Print the body as well. It is private.
    #[arg(long)]
    body: bool,
    /// inbound, replies or receipts: where a reply and its receipt are both there, they have one id.
    #[arg(long, value_parser = family)]
    family: Option<Family>,
    #[command(flatten)]
    file: ConfigFile,
    #[command(flatten)]
    json: Json,
}

#[derive(Args)]
pub(super) struct ReplayThem {
    #[command(flatten)]
    which: Which,
    /// Say what would be replayed, and do nothing.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    file: ConfigFile,
    #[command(flatten)]
    json: Json,
}

#[derive(Args)]
pub(super) struct DiscardThem {
    #[command(flatten)]
    which: Which,
    /// Why: it is written into the timeline and the log.
    #[arg(long, value_name = "TEXT", value_parser = reason)]
    reason: String,
    #[command(flatten)]
    file: ConfigFile,
    #[command(flatten)]
    json: Json,
}

/// Which letters are meant.
#[derive(Args)]
struct Which {
    #[command(flatten)]
    by: Choice,
    /// inbound, replies or receipts; all of them where it is left out.
    #[arg(long, value_parser = family)]
    family: Option<Family>,
}

#[derive(Args)]
#[group(required = true, multiple = false)]
struct Choice {
    /// These.
    #[arg(long, value_name = "ID", num_args = 1..)]
    id: Vec<String>,
    /// All with this cause.
    #[arg(long)]
    cause: Option<String>,
    /// All that died at least so long ago, such as 1h or 30d.
    #[arg(long, value_name = "AGE", value_parser = age)]
    older_than: Option<Duration>,
    /// All.
    #[arg(long)]
    all: bool,
}

fn family(word: &str) -> Result<Family, String> {
    let found = Family::ALL.into_iter().find(|family| family.word() == word);
    found.ok_or_else(|| "it is inbound, replies or receipts".to_owned())
}

fn age(text: &str) -> Result<Duration, String> {
    parse_duration(text).ok_or_else(|| "it is a duration such as 30m, 1h or 30d".to_owned())
}

fn reason(text: &str) -> Result<String, String> {
    let text = text.trim();
    if text.is_empty() { Err("it must say something".to_owned()) } else { Ok(text.to_owned()) }
}

impl DeadLetters {
    pub(super) async fn run(self) -> Result<(), Exit> {
        match self {
            Self::List(list) => list.run().await,
            Self::Show(show) => show.run().await,
            Self::Replay(replay) => replay.run().await,
            Self::Discard(discard) => discard.run().await,
        }
    }
}

impl Which {
    fn selector(self) -> Selector {
        let Choice { id, cause, older_than, all: _ } = self.by;
        let by = match (cause, older_than) {
            _ if !id.is_empty() => By::Ids(id),
            (Some(cause), _) => By::Cause(cause),
            (None, Some(age)) => By::OlderThanSeconds(age.as_secs()),
            (None, None) => By::All,
        };
        Selector { family: self.family, by }
    }
}

/// The letters of one cause.
#[derive(Serialize)]
struct Group {
    cause: String,
    count: usize,
    oldest: Timestamp,
    letters: Vec<Entry>,
}

/// Causes by their oldest letter, and the letters of each in the order of their dying.
fn by_cause(mut letters: Vec<Entry>) -> Vec<Group> {
    // The sort is stable, so letters of one family that died in one moment stay in their order.
    letters.sort_by_key(|letter| letter.died_at);
    let mut groups: BTreeMap<String, Vec<Entry>> = BTreeMap::new();
    for letter in letters {
        groups.entry(letter.cause.clone()).or_default().push(letter);
    }
    let group = |(cause, letters): (String, Vec<Entry>)| {
        Some(Group { cause, count: letters.len(), oldest: letters.first()?.died_at, letters })
    };
    let mut groups: Vec<Group> = groups.into_iter().filter_map(group).collect();
    groups.sort_by_key(|group| group.oldest);
    groups
}

async fn listing(config: &Config, family: Option<Family>) -> anyhow::Result<Listing> {
    let query = family.map(|family| format!("?family={}", family.word())).unwrap_or_default();
    ask(config, Method::GET, &format!("/dead-letters{query}")).await
}

impl List {
    async fn run(self) -> Result<(), Exit> {
        let config = load_file(&self.file.config, false)?.config;
        let Listing { letters, hidden } = listing(&config, self.family).await?;
        let groups = by_cause(letters);
        if self.json.json {
            return Ok(output::json(&serde_json::json!({ "causes": groups, "hidden": hidden }))?);
        }
        if groups.is_empty() {
            output::line("there are no dead letters");
        }
        for group in &groups {
            let shown = if group.cause.is_empty() { "(no cause)" } else { &group.cause };
            output::line(&format!("{shown}: {}, the oldest of {:.0}", letters_of(group.count), group.oldest));
            for letter in &group.letters {
                output::line(&format!("  {:.0}  {}  {}  {}", letter.died_at, letter.id, letter.from, letter.detail));
            }
        }
        if hidden > 0 {
            output::line(&format!("and {hidden} more behind these"));
        }
        Ok(())
    }
}

fn letters_of(count: usize) -> String {
    if count == 1 { "1 letter".to_owned() } else { format!("{count} letters") }
}

impl Show {
    async fn run(self) -> Result<(), Exit> {
        let config = load_file(&self.file.config, false)?.config;
        let found = listing(&config, self.family).await?.letters.into_iter().filter(|letter| letter.id == self.id);
        let mut families: Vec<Family> = found.map(|letter| letter.family).collect();
        families.dedup();
        if families.is_empty() {
            return Err(Exit::Failed(anyhow!("there is no dead letter {}", self.id)));
        }
        let mut all = Vec::new();
        for family in families {
            let id = runtime::url_segment(&self.id);
            let path = format!("/dead-letters/{}/{id}?body={}", family.word(), self.body);
            all.push(ask::<Shown>(&config, Method::GET, &path).await?);
        }
        if self.json.json {
            return Ok(output::json(&all)?);
        }
        all.iter().for_each(print);
        Ok(())
    }
}

fn print(shown: &Shown) {
    let letter = &shown.letter;
    let or_none = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
    let received_at = letter.received_at.map_or_else(|| "-".to_owned(), |at| at.to_string());
    output::line(&format!("{} {}", letter.family.word(), letter.id));
    for (key, value) in [
        ("cause", format!("{}: {}", letter.cause, letter.detail)),
        ("died", letter.died_at.to_string()),
        ("from", letter.from.clone()),
        ("type", or_none(&letter.kind)),
        ("conversation", or_none(&letter.conversation)),
        ("trace", or_none(&letter.trace)),
        ("received", received_at),
        ("body", format!("{} bytes", letter.bytes)),
    ] {
        output::line(&format!("  {key:<13} {value}"));
    }
    output::line("timeline");
    for line in &shown.timeline {
        output::line(&format!("  {:.3}  {:<16} {}", line.at, line.what.word(), line.detail));
    }
    match &shown.body {
        None => {}
        Some(Body::Text(text)) => output::line(text),
        Some(Body::Hex(hex)) => output::line(&format!("(hex) {hex}")),
    }
}

impl ReplayThem {
    async fn run(self) -> Result<(), Exit> {
        let config = load_file(&self.file.config, false)?.config;
        let request = Replay { selector: self.which.selector(), dry_run: self.dry_run };
        let fates: Vec<Fate> = post(&config, "/dead-letters/replay", &request).await?;
        // A dry run that says what stays has done what it was asked for.
        tell(&fates, self.json.json, !self.dry_run)
    }
}

impl DiscardThem {
    async fn run(self) -> Result<(), Exit> {
        let config = load_file(&self.file.config, false)?.config;
        let request = Discard { selector: self.which.selector(), reason: self.reason };
        let fates: Vec<Fate> = post(&config, "/dead-letters/discard", &request).await?;
        tell(&fates, self.json.json, true)
    }
}

/// Tells what became of each letter; one that stays is a failure where it was to go.
fn tell(fates: &[Fate], json: bool, all_go: bool) -> Result<(), Exit> {
    if json {
        output::json(&fates)?;
    } else if fates.is_empty() {
        output::line("there are no such dead letters");
    } else {
        let row = |fate: &Fate| {
            let id = fate.id.clone();
            vec![
                fate.family.word().to_owned(),
                id,
                fate.cause.clone(),
                fate.verdict.word().to_owned(),
                fate.why.clone(),
            ]
        };
        let rows: Vec<Vec<String>> = fates.iter().map(row).collect();
        output::table(&["FAMILY", "ID", "CAUSE", "VERDICT", "WHY"], &rows);
    }
    let stay = fates.iter().filter(|fate| fate.verdict == Verdict::Stays).count();
    if all_go && stay > 0 {
        return Err(Exit::Failed(anyhow!("{stay} of {} stay in the dead letters", letters_of(fates.len()))));
    }
    Ok(())
}
