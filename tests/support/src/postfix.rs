use std::fs::{self, File};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use crate::server::{Group, free_port, wait_for};

/// Debian's package.
const PROGRAM: &str = "/usr/sbin/postfix";
const START: Duration = Duration::from_secs(60);

/// A Postfix of a test's own, between a company and the world.
///
/// It delivers mail for `ann@consumer.example` and `bob@consumer.example`, and knows nobody else there; takes mail for
/// `gone@consumer.example` and then returns it; says "later" of `later@consumer.example`, and "too many" of `limited@consumer.example`; refuses the sender
/// `blocked@company.com` and mails above 1 MB; and brings mail for `company.com` to a port.
pub struct Postfix {
    folder: TempDir,
    port: u16,
    group: Option<Group>,
}

impl Postfix {
    /// Starts a server that brings mail for `company.com` to `inbound`. The certificate is one for `localhost`.
    ///
    /// # Panics
    /// When it does not start; its log is in the message.
    pub fn start(inbound: u16, certificate: &Path, key: &Path) -> Self {
        Self::start_with(inbound, certificate, key, None)
    }

    /// The same, for clients that log in over TLS, with users of a [`crate::Dovecot`] whose socket is given.
    ///
    /// # Panics
    /// When it does not start; its log is in the message.
    pub fn start_with(inbound: u16, certificate: &Path, key: &Path, logins: Option<&Path>) -> Self {
        assert!(Path::new(PROGRAM).exists(), "{PROGRAM} is missing: run scripts/install-test-deps");
        let folder = tempfile::Builder::new().prefix("causeway-postfix-").tempdir().expect("a folder");
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).expect("it is ours");
        let mut server = Self { folder, port: free_port(), group: None };
        for (name, owner) in [("conf", "root"), ("queue", "root"), ("data", "postfix"), ("mail", "nobody")] {
            fs::create_dir(server.path(name)).expect("its folder takes folders");
            let owned = Command::new("chown").arg(owner).arg(server.path(name)).status();
            assert!(owned.is_ok_and(|status| status.success()), "the folder is given to its server");
        }
        server.write_settings(inbound, certificate, key, logins);
        server.launch();
        server
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write_settings(&self, inbound: u16, certificate: &Path, key: &Path, logins: Option<&Path>) {
        let folder = self.folder.path().display();
        let (certificate, key) = (certificate.display(), key.display());
        let main = format!(
            "compatibility_level = 3.6\nqueue_directory = {folder}/queue\ndata_directory = {folder}/data\n\
             command_directory = /usr/sbin\ndaemon_directory = /usr/lib/postfix/sbin\nmail_owner = postfix\n\
             setgid_group = postdrop\nmaillog_file = /dev/stdout\ninet_interfaces = 127.0.0.1\ninet_protocols = ipv4\n\
             myhostname = mta.company.com\nmydestination =\nmynetworks = 127.0.0.0/8\nalias_maps =\nbiff = no\n\
             smtp_host_lookup = native\nsmtp_dns_support_level = disabled\nsmtputf8_enable = yes\n\
             message_size_limit = 1000000\nsmtpd_tls_security_level = may\nsmtp_tls_security_level = may\n\
             smtpd_tls_cert_file = {certificate}\nsmtpd_tls_key_file = {key}\n\
             virtual_mailbox_domains = consumer.example\nvirtual_mailbox_base = {folder}/mail\n\
             virtual_mailbox_maps = inline:{{ ann@consumer.example=ann/, bob@consumer.example=bob/ }}\n\
             virtual_uid_maps = static:65534\nvirtual_gid_maps = static:65534\nvirtual_minimum_uid = 1\n\
             relay_domains = company.com\nrelay_recipient_maps =\n\
             transport_maps = inline:{{ {{company.com = smtp:[127.0.0.1]:{inbound}}} }}\n\
             virtual_alias_maps = inline:{{ gone@consumer.example=moved@consumer.example }}\n\
             smtpd_relay_restrictions = permit_mynetworks, reject_unauth_destination\n\
             smtpd_recipient_restrictions = check_sender_access inline:{{ {{blocked@company.com = 550 5.7.1 Not you}} }}, \
             check_recipient_access inline:{{ {{later@consumer.example = 450 4.2.0 Not now}}, {{limited@consumer.example = 450 4.7.1 Too many}} }}, \
             reject_unlisted_recipient, permit_mynetworks, reject\n\
             minimal_backoff_time = 1s\nmaximal_backoff_time = 2s\nqueue_run_delay = 1s\n"
        );
        let logins = logins.map(|socket| {
            format!(
                "smtpd_sasl_auth_enable = yes\nsmtpd_sasl_type = dovecot\nsmtpd_sasl_path = {}\nsmtpd_tls_auth_only = yes\n\
                 smtpd_client_restrictions = permit_sasl_authenticated, reject\n",
                socket.display()
            )
        });
        let main = main + &logins.unwrap_or_default();
        fs::write(self.path("conf/main.cf"), main).expect("its folder takes files");
        let port = self.port;
        let services = format!(
            "127.0.0.1:{port} inet n - n - - smtpd\ncleanup unix n - n - 0 cleanup\nqmgr unix n - n 1 1 qmgr\n\
             tlsmgr unix - - n 1000? 1 tlsmgr\nrewrite unix - - n - - trivial-rewrite\nbounce unix - - n - 0 bounce\n\
             defer unix - - n - 0 bounce\ntrace unix - - n - 0 bounce\nverify unix - - n - 1 verify\n\
             proxymap unix - - n - - proxymap\nsmtp unix - - n - - smtp\nrelay unix - - n - - smtp\n\
             error unix - - n - - error\nretry unix - - n - - error\nvirtual unix - n n - - virtual\n\
             anvil unix - - n - 1 anvil\nscache unix - - n - 1 scache\npostlog unix-dgram n - n - 1 postlogd\n"
        );
        fs::write(self.path("conf/master.cf"), services).expect("its folder takes files");
    }

