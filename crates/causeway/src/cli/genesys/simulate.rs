use std::io::Read;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, anyhow};
use bytes::Bytes;
use clap::Args;
use http::{HeaderMap, HeaderValue, Method};
use runtime::{Call, HttpClient};

use super::call::{find, trace};
use crate::cli::exit::Exit;
use crate::cli::load::load_file;
use crate::cli::{ConfigFile, output};
use crate::house::channel_urls;

/// `causeway genesys sign`
#[derive(Args)]
pub(in crate::cli) struct Sign {
    #[command(flatten)]
    file: ConfigFile,
    /// The channel whose first secret signs.
    #[arg(long)]
    channel: String,
    /// The body; standard input where it is left out.
    #[arg(long, value_name = "FILE")]
    body: Option<PathBuf>,
}

/// `causeway genesys simulate-webhook`
#[derive(Args)]
pub(in crate::cli) struct SimulateWebhook {
    #[command(flatten)]
    file: ConfigFile,
    /// The channel, by its name.
    #[arg(long)]
    channel: String,
    /// The consumer's number.
    #[arg(long)]
    to: String,
    /// What the agent says.
    #[arg(long)]
    text: String,
    /// Where to post it; default: the channel's URL under http.public_url.
    #[arg(long)]
    url: Option<String>,
    /// `channel.messageId`; default: a new one.
    #[arg(long)]
    message: Option<String>,
}

/// Genesys gives a webhook ten seconds (`reference/genesys.md` 5.4).
const TIMEOUT: Duration = Duration::from_secs(10);

impl Sign {
    pub(super) fn run(self) -> Result<(), Exit> {
        let config = load_file(&self.file.config, true)?.config;
        let channel = find(&config, &self.channel)?;
        let body = match self.body {
            Some(file) => std::fs::read(&file).with_context(|| format!("{} cannot be read", file.display()))?,
            None => {
                let mut body = Vec::new();
                std::io::stdin().read_to_end(&mut body).context("standard input cannot be read")?;
                body
            }
        };
        output::line(&format!("X-Hub-Signature: {}", genesys::sign(&channel.secrets, &body)));
        Ok(())
    }
}

impl SimulateWebhook {
    pub(super) async fn run(self) -> Result<(), Exit> {
        let config = load_file(&self.file.config, true)?.config;
        let channel = find(&config, &self.channel)?;
        let url = match self.url {
            Some(url) => url,
            None => channel_urls(&config, false)
                .into_iter()
                .find(|urls| urls.channel == self.channel)
                .map(|urls| urls.webhook_url)
                .filter(|_| config.http.public_url.is_some())
                .context("give --url, or set http.public_url")?,
        };
        let message = self.message.unwrap_or_else(|| uuid::Uuid::new_v4().to_string());
        let body = serde_json::json!({
            "channel": {
                "id": channel.id, "type": "sms", "from": { "id": channel.id }, "to": { "id": self.to }, "messageId": message,
            },
            "type": "Text",
            "text": self.text,
        });
        let body = Bytes::from(body.to_string());
        let mut headers = HeaderMap::new();
        let header = |value: String| HeaderValue::from_str(&value).context("not a header value");
        headers.insert("x-hub-signature", header(genesys::sign(&channel.secrets, &body))?);
        headers.insert("x-b3-traceid", header(trace().to_string())?);
        headers.insert("content-type", HeaderValue::from_static("application/json"));
        let call = Call { method: Method::POST, url, headers, body, timeout: TIMEOUT };
        let answer =
            HttpClient::new(&config.net)?.call("self", "simulate-webhook", call).await.map_err(anyhow::Error::from)?;
        output::line(&format!("{} {}", answer.status, String::from_utf8_lossy(&answer.body)));
        if !answer.status.is_success() {
            return Err(anyhow!("the bridge refused the webhook with {}", answer.status).into());
        }
        Ok(())
    }
}
