use std::collections::BTreeSet;

use anyhow::{Context, anyhow};
use clap::{Args, Subcommand};
use http::Method;
use ledger::{Erased, Erasure, Ledger, LedgerError};
use model::{Address, ConversationKey, PhoneNumber};
use runtime::Clock;
use serde::Serialize;

use super::control::{ask, post};
use super::exit::Exit;
use super::load::load_file;
use super::{ConfigFile, Json, output};
use crate::config::{ChannelKind, Config};
use crate::house::dead_letters::{By, Discard, Entry, Fate, Listing, Selector, Verdict};
use crate::house::open_ledger_as_it_is;

/// `causeway person`
#[derive(Subcommand)]
pub(super) enum Person {
    /// Print everything the ledger holds of a consumer. It is private.
    Export(Export),
    /// Erase what the ledger holds of a consumer. What was done stays known as done, without an address.
    Erase(Erase),
}

#[derive(Args)]
pub(super) struct Export {
    /// A telephone number or a mail address.
    consumer: String,
    #[command(flatten)]
    file: ConfigFile,
    #[command(flatten)]
    json: Json,
}

#[derive(Args)]
pub(super) struct Erase {
    /// A telephone number or a mail address.
    consumer: String,
    /// It cannot be undone.
    #[arg(long, required = true)]
    yes: bool,
    /// Discard the dead letters of this consumer as well: they hold texts and addresses.
    #[arg(long)]
    dead_letters: bool,
    /// Forget as well whether they want to be written to. Without it a STOP goes on to hold: it is what the number is kept for.
    #[arg(long)]
    consent: bool,
    #[command(flatten)]
    file: ConfigFile,
    #[command(flatten)]
    json: Json,
}

impl Person {
    pub(super) async fn run(self) -> Result<(), Exit> {
        match self {
            Self::Export(export) => export.run().await,
            Self::Erase(erase) => erase.run().await,
        }
    }
}

/// The address as the ledger keeps it: every channel's country reads a number in its own way.
fn address(config: &Config, consumer: &str) -> anyhow::Result<Address> {
    if let Ok(mail) = Address::mail(consumer) {
        return Ok(mail);
    }
    let read = |channel: &crate::config::Channel| match channel.kind {
        ChannelKind::Sms { country, .. } => PhoneNumber::normalise(consumer, country).ok().map(Address::Phone),
        ChannelKind::Email(_) => None,
    };
    let mut found: BTreeSet<Address> = config.channels.iter().filter_map(read).collect();
    match (found.pop_first(), found.is_empty()) {
        (Some(address), true) => Ok(address),
        (Some(_), false) => Err(anyhow!(
            "channels of several countries read this number in different ways; write it with + and its country"
        )),
        (None, _) => Ok(Address::Invalid(consumer.trim().to_owned())),
    }
}

/// What is held of a consumer alone, and in each group they are a member of.
#[derive(Serialize)]
struct Held {
    #[serde(flatten)]
    person: ledger::Person,
    groups: Vec<HeldInGroup>,
}

#[derive(Serialize)]
struct HeldInGroup {
    group: String,
    #[serde(flatten)]
    person: ledger::Person,
}

async fn held(ledger: &Ledger, address: &Address) -> Result<Held, LedgerError> {
    let person = ledger.person(address).await?;
    let mut groups = Vec::new();
    for group in ledger.groups(address).await? {
        groups.push(HeldInGroup { group: group.normalised().to_owned(), person: ledger.person(&group).await? });
    }
    Ok(Held { person, groups })
}

impl Export {
    async fn run(self) -> Result<(), Exit> {
        let config = load_file(&self.file.config, true)?.config;
        let address = address(&config, &self.consumer)?;
        let ledger = open_ledger_as_it_is(&config, &Clock::system()).await.map_err(anyhow::Error::from)?;
        let held = held(&ledger, &address).await;
        ledger.close().await;
        let held = held.map_err(anyhow::Error::from)?;
        if self.json.json {
            return Ok(output::json(&held)?);
        }
        print(&held.person);
        for one in &held.groups {
            output::line(&format!("in the group {}:", one.group));
            print(&one.person);
        }
        let person = &held.person;
        if person.effects.is_empty()
            && person.sessions.is_empty()
            && person.consents.is_empty()
            && held.groups.is_empty()
        {
            output::line("the ledger holds nothing of this consumer");
        }
        Ok(())
    }
}

