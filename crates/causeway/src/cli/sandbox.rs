//! `causeway sandbox`: the whole bridge in one process on the embedded broker, between simulated neighbours.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use runtime::{Clock, Shutdown};
use secrecy::SecretString;
use tokio::net::TcpListener;

use super::exit::Exit;
use super::output;
use crate::config::{Loaded, Source, load};
use crate::house::{House, Opening, Role};

/// `causeway sandbox`
#[derive(Args)]
pub struct Sandbox {
    /// Where the web page is.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8088")]
    listen: SocketAddr,
    /// Where the bridge keeps its queues and its ledger; default: a folder that is gone afterwards.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

const GRACE: Duration = Duration::from_secs(10);

impl Sandbox {
    pub(super) async fn run(self) -> Result<(), Exit> {
        runtime::logging::init(runtime::logging::Format::Auto, "warn,causeway=info")?;
        Ok(())
    }
}
