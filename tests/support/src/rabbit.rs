use std::fs::{self, File};
use std::net::TcpStream;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use tempfile::TempDir;
use uuid::Uuid;

use crate::given;
use crate::server::{Group, free_port, wait_for};

/// Which RabbitMQ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// 4.3, from Debian testing, in a root folder of its own.
    V43,
    /// 3.10, Debian 12's package.
    V310,
}

/// A RabbitMQ node of a test's own.
pub struct RabbitNode {
    version: Version,
    /// Where its folder is, as this process sees it.
    folder: TempDir,
    name: String,
    port: u16,
    epmd_port: u16,
    dist_port: u16,
    /// Names of all nodes of its cluster, where it is in one: they share one port mapper and one cookie.
    peers: Vec<String>,
    /// Of its management API, where it has one.
    management_port: Option<u16>,
    group: Option<Group>,
}

/// A cold start on a busy machine.
const START: Duration = Duration::from_secs(120);

impl Version {
    /// The root its programs see.
    fn root(self) -> Option<PathBuf> {
        match self {
            Self::V43 => Some(cache().join("rabbitmq-4.3")),
            Self::V310 => None,
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "tests are told by the environment where what they need was installed")]
pub(crate) fn cache() -> PathBuf {
    match std::env::var("CAUSEWAY_TEST_CACHE") {
        Ok(cache) => PathBuf::from(cache),
        Err(_) => {
            PathBuf::from(std::env::var("HOME").unwrap_or_else(|_| "/root".to_owned())).join(".cache/causeway-test")
        }
    }
}

impl RabbitNode {
    /// Starts a node and waits until it takes connections.
    ///
    /// # Panics
    /// When it does not start; its log is in the message.
    pub fn start(version: Version) -> Self {
        Self::new(version, name(), free_port(), Vec::new(), None).started()
    }

    /// Starts a node with its management API, and waits until both answer.
    ///
    /// # Panics
    /// When it does not start; its log is in the message.
    pub fn start_managed(version: Version) -> Self {
        let node = Self::new(version, name(), free_port(), Vec::new(), Some(free_port())).started();
        let up =
            wait_for(START, || TcpStream::connect(("127.0.0.1", node.management_port.unwrap_or_default())).is_ok());
        assert!(up, "{} has no management API", node.name);
        node
    }

    /// The URL of its management API, with user and password.
    ///
    /// # Panics
    /// When it was started without.
    pub fn management_url(&self) -> String {
        format!("http://guest:guest@127.0.0.1:{}", self.management_port.expect("it was started with management"))
    }

    fn started(mut self) -> Self {
        self.launch();
        self.wait();
        self
    }

    fn new(version: Version, name: String, epmd_port: u16, peers: Vec<String>, management_port: Option<u16>) -> Self {
        let root = version.root().unwrap_or_else(|| PathBuf::from("/"));
        let program = root.join("usr/lib/rabbitmq/bin/rabbitmq-server");
        assert!(program.exists(), "{} is missing: run scripts/install-test-deps", program.display());
        let folder =
            tempfile::Builder::new().prefix("causeway-rabbit-").tempdir_in(root.join("tmp")).expect("a folder");
        let (port, dist_port) = (free_port(), free_port());
        let node = Self { version, folder, name, port, epmd_port, dist_port, peers, management_port, group: None };
        node.configure();
        node
    }

    fn configure(&self) {
        let mut conf = format!(
            "listeners.tcp.1 = 127.0.0.1:{}\nloopback_users = none\nlog.file = false\nlog.console = true\nlog.console.level = warning\n\
             disk_free_limit.absolute = 10MB\n",
            self.port
        );
        for (peer, number) in self.peers.iter().zip(1..) {
            conf.push_str(&format!("cluster_formation.classic_config.nodes.{number} = {peer}\n"));
        }
        let mut plugins = "[].\n";
        if let Some(port) = self.management_port {
            conf.push_str(&format!("management.tcp.ip = 127.0.0.1\nmanagement.tcp.port = {port}\n"));
            plugins = "[rabbitmq_management].\n";
        }
        fs::write(self.folder.path().join("rabbitmq.conf"), conf).expect("its folder takes files");
        fs::write(self.folder.path().join("enabled_plugins"), plugins).expect("its folder takes files");
    }

    /// The folder as the node's own programs see it.
    fn inside(&self) -> PathBuf {
        let folder = self.folder.path();
        match self.version.root() {
            Some(root) => Path::new("/").join(folder.strip_prefix(root).expect("it was made in there")),
            None => folder.to_owned(),
        }
    }

