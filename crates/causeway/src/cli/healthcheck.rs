use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{anyhow, bail};
use bytes::Bytes;
use clap::Args;
use http::{HeaderMap, Method};
use runtime::{Call, HttpClient, HttpClientConfig};

use super::exit::Exit;
use super::load::load_file;

/// `causeway healthcheck`
#[derive(Args)]
#[group(required = true)]
pub(super) struct Healthcheck {
    /// The configuration of the process, for the address of its admin listener.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The URL to ask, such as http://127.0.0.1:9090/readyz.
    #[arg(long, conflicts_with = "config")]
    url: Option<String>,
}

const TIMEOUT: Duration = Duration::from_secs(3);

impl Healthcheck {
    pub(super) async fn run(self) -> Result<(), Exit> {
        let url = match (self.url, self.config) {
            (Some(url), _) => url,
            (None, Some(file)) => format!("http://{}/readyz", reachable(load_file(&file, false)?.config.admin.listen)),
            (None, None) => return Err(anyhow!("give --config or --url").into()),
        };
        Ok(ask(url).await?)
    }
}

/// An address that listens on everything is asked on loopback.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

async fn ask(url: String) -> anyhow::Result<()> {
    let client = HttpClient::new(&HttpClientConfig { connect_timeout: TIMEOUT, ca_files: Vec::new(), proxy: None })?;
    let call = Call { method: Method::GET, url, headers: HeaderMap::new(), body: Bytes::new(), timeout: TIMEOUT };
    let answer = client.call("self", "healthcheck", call).await?;
    if !answer.status.is_success() {
        bail!("not ready: {} {}", answer.status, String::from_utf8_lossy(&answer.body));
    }
    Ok(())
}