    fn launch(&mut self) {
        let output = File::create(self.path("output.log")).expect("its folder takes files");
        let conf = self.path("conf").display().to_string();
        // Its master is a session of its own, which outlives the group; this one outlives both.
        let pid = self.path("queue/pid/master.pid").display().to_string();
        let tidy = format!("setsid sh -c 'read -r _never <&3; kill -9 -- -$(cat {pid})' &");
        let script = format!("{PROGRAM} -c {conf} start-fg &\n{tidy}");
        self.group = Some(Group::start(&script, output).expect("sh can be started"));
        let up = wait_for(START, || TcpStream::connect(("127.0.0.1", self.port)).is_ok());
        assert!(up, "Postfix did not start:\n{}", self.log());
    }

    /// Its port, for clients of this machine.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// The mails in a recipient's mailbox, in no order.
    pub fn mails(&self, user: &str) -> Vec<Vec<u8>> {
        let Ok(entries) = fs::read_dir(self.path("mail").join(user).join("new")) else { return Vec::new() };
        entries.filter_map(|entry| fs::read(entry.ok()?.path()).ok()).collect()
    }

    /// Kills it and starts it again with what it had on disk.
    ///
    /// # Panics
    /// When it does not start; its log is in the message.
    pub fn restart(&mut self) {
        self.kill();
        let gone = wait_for(START, || TcpStream::connect(("127.0.0.1", self.port)).is_err());
        assert!(gone, "a killed Postfix takes no connections");
        self.launch();
    }

    /// What it logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.path("output.log")).unwrap_or_default()
    }

    /// Kills it.
    pub fn kill(&mut self) {
        let Some(group) = self.group.take() else { return };
        let master = fs::read_to_string(self.path("queue/pid/master.pid")).unwrap_or_default();
        let master = master.trim();
        if !master.is_empty() {
            // One that ended by itself is as dead as it should be.
            let _ended = Command::new("kill")
                .args(["-9", "--", &format!("-{master}")])
                .stderr(std::process::Stdio::null())
                .status();
        }
        group.kill();
    }
}

impl Drop for Postfix {
    #[expect(clippy::print_stderr, reason = "a test that fails shows what its mail server saw")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("Postfix's log:\n{}", self.log());
        }
        self.kill();
    }
}
