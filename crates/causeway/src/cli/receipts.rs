use clap::{Args, Subcommand, ValueEnum};
use model::{ChannelName, ReasonCode, ReceiptStatus};

use super::control::post;
use super::exit::Exit;
use super::load::load_file;
use super::{ConfigFile, Json, output};
use crate::house::receipts::{Send, Sent};

/// `causeway receipts`
#[derive(Subcommand)]
pub(super) enum Receipts {
    /// Tell Genesys what became of a reply, as if its provider had said so: once, and never back.
    Send(SendOne),
}

#[derive(Args)]
pub(super) struct SendOne {
    /// The channel, by its name.
    #[arg(long)]
    channel: String,
    /// The reply, by the id Genesys gave it (`channel.messageId` of its webhook).
    #[arg(long, value_name = "GENESYS_MESSAGE_ID")]
    message: String,
    /// What became of it.
    #[arg(long, value_enum)]
    status: Status,
    /// The reason code of a failure: 305, 310, 350, 500, 510, 512, 520 or 530. 500 where it is left out.
    #[arg(long, value_parser = code)]
    code: Option<ReasonCode>,
    /// What the agent reads of a failure.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// The recipient, where the reply went to several.
    #[arg(long)]
    to: Option<String>,
    #[command(flatten)]
    file: ConfigFile,
    #[command(flatten)]
    json: Json,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Status {
    Delivered,
    Failed,
    Removed,
}

fn code(text: &str) -> Result<ReasonCode, String> {
    let code = text.parse().ok().and_then(ReasonCode::from_number);
    code.ok_or_else(|| "it is 305, 310, 350, 500, 510, 512, 520 or 530".to_owned())
}

impl Receipts {
    pub(super) async fn run(self) -> Result<(), Exit> {
        let Self::Send(send) = self;
        send.run().await
    }
}

impl SendOne {
    async fn run(self) -> Result<(), Exit> {
        let config = load_file(&self.file.config, false)?.config;
        if self.status != Status::Failed && (self.code.is_some() || self.reason.is_some()) {
            return Err(Exit::Failed(anyhow::anyhow!("--code and --reason belong to --status failed")));
        }
        let status = match self.status {
            Status::Delivered => ReceiptStatus::Delivered,
            Status::Removed => ReceiptStatus::Removed,
            Status::Failed => {
                let reason = self.reason.unwrap_or_else(|| "The message was not delivered.".to_owned());
                ReceiptStatus::failed(self.code.unwrap_or(ReasonCode::General), reason)
            }
        };
        let word = status.word();
        let channel = ChannelName::new(self.channel);
        let send = Send { channel, message: self.message, to: self.to, status };
        let sent: Sent = post(&config, "/receipts/send", &send).await?;
        if self.json.json {
            return Ok(output::json(&serde_json::json!({ "status": word, "result": sent }))?);
        }
        output::line(match sent {
            Sent::Queued => "on its way to Genesys",
            Sent::Repeated => "Genesys was told the same before; nothing was sent",
        });
        Ok(())
    }
}
