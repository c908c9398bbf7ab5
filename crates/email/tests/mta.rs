//! Mail out and in through a real mail server.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use email::listen::{ListenConfig, Refusals, SmtpLimits, Store, StoreError, serve};
use email::outgoing::{
    DkimKey, Draft, File, Sending, SmtpConfig, SmtpSender, Whose, compose, envelope_sender, message_id, message_token,
};
use email::read::{Context, Kind, Limits, Mail, Outcome, read};
use email::{Login, LoginKind, Mailbox, SecretSource, Security};
use futures_util::future::join_all;
use model::{Private, ReasonCode};
use ring::signature::KeyPair;
use runtime::Shutdown;
use test_support::{Dovecot, IMAP_PASSWORD, Postfix};
use tokio::net::TcpListener;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;
use tokio::time::timeout;

const SOON: Duration = Duration::from_secs(60);

fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../runtime/fixtures/tls").join(name)
}

fn context() -> Context {
    let domains = vec!["company.com".to_owned()];
    Context { envelope: None, domains, bounce_address: Some("bounces@company.com".to_owned()) }
}

/// Our listener, with what it stored, read.
struct House {
    port: u16,
    shutdown: Shutdown,
    _served: JoinHandle<anyhow::Result<()>>,
    mails: mpsc::Receiver<Mail>,
}

impl House {
    #[expect(clippy::disallowed_methods, reason = "the task is owned by the house of the test")]
    async fn open(store: Store, mails: mpsc::Receiver<Mail>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
        let port = listener.local_addr().expect("it has an address").port();
        let config = ListenConfig {
            name: "bridge.company.com".to_owned(),
            allowed: vec!["127.0.0.1/32".parse().expect("a network")],
            domains: vec!["company.com".to_owned()],
            bounce_address: None,
            refusals: Refusals::new("mail"),
            tls: None,
            require_tls: false,
            spool: std::env::temp_dir(),
            limits: SmtpLimits::default(),
        };
        let shutdown = Shutdown::new();
        let served = tokio::spawn(serve(listener, config, store, shutdown.clone()));
        Self { port, shutdown, _served: served, mails }
    }

    /// Says "later" to as many mails first.
    async fn refusing(refusals: usize) -> Self {
        let (sender, mails) = mpsc::channel(100);
        let refused = Arc::new(AtomicUsize::new(0));
        let store = Store::new(move |received| {
            let (sender, refused) = (sender.clone(), Arc::clone(&refused));
            async move {
                if refused.fetch_add(1, Ordering::Relaxed) < refusals {
                    return Err(StoreError::Later);
                }
                let context = Context { envelope: Some(received.envelope.clone()), ..context() };
                let input = received.open().map_err(|_| StoreError::Later)?;
                let mail = read(input, &context, &Limits::default()).map_err(|_| StoreError::Later)?;
                sender.send(mail).await.map_err(|_| StoreError::Later)
            }
        });
        Self::open(store, mails).await
    }

    async fn next(&mut self, postfix: &Postfix) -> Mail {
        let mail = timeout(SOON, self.mails.recv()).await;
        mail.unwrap_or_else(|_| panic!("no mail in time:\n{}", postfix.log())).expect("the house stands")
    }
}

fn postfix(inbound: u16) -> Postfix {
    Postfix::start(inbound, &fixture("server.pem"), &fixture("server.key"))
}

fn sending_to(port: u16) -> SmtpConfig {
    SmtpConfig {
        target: "mail".to_owned(),
        host: "localhost".to_owned(),
        port,
        security: Security::StartTls,
        login: None,
        hello: "bridge.company.com".to_owned(),
        connections: 4,
        connect_timeout: SOON,
        step_timeout: SOON,
        bytes_a_second: 128 << 10,
        answer_timeout: SOON,
        idle: SOON,
        reports: false,
        authorities: vec![std::fs::read(fixture("authority.pem")).expect("it is there")],
    }
}

