use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::time::Duration;

use tempfile::TempDir;
use uuid::Uuid;

use crate::rabbit::cache;
use crate::server::{Group, free_port, wait_for};

/// A cold start on a busy machine: a master, a volume server, a filer and the gateway find each other.
const START: Duration = Duration::from_secs(90);

/// An S3-compatible store (SeaweedFS) of a test's own.
pub struct S3Server {
    folder: TempDir,
    port: u16,
    filer: u16,
    group: Option<Group>,
}

impl S3Server {
    /// Who may use it.
    pub const ACCESS_KEY: &str = "causeway-test";
    /// Its secret.
    pub const SECRET_KEY: &str = "causeway-test-secret";

    /// Starts a store and waits until it answers.
    ///
    /// # Panics
    /// When it does not start; its log is in the message.
    pub fn start() -> Self {
        let program = program();
        assert!(program.exists(), "{} is missing: run scripts/install-test-deps", program.display());
        let folder = tempfile::Builder::new().prefix("causeway-s3-").tempdir().expect("a folder");
        let mut server = Self { folder, port: free_port(), filer: free_port(), group: None };
        server.launch();
        server
    }

    fn launch(&mut self) {
        let folder = self.folder.path().display();
        let path = |name: &str| self.folder.path().join(name);
        let identities = format!(
            r#"{{"identities":[{{"name":"test","credentials":[{{"accessKey":"{}","secretKey":"{}"}}],"actions":["Admin","Read","Write","List"]}}]}}"#,
            Self::ACCESS_KEY,
            Self::SECRET_KEY
        );
        fs::write(path("s3.json"), identities).expect("its folder takes files");
        fs::create_dir_all(path("data")).expect("its folder takes folders");
        let ports: Vec<u16> = (0..6).map(|_| free_port()).collect();
        let script = format!(
            "cd {folder} && HOME={folder} WEED_MASTER_VOLUME_GROWTH_COPY_1=1 {} -logtostderr=true server -ip=127.0.0.1 -ip.bind=127.0.0.1 -dir={folder}/data \
             -master.port={} -master.port.grpc={} -master.volumeSizeLimitMB=64 -volume.port={} -volume.port.grpc={} \
             -volume.max=400 -filer -filer.port={} -filer.port.grpc={} -s3 -s3.port={} -s3.port.grpc={} \
             -s3.config={folder}/s3.json &",
            program().display(),
            ports[0],
            ports[1],
            ports[2],
            ports[3],
            self.filer,
            ports[4],
            self.port,
            ports[5]
        );
        let log = path("output.log");
        self.group = Some(Group::start(&script, File::create(&log).expect("a log")).expect("sh can be started"));
        let put = "PUT /started HTTP/1.0\r\nHost: 127.0.0.1\r\nContent-Length: 2\r\n\r\nup";
        let gateway = "GET /started HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n";
        let up = wait_for(START, || answers(self.filer, put, "201") && answers(self.port, gateway, "403"));
        assert!(up, "the store did not start:\n{}", fs::read_to_string(&log).unwrap_or_default());
    }

    /// Its address.
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Makes an empty bucket and gives its name.
    ///
    /// # Panics
    /// When it cannot be made.
    pub fn bucket(&self) -> String {
        let name = format!("b{}", Uuid::new_v4().simple());
        assert!(self.make_bucket(&name), "a bucket can be made");
        name
    }

    /// To the store, a bucket is a folder of its files.
    fn make_bucket(&self, name: &str) -> bool {
        let request = format!("POST /buckets/{name}/ HTTP/1.0\r\nHost: 127.0.0.1\r\nContent-Length: 0\r\n\r\n");
        answers(self.filer, &request, "201")
    }

    /// Ends it, as a power cut would.
    pub fn kill(&mut self) {
        if let Some(group) = self.group.take() {
            group.kill();
        }
    }
}

fn answers(port: u16, request: &str, status: &str) -> bool {
    let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) else { return false };
    let patient = stream.set_read_timeout(Some(Duration::from_secs(10)));
    let mut answer = String::new();
    let read =
        patient.and_then(|()| stream.write_all(request.as_bytes())).and_then(|()| stream.read_to_string(&mut answer));
    read.is_ok() && answer.lines().next().is_some_and(|line| line.split(' ').nth(1) == Some(status))
}

fn program() -> PathBuf {
    cache().join("seaweedfs/weed")
}
