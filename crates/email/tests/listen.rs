//! The SMTP listener, by its wire.

use std::io::Read;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use email::listen::{ListenConfig, Received, Refusals, ServerTls, SmtpLimits, Store, StoreError, serve};
use runtime::Shutdown;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufStream};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Longer than anything takes on a slow machine.
const SOON: Duration = Duration::from_secs(20);

fn config() -> ListenConfig {
    ListenConfig {
        name: "bridge.company.com".to_owned(),
        allowed: vec!["127.0.0.0/8".parse().expect("a network")],
        domains: vec!["company.com".to_owned()],
        bounce_address: None,
        refusals: Refusals::new("mail"),
        tls: None,
        require_tls: false,
        spool: std::env::temp_dir(),
        limits: SmtpLimits { mail_bytes: 100_000, memory_bytes: 4096, ..SmtpLimits::default() },
    }
}

struct House {
    address: SocketAddr,
    shutdown: Shutdown,
    served: JoinHandle<anyhow::Result<()>>,
    stored: mpsc::Receiver<Received>,
}

async fn house(config: ListenConfig) -> House {
    let (sender, stored) = mpsc::channel(1000);
    let store = Store::new(move |received| {
        let sender = sender.clone();
        async move { sender.send(received).await.map_err(|_| StoreError::Later) }
    });
    let (address, shutdown, served) = serving(config, store).await;
    House { address, shutdown, served, stored }
}

#[expect(clippy::disallowed_methods, reason = "the task is owned by the test")]
async fn serving(config: ListenConfig, store: Store) -> (SocketAddr, Shutdown, JoinHandle<anyhow::Result<()>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
    let address = listener.local_addr().expect("it has an address");
    let shutdown = Shutdown::new();
    let served = tokio::spawn(serve(listener, config, store, shutdown.clone()));
    (address, shutdown, served)
}

struct Client<S> {
    stream: BufStream<S>,
}

impl Client<TcpStream> {
    async fn connect(address: SocketAddr) -> Self {
        Self { stream: BufStream::new(TcpStream::connect(address).await.expect("it listens")) }
    }

    /// Connected, greeted, and greeting.
    async fn greeted(address: SocketAddr) -> Self {
        let mut client = Self::connect(address).await;
        assert!(client.answer().await.starts_with("220 "));
        let hello = client.ask("EHLO client.example").await;
        assert!(hello.ends_with("250 ENHANCEDSTATUSCODES\r\n") || hello.ends_with("250 STARTTLS\r\n"), "{hello}");
        client
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    /// One answer with all its lines; empty when the connection was closed.
    async fn answer(&mut self) -> String {
        let mut answer = String::new();
        loop {
            let began = answer.len();
            let read = timeout(SOON, self.stream.read_line(&mut answer)).await.expect("an answer in time");
            // A connection that is reset has been closed.
            if read.unwrap_or(0) == 0 || answer.as_bytes().get(began + 3) != Some(&b'-') {
                return answer;
            }
        }
    }

    async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        // What the other side does not take any more is seen in its answer.
        let _sent = self.stream.write_all(bytes.as_ref()).await;
        let _flushed = self.stream.flush().await;
    }

    async fn ask(&mut self, line: &str) -> String {
        self.send(format!("{line}\r\n")).await;
        self.answer().await
    }

    async fn asked(&mut self, line: &str, expected: &str) {
        let answer = self.ask(line).await;
        assert!(answer.starts_with(expected), "{line}: {answer}");
    }

    /// Up to DATA, which is answered 354.
    async fn begin(&mut self) {
        self.asked("MAIL FROM:<ann@consumer.example>", "250 ").await;
        self.asked("RCPT TO:<help@company.com>", "250 ").await;
        self.asked("DATA", "354 ").await;
    }
}

fn content(received: &Received) -> String {
    let mut content = String::new();
    received.open().expect("it was stored").read_to_string(&mut content).expect("it is text");
    content
}

async fn next(stored: &mut mpsc::Receiver<Received>) -> Received {
    timeout(SOON, stored.recv()).await.expect("a mail in time").expect("the house stands")
}

