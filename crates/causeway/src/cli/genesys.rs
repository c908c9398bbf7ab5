use clap::Subcommand;

use super::exit::Exit;

mod call;
mod media;
mod simulate;

/// `causeway genesys`
#[derive(Subcommand)]
pub(super) enum Genesys {
    /// Post a consumer's text to a tenant, as the bridge would.
    Send(call::Send),
    /// Post a receipt to a tenant, as the bridge would.
    Receipt(call::SendReceipt),
    /// Upload, download and delete files, as the bridge would.
    #[command(subcommand)]
    Media(media::Media),
    /// Print the signature of a body.
    Sign(simulate::Sign),
    /// Post a signed agent's reply to a bridge, as Genesys would.
    SimulateWebhook(simulate::SimulateWebhook),
}

impl Genesys {
    pub(super) async fn run(self) -> Result<(), Exit> {
        match self {
            Self::Send(command) => command.run().await,
            Self::Receipt(command) => command.run().await,
            Self::Media(command) => command.run().await,
            Self::Sign(command) => command.run(),
            Self::SimulateWebhook(command) => command.run().await,
        }
    }
}
