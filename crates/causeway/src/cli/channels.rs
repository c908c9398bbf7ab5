use clap::Args;

use super::exit::Exit;
use super::load::load_file;
use super::{ConfigFile, Json, output};
use crate::house::channel_urls;

/// `causeway channels`
#[derive(Args)]
pub(super) struct Channels {
    #[command(flatten)]
    file: ConfigFile,
    #[command(flatten)]
    json: Json,
    /// Show the secret in event URLs, which is what the provider must be given.
    #[arg(long)]
    reveal: bool,
}

impl Channels {
    pub(super) fn run(self) -> Result<(), Exit> {
        let loaded = load_file(&self.file.config, self.reveal)?;
        let urls = channel_urls(&loaded.config, self.reveal);
        if self.json.json {
            return Ok(output::json(&urls)?);
        }
        for channel in urls {
            output::line(&format!("{} ({}, id {})", channel.channel, channel.kind, channel.id));
            output::line(&format!("  give Genesys ({}) this webhook URL:", channel.genesys));
            output::line(&format!("    {}", channel.webhook_url));
            if let Some(event_url) = channel.event_url {
                output::line(&format!("  subscribe provider {} (model `message`) to:", channel.provider));
                output::line(&format!("    {event_url}"));
            }
        }
        Ok(())
    }
}
