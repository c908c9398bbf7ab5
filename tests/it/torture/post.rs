//! The mail servers around the bridge, and the networks between: consumers' server takes mail and keeps its own books, and
//! brings consumers' mail until it hears 250, as mail servers do.

use std::time::Duration;

use anyhow::Context;
use runtime::Shutdown;
use sandbox::MailSim;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufStream};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use crate::mail_in::HELP;
use crate::proxy::Proxy;
use crate::settings::MAIL_DOMAIN;
use crate::town::address;

/// Real servers wait for minutes; this one has a whole day in ten of them.
const SILENT: Duration = Duration::from_secs(10);

pub(super) struct Post {
    /// Where agents' mail goes.
    pub(super) server: MailSim,
    /// Between the bridge and that server.
    pub(super) out: Proxy,
    /// Between that server and the bridge's listener.
    pub(super) inward: Proxy,
    listen: std::net::SocketAddr,
}

impl Post {
    pub(super) async fn open(shutdown: Shutdown) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let server = MailSim::start(listener, "consumer.example", shutdown);
        let (out, listen) = (Proxy::plain(server.address().port()).await, address());
        Self { server, out, inward: Proxy::plain(listen.port()).await, listen }
    }

    /// The keys of the bridge's mail provider.
    pub(super) fn keys(&self) -> String {
        format!(
            "listen = \"{}\"\nmax_per_sender = 0\nspool = \"{}\"\nbounce_address = \"bounces@{MAIL_DOMAIN}\"\n\
             smtp = {{ url = \"smtp://{}\", tls = \"none\", connections = 20 }}",
            self.listen,
            std::env::temp_dir().display(),
            self.out.address()
        )
    }

    /// One try to bring a consumer's mail; whether it was taken. One that hangs up says nothing and hears nothing once the mail
    /// is over.
    pub(super) async fn bring(&self, consumer: &str, number: u32, hangs_up: bool) -> bool {
        matches!(timeout(SILENT * 3, self.converse(consumer, number, hangs_up)).await, Ok(Ok(true)))
    }

    async fn converse(&self, consumer: &str, number: u32, hangs_up: bool) -> anyhow::Result<bool> {
        let mut wire = BufStream::new(TcpStream::connect(self.inward.address()).await?);
        answer(&mut wire).await?;
        for line in
            ["EHLO mail.consumer.example", &format!("MAIL FROM:<{consumer}>"), &format!("RCPT TO:<{HELP}>"), "DATA"]
        {
            say(&mut wire, &format!("{line}\r\n")).await?;
            if answer(&mut wire).await? >= 400 {
                return Ok(false);
            }
        }
        let local = consumer.split('@').next().unwrap_or_default();
        let content = format!(
            "From: <{consumer}>\r\nTo: <{HELP}>\r\nSubject: Order {number}\r\nMessage-ID: <{local}.{number}@consumer.example>\r\n\
             Date: Fri, 20 Nov 2026 10:15:30 +0000\r\n\r\n{number}\r\n.\r\n"
        );
        say(&mut wire, &content).await?;
        if hangs_up {
            return Ok(false);
        }
        let code = answer(&mut wire).await?;
        anyhow::ensure!(code < 500, "a good mail is refused for good: {code}");
        Ok(code < 300)
    }
}

async fn say(wire: &mut BufStream<TcpStream>, text: &str) -> anyhow::Result<()> {
    wire.write_all(text.as_bytes()).await?;
    Ok(wire.flush().await?)
}

/// The code of the next answer.
async fn answer(wire: &mut BufStream<TcpStream>) -> anyhow::Result<u16> {
    loop {
        let mut line = String::new();
        timeout(SILENT, wire.read_line(&mut line)).await??;
        let (code, rest) = line.split_at_checked(3).context("the connection was closed")?;
        if !rest.starts_with('-') {
            return code.parse().context("an answer begins with a number");
        }
    }
}
