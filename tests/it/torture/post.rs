//! The mail servers around the bridge, and the networks between: consumers' server takes mail and keeps its own books, and
//! brings consumers' mail until it hears 250, as mail servers do.

use std::time::Duration;

use runtime::Shutdown;
use sandbox::{MailSim, SmtpWire};
use tokio::net::TcpListener;
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
             smtp = {{ url = \"smtp://{}\", tls = \"none\", connections = 20, answer_timeout = \"60s\" }}",
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
        let (server, helo) = (self.inward.address(), "mail.consumer.example");
        let (mut wire, code) = SmtpWire::open(server, helo, (consumer, HELP), SILENT).await?;
        if code >= 400 {
            return Ok(false);
        }
        let local = consumer.split('@').next().unwrap_or_default();
        let content = format!(
            "From: <{consumer}>\r\nTo: <{HELP}>\r\nSubject: Order {number}\r\nMessage-ID: <{local}.{number}@consumer.example>\r\n\
             Date: Fri, 20 Nov 2026 10:15:30 +0000\r\n\r\n{number}\r\n.\r\n"
        );
        wire.say(&content).await?;
        if hangs_up {
            return Ok(false);
        }
        let code = wire.answer().await?;
        anyhow::ensure!(code < 500, "a good mail is refused for good: {code}");
        Ok(code < 300)
    }
}
