//! The bridge as processes of its own, between the simulated neighbours.

use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener};
use std::ops::Deref;
use std::path::PathBuf;
use std::process::{ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use crate::http::Http;
use crate::neighbours::{Neighbours, SOON};
use crate::settings::{EVENT_SECRET, Queues, Settings};
use crate::webdriver::{artefacts, programs};

/// The neighbours, and the configuration of the bridge between them.
pub(crate) struct Town {
    neighbours: Neighbours,
    pub(crate) settings: Settings,
    pub(crate) folder: TempDir,
    pub(crate) http: Http,
    /// Where `ingress` listens when it is a process of its own: two HTTP roles in two processes are two listeners.
    ingress: SocketAddr,
}

/// One process of the bridge.
pub(crate) struct Bridge {
    child: Child,
    admin: SocketAddr,
    http: Http,
}

impl Deref for Town {
    type Target = Neighbours;

    fn deref(&self) -> &Neighbours {
        &self.neighbours
    }
}

/// An address that nobody else is given while the process that had it is down. The system hands out ports from 32768 on, so
/// the neighbours would otherwise find another test's bridge there, which takes what they send.
pub(crate) fn address() -> SocketAddr {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    loop {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let offset = (std::process::id().wrapping_mul(131) + step) % u32::from(HIGHEST - LOWEST);
        let port = LOWEST + u16::try_from(offset).expect("it is in the range");
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        if TcpListener::bind(address).is_ok() {
            return address;
        }
    }
}

/// Ports below those the system hands out, and above those with names.
const LOWEST: u16 = 20_000;
const HIGHEST: u16 = 32_000;

impl Town {
    pub(crate) async fn on(queues: Queues) -> Self {
        Self::with(Settings::on(queues)).await
    }

    pub(crate) async fn with(settings: Settings) -> Self {
        let neighbours = Neighbours::start().await;
        // The neighbours keep calling one address while the bridge is killed and started again.
        let public = address();
        neighbours.point_at(public);
        let settings = Settings { http: public.to_string(), ..settings };
        let folder = TempDir::new().expect("a folder");
        Self { neighbours, settings, folder, http: Http::new(), ingress: address() }
    }

    /// Where a provider posts the events of its own process.
    pub(crate) fn event_url(&self) -> String {
        format!("http://{}/netsapiens/crexendo/{EVENT_SECRET}", self.ingress)
    }

    /// The time, as providers write it.
    pub(crate) fn now(&self) -> String {
        runtime::Clock::system().now().to_string()
    }

    /// Copies the logs of every process to where the artefacts of a run are kept.
    pub(crate) fn keep_logs(&self) -> PathBuf {
        let kept = artefacts().join(format!("logs-{}", std::process::id()));
        fs::create_dir_all(&kept).expect("the target folder takes files");
        for entry in fs::read_dir(self.folder.path()).expect("the folder is there").flatten() {
            if entry.path().extension().is_some_and(|extension| extension == "log") {
                fs::copy(entry.path(), kept.join(entry.file_name())).expect("a log can be copied");
            }
        }
        kept
    }

    /// A file with this text, for `--config`.
    pub(crate) fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::write(&path, text).expect("the folder takes files");
        path
    }

    fn configuration(&self, name: &str, settings: &Settings) -> PathBuf {
        let text = settings.toml(self.folder.path(), &self.genesys, &self.netsapiens);
        self.file(&format!("{name}.toml"), &text.replace("control.sock", &format!("{name}.sock")))
    }

    /// The configuration of the bridge as one process.
    pub(crate) fn whole(&self) -> PathBuf {
        self.configuration("all", &self.settings)
    }

    /// Where a process writes its log.
    pub(crate) fn log(&self, name: &str) -> PathBuf {
        self.folder.path().join(format!("{name}.log"))
    }

    /// Starts the bridge as one process and waits until it is ready.
    pub(crate) async fn start(&self) -> Bridge {
        self.start_as("all", &[]).await
    }

    /// Starts a process of some roles and waits until it is ready.
    pub(crate) async fn start_role(&self, role: &str) -> Bridge {
        self.start_as(role, &["--role", role]).await
    }

    /// Starts a process of one role by another way to the broker, under a name of its own.
    pub(crate) async fn start_replica(&self, name: &str, role: &str, queues: Queues) -> Bridge {
        self.ready(name, self.launch_replica(name, role, queues)).await
    }

    /// The same, and does not wait: what it needs may be down.
    pub(crate) fn launch_replica(&self, name: &str, role: &str, queues: Queues) -> Bridge {
        let settings = Settings { queues, ..self.settings.clone() };
        self.launch_with(name, &["--role", role], settings)
    }

    async fn start_as(&self, name: &str, arguments: &[&str]) -> Bridge {
        self.ready(name, self.launch(name, arguments)).await
    }

    async fn ready(&self, name: &str, mut bridge: Bridge) -> Bridge {
        if !bridge.becomes_ready().await {
            panic!("{name} is not ready:\n{}", fs::read_to_string(self.log(name)).unwrap_or_default());
        }
        bridge
    }

    fn launch(&self, name: &str, arguments: &[&str]) -> Bridge {
        self.launch_with(name, arguments, self.settings.clone())
    }

    fn launch_with(&self, name: &str, arguments: &[&str], settings: Settings) -> Bridge {
        let admin = address();
        let http = if name == "ingress" { self.ingress } else { self.settings.http.parse().expect("an address") };
        if name == "ingress" {
            self.netsapiens.set_event_url(self.event_url());
        }
        let settings = Settings { admin: admin.to_string(), http: http.to_string(), ..settings };
        let config = self.configuration(name, &settings);
        let log = File::options().create(true).append(true).open(self.log(name)).expect("a log");
        let mut command = causeway();
        command.arg("run").arg("--config").arg(&config).args(arguments).stderr(log).stdout(Stdio::null());
        let child = command.kill_on_drop(true).spawn().expect("the program is built");
        Bridge { child, admin, http: self.http.clone() }
    }

    /// Runs a command of the command line to its end.
    pub(crate) async fn run(&self, arguments: &[&str]) -> Output {
        let output = causeway().args(arguments).stdin(Stdio::null()).output();
        timeout(SOON, output).await.expect("it ends in time").expect("the program is built")
    }

    /// Waits until the timeline of a message has a line of this kind, as `causeway trace` prints it.
    pub(crate) async fn trace_says(&self, id: &str, word: &str) {
        let config = self.folder.path().join("receipt-emitter.toml").display().to_string();
        let deadline = Instant::now() + SOON;
        loop {
            let output = self.run(&["trace", id, "--config", &config]).await;
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            if text.lines().any(|line| line.split_whitespace().nth(1) == Some(word)) {
                return;
            }
            assert!(Instant::now() < deadline, "the timeline never says {word}: {text}");
        }
    }

    /// Nothing waits in any queue and nothing died, as `causeway queues` sees it; then everything ends.
    pub(crate) async fn end(self, bridges: Vec<Bridge>) {
        let config = self.folder.path().join(if bridges.len() == 1 { "all.toml" } else { "ingress.toml" });
        let config = config.display().to_string();
        let deadline = Instant::now() + SOON;
        loop {
            let output = self.run(&["queues", "--json", "--config", &config]).await;
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            let queues: Vec<broker::QueueReport> = serde_json::from_slice(&output.stdout).expect("it is JSON");
            assert!(!queues.is_empty());
            if queues.iter().all(|queue| queue.ready == 0 && queue.in_hand.unwrap_or(0) == 0) {
                break;
            }
            assert!(Instant::now() < deadline, "queues are not empty: {queues:?}");
        }
        for bridge in bridges {
            assert!(bridge.terminate().await.success(), "a bridge ends well");
        }
        let refusals = self.genesys.refusals();
        assert!(refusals.is_empty(), "Genesys refused calls: {refusals:?}");
        self.neighbours.shutdown.force();
    }
}