#[tokio::test]
async fn a_mail_is_taken_with_its_envelope_and_without_its_stuffing() {
    let mut house = house(config()).await;
    let mut client = Client::greeted(house.address).await;
    // All at once: the client pipelines.
    client.send("MAIL FROM:<Ann@consumer.example> SIZE=50 BODY=8BITMIME\r\nRCPT TO:<help@company.com>\r\nRCPT TO:<Sales@Company.com>\r\nRCPT TO:<x@other.example>\r\nDATA\r\n").await;
    for expected in ["250 2.1.0", "250 2.1.5", "250 2.1.5", "550 5.7.1", "354"] {
        let answer = client.answer().await;
        assert!(answer.starts_with(expected), "{expected}: {answer}");
    }
    client.send("Subject: x\r\n\r\n..dot\r\n.\r\nMAIL FROM:<>\r\nRCPT TO:<help@company.com>\r\nNOOP\r\nQUIT\r\n").await;
    for expected in ["250 2.0.0 Stored", "250 2.1.0", "250 2.1.5", "250 ", "221 "] {
        let answer = client.answer().await;
        assert!(answer.starts_with(expected), "{expected}: {answer}");
    }
    let received = next(&mut house.stored).await;
    assert_eq!(content(&received), "Subject: x\r\n\r\n.dot\r\n");
    assert_eq!(received.envelope.sender.as_ref().unwrap().expose(), "Ann@consumer.example");
    let recipients: Vec<_> = received.envelope.recipients.iter().map(|address| address.expose().as_str()).collect();
    assert_eq!(recipients, ["help@company.com", "Sales@Company.com"]);
}

#[tokio::test]
async fn a_mail_is_accepted_only_when_it_is_stored() {
    let (reached, open) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (at_store, gate) = (Arc::clone(&reached), Arc::clone(&open));
    let store = Store::new(move |_| {
        let (reached, open) = (Arc::clone(&at_store), Arc::clone(&gate));
        async move {
            reached.notify_one();
            open.notified().await;
            Ok(())
        }
    });
    let (address, _shutdown, _served) = serving(config(), store).await;
    let mut client = Client::greeted(address).await;
    client.begin().await;
    client.send("x\r\n.\r\n").await;
    timeout(SOON, reached.notified()).await.unwrap();
    let early = timeout(Duration::from_millis(100), client.stream.fill_buf()).await;
    assert!(early.is_err(), "it answered before the mail was stored");
    open.notify_one();
    assert_eq!(client.answer().await, "250 2.0.0 Stored\r\n");
}

#[tokio::test]
async fn what_is_not_stored_stays_with_its_sender() {
    for (error, expected) in [(StoreError::Later, "451 4.3.0"), (StoreError::Never, "554 5.6.0")] {
        let (address, _shutdown, _served) = serving(config(), Store::new(move |_| async move { Err(error) })).await;
        let mut client = Client::greeted(address).await;
        client.begin().await;
        client.asked("x\r\n.", expected).await;
        client.asked("NOOP", "250").await;
    }
    let mut slow = config();
    slow.limits.store = Duration::from_millis(50);
    let (address, _shutdown, _served) = serving(slow, Store::new(|_| std::future::pending())).await;
    let mut client = Client::greeted(address).await;
    client.begin().await;
    client.asked("x\r\n.", "451 4.3.0").await;
}

#[tokio::test]
async fn smuggled_mails_are_refused_and_what_follows_is_not_obeyed() {
    let mut house = house(config()).await;
    for end in ["\n.\n", "\n.\r\n", "\r\n.\n", "\r.\r", "\r.\r\n", "\r\n.\r\r\n"] {
        let mut client = Client::greeted(house.address).await;
        client.begin().await;
        let smuggled = "MAIL FROM:<ceo@company.com>\r\nRCPT TO:<help@company.com>\r\nDATA\r\nforged";
        client.send(format!("Subject: a\r\n\r\ntext{end}{smuggled}\r\n.\r\n")).await;
        let answer = client.answer().await;
        assert!(answer.starts_with("550 5.5.2"), "{end:?}: {answer}");
        assert_eq!(client.answer().await, "", "{end:?}: the connection is closed");
    }
    let mut client = Client::greeted(house.address).await;
    client.send("MAIL FROM:<a@b.example>\nRCPT TO:<help@company.com>\r\n").await;
    assert!(client.answer().await.starts_with("521 "));
    assert!(house.stored.try_recv().is_err(), "nothing was taken");
}

