use std::fs::{self, File};
use std::io::Write as _;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use tempfile::TempDir;
use uuid::Uuid;

use crate::server::{Group, free_port, wait_for};

/// Debian 12's package.
const PROGRAMS: &str = "/usr/lib/postgresql/15/bin";
/// A cold start on a busy machine, or the recovery after a kill.
const START: Duration = Duration::from_secs(60);
/// The role of everybody who comes without a password.
const USER: &str = "causeway";
/// The name of a role that must give a password, where a test makes one.
pub const GUARDED_USER: &str = "guarded";

/// A PostgreSQL server of a test's own.
pub struct PostgresServer {
    folder: TempDir,
    port: u16,
    group: Option<Group>,
    /// Whether it lives as long as the process, which drops nothing at its end.
    shared: bool,
}

impl PostgresServer {
    /// Starts a server and waits until it takes connections.
    ///
    /// # Panics
    /// When it does not start; its log is in the message.
    pub fn start() -> Self {
        Self::start_with("")
    }

    /// The same, with further lines of `postgresql.conf`.
    ///
    /// # Panics
    /// When it does not start; its log is in the message.
    pub fn start_with(settings: &str) -> Self {
        let mut server = Self { folder: Self::folder(), port: free_port(), group: None, shared: false };
        server.make(settings);
        server.launch();
        server
    }

    fn start_shared() -> Self {
        let folder = Self::folder();
        let mut server = Self { folder, port: free_port(), group: None, shared: true };
        server.make("");
        server.launch();
        server
    }

