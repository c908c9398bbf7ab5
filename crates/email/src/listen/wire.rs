use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, timeout_at};

/// A command is a line of at most this; RFC 5321 asks for 512, extensions for more.
const COMMAND: usize = 4096;
/// Read at once.
const PIECE: usize = 16 * 1024;
/// What is let go by of an endless line before the connection is closed.
const PATIENCE: usize = 64 * 1024;

/// What a client sent where a command belongs.
pub(super) enum Command {
    /// A line, with its end.
    Line(Vec<u8>),
    /// A line that is too long; it was let go by.
    TooLong,
    /// A line that ends with a line feed alone.
    Bare,
    /// A line that never ends.
    Endless,
    /// It closed the connection.
    Gone,
    /// It sent no whole line in time.
    Silent,
}

/// A connection with what was read ahead and what is to be written.
pub(super) struct Wire<S> {
    stream: S,
    ahead: Vec<u8>,
    answers: Vec<u8>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    pub(super) const fn new(stream: S) -> Self {
        Self { stream, ahead: Vec::new(), answers: Vec::new() }
    }

    /// The stream, for TLS; what was read ahead is forgotten with this, for nobody may speak before TLS does.
    pub(super) fn into_inner(self) -> S {
        self.stream
    }

    /// Whether the client has sent more already.
    pub(super) const fn is_ahead(&self) -> bool {
        !self.ahead.is_empty()
    }

    /// Puts an answer behind those that wait. Commands that came together are answered together.
    pub(super) fn say(&mut self, answer: &str) {
        self.answers.extend_from_slice(answer.as_bytes());
        self.answers.extend_from_slice(b"\r\n");
    }

    /// Sends the answers that wait.
    pub(super) async fn flush(&mut self, within: Duration) -> io::Result<()> {
        if self.answers.is_empty() {
            return Ok(());
        }
        let deadline = Instant::now() + within;
        let written = timeout_at(deadline, async {
            self.stream.write_all(&self.answers).await?;
            self.stream.flush().await
        });
        let written = written.await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        self.answers.clear();
        // A connection that is idle holds no more than it has to.
        self.answers.shrink_to(256);
        written
    }

    /// The next command. The time is for the whole line, so that a byte a minute does not do.
    pub(super) async fn command(&mut self, within: Duration) -> io::Result<Command> {
        let deadline = Instant::now() + within;
        let mut let_by = 0;
        loop {
            if let Some(end) = self.ahead.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.ahead.drain(..=end).collect();
                self.ahead.shrink_to(256);
                return Ok(match line.as_slice() {
                    _ if let_by > 0 || line.len() > COMMAND => Command::TooLong,
                    [.., b'\r', b'\n'] if !line[..line.len() - 2].contains(&b'\r') => Command::Line(line),
                    _ => Command::Bare,
                });
            }
            if self.ahead.len() > COMMAND {
                let_by += self.ahead.len();
                self.ahead.clear();
                if let_by > PATIENCE {
                    return Ok(Command::Endless);
                }
            }
            if self.answers.len() > PIECE || self.ahead.is_empty() || !self.answers.is_empty() {
                self.flush(within).await?;
            }
            match timeout_at(deadline, self.fill()).await {
                Err(_) => return Ok(Command::Silent),
                Ok(Ok(0)) => return Ok(Command::Gone),
                Ok(read) => read?,
            };
        }
    }

    /// Takes what there is of a content, at most `most` bytes; empty when the connection was closed.
    pub(super) async fn content(&mut self, most: usize, deadline: Instant) -> io::Result<Vec<u8>> {
        if self.ahead.is_empty() {
            let filled = timeout_at(deadline, self.fill()).await;
            filled.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))?;
        }
        let taken = self.ahead.len().min(most);
        Ok(self.ahead.drain(..taken).collect())
    }

    /// Puts back what was read of the commands behind a content.
    pub(super) fn put_back(&mut self, rest: &[u8]) {
        self.ahead.splice(..0, rest.iter().copied());
    }

    async fn fill(&mut self) -> io::Result<usize> {
        // Waiting costs a small buffer; a content that flows gets a large one.
        let room = if self.ahead.capacity() >= PIECE { PIECE } else { 1024 };
        self.ahead.reserve(room);
        let read = (&mut self.stream).take(PIECE as u64).read_buf(&mut self.ahead).await?;
        if read >= 1024 {
            self.ahead.reserve(PIECE);
        }
        Ok(read)
    }

    /// Says goodbye as far as the other side listens.
    pub(super) async fn close(&mut self, within: Duration) {
        // The connection ends either way.
        let _said = self.flush(within).await;
        let _closed = timeout_at(Instant::now() + within, self.stream.shutdown()).await;
    }
}
