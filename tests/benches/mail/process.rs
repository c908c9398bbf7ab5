//! A process that is measured: what the kernel says it used.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::{Instant, interval, timeout};

const SOON: Duration = Duration::from_secs(120);
/// `USER_HZ`, which Linux has fixed for programs.
const TICKS_PER_SECOND: u64 = 100;

pub(crate) struct Process {
    child: Child,
    id: u32,
}

impl Process {
    pub(crate) fn start(program: &Path, arguments: &[&str], log: &Path) -> anyhow::Result<Self> {
        let mut command = Command::new(program);
        command
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(log)?)
            .kill_on_drop(true);
        let child = command.spawn().with_context(|| format!("{} could not be started", program.display()))?;
        let id = child.id().context("it ended at once")?;
        Ok(Self { child, id })
    }

    pub(crate) async fn listens(&mut self, address: SocketAddr) -> anyhow::Result<()> {
        let deadline = Instant::now() + SOON;
        let mut ticks = interval(Duration::from_millis(50));
        while TcpStream::connect(address).await.is_err() {
            ticks.tick().await;
            if let Some(status) = self.child.try_wait()? {
                bail!("it ended: {status}");
            }
            ensure!(Instant::now() < deadline, "it does not listen in {SOON:?}");
        }
        Ok(())
    }

    /// Processor time it used, user and system, of all its threads.
    pub(crate) fn cpu(&self) -> anyhow::Result<Duration> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.id))?;
        // The name, which may hold anything, ends at the last parenthesis; utime and stime are fields 14 and 15 of all.
        let fields = stat.rsplit_once(')').context("no stat")?.1;
        let ticks = fields.split_whitespace().skip(11).take(2).map(str::parse::<u64>).sum::<Result<u64, _>>()?;
        Ok(Duration::from_millis(ticks * 1_000 / TICKS_PER_SECOND))
    }

    fn status(&self, field: &str) -> anyhow::Result<f64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id))?;
        let line = status.lines().find_map(|line| line.strip_prefix(field)).context("no such line")?;
        let kilobytes: f64 = line.split_whitespace().next().context("no number")?.parse()?;
        Ok(kilobytes * 1024.0)
    }

    /// The memory it holds, in bytes.
    pub(crate) fn resident(&self) -> anyhow::Result<f64> {
        self.status("VmRSS:")
    }

    /// The most it held since that was forgotten.
    pub(crate) fn peak(&self) -> anyhow::Result<f64> {
        self.status("VmHWM:")
    }

    pub(crate) fn forget_peak(&self) -> anyhow::Result<()> {
        Ok(fs::write(format!("/proc/{}/clear_refs", self.id), "5")?)
    }

    pub(crate) async fn end(mut self) -> anyhow::Result<()> {
        let told = Command::new("kill").args(["-TERM", &self.id.to_string()]).status().await?;
        ensure!(told.success(), "it could not be asked to end");
        let status = timeout(SOON, self.child.wait()).await.context("it does not end")??;
        ensure!(status.success(), "it ended badly: {status}");
        Ok(())
    }
}