/// The program under test.
pub(crate) fn causeway() -> Command {
    Command::new(programs().join("causeway"))
}

impl Bridge {
    /// Waits until it is ready; `false` when it ends, or is not in time.
    pub(crate) async fn becomes_ready(&mut self) -> bool {
        let deadline = Instant::now() + SOON;
        let mut ticks = interval(Duration::from_millis(50));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while Instant::now() < deadline && self.child.try_wait().is_ok_and(|ended| ended.is_none()) {
            ticks.tick().await;
            if self.http.readyz(self.admin).await.is_some_and(|(status, _)| status == 200) {
                return true;
            }
        }
        false
    }

    /// The body of `/readyz`.
    pub(crate) async fn readyz(&self) -> serde_json::Value {
        self.http.readyz(self.admin).await.expect("the admin listener answers").1
    }

    /// The value of a metric, summed over its labels.
    pub(crate) async fn metric(&self, name: &str, label: &str) -> f64 {
        let answer = self.http.get(format!("http://{}/metrics", self.admin)).await.expect("the admin listener answers");
        let text = String::from_utf8(answer.body.to_vec()).expect("it is text");
        let lines = text.lines().filter(|line| line.starts_with(name) && line.contains(label));
        lines.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok()).sum()
    }

    /// Waits until a metric has grown to this.
    pub(crate) async fn metric_is(&self, name: &str, label: &str, least: f64) {
        let deadline = Instant::now() + SOON;
        let mut ticks = interval(Duration::from_millis(50));
        while self.metric(name, label).await < least {
            ticks.tick().await;
            assert!(Instant::now() < deadline, "{name}{{{label}}} never reached {least}");
        }
    }

    /// Where its probes are.
    pub(crate) fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// Kills it as a power cut would.
    pub(crate) async fn kill(mut self) {
        self.child.kill().await.expect("it can be killed");
    }

    /// Asks it to end, and waits until it has.
    pub(crate) async fn terminate(mut self) -> ExitStatus {
        let id = self.child.id().expect("it runs").to_string();
        let told = Command::new("kill").args(["-TERM", &id]).status().await.expect("kill can be run");
        assert!(told.success());
        timeout(SOON, self.child.wait()).await.expect("it ends in time").expect("it can be waited for")
    }
}
