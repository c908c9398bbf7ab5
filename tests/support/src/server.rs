use std::io;
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A port nobody uses now.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    listener.local_addr().expect("it has an address").port()
}

/// Looks again and again until a condition holds; `false` when it does not in time.
pub fn wait_for(deadline: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let began = Instant::now();
    while !condition() {
        if began.elapsed() > deadline {
            return false;
        }
        std::thread::park_timeout(Duration::from_millis(50));
    }
    true
}

/// A process group that dies with its handle.
pub(crate) struct Group {
    leader: Child,
}

impl Group {
    /// Runs a shell script as the leader of a group of its own. When the pipe to its standard input is closed, the whole
    /// group is killed, however this process ended.
    pub(crate) fn start(script: &str, output: std::fs::File) -> io::Result<Self> {
        let guarded = format!("{script}\nexec 0<&3\nread -r _never\nkill -s KILL -- -$$\n");
        let leader = Command::new("sh")
            .args(["-c", &format!("exec 3<&0 0</dev/null\n{guarded}")])
            .stdin(Stdio::piped())
            .stdout(output.try_clone()?)
            .stderr(output)
            .process_group(0)
            .spawn()?;
        Ok(Self { leader })
    }

    /// Kills every process of the group at once.
    pub(crate) fn kill(mut self) {
        self.kill_all();
    }

    fn kill_all(&mut self) {
        let group = format!("-{}", self.leader.id());
        let killed = Command::new("kill").args(["-9", "--", &group]).stderr(Stdio::null()).status();
        let reaped = self.leader.wait();
        debug_assert!(killed.is_ok() && reaped.is_ok(), "the group was started by us");
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill_all();
    }
}
