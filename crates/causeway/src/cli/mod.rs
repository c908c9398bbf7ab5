//! The command line.

mod channels;
mod config;
mod consent;
mod control;
mod dead_letters;
mod doctor;
mod exit;
mod genesys;
mod healthcheck;
mod ledger;
mod load;
mod netsapiens;
mod open_media;
mod output;
mod person;
mod queues;
mod receipts;
mod run;
mod sandbox;
mod topology;
mod trace;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use exit::Exit;

/// The bridge between people who text a company and the agents who answer them in Genesys Multicloud CX.
#[derive(Parser)]
#[command(name = "causeway", version, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Start the bridge: all roles, or those named.
    Run(run::Run),
    /// Start the bridge with a simulated Genesys and SMS provider, and a web page. Needs no configuration.
    Sandbox(sandbox::Sandbox),
    /// Look at a configuration.
    #[command(subcommand)]
    Config(config::Config),
    /// Every channel's webhook URL, and what to hand to Genesys.
    Channels(channels::Channels),
    /// Every queue and what waits in it.
    Queues(queues::Queues),
    /// One message's timeline.
    Trace(trace::Trace),
    /// Look at everything the bridge stands on, and say what to do; makes nothing. Exit 1: findings; 69: could not look.
    Doctor(doctor::Doctor),
    /// Messages that were given up: list, show, replay and discard them.
    #[command(subcommand)]
    DeadLetters(dead_letters::DeadLetters),
    /// What agents are told of their replies.
    #[command(subcommand)]
    Receipts(receipts::Receipts),
    /// What is kept of one consumer.
    #[command(subcommand)]
    Person(person::Person),
    /// Who may be written to: list, show, set and export what consumers said.
    #[command(subcommand)]
    Consent(consent::Consent),
    /// Exchanges and queues.
    #[command(subcommand)]
    Topology(topology::Topology),
    /// Try a Genesys tenant, or ourselves, in a minute.
    #[command(subcommand)]
    Genesys(genesys::Genesys),
    /// Try a tenant's tasks for agents: create, get, stop and update them.
    #[command(subcommand)]
    OpenMedia(open_media::OpenMedia),
    /// Try a NetSapiens account: its numbers, sessions, messages, subscriptions and keys.
    Netsapiens(netsapiens::NetSapiens),
    /// What was done to the outside world.
    #[command(subcommand)]
    Ledger(ledger::Ledger),
    /// For container probes: exit 0 when the process is ready.
    Healthcheck(healthcheck::Healthcheck),
}

/// Which configuration.
#[derive(Args, Clone)]
pub(crate) struct ConfigFile {
    /// The configuration file (TOML).
    #[arg(long, value_name = "FILE")]
    pub(crate) config: PathBuf,
}

/// How a listing is printed.
#[derive(Args, Clone, Copy)]
pub(crate) struct Json {
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return exit::usage(&error),
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return exit::report(Exit::Failed(error.into())),
    };
    match runtime.block_on(dispatch(cli.command)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(exit) => exit::report(exit),
    }
}

async fn dispatch(command: Command) -> Result<(), Exit> {
    match command {
        Command::Run(command) => command.run().await,
        Command::Sandbox(command) => command.run().await,
        Command::Config(command) => command.run(),
        Command::Channels(command) => command.run(),
        Command::Queues(command) => command.run().await,
        Command::Trace(command) => command.run().await,
        Command::Doctor(command) => command.run().await,
        Command::DeadLetters(command) => command.run().await,
        Command::Receipts(command) => command.run().await,
        Command::Person(command) => command.run().await,
        Command::Consent(command) => command.run().await,
        Command::Topology(command) => command.run().await,
        Command::Genesys(command) => command.run().await,
        Command::OpenMedia(command) => command.run().await,
        Command::Netsapiens(command) => command.run().await,
        Command::Ledger(command) => command.run().await,
        Command::Healthcheck(command) => command.run().await,
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_well_formed() {
        super::Cli::command().debug_assert();
    }
}
