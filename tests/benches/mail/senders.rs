//! Mail servers that bring mail as fast as it is taken.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufStream};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

const SOON: Duration = Duration::from_secs(120);
/// Mails over one connection; the listener asks for no more.
const OVER_ONE: usize = 900;

/// What was taken.
pub(crate) struct Taken {
    pub(crate) mails: usize,
    /// From the first byte of a mail to its 250.
    pub(crate) answers: Vec<Duration>,
    pub(crate) took: Duration,
}

pub(crate) struct Sender {
    stream: BufStream<TcpStream>,
    body: String,
}

impl Sender {
    pub(crate) async fn connect(at: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(at).await?;
        stream.set_nodelay(true)?;
        let mut sender = Self { stream: BufStream::with_capacity(4096, 16 * 1024, stream), body: body() };
        sender.hear("220").await?;
        sender.say("EHLO mta.example\r\n").await?;
        sender.hear("250").await?;
        Ok(sender)
    }

    async fn say(&mut self, text: &str) -> anyhow::Result<()> {
        self.stream.write_all(text.as_bytes()).await?;
        Ok(self.stream.flush().await?)
    }

    async fn hear(&mut self, code: &str) -> anyhow::Result<()> {
        let mut line = String::new();
        loop {
            line.clear();
            let read = timeout(SOON, self.stream.read_line(&mut line)).await.context("no answer")??;
            ensure!(read > 0, "the connection was closed");
            if line.as_bytes().get(3) != Some(&b'-') {
                break;
            }
        }
        if !line.starts_with(code) {
            bail!("{code} was expected: {line}");
        }
        Ok(())
    }

    /// One mail of 10 KB; the envelope is pipelined, as mail servers do.
    pub(crate) async fn mail(&mut self, number: u64) -> anyhow::Result<()> {
        let sender = number % 1000;
        self.say(&format!("MAIL FROM:<c{sender}@consumer.example>\r\nRCPT TO:<help@company.com>\r\nDATA\r\n")).await?;
        for code in ["250", "250", "354"] {
            self.hear(code).await?;
        }
        let head = format!(
            "From: Consumer <c{sender}@consumer.example>\r\nTo: help@company.com\r\nSubject: Order {number}\r\n\
             Message-ID: <{number}@consumer.example>\r\nDate: Fri, 20 Nov 2026 10:15:30 +0000\r\n"
        );
        self.stream.write_all(head.as_bytes()).await?;
        self.stream.write_all(self.body.as_bytes()).await?;
        self.say(".\r\n").await?;
        self.hear("250").await
    }
}

/// A text with its HTML, as most mail has.
fn body() -> String {
    let mut body =
        "MIME-Version: 1.0\r\nContent-Type: multipart/alternative; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain; \
                    charset=utf-8\r\n\r\n"
            .to_owned();
    for line in 0..50 {
        let _written = write!(body, "Line {line} of what a consumer has to say about it.\r\n");
    }
    body.push_str("--b\r\nContent-Type: text/html; charset=utf-8\r\n\r\n<html><body>\r\n");
    let mut line = 0;
    while body.len() < 9_700 {
        let _written = write!(body, "<p>Line <b>{line}</b> of what a consumer has to say about it.</p>\r\n");
        line += 1;
    }
    body.push_str("</body></html>\r\n--b--\r\n");
    body
}

/// So many senders at once, for so long.
pub(crate) async fn senders(at: SocketAddr, count: usize, long: Duration) -> anyhow::Result<Taken> {
    let began = Instant::now();
    let mut all = JoinSet::new();
    for sender in 0..count {
        all.spawn(async move {
            let mut answers = Vec::new();
            let mut number = (sender as u64 + 1) << 32;
            while began.elapsed() < long {
                let mut sender = Sender::connect(at).await?;
                for _ in 0..OVER_ONE {
                    let sent = Instant::now();
                    sender.mail(number).await?;
                    answers.push(sent.elapsed());
                    number += 1;
                    if began.elapsed() >= long {
                        break;
                    }
                }
            }
            anyhow::Ok(answers)
        });
    }
    let mut answers = Vec::new();
    while let Some(ended) = all.join_next().await {
        answers.extend(ended??);
    }
    Ok(Taken { mails: answers.len(), answers, took: began.elapsed() })
}

/// Connections that greet and then say nothing.
pub(crate) async fn idle(at: SocketAddr, count: usize) -> anyhow::Result<Vec<Sender>> {
    let mut held = Vec::new();
    for _ in 0..count {
        held.push(Sender::connect(at).await?);
    }
    Ok(held)
}

/// One mail of so many bytes, most of them one attachment.
pub(crate) async fn large(at: SocketAddr, bytes: usize) -> anyhow::Result<()> {
    let mut sender = Sender::connect(at).await?;
    for (line, code) in
        [("MAIL FROM:<a@consumer.example>\r\n", "250"), ("RCPT TO:<help@company.com>\r\n", "250"), ("DATA\r\n", "354")]
    {
        sender.say(line).await?;
        sender.hear(code).await?;
    }
    sender
        .say(
            "From: a@consumer.example\r\nContent-Type: multipart/mixed; boundary=m\r\n\r\n--m\r\n\r\na large file\r\n--m\r\n\
             Content-Type: text/plain; name=a.txt\r\nContent-Disposition: attachment\r\n\
             Content-Transfer-Encoding: base64\r\n\r\n",
        )
        .await?;
    // `ABC` again and again.
    let lines = format!("{}\r\n", "QUJD".repeat(19)).repeat(100);
    let mut sent = 0;
    while sent < bytes {
        sender.say(&lines).await?;
        sent += lines.len();
    }
    sender.say("--m--\r\n.\r\n").await?;
    sender.hear("250").await
}