fn print(person: &ledger::Person) {
    for effect in &person.effects {
        let outcome = effect.outcome.as_deref().unwrap_or("open");
        output::line(&format!(
            "{} {} on {}, called {} by Genesys, of {:.3}: {outcome}",
            effect.family.word(),
            effect.id,
            effect.channel,
            effect.foreign_id,
            effect.received_at
        ));
        for line in person.timeline.iter().filter(|line| line.id == effect.id) {
            output::line(&format!("  {:.3}  {:<16} {}", line.at, line.what.word(), line.detail));
        }
    }
    for receipt in &person.receipts {
        let told = if receipt.emitted { "told" } else { "not told yet" };
        output::line(&format!("receipt of {} on {}: {}, {told}", receipt.foreign_id, receipt.channel, receipt.state));
    }
    for arrival in &person.arrivals {
        output::line(&format!("arrival {} on {} by {}", arrival.id, arrival.channel, arrival.path));
    }
    for session in &person.sessions {
        output::line(&format!("session {} on {}, used {:.0}", session.session, session.channel, session.used_at));
    }
    for task in &person.interactions {
        output::line(&format!("interaction on {}, used {:.0}: {}", task.channel, task.touched_at, task.interaction));
    }
    for one in &person.consents {
        let word = one.consent.word();
        output::line(&format!("opted {word} on {} since {:.0}: {}", one.channel, one.at, one.reason));
    }
}

/// What was done, for machines.
#[derive(Default, Serialize)]
struct Done {
    erased: Erased,
    /// Groups they are a member of, whose conversations were erased as well.
    groups: usize,
    /// What was forgotten of whether they want to be written to, and what was kept.
    consents: u64,
    consents_kept: u64,
    /// `None` where no process could be asked.
    dead_letters: Option<usize>,
    discarded: usize,
}

impl Erase {
    async fn run(self) -> Result<(), Exit> {
        let config = load_file(&self.file.config, true)?.config;
        let address = address(&config, &self.consumer)?;
        let ledger = open_ledger_as_it_is(&config, &Clock::system()).await.map_err(anyhow::Error::from)?;
        let done = self.erase(&config, &ledger, address).await;
        ledger.close().await;
        let (done, letters) = done?;
        if self.json.json {
            return Ok(output::json(&done)?);
        }
        tell(&done);
        match letters {
            Ok(_) if done.discarded > 0 => output::line(&format!("{} dead letters discarded", done.discarded)),
            Ok(letters) if letters.is_empty() => output::line("no dead letters"),
            Ok(letters) => {
                output::line(&format!(
                    "{} dead letters of this consumer stay; run it again with --dead-letters, or:",
                    letters.len()
                ));
                let ids: Vec<&str> = letters.iter().map(|letter| letter.id.as_str()).collect();
                output::line(&format!("  causeway dead-letters discard --reason TEXT --id {}", ids.join(" ")));
            }
            Err(error) => output::line(&format!("the dead letters could not be looked at: {error:#}")),
        }
        Ok(())
    }

