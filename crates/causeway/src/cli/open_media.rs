//! `causeway open-media`: tasks for agents, tried by hand. What is printed are the tenant's own data, and never its key.

use anyhow::{Context, anyhow};
use clap::{Args, Subcommand};
use genesys::{
    Changes, Client, Created, ExternalId, Interaction, InteractionRef, NewInteraction, Reached, StopReason, UserData,
};
use jiff::Timestamp;
use runtime::{Clock, HttpClient};
use serde::Serialize;

use super::exit::Exit;
use super::load::load_file;
use super::{ConfigFile, Json, output};
use crate::config::Config;
use crate::house::tenant_door;

/// `causeway open-media`
#[derive(Subcommand)]
pub(super) enum OpenMedia {
    /// Make a task for agents. Where its external id is taken, that task is looked at, and nothing is made.
    Create(Create),
    /// Show a task.
    Get(Get),
    /// End a task. One that has ended already is as good.
    Stop(Stop),
    /// Change what agents see beside a task.
    Update(Update),
}

/// Where.
#[derive(Args)]
struct At {
    #[command(flatten)]
    file: ConfigFile,
    /// The tenant, by its name; needed where there is more than one.
    #[arg(long)]
    genesys: Option<String>,
    /// The open media service.
    #[arg(long)]
    service: String,
    #[command(flatten)]
    json: Json,
}

/// Which task.
#[derive(Args)]
#[group(required = true, multiple = false)]
struct Which {
    /// The id Genesys gave it.
    #[arg(long)]
    id: Option<String>,
    /// The id it was made with.
    #[arg(long, value_parser = external_id)]
    external_id: Option<ExternalId>,
}

/// `causeway open-media create`
#[derive(Args)]
pub(super) struct Create {
    #[command(flatten)]
    at: At,
    /// 1 to 64 of A-Z a-z 0-9 _ -; default: a new one.
    #[arg(long, value_parser = external_id)]
    external_id: Option<ExternalId>,
    /// The id Genesys gave the task before it.
    #[arg(long)]
    parent: Option<String>,
    /// When its message came in, such as "2026-11-20T18:00:00Z"; default: now.
    #[arg(long)]
    received_at: Option<Timestamp>,
    /// What agents see.
    #[arg(long = "data", value_name = "KEY=VALUE", value_parser = pair)]
    data: Vec<(String, String)>,
}

/// `causeway open-media get`
#[derive(Args)]
pub(super) struct Get {
    #[command(flatten)]
    at: At,
    #[command(flatten)]
    which: Which,
}

/// `causeway open-media stop`
#[derive(Args)]
pub(super) struct Stop {
    #[command(flatten)]
    at: At,
    #[command(flatten)]
    which: Which,
    /// Why, as a word Genesys knows.
    #[arg(long)]
    reason: Option<String>,
    /// Why, in words.
    #[arg(long)]
    description: Option<String>,
}

/// `causeway open-media update`
#[derive(Args)]
#[command(group(clap::ArgGroup::new("changes").required(true).multiple(true)))]
pub(super) struct Update {
    #[command(flatten)]
    at: At,
    #[command(flatten)]
    which: Which,
    /// A key that is new.
    #[arg(long = "add", value_name = "KEY=VALUE", value_parser = pair, group = "changes")]
    added: Vec<(String, String)>,
    /// A key that is there.
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = pair, group = "changes")]
    changed: Vec<(String, String)>,
    /// A key that goes.
    #[arg(long = "delete", value_name = "KEY", group = "changes")]
    deleted: Vec<String>,
}

/// What a command tells machines.
#[derive(Serialize)]
struct Told<'a> {
    result: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    external_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    interaction_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    answer: Option<&'a serde_json::Value>,
}

fn external_id(text: &str) -> Result<ExternalId, String> {
    ExternalId::parse(text).map_err(|error| error.to_string())
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').filter(|(key, _)| !key.is_empty()).ok_or("write KEY=VALUE")?;
    Ok((key.to_owned(), value.to_owned()))
}

impl OpenMedia {
    pub(super) async fn run(self) -> Result<(), Exit> {
        match self {
            Self::Create(command) => command.run().await,
            Self::Get(command) => command.run().await,
            Self::Stop(command) => command.run().await,
            Self::Update(command) => command.run().await,
        }
    }
}

impl At {
    fn client(&self) -> Result<Client, Exit> {
        let config = load_file(&self.file.config, true)?.config;
        let name = tenant(&config, self.genesys.as_deref())?;
        let http = HttpClient::new(&config.net)?;
        Ok(tenant_door(&config, &name, &http, &Clock::system()).context("the tenant is configured")?)
    }

    fn tell(&self, told: &Told<'_>, words: &str) -> Result<(), Exit> {
        if self.json.json {
            return Ok(output::json(told)?);
        }
        output::line(words);
        Ok(())
    }
}

