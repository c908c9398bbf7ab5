use anyhow::{Context, anyhow};
use clap::{Args, ValueEnum};
use jiff::Timestamp;
use model::{
    Address, Arrival, ArrivalPath, InboundMessage, MessageId, PhoneNumber, Private, ReasonCode, Receipt, ReceiptStatus,
    TraceId,
};
use runtime::{Clock, HttpClient};

use crate::cli::exit::Exit;
use crate::cli::load::load_file;
use crate::cli::{ConfigFile, output};
use crate::config::{Channel, ChannelKind, Config};
use crate::house::genesys_doors;

/// `causeway genesys send`
#[derive(Args)]
pub(in crate::cli) struct Send {
    #[command(flatten)]
    file: ConfigFile,
    /// The channel, by its name.
    #[arg(long)]
    channel: String,
    /// The consumer's number.
    #[arg(long)]
    from: String,
    /// What the consumer says.
    #[arg(long)]
    text: String,
}

/// `causeway genesys receipt`
#[derive(Args)]
pub(in crate::cli) struct SendReceipt {
    #[command(flatten)]
    file: ConfigFile,
    /// The channel, by its name.
    #[arg(long)]
    channel: String,
    /// The message the receipt is about (`channel.messageId` of its webhook).
    #[arg(long)]
    message: String,
    /// The recipient, as the webhook wrote it.
    #[arg(long)]
    to: String,
    /// What became of it.
    #[arg(long, value_enum)]
    status: Status,
    /// The reason of a failure.
    #[arg(long, default_value = "tried by hand")]
    reason: String,
}

#[derive(Clone, Copy, ValueEnum)]
enum Status {
    Delivered,
    Failed,
    Removed,
}

impl Send {
    pub(super) async fn run(self) -> Result<(), Exit> {
        let config = load_file(&self.file.config, true)?.config;
        let channel = find(&config, &self.channel)?;
        let ChannelKind::Sms { country, .. } = channel.kind else {
            return Err(anyhow!("channel {} is not an SMS channel", channel.name).into());
        };
        let now = Clock::system().now();
        let from = PhoneNumber::normalise(&self.from, country).context("--from")?;
        let message = InboundMessage {
            id: MessageId::derive("try", &[&uuid::Uuid::new_v4().to_string()]),
            channel: channel.name.clone(),
            genesys: channel.genesys.clone(),
            from: Address::Phone(from),
            text: Private::new(self.text),
            files: model::InboundFiles::default(),
            session: None,
            arrival: Arrival {
                path: ArrivalPath::MessageEvent,
                fingerprint: String::new(),
                sent_at: None,
                beside: Vec::new(),
            },
            unread: None,
            mail: None,
            trace: trace(),
            received_at: now,
        };
        let (client, access) = door(&config, channel)?;
        let accepted = client.send_message(&access, &message).await.map_err(anyhow::Error::from)?;
        output::line(&format!("accepted; Genesys calls it {}", accepted.id.as_deref().unwrap_or("(no id)")));
        output::line(&format!("trace id {}", message.trace));
        Ok(())
    }
}

impl SendReceipt {
    pub(super) async fn run(self) -> Result<(), Exit> {
        let config = load_file(&self.file.config, true)?.config;
        let channel = find(&config, &self.channel)?;
        let status = match self.status {
            Status::Delivered => ReceiptStatus::Delivered,
            Status::Failed => ReceiptStatus::failed(ReasonCode::General, self.reason),
            Status::Removed => ReceiptStatus::Removed,
        };
        let receipt = Receipt {
            accepted: false,
            id: MessageId::derive("try", &[&uuid::Uuid::new_v4().to_string()]),
            channel: channel.name.clone(),
            genesys: channel.genesys.clone(),
            genesys_message_id: self.message,
            from_id: Private::new(channel.id.to_string()),
            to_id: Private::new(self.to.clone()),
            to: Address::Invalid(self.to),
            status,
            trace: trace(),
            received_at: Timestamp::UNIX_EPOCH,
            told_at: None,
        };
        let (client, access) = door(&config, channel)?;
        client.send_receipt(&access, &receipt).await.map_err(anyhow::Error::from)?;
        output::line(&format!("accepted; trace id {}", receipt.trace));
        Ok(())
    }
}

pub(super) fn find<'a>(config: &'a Config, name: &str) -> anyhow::Result<&'a Channel> {
    let known = || config.channels.iter().map(|channel| channel.name.as_str()).collect::<Vec<_>>().join(", ");
    let found = config.channels.iter().find(|channel| channel.name.as_str() == name);
    found.with_context(|| format!("no channel is named {name}; there are: {}", known()))
}

pub(super) fn door(config: &Config, channel: &Channel) -> anyhow::Result<(genesys::Client, genesys::ChannelAccess)> {
    let doors = genesys_doors(config, &HttpClient::new(&config.net)?, &Clock::system());
    let found = doors.into_iter().find(|(access, _)| access.name == channel.name);
    found.map(|(access, client)| (client, access)).with_context(|| format!("no tenant is named {}", channel.genesys))
}

pub(super) fn trace() -> TraceId {
    TraceId::new(uuid::Uuid::new_v4().to_string())
}