    async fn erase(
        &self,
        config: &Config,
        ledger: &Ledger,
        address: Address,
    ) -> anyhow::Result<(Done, anyhow::Result<Vec<Entry>>)> {
        let groups = ledger.groups(&address).await?;
        let all: Vec<Address> = std::iter::once(address).chain(groups).collect();
        let letters = dead_letters(config, &all).await;
        // Before the ledger forgets: a discard is written into a timeline, which is erased with the rest.
        let discarded = match &letters {
            Ok(letters) if self.dead_letters => discard(config, letters).await?,
            Err(error) if self.dead_letters => {
                return Err(anyhow!("the dead letters cannot be looked at, and nothing was erased: {error:#}"));
            }
            Ok(_) | Err(_) => 0,
        };
        let mut done = Done { groups: all.len() - 1, discarded, ..Done::default() };
        done.dead_letters = letters.as_ref().ok().map(|letters| letters.len() - discarded);
        for (index, one) in all.iter().enumerate() {
            match ledger.erase(one).await? {
                Erasure::Erased(erased) => done.erased.add(&erased),
                Erasure::InHand(count) => return Err(in_hand(index, all.len(), count)),
            }
            match self.consent {
                true => done.consents += ledger.forget_consents(one).await?,
                false => done.consents_kept += ledger.person(one).await?.consents.len() as u64,
            }
        }
        Ok((done, letters))
    }
}

fn in_hand(done: usize, of: usize, count: u64) -> anyhow::Error {
    let told = "messages of this consumer are being sent, or looked for at the provider";
    let first = match done {
        0 => "nothing was erased from the ledger".to_owned(),
        done => format!("{done} of {of} conversations were erased from the ledger, their own and those of groups"),
    };
    anyhow!("{first}: {told} ({count}); try again when `causeway trace` shows how they ended")
}

fn tell(done: &Done) {
    let erased = &done.erased;
    for (kind, count) in [
        ("messages (each stays known as done, without an address)", erased.effects),
        ("lines of timelines", erased.timeline),
        ("receipts", erased.receipts),
        ("arrivals", erased.arrivals),
        ("sessions", erased.sessions),
        ("interactions", erased.interactions),
        ("ids and reports of the provider", erased.reports),
        ("groups, whose conversations are among these", done.groups as u64),
        ("records of whether they want to be written to", done.consents),
    ] {
        output::line(&format!("{count:>6}  {kind}"));
    }
    if erased.arrivals_kept > 0 {
        let told = "arrivals stay for up to three days, as hashes: their messages may come by another path";
        output::line(&format!("{:>6}  {told}", erased.arrivals_kept));
    }
    if done.consents_kept > 0 {
        let told = "records of whether they want to be written to stay, so that a STOP goes on to hold; --consent forgets them";
        output::line(&format!("{:>6}  {told}", done.consents_kept));
    }
}

/// The dead letters of conversations: they are known by the hash of their conversation.
async fn dead_letters(config: &Config, all: &[Address]) -> anyhow::Result<Vec<Entry>> {
    let conversations = |channel: &crate::config::Channel| {
        let name = channel.name.clone();
        all.iter().map(move |one| ConversationKey::new(&name, one).header().to_owned())
    };
    let theirs: BTreeSet<String> = config.channels.iter().flat_map(conversations).collect();
    let Listing { mut letters, hidden } = ask(config, Method::GET, "/dead-letters").await?;
    if hidden > 0 {
        let told = "more dead letters than one look takes";
        return Err(anyhow!("{told} ({hidden} are behind it); settle some, then erase again"));
    }
    letters.retain(|letter| letter.conversation.as_ref().is_some_and(|one| theirs.contains(one)));
    Ok(letters)
}

async fn discard(config: &Config, letters: &[Entry]) -> anyhow::Result<usize> {
    if letters.is_empty() {
        return Ok(0);
    }
    let ids: BTreeSet<String> = letters.iter().map(|letter| letter.id.clone()).collect();
    let selector = Selector { family: None, by: By::Ids(ids.into_iter().collect()) };
    let request = Discard { selector, reason: "its consumer is erased".to_owned() };
    let fates: Vec<Fate> = post(config, "/dead-letters/discard", &request).await.context("nothing was erased")?;
    let gone = fates.iter().filter(|fate| fate.verdict == Verdict::Discarded).count();
    anyhow::ensure!(
        gone == fates.len(),
        "{} dead letters stay, and nothing was erased from the ledger",
        fates.len() - gone
    );
    Ok(gone)
}
