//! A mail client that says what it is told to, good or not.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufStream};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Longer than any answer takes on a slow machine.
const SOON: Duration = Duration::from_secs(60);

pub(crate) struct SmtpClient(BufStream<TcpStream>);

impl SmtpClient {
    /// Connected and greeted.
    pub(crate) async fn connect(server: SocketAddr) -> Self {
        let mut client = Self(BufStream::new(TcpStream::connect(server).await.expect("it listens")));
        let greeting = client.answer().await;
        assert!(greeting.starts_with("220 "), "{greeting}");
        let hello = client.ask("EHLO consumer.example").await;
        assert!(hello.starts_with("250"), "{hello}");
        client
    }

    /// The last line of the next answer; empty when the connection was closed.
    pub(crate) async fn answer(&mut self) -> String {
        loop {
            let mut line = String::new();
            let read = timeout(SOON, self.0.read_line(&mut line)).await.expect("an answer in time");
            // A connection that is reset has been closed.
            if read.unwrap_or(0) == 0 || line.as_bytes().get(3) != Some(&b'-') {
                return line.trim_end().to_owned();
            }
        }
    }

    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        // What the other side does not take any more is seen in its answer.
        let _sent = self.0.write_all(bytes.as_ref()).await;
        let _flushed = self.0.flush().await;
    }

    pub(crate) async fn ask(&mut self, line: &str) -> String {
        self.send(format!("{line}\r\n")).await;
        self.answer().await
    }

    /// Hands a mail over; the answer to its content, or the first that is none of 250 and 354.
    pub(crate) async fn mail(&mut self, from: &str, to: &str, content: &str) -> String {
        for line in [format!("MAIL FROM:<{from}>"), format!("RCPT TO:<{to}>"), "DATA".to_owned()] {
            let answer = self.ask(&line).await;
            if !answer.starts_with("250 ") && !answer.starts_with("354 ") {
                return answer;
            }
        }
        let stuffed: Vec<String> = content
            .lines()
            .map(|line| if line.starts_with('.') { format!(".{line}") } else { line.to_owned() })
            .collect();
        self.send(format!("{}\r\n.\r\n", stuffed.join("\r\n"))).await;
        self.answer().await
    }
}

/// One mail over a connection of its own.
pub(crate) async fn hand_over(server: SocketAddr, from: &str, to: &str, content: &str) -> String {
    SmtpClient::connect(server).await.mail(from, to, content).await
}
