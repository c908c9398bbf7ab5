//! What mails and connections cost. One test in a process of its own, since memory is counted for the whole process.

use std::io::{self, BufReader, Read};
use std::time::Duration;

use email::listen::{ListenConfig, Refusals, SmtpLimits, Store, StoreError, serve};
use email::read::{Context, Limits, Note, read};
use runtime::Shutdown;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

const SOON: Duration = Duration::from_secs(60);
const MIB: u64 = 1024 * 1024;

/// The most, or the present, memory of this process in bytes.
fn memory(field: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("this is Linux");
    let line = status.lines().find(|line| line.starts_with(field)).expect("it is told");
    let kib = line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok());
    kib.expect("a number") * 1024
}

async fn until(stream: &mut TcpStream, expected: &str) {
    let mut heard = String::new();
    let listening = async {
        while !heard.contains(expected) {
            let mut bytes = [0; 512];
            let read = stream.read(&mut bytes).await.expect("it answers");
            assert!(read > 0, "{expected} did not come: {heard}");
            heard.push_str(&String::from_utf8_lossy(&bytes[..read]));
        }
    };
    timeout(SOON, listening).await.expect("an answer in time");
}

/// 25 MiB of base64 in one attachment, in pieces that are not all there at once.
async fn send_large(stream: &mut TcpStream) {
    stream
        .write_all(b"EHLO c\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<help@company.com>\r\nDATA\r\n")
        .await
        .expect("sent");
    until(stream, "354 ").await;
    let head = "From: a@b.example\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\ntext\r\n--b\r\n\
                Content-Type: image/png; name=a.png\r\nContent-Transfer-Encoding: base64\r\n\r\n";
    stream.write_all(head.as_bytes()).await.expect("sent");
    let lines = format!("{}\r\n", "QUJD".repeat(19)).repeat(100);
    let mut sent = 0;
    while sent < 25 * MIB - 64 * 1024 {
        stream.write_all(lines.as_bytes()).await.expect("sent");
        sent += lines.len() as u64;
    }
    stream.write_all(b"--b--\r\n.\r\n").await.expect("sent");
}

/// A head, and a piece that is repeated for megabytes, and never all there at once.
struct Bomb {
    head: io::Cursor<String>,
    piece: io::Cursor<String>,
    rest: u64,
}

impl Read for Bomb {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let head = Read::read(&mut self.head, out)?;
        if head > 0 || self.rest == 0 {
            return Ok(head);
        }
        let most = usize::try_from(self.rest).unwrap_or(usize::MAX).min(out.len());
        let mut read = Read::read(&mut self.piece, &mut out[..most])?;
        if read == 0 {
            self.piece.set_position(0);
            read = Read::read(&mut self.piece, &mut out[..most])?;
        }
        self.rest -= read as u64;
        Ok(read)
    }
}