fn draft(id: &str, to: &str) -> Draft {
    let token = message_token("ccid", "company.com", id, to);
    Draft {
        message_id: message_id("ccid", "company.com", id, to),
        domain: "company.com".to_owned(),
        envelope_sender: envelope_sender("bounces@company.com", &token),
        from: Mailbox::new("Help Désk", "help@company.com"),
        to: Mailbox::new("Ann", to),
        reply_to: None,
        subject: Private::new("Grüße".to_owned()),
        text: Some(Private::new(".\r\n.a line with a dot\r\n..two\r\nFrom here  \r\n".to_owned())),
        html: Some(Private::new("<p>Grüße</p>".to_owned())),
        files: Vec::new(),
        in_reply_to: None,
        references: Vec::new(),
        automatic: false,
        unsubscribe: None,
        date: "2026-11-20T10:15:30Z".parse().expect("a time"),
    }
}

async fn send(sender: &SmtpSender, draft: &Draft) -> Sending {
    sender.send(&compose(draft.clone(), None).expect("it is a mail")).await
}

async fn delivered(postfix: &Postfix, user: &str, count: usize) -> Vec<Vec<u8>> {
    let waiting = async {
        loop {
            let mails = postfix.mails(user);
            if mails.len() >= count {
                return mails;
            }
            tokio::task::yield_now().await;
        }
    };
    timeout(SOON, waiting).await.unwrap_or_else(|_| panic!("not delivered in time:\n{}", postfix.log()))
}

#[tokio::test]
async fn mails_are_sent_and_refusals_are_told_with_their_codes() {
    let mut postfix = postfix(9);
    let sender = SmtpSender::new(sending_to(postfix.port())).unwrap();
    let sent = send(&sender, &draft("1", "ann@consumer.example")).await;
    assert!(matches!(&sent, Sending::Sent { answer } if answer.expose().contains("queued as")), "{sent:?}");
    let mails = delivered(&postfix, "ann", 1).await;
    let mail = read(mails[0].as_slice(), &Context::default(), &Limits::default()).unwrap();
    assert_eq!(mail.text.expose(), ".\n.a line with a dot\n..two\nFrom here");
    assert_eq!(mail.message_id.unwrap().expose(), draft("1", "ann@consumer.example").message_id.as_str());
    let code = |sending: Sending| match sending {
        Sending::Refused(reason) => (reason.code, reason.message),
        other => panic!("{other:?}"),
    };
    let unknown = code(send(&sender, &draft("2", "nobody@consumer.example")).await);
    assert_eq!(unknown.0, ReasonCode::InvalidDestination);
    assert!(unknown.1.contains("550 5.1.1") && !unknown.1.contains("nobody"), "{}", unknown.1);
    let mut blocked = draft("3", "ann@consumer.example");
    blocked.envelope_sender = "blocked@company.com".to_owned();
    assert_eq!(code(send(&sender, &blocked).await).0, ReasonCode::NotAllowed);
    let mut large = draft("4", "ann@consumer.example");
    let content = Private::new(vec![7; 1_000_000]);
    large.files = vec![File { name: Private::new("a.bin".to_owned()), media_type: "a/b".to_owned(), content }];
    assert_eq!(code(send(&sender, &large).await).0, ReasonCode::Unsupported);
    let later = send(&sender, &draft("5", "later@consumer.example")).await;
    assert!(matches!(later, Sending::Later { whose: Whose::Mail, .. }), "{later:?}");
    assert!(matches!(send(&sender, &draft("6", "bob@consumer.example")).await, Sending::Sent { .. }));
    let connections = postfix.log().matches(": connect from").count();
    assert!(connections <= 2, "mails share connections, and there were {connections}:\n{}", postfix.log());
    postfix.restart();
    let again = send(&sender, &draft("7", "bob@consumer.example")).await;
    assert!(matches!(again, Sending::Sent { .. }), "a connection that died while it waited is replaced: {again:?}");
    postfix.kill();
    let away = send(&sender, &draft("8", "bob@consumer.example")).await;
    assert!(matches!(away, Sending::Unavailable { .. }), "{away:?}");
}

