//! Mailboxes on a real server, and on one that fails by script.

#[path = "imap/scripted.rs"]
mod scripted;

use std::io::Read;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use email::listen::StoreError;
use email::mailbox::{Cursor, Event, Handler, ImapConfig, ImapError, ImapLimits, Skipped, probe, watch};
use email::{Login, LoginKind, SecretSource, Security};
use model::Private;
use runtime::{Backoff, Clock, Shutdown};
use test_support::{Dovecot, IMAP_PASSWORD};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Longer than anything takes on a slow machine.
const SOON: Duration = Duration::from_secs(60);
/// A Friday.
const FRIDAY: u64 = 1_795_169_730;

fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../runtime/fixtures/tls").join(name)
}

fn dovecot() -> Dovecot {
    Dovecot::start(&fixture("server.pem"), &fixture("server.key"))
}

fn login(kind: LoginKind, user: &str, secret: &str) -> Login {
    let secret = SecretSource::fixed(secret.to_owned().into());
    Login { user: Private::new(user.to_owned()), kind, secret }
}

fn config(dovecot: &Dovecot, user: &str) -> ImapConfig {
    settings(dovecot.port(), user)
}

fn settings(port: u16, user: &str) -> ImapConfig {
    ImapConfig {
        target: "mail".to_owned(),
        host: "localhost".to_owned(),
        port,
        security: Security::Plain,
        login: login(LoginKind::Password, user, IMAP_PASSWORD),
        mailbox: "INBOX".to_owned(),
        // Whatever comes sooner came by IDLE.
        every: Duration::from_secs(3600),
        backoff: Backoff { base: Duration::from_millis(50), cap: Duration::from_millis(200) },
        connect_timeout: SOON,
        command_timeout: SOON,
        spool: std::env::temp_dir(),
        limits: ImapLimits { mail_bytes: 300_000, memory_bytes: 4096, piece_bytes: 10_000, ..ImapLimits::default() },
        authorities: vec![std::fs::read(fixture("authority.pem")).expect("it is there")],
    }
}

/// What a handler was given, in short.
#[derive(Debug, PartialEq)]
enum Seen {
    Begin(Cursor),
    Mail(Cursor, String),
    Skipped(Cursor, Skipped),
}

impl Seen {
    const fn cursor(&self) -> Cursor {
        match self {
            Self::Begin(cursor) | Self::Mail(cursor, _) | Self::Skipped(cursor, _) => *cursor,
        }
    }

    fn text(&self) -> &str {
        match self {
            Self::Mail(_, text) => text,
            other => panic!("{other:?} is no mail"),
        }
    }
}

struct Watch {
    seen: mpsc::Receiver<Seen>,
    shutdown: Shutdown,
    task: JoinHandle<anyhow::Result<()>>,
    troubles: Arc<Mutex<Vec<ImapError>>>,
}

impl Watch {
    fn start(config: ImapConfig, cursor: Option<Cursor>, since: Option<u64>) -> Self {
        Self::refusing(config, cursor, since, Vec::new())
    }

    /// The handler refuses as often as there are refusals.
    fn refusing(config: ImapConfig, cursor: Option<Cursor>, since: Option<u64>, refusals: Vec<StoreError>) -> Self {
        Self::by(config, cursor, since, refusals, Clock::system())
    }

    #[expect(clippy::disallowed_methods, reason = "the task is owned by the watch of the test")]
    fn by(
        config: ImapConfig,
        cursor: Option<Cursor>,
        since: Option<u64>,
        refusals: Vec<StoreError>,
        clock: Clock,
    ) -> Self {
        let (sender, seen) = mpsc::channel(10_000);
        let refusals = Arc::new(Mutex::new(refusals));
        let handler = Handler::new(move |event| {
            let (sender, refusals) = (sender.clone(), Arc::clone(&refusals));
            async move {
                let seen = match event {
                    Event::Begin(cursor) => Seen::Begin(cursor),
                    Event::Skipped { cursor, why } => Seen::Skipped(cursor, why),
                    Event::Mail(mut mail) => {
                        let mut text = String::new();
                        mail.open()
                            .and_then(|mut input| input.read_to_string(&mut text))
                            .map_err(|_| StoreError::Later)?;
                        assert_eq!(text.len() as u64, mail.size);
                        let refusal = refusals.lock().expect("nobody panics here").pop();
                        if let Some(refusal) = refusal {
                            return Err(refusal);
                        }
                        Seen::Mail(mail.cursor, text)
                    }
                };
                sender.send(seen).await.map_err(|_| StoreError::Later)
            }
        });
        let shutdown = Shutdown::new();
        let troubles: Arc<Mutex<Vec<ImapError>>> = Arc::default();
        let told = Arc::clone(&troubles);
        let tell = move |error: Option<&ImapError>| told.lock().expect("nobody panics here").extend(error.cloned());
        let since = since.map(|since| jiff::Timestamp::from_second(since as i64).expect("a time"));
        let task = tokio::spawn(watch(config, cursor, since, handler, tell, clock, shutdown.clone()));
        Self { seen, shutdown, task, troubles }
    }