fn bombs() -> Vec<(&'static str, Option<Note>, Bomb)> {
    let bomb = |head: &str, piece: &str| Bomb {
        head: io::Cursor::new(head.to_owned()),
        piece: io::Cursor::new(piece.to_owned()),
        rest: 6 * MIB,
    };
    // As large as a mail may be.
    let large = |head: &str, piece: &str| Bomb { rest: 24 * MIB, ..bomb(head, piece) };
    let mixed = "From: a@b.example\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n";
    let nested = "--b\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n";
    let html = "From: a@b.example\r\nContent-Type: text/html\r\n\r\n";
    let pages = format!("--b\r\nContent-Type: text/html\r\n\r\n{}", "<p>some words</p>\r\n".repeat(13_000));
    let reports = "--b\r\nContent-Type: message/delivery-status\r\n\r\n";
    let reports = format!("{reports}{}", "Status: 5.1.1\r\n".repeat(8_000));
    vec![
        ("a million parts", Some(Note::TooManyParts), bomb(mixed, "--b\r\n\r\n\r\n")),
        ("parts in parts", Some(Note::TooManyParts), bomb(mixed, nested)),
        ("mails in mails", None, bomb("From: a@b.example\r\n", "Content-Type: message/rfc822\r\n\r\n")),
        ("a million headers", Some(Note::HeaderCut), bomb("", "X: y\r\n")),
        ("a header without end", Some(Note::HeaderCut), bomb("Subject: ", "x y ")),
        ("a million addresses", Some(Note::HeaderCut), bomb("To: a@b.example", ",\r\n c@d.example")),
        ("encoded words", Some(Note::HeaderCut), bomb("Subject: ", "=?utf-8?B?QUFBQUFB?= ")),
        ("a line without end", Some(Note::TextCut), bomb("From: a@b.example\r\n\r\n", "0123456789")),
        ("tags in tags", Some(Note::TextCut), bomb(html, "<blockquote><div><a href='x'>")),
        ("tags without end", Some(Note::TextCut), bomb(html, "<a b=\"")),
        ("entities", Some(Note::TextCut), bomb(html, "&amp;&")),
        ("quotes", Some(Note::TextCut), bomb("From: a@b.example\r\n\r\n", "On 1 Bob wrote:\r\n> x\r\ny\r\n")),
        ("texts", Some(Note::TextCut), large(mixed, &format!("--b\r\n\r\n{}", "some words\r\n".repeat(20_000)))),
        ("pages", Some(Note::TextCut), large(mixed, &pages)),
        ("reports", None, large(mixed, &reports)),
        ("lines in quotes", Some(Note::TextCut), bomb(&format!("{html}{}", "<blockquote>".repeat(20)), "x<p>")),
        ("attachments", Some(Note::TooManyAttachments), bomb(mixed, "--b\r\nContent-Type: a/b\r\n\r\nx\r\n")),
    ]
}

#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "the task is owned by the test")]
async fn a_large_mail_and_a_thousand_connections_cost_little() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let store = Store::new(|received| async move {
        assert!(received.size > 24 * MIB);
        let input = BufReader::new(received.open().map_err(|_| StoreError::Later)?);
        let mail = read(input, &Context::default(), &Limits::default()).map_err(|_| StoreError::Later)?;
        assert!(mail.attachments[0].size > 18 * MIB && mail.text.expose() == "text");
        Ok(())
    });
    let config = ListenConfig {
        name: "bridge".to_owned(),
        allowed: vec!["127.0.0.1/32".parse().unwrap()],
        domains: vec!["company.com".to_owned()],
        bounce_address: None,
        refusals: Refusals::new("mail"),
        tls: None,
        require_tls: false,
        spool: std::env::temp_dir(),
        limits: SmtpLimits { connections: 1100, ..SmtpLimits::default() },
    };
    let _served = tokio::spawn(serve(listener, config, store, Shutdown::new()));
    let mut stream = TcpStream::connect(address).await.unwrap();
    until(&mut stream, "220 ").await;
    let before = memory("VmRSS");
    send_large(&mut stream).await;
    until(&mut stream, "250 2.0.0 Stored").await;
    let cost = memory("VmHWM").saturating_sub(before);
    assert!(cost < 10 * MIB, "a mail of 25 MiB cost {cost} bytes");
    for (name, note, bomb) in bombs() {
        let before = memory("VmRSS");
        let mail = read(BufReader::new(bomb), &Context::default(), &Limits::default()).unwrap();
        let cost = memory("VmHWM").saturating_sub(before);
        assert!(cost < 16 * MIB, "{name} cost {cost} bytes");
        assert!(note.is_none_or(|note| mail.notes.contains(&note)), "{name}: {:?}", mail.notes);
    }
    let before = memory("VmRSS");
    let mut idle = Vec::new();
    for _ in 0..1000 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        until(&mut stream, "220 ").await;
        stream.write_all(b"EHLO c\r\n").await.unwrap();
        until(&mut stream, "250 ENHANCEDSTATUSCODES").await;
        idle.push(stream);
    }
    let cost = memory("VmRSS").saturating_sub(before);
    assert!(cost < 50 * MIB, "1000 idle connections cost {cost} bytes");
}
