use broker::Management;
use clap::Subcommand;
use runtime::{Clock, HttpClient};

use super::exit::Exit;
use super::load::load_file;
use super::{ConfigFile, output};
use crate::config::Config;
use crate::house::open_broker;

/// `causeway topology`
#[derive(Subcommand)]
pub(super) enum Topology {
    /// Declare exchanges and queues, and print the policies recommended with them.
    Apply(ConfigFile),
}

impl Topology {
    pub(super) async fn run(self) -> Result<(), Exit> {
        let Self::Apply(file) = self;
        let mut config = load_file(&file.config, true)?.config;
        match &mut config.broker {
            broker::Config::RabbitMq(settings) => settings.declare = true,
            broker::Config::Embedded(_) => {
                output::line("the embedded broker makes its queues by itself; there is nothing to apply");
                return Ok(());
            }
        }
        let broker = open_broker(&config, &Clock::system()).await?;
        let applied = broker.apply_topology().await;
        broker.close().await;
        for line in applied? {
            output::line(&line);
        }
        let policies = match management(&config)? {
            Some(management) => management.apply_policies().await?,
            None => broker::policies(),
        };
        policies.iter().for_each(|line| output::line(line));
        Ok(())
    }
}

/// RabbitMQ's management API, where the configuration says where it is.
pub(super) fn management(config: &Config) -> anyhow::Result<Option<Management>> {
    let (Some(url), broker::Config::RabbitMq(settings)) = (&config.management, &config.broker) else { return Ok(None) };
    Management::new(url, &settings.url, HttpClient::new(&config.net)?).map(Some)
}
