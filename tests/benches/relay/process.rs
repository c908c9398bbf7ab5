//! Processes that are measured: what the kernel says they used.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

/// For a start or an end on a busy machine.
const SOON: Duration = Duration::from_secs(120);

/// One process; killed when this is dropped.
pub(crate) struct Process {
    pub(crate) name: String,
    child: Child,
    id: u32,
}

impl Process {
    /// Starts a program whose standard error goes to a log.
    pub(crate) fn start(name: &str, program: &Path, arguments: &[&str], log: &Path) -> anyhow::Result<Self> {
        let log = File::options().create(true).append(true).open(log).context("a log")?;
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).kill_on_drop(true);
        let child = command.spawn().with_context(|| format!("{} could not be started", program.display()))?;
        let id = child.id().context("it ended at once")?;
        Ok(Self { name: name.to_owned(), child, id })
    }

    /// Processor time it used, user and system, of all its threads.
    pub(crate) fn cpu(&self) -> anyhow::Result<Duration> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.id))?;
        // The name, which may hold anything, ends at the last parenthesis; utime and stime are fields 14 and 15 of all.
        let fields = stat.rsplit_once(')').context("no stat")?.1;
        let ticks = fields.split_whitespace().skip(11).take(2).map(str::parse::<u64>);
        let ticks = ticks.sum::<Result<u64, _>>()?;
        Ok(Duration::from_millis(ticks * 1_000 / TICKS_PER_SECOND))
    }

    /// The most memory it ever held, in bytes.
    pub(crate) fn peak(&self) -> anyhow::Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no peak")?;
        let kilobytes: u64 = line.split_whitespace().next().context("no peak")?.parse()?;
        Ok(kilobytes * 1_024)
    }

    /// Waits until something listens.
    pub(crate) async fn listens(&mut self, address: SocketAddr) -> anyhow::Result<()> {
        self.until(async || TcpStream::connect(address).await.is_ok()).await
    }

    /// Waits for a condition while it runs.
    pub(crate) async fn until(&mut self, mut condition: impl AsyncFnMut() -> bool) -> anyhow::Result<()> {
        let deadline = Instant::now() + SOON;
        let mut ticks = interval(Duration::from_millis(20));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while !condition().await {
            ticks.tick().await;
            if let Some(status) = self.child.try_wait()? {
                bail!("{} ended: {status}", self.name);
            }
            ensure!(Instant::now() < deadline, "{} is not ready in {SOON:?}", self.name);
        }
        Ok(())
    }

    /// Asks it to end, and waits until it has.
    pub(crate) async fn end(mut self) -> anyhow::Result<()> {
        let told = Command::new("kill").args(["-TERM", &self.id.to_string()]).status().await?;
        ensure!(told.success(), "{} could not be asked to end", self.name);
        let status =
            timeout(SOON, self.child.wait()).await.with_context(|| format!("{} does not end", self.name))??;
        ensure!(status.success(), "{} ended badly: {status}", self.name);
        Ok(())
    }
}

/// `USER_HZ`, which Linux has fixed for programs.
const TICKS_PER_SECOND: u64 = 100;