    async fn next(&mut self) -> Seen {
        timeout(SOON, self.seen.recv()).await.expect("something in time").expect("the watch goes on")
    }

    async fn trouble(&self, expected: impl Fn(&ImapError) -> bool) {
        let waiting = async {
            while !self.troubles.lock().expect("nobody panics here").iter().any(&expected) {
                tokio::task::yield_now().await;
            }
        };
        timeout(SOON, waiting).await.expect("a trouble in time");
    }

    async fn end(self) {
        self.shutdown.begin();
        timeout(SOON, self.task).await.expect("it ends").expect("it does not panic").expect("it ends well");
    }
}

fn mail(text: &str) -> Vec<u8> {
    format!("From: ann@consumer.example\r\nSubject: {text}\r\n\r\n{text}\r\n").into_bytes()
}

fn is(seen: &Seen, text: &str) -> bool {
    seen.text().contains(&format!("Subject: {text}\r\n"))
}

async fn old_mails_stay(count: usize) {
    let dovecot = dovecot();
    dovecot.put_many("ann", &mail("old"), count, FRIDAY);
    let mut watch = Watch::start(config(&dovecot, "ann"), None, None);
    let begin = watch.next().await;
    assert!(matches!(begin, Seen::Begin(cursor) if cursor.uid as usize == count), "{begin:?}");
    dovecot.put("ann", &mail("new"));
    let first = watch.next().await;
    assert!(is(&first, "new"), "it came by IDLE");
    assert_eq!(first.cursor().uid as usize, count + 1);
    watch.end().await;
}

#[tokio::test]
async fn a_first_connection_brings_in_nothing_old() {
    old_mails_stay(500).await;
}

/// A server locks out whoever keeps trying.
#[tokio::test]
async fn a_refused_login_is_not_tried_again_at_once() {
    let dovecot = dovecot();
    dovecot.put("ann", &mail("old"));
    let mut expired = config(&dovecot, "ann");
    expired.login = login(LoginKind::Token, "ann", "expired");
    expired.backoff = Backoff { base: Duration::from_millis(1), cap: Duration::from_secs(3600) };
    let expired = Watch::start(expired, None, None);
    expired.trouble(|error| matches!(error, ImapError::LoginRefused { .. })).await;
    // As long as it takes another one to read mail after mail.
    let mut other = Watch::start(config(&dovecot, "ann"), None, None);
    assert!(matches!(other.next().await, Seen::Begin(_)));
    for number in 0..20 {
        dovecot.put("ann", &mail(&format!("new {number}")));
        assert!(is(&other.next().await, &format!("new {number}")));
    }
    assert_eq!(expired.troubles.lock().expect("nobody panics here").len(), 1, "{}", dovecot.log());
    expired.end().await;
    other.end().await;
}

#[tokio::test]
#[ignore = "long: fifty thousand files"]
async fn a_first_connection_to_a_full_mailbox_brings_in_nothing_old() {
    old_mails_stay(50_000).await;
}

#[tokio::test]
async fn mails_come_once_and_in_order_over_kills_and_restarts() {
    let mut dovecot = dovecot();
    dovecot.put("ann", &mail("zero"));
    let mut watch = Watch::start(config(&dovecot, "ann"), None, None);
    watch.next().await;
    dovecot.put("ann", &mail("one"));
    let one = watch.next().await;
    assert!(is(&one, "one"));
    dovecot.kill();
    for text in ["two", "three", "four"] {
        dovecot.put_at("ann", &mail(text), FRIDAY);
    }
    watch.trouble(|error| matches!(error, ImapError::Unavailable { .. })).await;
    dovecot.restart();
    for _ in 0..3 {
        let seen = watch.next().await;
        assert!(["two", "three", "four"].iter().any(|text| is(&seen, text)), "{seen:?}");
    }
    watch.end().await;
    // Another process goes on where this one's cursor was kept.
    dovecot.put("ann", &mail("five"));
    let mut watch = Watch::start(config(&dovecot, "ann"), Some(Cursor { uid: 5, ..one.cursor() }), None);
    assert!(is(&watch.next().await, "five"));
    watch.end().await;
}

