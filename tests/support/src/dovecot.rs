use std::fs::{self, File};
use std::io::Write as _;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use tempfile::TempDir;

use crate::server::{Group, free_port, wait_for};

/// Debian's package.
const PROGRAM: &str = "/usr/sbin/dovecot";
const START: Duration = Duration::from_secs(60);
/// The password of every user of a [`Dovecot`].
pub const IMAP_PASSWORD: &str = "correct-horse";

/// What tokens are signed with.
const TOKEN_KEY: &[u8] = b"causeway-test-key";

/// A Dovecot of a test's own: every user has the password [`IMAP_PASSWORD`] and a mailbox that mails are put into as files.
pub struct Dovecot {
    folder: TempDir,
    port: u16,
    tls_port: u16,
    group: Option<Group>,
}

impl Dovecot {
    /// Starts a server and waits until it takes connections. The certificate is one for `localhost`, with its key.
    ///
    /// # Panics
    /// When it does not start; its log is in the message.
    pub fn start(certificate: &Path, key: &Path) -> Self {
        assert!(Path::new(PROGRAM).exists(), "{PROGRAM} is missing: run scripts/install-test-deps");
        let folder = tempfile::Builder::new().prefix("causeway-dovecot-").tempdir().expect("a folder");
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).expect("it is ours");
        let mut server = Self { folder, port: free_port(), tls_port: free_port(), group: None };
        for name in ["run", "state", "mail", "keys"] {
            fs::create_dir(server.path(name)).expect("its folder takes folders");
        }
        fs::set_permissions(server.path("mail"), fs::Permissions::from_mode(0o777)).expect("it is ours");
        server.write_token_key();
        server.write_settings(certificate, key);
        server.restart();
        server
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The key tokens are signed with (HS256), as Dovecot looks it up: by issuer, algorithm and key id.
    fn write_token_key(&self) {
        let folder = self.path("keys/default/HS256");
        fs::create_dir_all(&folder).expect("its folder takes folders");
        fs::write(folder.join("default"), STANDARD.encode(TOKEN_KEY)).expect("its folder takes files");
        let tokens = format!(
            "introspection_mode = local\nlocal_validation_key_dict = fs:posix:prefix={}/\nusername_attribute = sub\n",
            self.path("keys").display()
        );
        fs::write(self.path("oauth2.conf"), tokens).expect("its folder takes files");
    }

    fn write_settings(&self, certificate: &Path, key: &Path) {
        let folder = self.folder.path().display();
        let (port, tls_port) = (self.port, self.tls_port);
        let (certificate, key) = (certificate.display(), key.display());
        let settings = format!(
            "base_dir = {folder}/run\nstate_dir = {folder}/state\nlog_path = {folder}/dovecot.log\n\
             protocols = imap\nlisten = 127.0.0.1\nssl = yes\nssl_cert = <{certificate}\nssl_key = <{key}\n\
             disable_plaintext_auth = no\nauth_mechanisms = plain login xoauth2\nauth_failure_delay = 0\n\
             mail_location = maildir:{folder}/mail/%u\nfirst_valid_uid = 1\n\
             mail_max_userip_connections = 100\nmaildir_stat_dirs = yes\n\
             passdb {{\n  driver = oauth2\n  mechanisms = xoauth2\n  args = {folder}/oauth2.conf\n}}\n\
             passdb {{\n  driver = static\n  mechanisms = plain login\n  args = password={IMAP_PASSWORD}\n}}\n\
             userdb {{\n  driver = static\n  args = uid=65534 gid=65534 home={folder}/mail/%u\n}}\n\
             service imap-login {{\n  chroot =\n  inet_listener imap {{\n    port = {port}\n  }}\n  \
             inet_listener imaps {{\n    port = {tls_port}\n    ssl = yes\n  }}\n}}\n\
             service anvil {{\n  chroot =\n}}\n\
             service auth {{\n  unix_listener {folder}/login {{\n    mode = 0666\n  }}\n}}\n"
        );
        fs::write(self.path("dovecot.conf"), settings).expect("its folder takes files");
    }