#[tokio::test]
async fn a_bounce_of_the_server_finds_its_mail() {
    let mut house = House::refusing(0).await;
    let postfix = postfix(house.port);
    let sender = SmtpSender::new(sending_to(postfix.port())).unwrap();
    let draft = draft("1", "gone@consumer.example");
    assert!(matches!(send(&sender, &draft).await, Sending::Sent { .. }));
    let mail = house.next(&postfix).await;
    let Kind::Bounce(bounce) = mail.kind else { panic!("{:?}", mail.kind) };
    assert_eq!(bounce.message_id.unwrap().expose(), draft.message_id.as_str());
    let token = message_token("ccid", "company.com", "1", "gone@consumer.example");
    assert_eq!(bounce.token.unwrap().expose(), &token);
    let [report] = bounce.recipients.as_slice() else { panic!("{:?}", bounce.recipients) };
    assert_eq!((report.outcome, report.status.as_deref()), (Outcome::Failed, Some("5.1.1")));
    assert_eq!(report.reason.as_ref().unwrap().code, ReasonCode::InvalidDestination);
    assert_eq!(report.recipient.as_ref().unwrap().expose(), "moved@consumer.example", "as the last server knew it");
    assert_eq!(report.original.as_ref().unwrap().expose(), "gone@consumer.example");
}

#[tokio::test]
async fn a_consumers_mail_comes_in_though_it_is_refused_for_a_while() {
    let mut house = House::refusing(2).await;
    let postfix = postfix(house.port);
    let sender = SmtpSender::new(sending_to(postfix.port())).unwrap();
    let mut consumers = draft("1", "help+tok3n@company.com");
    (consumers.from, consumers.domain) = (Mailbox::new("Ann", "ann@consumer.example"), "consumer.example".to_owned());
    consumers.envelope_sender = "ann@consumer.example".to_owned();
    consumers.message_id = message_id("ccid", "consumer.example", "q", "x");
    assert!(matches!(send(&sender, &consumers).await, Sending::Sent { .. }));
    let mail = house.next(&postfix).await;
    assert_eq!(mail.kind, Kind::Message);
    assert_eq!(mail.from.unwrap().address.expose(), "ann@consumer.example");
    assert_eq!(mail.thread.tokens[0].expose(), "tok3n");
    assert!(mail.received.is_some(), "the server wrote its line");
    assert!(postfix.log().contains("451 4.3.0"), "it was told to come later");
}

#[tokio::test]
async fn a_mail_whose_answer_is_missing_may_have_been_sent() {
    let (_sender, mails) = mpsc::channel(1);
    let reached = Arc::new(Notify::new());
    let at_store = Arc::clone(&reached);
    let store = Store::new(move |_| {
        at_store.notify_one();
        std::future::pending()
    });
    let house = House::open(store, mails).await;
    let mut config = sending_to(house.port);
    (config.security, config.answer_timeout) = (Security::Plain, Duration::from_secs(2));
    let impatient = SmtpSender::new(config.clone()).unwrap();
    let silent = send(&impatient, &draft("1", "help@company.com")).await;
    assert!(matches!(silent, Sending::Unknown { .. }), "{silent:?}");
    timeout(SOON, reached.notified()).await.unwrap();
    config.answer_timeout = SOON;
    let patient = SmtpSender::new(config).unwrap();
    let draft = draft("2", "help@company.com");
    let (broken, ()) = tokio::join!(send(&patient, &draft), async {
        timeout(SOON, reached.notified()).await.unwrap();
        house.shutdown.force();
    });
    assert!(matches!(broken, Sending::Unknown { .. }), "{broken:?}");
    let after = send(&patient, &draft).await;
    assert!(matches!(after, Sending::Unavailable { .. }), "nobody is there: {after:?}");
}