#[tokio::test]
async fn ten_thousand_recipients_are_too_many() {
    let house = house(config()).await;
    let client = Client::greeted(house.address).await;
    let (reader, mut writer) = tokio::io::split(client.stream.into_inner());
    let mut reader = Client { stream: BufStream::new(tokio::io::join(reader, tokio::io::sink())) };
    let commands: String = (0..10_000).map(|number| format!("RCPT TO:<r{number}@company.com>\r\n")).collect();
    let sending = async {
        writer.write_all(b"MAIL FROM:<a@b.example>\r\n").await.unwrap();
        writer.write_all(commands.as_bytes()).await.unwrap();
    };
    let reading = async {
        assert!(reader.answer().await.starts_with("250"));
        let (mut taken, mut refused) = (0, 0);
        for _ in 0..10_000 {
            let answer = reader.answer().await;
            if answer.starts_with("250") {
                taken += 1
            } else if answer.starts_with("452 4.5.3") {
                refused += 1
            }
        }
        (taken, refused)
    };
    let ((), counted) = tokio::join!(sending, reading);
    assert_eq!(counted, (100, 9900));
}

#[tokio::test]
async fn what_is_too_large_is_refused_before_it_comes_and_after() {
    let mut house = house(config()).await;
    let mut client = Client::greeted(house.address).await;
    client.asked("MAIL FROM:<a@b.example> SIZE=100001", "552 5.3.4").await;
    client.begin().await;
    client.asked(&format!("{}.", "x".repeat(998).add_line().repeat(150)), "552 5.3.4").await;
    client.begin().await;
    client.asked(&format!("{}.", "y".repeat(998).add_line().repeat(50)), "250 ").await;
    let received = next(&mut house.stored).await;
    assert_eq!((received.size, content(&received).len()), (50_000, 50_000), "it waited in a file");
    client.begin().await;
    let endless = "z".repeat(998).add_line().repeat(500);
    client.send(&endless).await;
    assert!(client.answer().await.starts_with("552 "), "a mail that does not end is not waited for");
}

trait Lines {
    fn add_line(&self) -> String;
}

impl Lines for String {
    fn add_line(&self) -> String {
        format!("{self}\r\n")
    }
}

#[tokio::test]
async fn endless_lines_and_nonsense_end_in_a_goodbye() {
    let house = house(config()).await;
    let mut client = Client::greeted(house.address).await;
    client.asked(&format!("NOOP {}", "x".repeat(5000)), "500 5.5.2").await;
    client.asked("NOOP", "250 ").await;
    client.send("y".repeat(200_000)).await;
    assert!(client.answer().await.starts_with("500 5.5.2"));
    assert_eq!(client.answer().await, "");
    let mut client = Client::greeted(house.address).await;
    let mut answers = Vec::new();
    for _ in 0..25 {
        answers.push(client.ask("BREW \u{1}coffee").await);
    }
    assert!(
        answers[0].starts_with("500 5.5.1") && answers.iter().any(|answer| answer.starts_with("421 4.7.0")),
        "{answers:?}"
    );
    for (line, expected) in [
        ("RCPT TO:<help@company.com>", "503"),
        ("DATA", "503"),
        ("MAIL FROM:<a@b.example", "501"),
        ("MAIL FROM:<a\u{1}b@c.example>", "5"),
        ("MAIL FROM:<a@b.example> XPARAM=1", "555"),
        ("STARTTLS", "502"),
        ("AUTH PLAIN x", "502"),
        ("VRFY help", "252"),
    ] {
        Client::greeted(house.address).await.asked(line, expected).await;
    }
}

#[tokio::test]
async fn chunks_are_put_together() {
    let mut house = house(config()).await;
    let mut client = Client::greeted(house.address).await;
    client.asked("MAIL FROM:<a@b.example>", "250").await;
    client.asked("RCPT TO:<help@company.com>", "250").await;
    client.send("BDAT 12\r\nSubject: b\r\nBDAT 8 LAST\r\n\r\n.\r\nx\r\n").await;
    assert_eq!(client.answer().await, "250 2.0.0 Go on\r\n");
    assert_eq!(client.answer().await, "250 2.0.0 Stored\r\n");
    assert_eq!(content(&next(&mut house.stored).await), "Subject: b\r\n\r\n.\r\nx\r\n");
    client.send("\n").await;
    assert!(client.answer().await.starts_with("521"), "what is left of a wrong count is no command");
    let mut client = Client::greeted(house.address).await;
    client.send("BDAT 4 LAST\r\nQUIT").await;
    assert!(client.answer().await.starts_with("503"), "the chunk is no command");
    client.asked("BDAT 99999999999 LAST", "552").await;
}