    fn environment(&self) -> Vec<String> {
        let folder = self.inside().display().to_string();
        // Nodes of one cluster share a cookie; the nodes of two tests must not.
        let cookie = format!("RABBITMQ_ERLANG_COOKIE=COOKIE{}", self.epmd_port);
        vec![
            cookie,
            format!("HOME={folder}"),
            "PATH=/usr/sbin:/usr/bin:/sbin:/bin".to_owned(),
            "LANG=C.UTF-8".to_owned(),
            format!("ERL_EPMD_PORT={}", self.epmd_port),
            "ERL_EPMD_ADDRESS=127.0.0.1".to_owned(),
            format!("RABBITMQ_NODENAME={}", self.name),
            format!("RABBITMQ_NODE_PORT={}", self.port),
            format!("RABBITMQ_DIST_PORT={}", self.dist_port),
            format!("RABBITMQ_MNESIA_BASE={folder}/data"),
            format!("RABBITMQ_LOG_BASE={folder}/log"),
            format!("RABBITMQ_ENABLED_PLUGINS_FILE={folder}/enabled_plugins"),
            format!("RABBITMQ_CONFIG_FILE={folder}/rabbitmq.conf"),
            // Busy-waiting schedulers would take the cores the tests need.
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS=+S 2:2 +sbwt none +sbwtdcpu none +sbwtdio none".to_owned(),
        ]
    }

    /// A shell command in the node's own world.
    fn command(&self, command: &str) -> String {
        let quoted: Vec<String> = self.environment().iter().map(|pair| format!("'{pair}'")).collect();
        let run = format!("env -i {} {command}", quoted.join(" "));
        match self.version.root() {
            // The mount is seen by this one process and its children, and gone with them.
            Some(root) => {
                let root = root.display();
                let inner = format!("mount -t proc proc {root}/proc && exec chroot {root} {run}");
                format!("unshare --mount --propagation private sh -c \"{inner}\"")
            }
            None => run,
        }
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("output.log")
    }

    fn output(&self) -> File {
        File::create(self.log()).expect("its folder takes files")
    }

    /// The port mapper of Erlang, which dies with its handle.
    fn port_mapper(&self) -> String {
        self.command(&format!("epmd -port {}", self.epmd_port))
    }

    fn launch(&mut self) {
        let server = self.command("/usr/lib/rabbitmq/bin/rabbitmq-server");
        let script = match self.peers.as_slice() {
            [] => format!("{} &\n{server} &", self.port_mapper()),
            [..] => format!("{server} &"),
        };
        self.group = Some(Group::start(&script, self.output()).expect("sh can be started"));
    }

    /// Waits until it takes connections.
    fn wait(&self) {
        let up = wait_for(START, || TcpStream::connect(("127.0.0.1", self.port)).is_ok());
        assert!(up, "{} did not start:\n{}", self.name, fs::read_to_string(self.log()).unwrap_or_default());
    }

