//! `causeway netsapiens`: an account, tried by hand. What is printed are the account's own data, and never a secret.

mod keys;
mod messages;
mod numbers;
mod request;
mod sessions;
mod subscriptions;

use std::path::PathBuf;

use anyhow::{Context, anyhow};
use clap::{Args, Subcommand};
use jiff::Timestamp;
use ledger::LedgerError;
use runtime::{Clock, HttpClient};
use serde::Serialize;
use sms::Provider;
use sms::netsapiens::Account;

use super::exit::{Exit, Usage};
use super::load::load_file;
use super::output;
use crate::config::{Auth, ChannelKind, Config, ProviderKind};
use crate::house::{open_ledger_as_it_is, provider_doors};

/// `causeway netsapiens`
#[derive(Args)]
pub(super) struct NetSapiens {
    #[command(flatten)]
    at: At,
    #[command(subcommand)]
    command: Command,
}

/// Which account.
#[derive(Args, Clone)]
struct At {
    /// The configuration file (TOML).
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    /// The provider, by its name; needed where there is more than one.
    #[arg(long, global = true)]
    provider: Option<String>,
    /// Print JSON.
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Subcommand)]
enum Command {
    /// What the server says of itself.
    Version,
    /// SMS numbers.
    #[command(subcommand)]
    Numbers(numbers::Numbers),
    /// Conversations.
    #[command(subcommand)]
    Sessions(sessions::Sessions),
    /// The messages of a conversation, the newest first.
    Messages(messages::Messages),
    /// Send a message: a text, a picture, or a chat between users.
    Send(messages::Send),
    /// Event subscriptions.
    #[command(subcommand)]
    Subscriptions(subscriptions::Subscriptions),
    /// API keys.
    #[command(subcommand)]
    Keys(keys::Keys),
    /// One call of any operation, with the account's token, below its base_url.
    Request(request::Request),
}

/// What a command works with.
struct Desk<'a> {
    account: &'a Account,
    config: &'a Config,
    json: bool,
    now: Timestamp,
}

impl NetSapiens {
    pub(super) async fn run(self) -> Result<(), Exit> {
        let Self { at, command } = self;
        let file = at.config.clone().ok_or_else(|| Exit::Usage(Usage("--config FILE is missing".to_owned())))?;
        let config = load_file(&file, true)?.config;
        let clock = Clock::system();
        // What logs in with a password shares its token with the running processes, or would log them out.
        let shares = config.providers.iter().any(|provider| match &provider.kind {
            ProviderKind::NetSapiens(settings) => !matches!(settings.auth, Auth::ApiKey(_)),
            ProviderKind::Email(_) => false,
        });
        let ledger = match shares {
            true => match open_ledger_as_it_is(&config, &clock).await {
                Ok(ledger) => Some(ledger),
                // Before the first start nobody has a token that could be shared.
                Err(LedgerError::NotThere { .. }) => None,
                Err(error) => return Err(anyhow::Error::from(error).into()),
            },
            false => None,
        };
        let doors = provider_doors(&config, &HttpClient::new(&config.net)?, &clock, ledger.as_ref());
        let done = match find(&doors, at.provider.as_deref()) {
            Ok(account) => {
                let desk = Desk { account, config: &config, json: at.json, now: clock.now() };
                command.run(&desk).await
            }
            Err(error) => Err(error),
        };
        drop(doors);
        if let Some(ledger) = ledger {
            ledger.close().await;
        }
        done.map_err(Exit::from)
    }
}

impl Command {
    async fn run(self, desk: &Desk<'_>) -> anyhow::Result<()> {
        match self {
            Self::Version => numbers::version(desk).await,
            Self::Numbers(command) => command.run(desk).await,
            Self::Sessions(command) => command.run(desk).await,
            Self::Messages(command) => command.run(desk).await,
            Self::Send(command) => command.run(desk).await,
            Self::Subscriptions(command) => command.run(desk).await,
            Self::Keys(command) => command.run(desk).await,
            Self::Request(command) => command.run(desk).await,
        }
    }
}

/// The account of a name, or the only one there is.
fn find<'a>(doors: &'a [Provider], name: Option<&str>) -> anyhow::Result<&'a Account> {
    let names = || doors.iter().map(|door| door.name().as_str()).collect::<Vec<_>>().join(", ");
    let found = match (name, doors) {
        (Some(name), _) => doors.iter().find(|door| door.name().as_str() == name),
        (None, [only]) => Some(only),
        (None, []) => return Err(anyhow!("the configuration has no NetSapiens provider")),
        (None, _) => {
            return Err(anyhow!("there is more than one NetSapiens provider; name one with --provider: {}", names()));
        }
    };
    let found = found.and_then(Provider::as_netsapiens);
    found.with_context(|| format!("no NetSapiens provider has that name; there are: {}", names()))
}

impl Desk<'_> {
    /// The user that was named, or the only one the account's channels have.
    fn user(&self, given: Option<&str>) -> anyhow::Result<String> {
        if let Some(given) = given {
            return Ok(given.to_owned());
        }
        let mut users: Vec<&str> = self.numbers().map(|(user, _)| user).collect();
        users.sort_unstable();
        users.dedup();
        match users.as_slice() {
            [only] => Ok((*only).to_owned()),
            [] => Err(anyhow!("no channel has this provider, so that there is no user to go by; name one with --user")),
            several => Err(anyhow!(
                "the channels of this provider have several users; name one with --user: {}",
                several.join(", ")
            )),
        }
    }

    /// The number that was named, or the first a channel has with that user.
    fn number_of(&self, user: &str, given: Option<&str>) -> anyhow::Result<String> {
        let known = || self.numbers().find(|(owner, _)| *owner == user).map(|(_, number)| number);
        let number = given.or_else(known).context("no channel has a number of that user; name one with --from")?;
        Ok(number.chars().filter(char::is_ascii_digit).collect())
    }

    fn numbers(&self) -> impl Iterator<Item = (&str, &str)> {
        let channels = self.config.channels.iter().filter(|channel| channel.provider == *self.account.name());
        channels.filter_map(|channel| match &channel.kind {
            ChannelKind::Sms { user, number, .. } => Some((user.as_str(), number.as_str())),
            ChannelKind::Email(_) => None,
        })
    }

    /// Prints a list: as JSON, or as a table.
    fn list<T: Serialize>(
        &self,
        rows: &[T],
        headings: &[&str],
        cells: impl Fn(&T) -> Vec<String>,
    ) -> anyhow::Result<()> {
        if self.json {
            return output::json(&rows);
        }
        output::table(headings, &rows.iter().map(cells).collect::<Vec<_>>());
        Ok(())
    }

    /// Prints what was done.
    fn done(&self, told: &str) -> anyhow::Result<()> {
        if self.json {
            return output::json(&serde_json::json!({ "done": told }));
        }
        output::line(told);
        Ok(())
    }
}

/// One line of what may have several, without what a terminal would act on.
fn cell(text: Option<&str>) -> String {
    text.unwrap_or_default().chars().map(|one| if one.is_control() { ' ' } else { one }).collect()
}

fn time(at: Option<Timestamp>) -> String {
    at.map(|at| at.to_string()).unwrap_or_default()
}

/// Refuses what changes something at the provider, unless that is confirmed.
fn confirmed(yes: bool, what: &str) -> anyhow::Result<()> {
    if yes { Ok(()) } else { Err(Usage(format!("{what}; say --yes if that is meant")).into()) }
}