    fn folder() -> TempDir {
        let program = Path::new(PROGRAMS).join("initdb");
        assert!(program.exists(), "{} is missing: run scripts/install-test-deps", program.display());
        tempfile::Builder::new().prefix("causeway-postgres-").tempdir().expect("a folder")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// PostgreSQL refuses to run as root.
    fn command(&self, command: &str) -> String {
        let run = if is_root() { "setpriv --reuid=nobody --regid=nogroup --clear-groups" } else { "" };
        format!("{run} env -i LC_ALL=C PATH=/usr/bin:/bin {PROGRAMS}/{command}")
    }

    fn make(&self, settings: &str) {
        if is_root() {
            run(Command::new("chown").arg("nobody:nogroup").arg(self.folder.path()));
        }
        let data = self.path("data").display().to_string();
        let initdb = format!("initdb --auth=trust --encoding=UTF8 --locale=C --username={USER} --pgdata={data}");
        run(Command::new("sh").args(["-c", &self.command(&initdb)]).current_dir(self.folder.path()));
        let mut conf =
            fs::OpenOptions::new().append(true).open(self.path("data/postgresql.conf")).expect("it was made");
        let folder = self.folder.path().display();
        let own =
            format!("listen_addresses = '127.0.0.1'\nport = {}\nunix_socket_directories = '{folder}'\n", self.port);
        conf.write_all(format!("{own}{settings}\n").as_bytes()).expect("its folder takes files");
        let who = format!("host all {GUARDED_USER} 127.0.0.1/32 scram-sha-256\n");
        let trusted = format!("{who}local all all trust\nhost all all 127.0.0.1/32 trust\n");
        fs::write(self.path("data/pg_hba.conf"), trusted).expect("its folder takes files");
    }

    /// Puts a file where its settings can name it, readable by the server alone.
    ///
    /// # Panics
    /// When it cannot be read or written.
    pub fn settings_file(content: &[u8]) -> tempfile::TempPath {
        let mut file = tempfile::NamedTempFile::new().expect("a file");
        file.write_all(content).expect("it takes bytes");
        file.as_file().set_permissions(fs::Permissions::from_mode(0o600)).expect("it is ours");
        if is_root() {
            run(Command::new("chown").arg("nobody:nogroup").arg(file.path()));
        }
        file.into_temp_path()
    }

    fn launch(&mut self) {
        let log = self.path("output.log");
        let output = File::create(&log).expect("its folder takes files");
        let server = self.command(&format!("postgres -D {}/data", self.folder.path().display()));
        // After a kill the postmaster refuses to start until the last of the old processes has noticed.
        let patient = format!("(for _ in $(seq 200); do {server}; sleep 0.1; done) &");
        // A process beside the group, which outlives it, takes the folder away.
        let tidy =
            format!("read -r _never <&3; for _ in 1 2 3; do sleep 1; rm -rf {}; done", self.folder.path().display());
        let tidy = if self.shared { format!("setsid sh -c '{tidy}' &") } else { String::new() };
        self.group = Some(Group::start(&format!("{patient}\n{tidy}"), output).expect("sh can be started"));
        let up = wait_for(START, || self.answers());
        assert!(up, "PostgreSQL did not start:\n{}", fs::read_to_string(&log).unwrap_or_default());
    }

    fn answers(&self) -> bool {
        TcpStream::connect(("127.0.0.1", self.port)).is_ok()
            && psql(&self.url("postgres"), "SELECT 1").is_ok_and(|output| output.status.success())
    }

    /// Its URL, with a database.
    pub fn url(&self, database: &str) -> String {
        format!("postgresql://{USER}@127.0.0.1:{}/{database}", self.port)
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Makes an empty database and gives its URL.
    pub fn make_database(&self) -> String {
        let name = format!("t{}", Uuid::new_v4().simple());
        self.sql("postgres", &format!("CREATE DATABASE {name}"));
        self.url(&name)
    }

    /// Runs SQL in a database, and gives what it said.
    ///
    /// # Panics
    /// When it fails; what it said is in the message.
    pub fn sql(&self, database: &str, sql: &str) -> String {
        postgres_sql(&self.url(database), sql)
    }

    /// Kills it, as a power cut would.
    pub fn kill(&mut self) {
        let Some(group) = self.group.take() else { return };
        // Each of its processes is a group of its own; they end by themselves when the first one is gone, yet a test that
        // kills wants none of them to finish what it was doing.
        let leader = fs::read_to_string(self.path("data/postmaster.pid")).unwrap_or_default();
        let leader = leader.lines().next().unwrap_or_default().to_owned();
        let children = fs::read_to_string(format!("/proc/{leader}/task/{leader}/children")).unwrap_or_default();
        group.kill();
        for child in children.split_whitespace() {
            let stat = fs::read_to_string(format!("/proc/{child}/comm")).unwrap_or_default();
            if stat.trim() == "postgres" {
                // One that ended meanwhile is as dead as it should be.
                let _ended = Command::new("kill").args(["-9", child]).stderr(std::process::Stdio::null()).status();
            }
        }
    }

    /// Starts it again with what it had on disk.
    pub fn restart(&mut self) {
        self.kill();
        self.launch();
    }
}

impl Drop for PostgresServer {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Runs SQL in the database of a URL, and gives what it said.
///
/// # Panics
/// When it fails; what it said is in the message.
pub fn postgres_sql(url: &str, sql: &str) -> String {
    let output = psql(url, sql).expect("psql can be started; scripts/install-test-deps installs it");
    let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    assert!(output.status.success(), "{sql} failed: {said}{}", String::from_utf8_lossy(&output.stderr));
    said
}

fn psql(url: &str, sql: &str) -> std::io::Result<Output> {
    let own = Path::new(PROGRAMS).join("psql");
    let program = if own.exists() { own } else { PathBuf::from("psql") };
    Command::new(program)
        .args(["--no-psqlrc", "--no-align", "--tuples-only", "--quiet", "--set=ON_ERROR_STOP=1", "--dbname", url])
        .args(["--command", sql])
        .env("PGCONNECT_TIMEOUT", "5")
        .output()
}

fn run(command: &mut Command) {
    let output = command.output().expect("it can be started");
    assert!(output.status.success(), "{command:?} failed: {}", String::from_utf8_lossy(&output.stderr));
}

fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}

/// The URL of an empty database, on a server that all tests of this process share, for tests that leave the server alone:
/// the one `CAUSEWAY_TEST_POSTGRES_URL` names, or a private one.
///
/// # Panics
/// When there is no such server, or none can be started.
pub fn shared_postgres() -> String {
    static SERVER: OnceLock<Option<Mutex<PostgresServer>>> = OnceLock::new();
    let given = given();
    let shared = SERVER.get_or_init(|| {
        let server = given.is_none().then(PostgresServer::start_shared);
        let version = |url: &str| postgres_sql(url, "SHOW server_version");
        match (&server, &given) {
            (Some(server), _) => announce(&version(&server.url("postgres")), "a server of its own"),
            (None, url) => announce(&version(url.as_deref().unwrap_or_default()), "CAUSEWAY_TEST_POSTGRES_URL"),
        }
        server.map(Mutex::new)
    });
    match (shared, given) {
        (Some(server), _) => server.lock().expect("nobody panics while holding a server").make_database(),
        (None, Some(url)) => database_on(&url),
        (None, None) => unreachable!("the environment does not change"),
    }
}

/// An empty database beside the one a URL names.
fn database_on(url: &str) -> String {
    let name = format!("t{}", Uuid::new_v4().simple());
    postgres_sql(url, &format!("CREATE DATABASE {name}"));
    let (server, options) = url.split_once('?').unwrap_or((url, ""));
    let (scheme, rest) = server.split_once("://").expect("CAUSEWAY_TEST_POSTGRES_URL is a URL");
    let host = rest.split('/').next().unwrap_or_default();
    if options.is_empty() { format!("{scheme}://{host}/{name}") } else { format!("{scheme}://{host}/{name}?{options}") }
}

#[expect(clippy::disallowed_methods, reason = "tests are told by the environment where what they need is running")]
fn given() -> Option<String> {
    std::env::var("CAUSEWAY_TEST_POSTGRES_URL").ok().filter(|url| !url.is_empty())
}

/// A green run must be seen to have used a real server.
#[expect(clippy::print_stderr, reason = "the output of a test run says which servers it used")]
fn announce(version: &str, whose: &str) {
    eprintln!("using PostgreSQL {version}: {whose}");
}