#[tokio::test]
async fn logins_work_and_a_refused_one_is_told_apart() {
    let dovecot = Dovecot::start(&fixture("server.pem"), &fixture("server.key"));
    let postfix = Postfix::start_with(9, &fixture("server.pem"), &fixture("server.key"), Some(&dovecot.login_socket()));
    let with = |kind, secret: &str| {
        let secret = SecretSource::fixed(secret.to_owned().into());
        let login = Login { user: Private::new("help".to_owned()), kind, secret };
        SmtpSender::new(SmtpConfig { login: Some(login), ..sending_to(postfix.port()) }).unwrap()
    };
    let draft = draft("1", "ann@consumer.example");
    for sender in [with(LoginKind::Password, IMAP_PASSWORD), with(LoginKind::Token, &Dovecot::access_token("help"))] {
        let sent = send(&sender, &draft).await;
        assert!(matches!(sent, Sending::Sent { .. }), "{sent:?}\n{}\n{}", postfix.log(), dovecot.log());
    }
    let others = Dovecot::access_token("ann");
    for (kind, secret) in
        [(LoginKind::Password, "wrong"), (LoginKind::Token, "no token"), (LoginKind::Token, others.as_str())]
    {
        let (sender, failures) = (with(kind, secret), || postfix.log().matches("authentication failed").count());
        let before = failures();
        // A queue full of mails asks once, and hears the same.
        let all = join_all((0..20).map(|_| send(&sender, &draft))).await;
        for refused in &all {
            let Sending::LoginRefused { cause } = refused else { panic!("{refused:?}\n{}", postfix.log()) };
            assert!(cause.contains("refused the login"), "{cause}");
        }
        assert!(sender.probe().await.is_err());
        assert_eq!(failures() - before, 1, "a server locks out whoever keeps trying:\n{}", postfix.log());
    }
    let plain = SmtpConfig { security: Security::Plain, host: "mail.company.com".to_owned(), ..sending_to(25) };
    let login = Login {
        user: Private::new("a".to_owned()),
        kind: LoginKind::Password,
        secret: SecretSource::fixed("b".into()),
    };
    assert!(SmtpSender::new(SmtpConfig { login: Some(login), ..plain }).is_err(), "a password in the clear");
}

/// Signatures are checked by a verifier that shares nothing with ours.
#[test]
fn signatures_are_verified_by_others() {
    let keys: Arc<Mutex<BTreeMap<&str, (DkimKey, String)>>> = Arc::default();
    let ed25519 = ring::signature::Ed25519KeyPair::generate_pkcs8(&ring::rand::SystemRandom::new()).unwrap();
    let pair = ring::signature::Ed25519KeyPair::from_pkcs8(ed25519.as_ref()).unwrap();
    let public = STANDARD.encode(pair.public_key().as_ref());
    let pem =
        format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", STANDARD.encode(ed25519.as_ref()));
    let key = DkimKey::read("company.com", "ed", pem.as_bytes()).unwrap();
    keys.lock().unwrap().insert("ed", (key, format!("v=DKIM1; k=ed25519; p={public}")));
    let rsa = Command::new("openssl")
        .args(["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"])
        .output()
        .unwrap()
        .stdout;
    let mut openssl = Command::new("openssl")
        .args(["pkey", "-pubout", "-outform", "DER"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut openssl.stdin.take().unwrap(), &rsa).unwrap();
    let public = STANDARD.encode(openssl.wait_with_output().unwrap().stdout);
    let key = DkimKey::read("company.com", "rsa", &rsa).unwrap();
    keys.lock().unwrap().insert("rsa", (key, format!("v=DKIM1; k=rsa; p={public}")));
    for (name, (key, record)) in keys.lock().unwrap().iter() {
        let mail = compose(draft("1", "ann@consumer.example"), Some(key)).unwrap();
        assert!(verifies(mail.bytes(), record), "{name}");
        let forged = String::from_utf8_lossy(mail.bytes()).replace("help@company.com", "ceo@company.com");
        assert!(!verifies(forged.as_bytes(), record), "{name}: another sender");
        let plain = String::from_utf8_lossy(mail.bytes());
        for header in [
            "From: x@company.com",
            "To: x@company.com",
            "Subject: x",
            "Date: Fri, 20 Nov 2026 10:15:31 +0000",
            "Reply-To: x@company.com",
            "Content-Type: text/html",
        ] {
            assert!(!verifies(format!("{header}\r\n{plain}").as_bytes(), record), "{name}: a second {header}");
        }
    }
}

fn verifies(mail: &[u8], record: &str) -> bool {
    let script = "import sys, dkim\nmail = sys.stdin.buffer.read()\nrecord = sys.argv[1].encode()\n\
                  sys.exit(0 if dkim.verify(mail, dnsfunc=lambda name, timeout=5: record) else 3)\n";
    let mut python = Command::new("/usr/bin/python3")
        .args(["-c", script, record])
        .stdin(Stdio::piped())
        .spawn()
        .expect("python3 is there: run scripts/install-test-deps");
    std::io::Write::write_all(&mut python.stdin.take().expect("it was piped"), mail).expect("it reads");
    let status = python.wait().expect("it ends").code();
    assert!(matches!(status, Some(0 | 3)), "the verifier failed: {status:?}");
    status == Some(0)
}