#[tokio::test]
async fn a_new_uidvalidity_brings_in_nothing_old() {
    let mut dovecot = dovecot();
    dovecot.put_many("ann", &mail("old"), 20, FRIDAY);
    let mut watch = Watch::start(config(&dovecot, "ann"), None, None);
    let begin = watch.next().await.cursor();
    dovecot.put_at("ann", &mail("seen"), FRIDAY + 100);
    assert!(is(&watch.next().await, "seen"));
    dovecot.kill();
    dovecot.forget_uids("ann");
    dovecot.put_at("ann", &mail("while away"), FRIDAY + 200);
    dovecot.restart();
    assert!(
        is(&watch.next().await, "seen"),
        "within that second there may have been others; the ledger knows this one"
    );
    assert!(is(&watch.next().await, "while away"), "what came after the last one that was seen is new");
    let again = watch.next().await;
    assert!(
        matches!(again, Seen::Begin(cursor) if cursor.uid_validity != begin.uid_validity && cursor.uid == 22),
        "{again:?}"
    );
    dovecot.put("ann", &mail("new"));
    assert!(is(&watch.next().await, "new"));
    watch.end().await;
}

#[tokio::test]
async fn a_mailbox_can_be_read_from_a_moment_on() {
    let dovecot = dovecot();
    for (text, seconds) in [("before", FRIDAY), ("after", FRIDAY + 60)] {
        dovecot.put_at("ann", &mail(text), seconds);
    }
    let mut watch = Watch::start(config(&dovecot, "ann"), None, Some(FRIDAY + 30));
    assert!(is(&watch.next().await, "after"));
    assert!(matches!(watch.next().await, Seen::Begin(cursor) if cursor.uid == 2));
    watch.end().await;
}

#[tokio::test]
async fn the_cursor_moves_only_behind_what_is_stored() {
    let dovecot = dovecot();
    dovecot.put("ann", &mail("zero"));
    let refusals = vec![StoreError::Never, StoreError::Later, StoreError::Later];
    let mut watch = Watch::refusing(config(&dovecot, "ann"), None, None, refusals);
    watch.next().await;
    dovecot.put("ann", &mail("one"));
    watch.trouble(|error| matches!(error, ImapError::NotStored { .. })).await;
    let seen = watch.next().await;
    assert!(matches!(seen, Seen::Skipped(cursor, Skipped::Poison) if cursor.uid == 2), "{seen:?}");
    let large = mail(&"x".repeat(60).repeat(4000));
    dovecot.put("ann", &[large.clone(), large].concat());
    let seen = watch.next().await;
    assert!(
        matches!(seen, Seen::Skipped(cursor, Skipped::TooLarge { size }) if cursor.uid == 3 && size > 900_000),
        "{seen:?}"
    );
    let whole = [b"Subject: whole\r\n\r\n".to_vec(), "line of text\r\n".repeat(10_000).into_bytes()].concat();
    dovecot.put("ann", &whole);
    let seen = watch.next().await;
    assert_eq!((seen.cursor().uid, seen.text().as_bytes()), (4, whole.as_slice()), "put together from its pieces");
    watch.end().await;
}

#[tokio::test]
async fn logins_and_tls_work_and_their_faults_are_told() {
    let dovecot = dovecot();
    let plain = config(&dovecot, "ann");
    assert_eq!(probe(&plain).await, Ok(()));
    let mut tls = plain.clone();
    (tls.security, tls.port) = (Security::Tls, dovecot.tls_port());
    assert_eq!(probe(&tls).await, Ok(()));
    let mut upgraded = plain.clone();
    upgraded.security = Security::StartTls;
    assert_eq!(probe(&upgraded).await, Ok(()));
    let mut token = tls.clone();
    token.login = login(LoginKind::Token, "ann", &Dovecot::access_token("ann"));
    assert_eq!(probe(&token).await, Ok(()), "{}", dovecot.log());
    let refused = |error: Result<(), ImapError>| matches!(error, Err(ImapError::LoginRefused { .. }));
    token.login = login(LoginKind::Token, "ann", "no token");
    assert!(refused(probe(&token).await));
    let mut wrong = plain.clone();
    wrong.login = login(LoginKind::Password, "ann", "wrong");
    assert!(refused(probe(&wrong).await));
    let mut stranger = tls.clone();
    stranger.authorities.clear();
    assert!(matches!(probe(&stranger).await, Err(ImapError::Unavailable { what, .. }) if what.contains("certificate")));
    let mut lost = plain;
    lost.mailbox = "Nowhere".to_owned();
    assert!(matches!(probe(&lost).await, Err(ImapError::NoMailbox { .. })));
}
