//! What a server's answers, and their absence, say about a mail: the server of each test does one thing, word by word.

use std::time::Duration;

use email::outgoing::{Draft, File, Sending, SmtpConfig, SmtpSender, Whose, compose, message_id};
use email::{Mailbox, Security};
use model::{Private, ReasonCode};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufStream};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, interval, timeout};

/// What a step may take; long enough for a busy machine.
const STEP: Duration = Duration::from_secs(5);
const ANSWER: Duration = Duration::from_secs(120);
/// So slow that a large mail may take minutes.
const SLOW: u32 = 128 << 10;

/// More than the buffers of a connection hold.
const LARGE: usize = 24 << 20;

struct Server(TcpListener);

/// One connection at the server.
struct Wire(BufStream<TcpStream>);

impl Server {
    async fn open(bytes_a_second: u32) -> (Self, SmtpSender) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
        let config = SmtpConfig {
            target: "mail".to_owned(),
            host: "127.0.0.1".to_owned(),
            port: listener.local_addr().expect("it has an address").port(),
            security: Security::Plain,
            login: None,
            hello: "bridge.company.com".to_owned(),
            connections: 1,
            connect_timeout: STEP,
            step_timeout: STEP,
            bytes_a_second,
            answer_timeout: ANSWER,
            idle: Duration::from_secs(3600),
            reports: false,
            authorities: Vec::new(),
        };
        (Self(listener), SmtpSender::new(config).expect("it is complete"))
    }

    /// The next connection, greeted.
    async fn connection(&self) -> Wire {
        let (stream, _) = self.0.accept().await.expect("the sender connects");
        let mut wire = Wire(BufStream::new(stream));
        wire.say("220 mail.example ESMTP").await;
        wire.hears("EHLO ").await;
        wire.say("250 mail.example").await;
        wire
    }
}

impl Wire {
    async fn say(&mut self, answer: &str) {
        self.say_bytes(answer.as_bytes()).await;
    }

    async fn say_bytes(&mut self, answer: &[u8]) {
        self.0.write_all(&[answer, b"\r\n"].concat()).await.expect("the sender listens");
        self.0.flush().await.expect("the sender listens");
    }

    async fn line(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).await.expect("the sender speaks");
        line
    }

    async fn hears(&mut self, command: &str) {
        let line = self.line().await;
        assert!(line.starts_with(command), "{line:?} is not {command}");
    }

    /// All that comes before a mail.
    async fn envelope(&mut self) {
        for (command, answer) in [("MAIL ", "250 2.1.0 ok"), ("RCPT ", "250 2.1.5 ok"), ("DATA", "354 go on")] {
            self.hears(command).await;
            self.say(answer).await;
        }
    }

    async fn content(&mut self) {
        while self.line().await != ".\r\n" {}
    }

    async fn takes(&mut self) {
        self.envelope().await;
        self.content().await;
        self.say("250 2.0.0 queued").await;
    }
}

fn draft(file: usize) -> Draft {
    let to = "ann@consumer.example";
    let mut draft = Draft {
        message_id: message_id("ccid", "company.com", "m-1", to),
        domain: "company.com".to_owned(),
        envelope_sender: "bounces@company.com".to_owned(),
        from: Mailbox::new("Help", "help@company.com"),
        to: Mailbox::new("Ann", to),
        reply_to: None,
        subject: Private::new("Your order".to_owned()),
        text: Some(Private::new("It is on its way.".to_owned())),
        html: None,
        files: Vec::new(),
        in_reply_to: None,
        references: Vec::new(),
        automatic: false,
        unsubscribe: None,
        date: "2026-11-20T10:15:30Z".parse().expect("a time"),
    };
    if file > 0 {
        let (name, content) = (Private::new("a.bin".to_owned()), Private::new(vec![7; file]));
        draft.files.push(File { name, media_type: "application/octet-stream".to_owned(), content });
    }
    draft
}

async fn send(sender: &SmtpSender, file: usize) -> Sending {
    sender.send(&compose(draft(file), None).expect("it is a mail")).await
}

fn is_later(sending: &Sending, expected: Whose) -> bool {
    matches!(sending, Sending::Later { whose, .. } if *whose == expected)
}

