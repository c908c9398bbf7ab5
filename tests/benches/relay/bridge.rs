//! What is measured: the floor, and Causeway, as processes of their own.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, ensure};
use http::StatusCode;
use test_support::free_port;
use tokio::process::Command;

use super::far::Far;
use super::load::{Door, Kind};
use super::process::Process;
use super::settings::{Books, Queues, Settings};

/// The roles of one direction, for a bridge of several processes.
pub(crate) const INBOUND: &[&str] = &["ingress", "genesys-outbound"];
pub(crate) const REPLIES: &[&str] = &["webhook-ingest", "consumer-outbound", "receipt-emitter"];

/// Processes that relay together.
pub(crate) struct Bridge {
    pub(crate) processes: Vec<Process>,
    /// Where texts and replies go in.
    texts: SocketAddr,
    replies: SocketAddr,
}

/// A configuration of Causeway whose processes can be started and ended.
pub(crate) struct Causeway {
    pub(crate) settings: Settings,
    folder: PathBuf,
    program: PathBuf,
}

fn address() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], free_port()))
}

impl Bridge {
    /// The bare relay, in two processes as Causeway's inbound side.
    pub(crate) async fn floor(far: &Far, amqp: &str, folder: &Path) -> anyhow::Result<Self> {
        let program = std::env::current_exe()?;
        let door = address();
        let log = folder.join("floor.log");
        let url = format!("{}/floor", far.url());
        let give = Process::start("floor, giving", &program, &["floor-give", amqp, &url], &log)?;
        let mut take = Process::start("floor, taking", &program, &["floor-take", &door.to_string(), amqp], &log)?;
        take.listens(door).await?;
        Ok(Self { processes: vec![take, give], texts: door, replies: door })
    }

    pub(crate) fn door(&self, kind: Kind) -> Door {
        let address = match kind {
            Kind::Text => self.texts,
            Kind::Reply => self.replies,
        };
        Door { address, kind }
    }

    /// Processor time of all its processes.
    pub(crate) fn cpu(&self) -> anyhow::Result<Duration> {
        self.processes.iter().map(Process::cpu).sum()
    }

    /// The most memory any one of its processes ever held, in bytes.
    pub(crate) fn peak(&self) -> anyhow::Result<u64> {
        let peaks: Vec<u64> = self.processes.iter().map(Process::peak).collect::<Result<_, _>>()?;
        peaks.into_iter().max().context("there is no process")
    }

    pub(crate) async fn end(self) -> anyhow::Result<()> {
        for process in self.processes {
            process.end().await?;
        }
        Ok(())
    }
}

impl Causeway {
    /// `folder` must be its own.
    pub(crate) fn new(settings: Settings, folder: PathBuf) -> anyhow::Result<Self> {
        let own = std::env::current_exe()?;
        let program = own.parent().and_then(Path::parent).context("no target folder")?.join("causeway");
        ensure!(program.exists(), "{} is not built; `make bench` builds it", program.display());
        std::fs::create_dir_all(&folder)?;
        Ok(Self { settings, folder, program })
    }

    /// Makes what must be there before the first of several processes starts.
    pub(crate) async fn prepare(&self) -> anyhow::Result<()> {
        if matches!(self.settings.books, Books::Sqlite) {
            return Ok(());
        }
        let config = self.configure("all", address(), address())?;
        let migrated = Command::new(&self.program).args(["ledger", "migrate", "--config"]).arg(config).output().await?;
        ensure!(migrated.status.success(), "{}", String::from_utf8_lossy(&migrated.stderr));
        Ok(())
    }

    fn configure(&self, name: &str, http: SocketAddr, admin: SocketAddr) -> anyhow::Result<PathBuf> {
        let config = self.folder.join(format!("{name}.toml"));
        std::fs::write(&config, self.settings.toml(&self.folder, name, http, admin))?;
        Ok(config)
    }

    /// On RabbitMQ one process for each of these roles; the embedded broker lives in one process, which plays all.
    pub(crate) async fn start(&self, roles: &[&str]) -> anyhow::Result<Bridge> {
        let (texts, replies) = (address(), address());
        let mut processes = Vec::new();
        if matches!(self.settings.queues, Queues::Embedded) {
            processes.push(self.process("all", &[], texts).await?);
            return Ok(Bridge { processes, texts, replies: texts });
        }
        for role in roles {
            let http = if *role == "ingress" { texts } else { replies };
            processes.push(self.process(role, &["--role", role], http).await?);
        }
        Ok(Bridge { processes, texts, replies })
    }

    async fn process(&self, name: &str, arguments: &[&str], http: SocketAddr) -> anyhow::Result<Process> {
        let admin = address();
        let config = self.configure(name, http, admin)?.display().to_string();
        let arguments: Vec<&str> = ["run", "--config", &config].into_iter().chain(arguments.iter().copied()).collect();
        let log = self.folder.join(format!("{name}.log"));
        let mut process = Process::start(name, &self.program, &arguments, &log)?;
        let ready = process.until(async || is_ready(admin).await).await;
        ready.with_context(|| std::fs::read_to_string(&log).unwrap_or_default())?;
        Ok(process)
    }
}

async fn is_ready(admin: SocketAddr) -> bool {
    super::load::get(admin, "/readyz").await.is_ok_and(|status| status == StatusCode::OK)
}
