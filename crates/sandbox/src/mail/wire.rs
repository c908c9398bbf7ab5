//! A mail server's side of an SMTP conversation in which it brings a mail.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufStream};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// A connection over which mail is brought.
pub struct SmtpWire {
    stream: BufStream<TcpStream>,
    silent: Duration,
}

impl SmtpWire {
    /// Connects as `helo` and asks for leave to give a mail: up to DATA, or to the first answer that is none. The code of the last
    /// answer comes with the connection. No answer is waited for longer than `silent`.
    ///
    /// # Errors
    /// Nobody listens, or answers in time, or as SMTP.
    pub async fn open(
        server: SocketAddr,
        helo: &str,
        (from, to): (&str, &str),
        silent: Duration,
    ) -> anyhow::Result<(Self, u16)> {
        let stream = timeout(silent, TcpStream::connect(server)).await??;
        let mut wire = Self { stream: BufStream::new(stream), silent };
        let mut code = wire.answer().await?;
        let commands =
            [format!("EHLO {helo}"), format!("MAIL FROM:<{from}>"), format!("RCPT TO:<{to}>"), "DATA".to_owned()];
        for command in commands {
            if code >= 400 {
                break;
            }
            wire.say(&format!("{command}\r\n")).await?;
            code = wire.answer().await?;
        }
        Ok((wire, code))
    }

    /// Says something as it is.
    ///
    /// # Errors
    /// The connection is gone.
    pub async fn say(&mut self, text: &str) -> anyhow::Result<()> {
        self.stream.write_all(text.as_bytes()).await?;
        Ok(self.stream.flush().await?)
    }

    /// The code of the next answer.
    ///
    /// # Errors
    /// There is none in time, or it is not SMTP.
    pub async fn answer(&mut self) -> anyhow::Result<u16> {
        loop {
            let mut line = String::new();
            timeout(self.silent, self.stream.read_line(&mut line)).await??;
            let (code, rest) = line.split_at_checked(3).context("the connection was closed")?;
            if !rest.starts_with('-') {
                return code.parse().context("an answer begins with a number");
            }
        }
    }
}