    /// An OAuth 2.0 access token of a user, as an identity provider signs it (HS256).
    pub fn access_token(user: &str) -> String {
        let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
        let signed = format!(
            "{}.{}",
            part(r#"{"alg":"HS256","typ":"JWT"}"#),
            part(&format!(r#"{{"sub":"{user}","exp":4102444800,"iat":1700000000}}"#))
        );
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, TOKEN_KEY);
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(ring::hmac::sign(&key, signed.as_bytes())))
    }

    /// The port of IMAP with STARTTLS.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// The port of IMAP over TLS.
    pub const fn tls_port(&self) -> u16 {
        self.tls_port
    }

    /// The socket at which a [`crate::Postfix`] asks who may log in.
    pub fn login_socket(&self) -> PathBuf {
        self.path("login")
    }

    /// Puts a mail into a user's mailbox.
    ///
    /// # Panics
    /// When the file cannot be written.
    pub fn put(&self, user: &str, mail: &[u8]) {
        self.put_all(user, mail, 1, None);
    }

    /// Puts a mail there as if it had been taken at a time, in seconds since 1970.
    ///
    /// # Panics
    /// When the file cannot be written.
    pub fn put_at(&self, user: &str, mail: &[u8], seconds: u64) {
        self.put_all(user, mail, 1, Some(seconds));
    }

    /// Puts many copies of a mail there, as if they had been taken at a time.
    ///
    /// # Panics
    /// When a file cannot be written.
    pub fn put_many(&self, user: &str, mail: &[u8], count: usize, seconds: u64) {
        self.put_all(user, mail, count, Some(seconds));
    }

    fn put_all(&self, user: &str, mail: &[u8], count: usize, seconds: Option<u64>) {
        static NEXT: AtomicUsize = AtomicUsize::new(1_000_000);
        let mailbox = self.path("mail").join(user);
        for name in ["tmp", "new", "cur"] {
            fs::create_dir_all(mailbox.join(name)).expect("its folder takes folders");
        }
        let mut written = Vec::new();
        for _ in 0..count {
            let name = format!("1700000000.M{}.test", NEXT.fetch_add(1, Ordering::Relaxed));
            let waiting = mailbox.join("tmp").join(&name);
            let mut file = File::create(&waiting).expect("its folder takes files");
            file.write_all(mail).expect("it takes bytes");
            if let Some(seconds) = seconds {
                file.set_modified(UNIX_EPOCH + Duration::from_secs(seconds)).expect("it is ours");
            }
            written.push(name);
        }
        let owned = Command::new("chown").arg("-R").arg("65534:65534").arg(&mailbox).status();
        assert!(owned.is_ok_and(|status| status.success()), "the mailbox is given to its server");
        for name in written {
            let there = mailbox.join("new").join(&name);
            fs::rename(mailbox.join("tmp").join(&name), there).expect("it is one file system");
        }
    }

    /// Gives a user's mailbox a new UIDVALIDITY, as a restored or moved one has. To be done while the server is killed.
    ///
    /// # Panics
    /// When the mailbox was never opened.
    pub fn forget_uids(&self, user: &str) {
        let mailbox = self.path("mail").join(user);
        let list = mailbox.join("dovecot-uidlist");
        let before = fs::read_to_string(&list).expect("the mailbox was opened before");
        let life = before.split_whitespace().find_map(|word| word.strip_prefix('V')?.parse::<u32>().ok());
        let life = life.expect("a uidlist says its UIDVALIDITY") + 1;
        fs::write(&list, format!("3 V{life} N1\n")).expect("it is there");
        for name in [
            "dovecot.index",
            "dovecot.index.log",
            "dovecot.index.cache",
            "dovecot.list.index",
            "dovecot.list.index.log",
        ] {
            // Which of them there are is the server's own affair.
            let _there = fs::remove_file(mailbox.join(name));
        }
    }

    /// Kills it with all connections.
    pub fn kill(&mut self) {
        if let Some(group) = self.group.take() {
            group.kill();
            let gone = wait_for(START, || TcpStream::connect(("127.0.0.1", self.port)).is_err());
            assert!(gone, "a killed Dovecot takes no connections");
        }
    }

    /// Starts it, again where it was started before, with what it had on disk.
    ///
    /// # Panics
    /// When it does not start; its log is in the message.
    pub fn restart(&mut self) {
        self.kill();
        let output = File::create(self.path("output.log")).expect("its folder takes files");
        let conf = self.path("dovecot.conf").display().to_string();
        // A pid file of one that was killed keeps the next one from starting.
        let pid = self.path("run/master.pid").display().to_string();
        let script = format!("rm -f {pid}\n{PROGRAM} -F -c {conf} &");
        self.group = Some(Group::start(&script, output).expect("sh can be started"));
        let up = wait_for(START, || TcpStream::connect(("127.0.0.1", self.port)).is_ok());
        assert!(up, "Dovecot did not start:\n{}", self.log());
    }

    /// What it logged.
    pub fn log(&self) -> String {
        let read = |name| fs::read_to_string(self.path(name)).unwrap_or_default();
        read("output.log") + &read("dovecot.log")
    }
}