#[tokio::test]
async fn strangers_and_crowds_are_turned_away() {
    let mut closed = config();
    closed.allowed = vec!["192.0.2.0/24".parse().unwrap()];
    let house_closed = house(closed).await;
    assert!(Client::connect(house_closed.address).await.answer().await.starts_with("554 5.7.1"));
    let mut small = config();
    small.limits.connections = 2;
    let house = house(small).await;
    let (one, _two) = (Client::greeted(house.address).await, Client::greeted(house.address).await);
    assert!(Client::connect(house.address).await.answer().await.starts_with("421 4.3.2"));
    drop(one);
    let free = async {
        while !Client::connect(house.address).await.answer().await.starts_with("220") {
            tokio::task::yield_now().await;
        }
    };
    timeout(SOON, free).await.expect("a place is free again");
}

#[tokio::test]
async fn bounces_are_taken_whatever_their_domain() {
    let mut apart = config();
    apart.bounce_address = Some("Bounces@bounce.example".to_owned());
    let house = house(apart).await;
    let mut client = Client::greeted(house.address).await;
    client.asked("MAIL FROM:<>", "250").await;
    for taken in ["bounces@bounce.example", "bounces+t0ken@Bounce.example", "help@company.com"] {
        client.asked(&format!("RCPT TO:<{taken}>"), "250 2.1.5").await;
    }
    for refused in ["help@bounce.example", "bounces@other.example", "bouncesx@bounce.example"] {
        client.asked(&format!("RCPT TO:<{refused}>"), "550 5.7.1").await;
    }
}

#[tokio::test]
async fn the_slow_are_not_waited_for() {
    let mut hasty = config();
    hasty.limits.command = Duration::from_millis(300);
    hasty.limits.mail = Duration::from_millis(300);
    let house = house(hasty).await;
    let mut silent = Client::greeted(house.address).await;
    assert!(silent.answer().await.starts_with("421 4.4.2"));
    let mut dripping = Client::greeted(house.address).await;
    dripping.begin().await;
    dripping.send("Subject: a\r\n").await;
    assert!(dripping.answer().await.starts_with("421 4.4.2"));
    let mut stuck = Client::greeted(house.address).await;
    stuck.asked("MAIL FROM:<a@b.example>", "250").await;
    stuck.asked("RCPT TO:<help@company.com>", "250").await;
    stuck.send("BDAT 100 LAST\r\nSubject: a\r\n").await;
    assert!(stuck.answer().await.starts_with("421 4.4.2"));
}

#[tokio::test]
async fn a_mail_in_hand_is_finished_when_the_house_closes() {
    let mut house = house(config()).await;
    let mut idle = Client::greeted(house.address).await;
    let mut busy = Client::greeted(house.address).await;
    busy.begin().await;
    house.shutdown.begin();
    assert!(idle.answer().await.starts_with("421 4.3.2"));
    busy.asked("last words\r\n.", "250 2.0.0 Stored").await;
    assert!(busy.answer().await.starts_with("421 4.3.2"));
    assert_eq!(content(&next(&mut house.stored).await), "last words\r\n");
    timeout(SOON, house.served).await.expect("it ends").unwrap().unwrap();
}

fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../runtime/fixtures/tls").join(name)
}

#[tokio::test]
async fn tls_is_offered_required_and_not_to_be_tricked() {
    let mut config = config();
    config.tls = Some(ServerTls::load(&fixture("server.pem"), &fixture("server.key")).unwrap());
    config.require_tls = true;
    let mut house = house(config).await;
    let mut client = Client::greeted(house.address).await;
    client.asked("MAIL FROM:<a@b.example>", "530 5.7.0").await;
    Client::greeted(house.address).await.asked("BDAT 6 LAST\r\nQUIT", "530 5.7.0").await;
    client.send("STARTTLS\r\nMAIL FROM:<a@b.example>\r\n").await;
    assert!(client.answer().await.starts_with("501 5.5.4"), "a command in the clear behind STARTTLS");
    let mut client = Client::greeted(house.address).await;
    client.asked("STARTTLS", "220").await;
    let mut roots = rustls::RootCertStore::empty();
    use rustls::pki_types::pem::PemObject;
    roots.add(rustls::pki_types::CertificateDer::from_pem_file(fixture("authority.pem")).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let tls = tls.with_root_certificates(roots).with_no_client_auth();
    let name = "localhost".try_into().unwrap();
    let stream =
        tokio_rustls::TlsConnector::from(Arc::new(tls)).connect(name, client.stream.into_inner()).await.unwrap();
    let mut client = Client { stream: BufStream::new(stream) };
    assert!(!client.ask("EHLO client.example").await.contains("STARTTLS"));
    client.begin().await;
    client.asked("over TLS\r\n.", "250 ").await;
    assert_eq!(content(&next(&mut house.stored).await), "over TLS\r\n");
}