fn tenant(config: &Config, name: Option<&str>) -> anyhow::Result<String> {
    let names = || config.genesys.iter().map(|tenant| tenant.name.as_str()).collect::<Vec<_>>().join(", ");
    let found = match (name, config.genesys.as_slice()) {
        (Some(name), all) => all.iter().find(|tenant| tenant.name.as_str() == name),
        (None, [only]) => Some(only),
        (None, _) => return Err(anyhow!("give --genesys; there are: {}", names())),
    };
    let found = found.with_context(|| format!("no tenant is named so; there are: {}", names()))?;
    if found.api_key.is_none() {
        return Err(anyhow!("tenant {} has no api_key_file, which every call of Open Media needs", found.name));
    }
    Ok(found.name.to_string())
}

impl Which {
    fn at(&self) -> anyhow::Result<InteractionRef> {
        match (&self.id, &self.external_id) {
            (Some(id), _) => Ok(InteractionRef::Id(id.clone())),
            (None, Some(id)) => Ok(InteractionRef::External(id.clone())),
            (None, None) => Err(anyhow!("give --id or --external-id")),
        }
    }

    fn told(&self, result: &'static str) -> Told<'_> {
        let external_id = self.external_id.as_ref().map(ExternalId::as_str);
        Told { result, external_id, interaction_id: self.id.as_deref(), answer: None }
    }
}

fn named(interaction: &Interaction) -> &str {
    interaction.id.as_deref().unwrap_or("(no id was told)")
}

impl Create {
    async fn run(self) -> Result<(), Exit> {
        let client = self.at.client()?;
        let made_up = || ExternalId::parse(&format!("try-{}", uuid::Uuid::new_v4().simple()));
        let external_id = self.external_id.map_or_else(made_up, Ok).map_err(anyhow::Error::from)?;
        let new = NewInteraction {
            external_id: external_id.clone(),
            parent: self.parent,
            received_at: Some(self.received_at.unwrap_or_else(|| Clock::system().now())),
            user_data: self.data.into_iter().collect(),
        };
        let created = client.create_interaction(&self.at.service, &new, false).await.map_err(anyhow::Error::from)?;
        let (result, interaction) = match &created {
            Created::Made(interaction) => ("created", interaction),
            Created::There(interaction) => ("exists", interaction),
            Created::Ended => {
                return Err(anyhow!(
                    "nothing was made: an interaction with external id {external_id} was there before, and has ended; \
                     give another --external-id"
                )
                .into());
            }
        };
        let told = Told {
            result,
            external_id: Some(external_id.as_str()),
            interaction_id: interaction.id.as_deref(),
            answer: Some(&interaction.body),
        };
        let words = match result {
            "created" => format!("created interaction {}; external id {external_id}", named(interaction)),
            _ => format!(
                "nothing was made: external id {external_id} belongs to interaction {}, which is open",
                named(interaction)
            ),
        };
        self.at.tell(&told, &words)
    }
}

impl Get {
    async fn run(self) -> Result<(), Exit> {
        let client = self.at.client()?;
        let found = client.interaction(&self.at.service, &self.which.at()?).await.map_err(anyhow::Error::from)?;
        let found = found.context("there is no such interaction; it may have ended")?;
        let told = Told {
            interaction_id: found.id.as_deref(),
            answer: Some(&found.body),
            ..self.which.told(if found.ended { "ended" } else { "found" })
        };
        let how = if found.ended { "has ended" } else { "is there" };
        self.at.tell(&told, &format!("interaction {} {how}", named(&found)))?;
        if self.at.json.json { Ok(()) } else { Ok(output::json(&found.body)?) }
    }
}

impl Stop {
    async fn run(self) -> Result<(), Exit> {
        let client = self.at.client()?;
        let reason = StopReason { system_name: self.reason, description: self.description };
        let stopped = client.stop_interaction(&self.at.service, &self.which.at()?, &reason).await;
        match stopped.map_err(anyhow::Error::from)? {
            Reached::Done => self.at.tell(&self.which.told("stopped"), "stopped"),
            Reached::Gone => {
                self.at.tell(&self.which.told("gone"), "nothing to stop: it had ended, or never was there")
            }
        }
    }
}

impl Update {
    async fn run(self) -> Result<(), Exit> {
        let client = self.at.client()?;
        let data = |pairs: Vec<(String, String)>| pairs.into_iter().collect::<UserData>();
        let changes = Changes { changed: data(self.changed), added: data(self.added), deleted: self.deleted };
        let updated = client.update_interaction(&self.at.service, &self.which.at()?, &changes).await;
        match updated.map_err(anyhow::Error::from)? {
            Reached::Done => self.at.tell(&self.which.told("updated"), "updated"),
            Reached::Gone => Err(anyhow!("there is no such interaction to change; it may have ended").into()),
        }
    }
}