    /// Its URL, with a virtual host.
    pub fn url(&self, vhost: &str) -> String {
        let vhost = if vhost == "/" { "%2f" } else { vhost };
        format!("amqp://guest:guest@127.0.0.1:{}/{vhost}", self.port)
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Whether it was started and not killed.
    pub fn is_running(&self) -> bool {
        self.group.is_some()
    }

    /// Kills it, as a power cut would.
    pub fn kill(&mut self) {
        if let Some(group) = self.group.take() {
            group.kill();
        }
    }

    /// Starts it again with what it had on disk.
    pub fn restart(&mut self) {
        self.kill();
        self.launch();
        self.wait();
    }

    /// Raises a memory alarm: publishers are blocked.
    pub fn block(&self) {
        self.rabbitmqctl(&["set_vm_memory_high_watermark", "0.0000001"]);
    }

    /// Clears it.
    pub fn unblock(&self) {
        self.rabbitmqctl(&["set_vm_memory_high_watermark", "0.6"]);
    }

    /// Deletes a queue.
    pub fn delete_queue(&self, vhost: &str, queue: &str) {
        self.rabbitmqctl(&["-p", vhost, "delete_queue", queue]);
    }

    /// Its version, as it says itself.
    pub fn version(&self) -> String {
        let output = self.rabbitmqctl(&["version"]);
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// Makes virtual hosts `t1` to `t{count}` in one go.
    pub fn make_vhosts(&self, count: usize) {
        self.make_more_vhosts(1..=count);
    }

    fn make_more_vhosts(&self, numbers: RangeInclusive<usize>) {
        let (first, last) = numbers.into_inner();
        let made = format!(
            "lists:foreach(fun(N) -> V = list_to_binary([$t | integer_to_list(N)]), rabbit_vhost:add(V, <<\"guest\">>), \
             rabbit_auth_backend_internal:set_permissions(<<\"guest\">>, V, <<\".*\">>, <<\".*\">>, <<\".*\">>, <<\"guest\">>) \
             end, lists:seq({first}, {last}))."
        );
        self.rabbitmqctl(&["eval", &made]);
    }

    /// Runs `rabbitmqctl` against it.
    ///
    /// # Panics
    /// When it fails; what it said is in the message.
    pub fn rabbitmqctl(&self, arguments: &[&str]) -> Output {
        let script = self.folder.path().join(format!("ctl-{}", Uuid::new_v4().simple()));
        let quoted: Vec<String> = arguments.iter().map(|argument| format!("'{argument}'")).collect();
        fs::write(
            &script,
            format!("exec /usr/lib/rabbitmq/bin/rabbitmqctl -q -n '{}' {}\n", self.name, quoted.join(" ")),
        )
        .expect("its folder takes files");
        let inside = self.inside().join(script.file_name().expect("it has a name"));
        let output = Command::new("sh").args(["-c", &self.command(&format!("sh {}", inside.display()))]).output();
        let output = output.expect("sh can be started");
        assert!(
            output.status.success(),
            "rabbitmqctl {arguments:?} failed: {}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        output
    }
}

fn name() -> String {
    format!("causeway-{}@localhost", Uuid::new_v4().simple())
}

/// RabbitMQ nodes of a test's own, which are one cluster when there are several.
pub struct RabbitCluster {
    nodes: Vec<RabbitNode>,
    /// Lives as long as the cluster: a node that is killed does not take the names of the others with it.
    _port_mapper: Option<Group>,
}

impl RabbitCluster {
    /// Starts so many nodes and waits until each takes connections.
    ///
    /// # Panics
    /// When one does not start, or they do not find each other.
    pub fn start(version: Version, size: usize) -> Self {
        if size == 1 {
            return Self { nodes: vec![RabbitNode::start(version)], _port_mapper: None };
        }
        let (names, epmd_port): (Vec<String>, u16) = ((0..size).map(|_| name()).collect(), free_port());
        let new = |name: &String| RabbitNode::new(version, name.clone(), epmd_port, names.clone(), None);
        let mut nodes: Vec<RabbitNode> = names.iter().map(new).collect();
        let first = nodes.first().expect("a cluster has nodes");
        let port_mapper = Group::start(&format!("{} &", first.port_mapper()), first.output());
        nodes.iter_mut().for_each(RabbitNode::launch);
        nodes.iter().for_each(RabbitNode::wait);
        let cluster = Self { nodes, _port_mapper: Some(port_mapper.expect("sh can be started")) };
        let first = cluster.node(0);
        let joined = wait_for(START, || {
            let output = first.rabbitmqctl(&["cluster_status", "--formatter", "json"]);
            let status: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
            status["running_nodes"].as_array().is_some_and(|running| running.len() == size)
        });
        assert!(joined, "the nodes are no cluster:\n{}", fs::read_to_string(first.log()).unwrap_or_default());
        cluster
    }

    /// How many nodes it has.
    pub fn size(&self) -> usize {
        self.nodes.len()
    }

    /// One of them.
    pub fn node(&self, number: usize) -> &RabbitNode {
        &self.nodes[number]
    }

    /// One of them, to kill or start it.
    pub fn node_mut(&mut self, number: usize) -> &mut RabbitNode {
        &mut self.nodes[number]
    }

    /// Starts every node again, all at once: after a power cut none comes up without the others.
    pub fn restart(&mut self) {
        for node in &mut self.nodes {
            node.kill();
            node.launch();
        }
        self.nodes.iter().for_each(RabbitNode::wait);
    }

    /// The port of a node that runs.
    ///
    /// # Panics
    /// When none does.
    pub fn running_port(&self) -> u16 {
        self.nodes.iter().find(|node| node.is_running()).expect("a node runs").port()
    }

    /// The node that leads a queue of the virtual host `/`.
    pub fn leader(&self, queue: &str) -> Option<usize> {
        let asked = self.nodes.iter().find(|node| node.is_running())?;
        let output = asked.rabbitmqctl(&["list_queues", "name", "leader"]);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let line = text.lines().find_map(|line| line.strip_prefix(queue)?.strip_prefix('\t'))?;
        self.nodes.iter().position(|node| node.name == line.trim())
    }
}

/// Virtual hosts a shared node is given at once: a command for each would take longer than the tests.
const VHOSTS: usize = 32;

struct SharedNode {
    node: RabbitNode,
    made: usize,
    used: usize,
}

impl SharedNode {
    fn vhost(&mut self) -> String {
        if self.used == self.made {
            self.node.make_more_vhosts(self.made + 1..=self.made + VHOSTS);
            self.made += VHOSTS;
        }
        self.used += 1;
        self.node.url(&format!("t{}", self.used))
    }
}

/// An empty virtual host on a node that all tests of this process share, for tests that leave the node alone. Where one is
/// given, it stands for both versions.
///
/// # Panics
/// When the node does not start.
pub fn shared_vhost(version: Version) -> String {
    if let Some(url) = given::vhost() {
        return url;
    }
    static NODES: [OnceLock<Mutex<SharedNode>>; 2] = [OnceLock::new(), OnceLock::new()];
    let shared = NODES[version as usize].get_or_init(|| {
        let node = RabbitNode::start(version);
        announce(&node);
        Mutex::new(SharedNode { node, made: 0, used: 0 })
    });
    shared.lock().expect("nobody panics while holding a node").vhost()
}

/// A green run must be seen to have used a real broker.
#[expect(clippy::print_stderr, reason = "the output of a test run says which servers it used")]
fn announce(node: &RabbitNode) {
    eprintln!("using RabbitMQ {} on 127.0.0.1:{}", node.version(), node.port());
}