/// A server that looks into a mail for longer than any command takes has taken it once.
#[tokio::test]
async fn an_answer_to_a_mail_is_waited_for() {
    let (server, sender) = Server::open(SLOW).await;
    let (sent, ()) = tokio::join!(send(&sender, 0), async {
        let mut wire = server.connection().await;
        wire.envelope().await;
        wire.content().await;
        let hung_up = timeout(STEP + STEP / 5, wire.line()).await;
        assert!(hung_up.is_err(), "the sender waits, and says nothing: {hung_up:?}");
        wire.say("250 2.0.0 queued").await;
    });
    assert!(matches!(sent, Sending::Sent { .. }), "{sent:?}");
}

/// A mail on a slow way has the time its size takes.
#[tokio::test]
async fn a_slow_way_is_waited_for() {
    let (server, sender) = Server::open(SLOW).await;
    let began = Instant::now();
    let (sent, ()) = tokio::join!(send(&sender, LARGE), async {
        let mut wire = server.connection().await;
        wire.envelope().await;
        let (mut piece, mut end, mut pace) = (vec![0; 64 << 10], Vec::new(), interval(STEP / 250));
        while !end.ends_with(b"\r\n.\r\n") {
            pace.tick().await;
            let read = wire.0.read(&mut piece).await.expect("the sender speaks");
            assert!(read > 0, "the sender goes on for as long as it is read");
            end.extend_from_slice(&piece[..read]);
            end.drain(..end.len().saturating_sub(5));
        }
        wire.say("250 2.0.0 queued").await;
    });
    assert!(matches!(sent, Sending::Sent { .. }), "{sent:?}");
    assert!(began.elapsed() > STEP, "{:?}", began.elapsed());
}

/// Where the end of a mail never went out nobody can have taken it, however it broke.
#[tokio::test]
async fn a_mail_that_did_not_arrive_whole_was_not_taken() {
    let (server, sender) = Server::open(u32::MAX).await;
    let (stuck, _wire) = tokio::join!(send(&sender, LARGE), async {
        let mut wire = server.connection().await;
        wire.envelope().await;
        wire
    });
    assert!(is_later(&stuck, Whose::Mail), "{stuck:?}");
    let (closed, ()) = tokio::join!(send(&sender, LARGE), async {
        let mut wire = server.connection().await;
        wire.envelope().await;
        let mut piece = vec![0; 256 << 10];
        wire.0.read_exact(&mut piece).await.expect("the sender speaks");
    });
    assert!(is_later(&closed, Whose::Mail), "{closed:?}");
    let (refused, ()) = tokio::join!(send(&sender, LARGE), async {
        let mut wire = server.connection().await;
        wire.envelope().await;
        let mut piece = vec![0; 256 << 10];
        wire.0.read_exact(&mut piece).await.expect("the sender speaks");
        wire.say("552 5.3.4 too large").await;
    });
    assert!(matches!(&refused, Sending::Refused(reason) if reason.code == ReasonCode::Unsupported), "{refused:?}");
}

/// A connection that waited too long is closed, or says so; a new one is made, and only what that one says counts.
#[tokio::test]
async fn a_connection_that_waited_too_long_is_no_trouble_of_the_server() {
    let (server, sender) = Server::open(SLOW).await;
    let (_, mut kept) = tokio::join!(send(&sender, 0), async {
        let mut wire = server.connection().await;
        wire.takes().await;
        wire
    });
    let (sent, kept) = tokio::join!(send(&sender, 0), async {
        kept.hears("MAIL ").await;
        kept.say("421 4.4.2 timed out").await;
        drop(kept);
        let mut wire = server.connection().await;
        wire.takes().await;
        wire
    });
    assert!(matches!(sent, Sending::Sent { .. }), "{sent:?}");
    let (sent, kept) = tokio::join!(send(&sender, 0), async {
        drop(kept);
        let mut wire = server.connection().await;
        wire.takes().await;
        wire
    });
    assert!(matches!(sent, Sending::Sent { .. }), "{sent:?}");
    let (sent, kept) = tokio::join!(send(&sender, 0), async {
        // It hears nothing from the one that was kept for it, which leads nowhere by now.
        let mut wire = server.connection().await;
        wire.takes().await;
        (kept, wire)
    });
    assert!(matches!(sent, Sending::Sent { .. }), "{sent:?}");
    drop(kept);
    let (closing, ()) = tokio::join!(send(&sender, 0), async {
        let mut wire = server.connection().await;
        wire.hears("MAIL ").await;
        wire.say("421 4.7.0 too many connections").await;
    });
    assert!(is_later(&closing, Whose::Server), "a new connection: {closing:?}");
}
