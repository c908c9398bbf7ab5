//! A RabbitMQ that is there already: `CAUSEWAY_TEST_AMQP_URL`, and `CAUSEWAY_TEST_MANAGEMENT_URL`, through which each test gets a
//! virtual host of its own.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

const AMQP: &str = "CAUSEWAY_TEST_AMQP_URL";
const MANAGEMENT: &str = "CAUSEWAY_TEST_MANAGEMENT_URL";

#[expect(clippy::disallowed_methods, reason = "tests are told by the environment where what they need is")]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Whether tests start nodes of their own; what is given cannot be killed, blocked or of two versions. Says so where not.
pub fn own_nodes() -> bool {
    let own = variable(AMQP).is_none();
    if !own {
        say(&format!("left out: {AMQP} is given, and this test needs a RabbitMQ of its own"));
    }
    own
}

/// An empty virtual host on the given server, if one is given.
///
/// # Panics
/// When the management API does not make it.
pub(crate) fn vhost() -> Option<String> {
    static NEXT: AtomicUsize = AtomicUsize::new(1);
    let amqp = variable(AMQP)?;
    let management = variable(MANAGEMENT).unwrap_or_else(|| panic!("{AMQP} needs {MANAGEMENT} beside it"));
    let api = Api::of(&management);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    if number == 1 {
        let overview = api.call("GET", "/api/overview", "");
        say(&format!("the tests use the RabbitMQ that is given: {}", overview.version()));
    }
    let name = format!("causeway-test-{}-{number}", std::process::id());
    assert!(api.call("PUT", &format!("/api/vhosts/{name}"), "{}").is_success(), "{name} could not be made");
    let all = r#"{"configure":".*","write":".*","read":".*"}"#;
    let permission = format!("/api/permissions/{name}/{}", api.user);
    assert!(api.call("PUT", &permission, all).is_success(), "{} may not use {name}", api.user);
    let server = amqp.splitn(4, '/').take(3).collect::<Vec<_>>().join("/");
    Some(format!("{server}/{name}"))
}

#[expect(clippy::print_stderr, reason = "what was left out, and which server was used, is a part of a run's output")]
fn say(line: &str) {
    eprintln!("{line}");
}

/// The management API, by the few words of HTTP/1.0 that it takes.
struct Api {
    address: String,
    user: String,
    authorization: String,
}

struct Answer(String);

impl Api {
    fn of(url: &str) -> Self {
        let rest = url.strip_prefix("http://").unwrap_or_else(|| panic!("{MANAGEMENT} is no http:// URL"));
        let rest = rest.trim_end_matches('/');
        let (login, address) = rest.rsplit_once('@').unwrap_or(("guest:guest", rest));
        let user = login.split(':').next().unwrap_or_default().to_owned();
        Self { address: address.to_owned(), user, authorization: STANDARD.encode(login) }
    }

    fn call(&self, method: &str, path: &str, body: &str) -> Answer {
        let Self { address, authorization, .. } = self;
        let length = body.len();
        let request = format!(
            "{method} {path} HTTP/1.0\r\nHost: {address}\r\nAuthorization: Basic {authorization}\r\n\
             Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        let mut stream = TcpStream::connect(address).unwrap_or_else(|error| panic!("{MANAGEMENT}: {error}"));
        stream.write_all(request.as_bytes()).expect("the request is sent");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("the answer is read");
        Answer(String::from_utf8_lossy(&answer).into_owned())
    }
}

impl Answer {
    fn is_success(&self) -> bool {
        self.0.split(' ').nth(1).is_some_and(|status| status.starts_with('2'))
    }

    fn version(&self) -> &str {
        let found = self.0.split_once("\"rabbitmq_version\":\"").and_then(|(_, rest)| rest.split('"').next());
        found.unwrap_or("of a version it does not tell")
    }
}
