use std::io;
use std::net::IpAddr;
use std::time::Duration;

use smtp_proto::{Error, Request};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, timeout};

use super::config::ListenConfig;
use super::data::Dots;
use super::spool::{Received, Spool, Store, StoreError};
use super::transaction::Transaction;
use super::wire::{Command, Wire};
use runtime::Shutdown;

/// Answers are taken at once by whoever wants them.
const ANSWER: Duration = Duration::from_secs(30);
/// Read of a content at once.
const PIECE: usize = 16 * 1024;
/// A mail that is too large is let go by until it is this many times too large, so that its sender hears why.
const PATIENCE: u64 = 4;
/// Commands of one mail, however they are answered.
const COMMANDS: usize = 20_000;

/// How a session over one stream ended.
pub(super) enum Ended {
    /// The conversation is over.
    Over,
    /// The client goes on over TLS.
    StartTls,
}

/// One conversation.
pub(super) struct Session<'a, S> {
    wire: Wire<S>,
    config: &'a ListenConfig,
    store: &'a Store,
    shutdown: &'a Shutdown,
    peer: IpAddr,
    secure: bool,
    greeted: bool,
    transaction: Transaction,
    chunks: Option<Spool>,
    mistakes: usize,
    commands: usize,
    mails: usize,
}

impl<'a, S: AsyncRead + AsyncWrite + Unpin> Session<'a, S> {
    pub(super) fn new(
        stream: S,
        (config, store, shutdown): (&'a ListenConfig, &'a Store, &'a Shutdown),
        peer: IpAddr,
        secure: bool,
    ) -> Self {
        Self {
            wire: Wire::new(stream),
            config,
            store,
            shutdown,
            peer,
            secure,
            greeted: false,
            transaction: Transaction::default(),
            chunks: None,
            mistakes: 0,
            commands: 0,
            mails: 0,
        }
    }

    pub(super) fn into_stream(self) -> S {
        self.wire.into_inner()
    }

    /// Converses to the end, or to TLS.
    pub(super) async fn run(&mut self) -> io::Result<Ended> {
        if !self.secure {
            let greeting = format!("220 {} ESMTP", self.config.name);
            self.wire.say(&greeting);
        }
        loop {
            let next = tokio::select! {
                biased;
                next = self.wire.command(self.config.limits.command) => next?,
                // Between mails nothing is lost by leaving; a transaction is finished first.
                () = self.shutdown.stopping(), if !self.transaction.is_begun() => {
                    return Ok(self.leave("421 4.3.2 Closing; come back in a moment").await);
                }
            };
            self.commands += 1;
            let line = match next {
                Command::Line(line) => line,
                Command::TooLong => {
                    self.mistake("500 5.5.2 The line is too long");
                    if self.is_tiring() {
                        return Ok(self.tired().await);
                    }
                    continue;
                }
                Command::Bare => return Ok(self.leave("521 5.5.2 Lines end with CR LF").await),
                Command::Endless => return Ok(self.leave("500 5.5.2 The line never ends").await),
                Command::Silent => return Ok(self.leave("421 4.4.2 Nothing came for too long").await),
                Command::Gone => return Ok(Ended::Over),
            };
            if let Some(ended) = self.obey(&line).await? {
                return Ok(ended);
            }
            if self.is_tiring() {
                return Ok(self.tired().await);
            }
        }
    }

    const fn is_tiring(&self) -> bool {
        self.mistakes > self.config.limits.mistakes || self.commands > COMMANDS
    }

    async fn tired(&mut self) -> Ended {
        self.leave("421 4.7.0 Too many mistakes").await
    }

    async fn leave(&mut self, answer: &str) -> Ended {
        self.wire.say(answer);
        self.wire.close(ANSWER).await;
        Ended::Over
    }

    fn mistake(&mut self, answer: &str) {
        self.mistakes += 1;
        self.wire.say(answer);
    }

    /// Says an answer, and counts it where it is a refusal for good.
    fn answer(&mut self, answer: &str) {
        if answer.starts_with('5') { self.mistake(answer) } else { self.wire.say(answer) }
    }

    async fn obey(&mut self, line: &[u8]) -> io::Result<Option<Ended>> {
        let request = match Request::parse(&mut line.iter()) {
            Ok(request) => request.into_owned(),
            Err(error) => {
                self.mistake(refusal(&error));
                return Ok(None);
            }
        };
        if self.chunks.is_some()
            && !matches!(request, Request::Bdat { .. } | Request::Rset | Request::Quit | Request::Noop { .. })
        {
            self.mistake("503 5.5.1 BDAT goes on with BDAT");
            return Ok(None);
        }
        let early = self.config.require_tls && !self.secure;
        match request {
            Request::Ehlo { .. } => self.ehlo(),
            Request::Helo { .. } => {
                self.begin();
                let answer = format!("250 {}", self.config.name);
                self.wire.say(&answer);
            }
            Request::StartTls => return self.start_tls().await,
            Request::Quit => return Ok(Some(self.leave("221 2.0.0 Goodbye").await)),
            Request::Rset => {
                self.reset();
                self.wire.say("250 2.0.0 Forgotten");
            }
            Request::Noop { .. } => self.wire.say("250 2.0.0 Ok"),
            Request::Help { .. } => self.wire.say("214 2.0.0 RFC 5321"),
            Request::Vrfy { .. } => self.wire.say("252 2.5.0 Send a mail and see"),
            Request::Mail { .. } | Request::Rcpt { .. } | Request::Data | Request::Bdat { .. } if early => {
                if matches!(request, Request::Bdat { .. }) {
                    // What follows is no command.
                    return Ok(Some(self.leave("530 5.7.0 STARTTLS comes first").await));
                }
                self.mistake("530 5.7.0 STARTTLS comes first");
            }
            Request::Mail { from } => self.mail(from),
            Request::Rcpt { to } => {
                let answer = self.transaction.recipient(to, self.config);
                self.answer(answer);
            }
            Request::Data => return self.data().await,
            Request::Bdat { chunk_size, is_last } => return self.chunk(chunk_size as u64, is_last).await,
            _ => self.mistake("502 5.5.1 This command is not taken"),
        }
        Ok(None)
    }

    fn begin(&mut self) {
        self.greeted = true;
        self.reset();
    }

    fn reset(&mut self) {
        (self.transaction, self.chunks) = (Transaction::default(), None);
    }

    fn ehlo(&mut self) {
        self.begin();
        let mut lines =
            vec![self.config.name.clone(), "PIPELINING".to_owned(), format!("SIZE {}", self.config.limits.mail_bytes)];
        lines.extend(["8BITMIME", "SMTPUTF8", "CHUNKING", "ENHANCEDSTATUSCODES"].map(str::to_owned));
        if self.config.tls.is_some() && !self.secure {
            lines.push("STARTTLS".to_owned());
        }
        let last = lines.len() - 1;
        for (number, line) in lines.iter().enumerate() {
            self.wire.say(&format!("250{}{line}", if number == last { ' ' } else { '-' }));
        }
    }

    async fn start_tls(&mut self) -> io::Result<Option<Ended>> {
        if self.config.tls.is_none() || self.secure {
            self.mistake("502 5.5.1 TLS is not offered here");
            return Ok(None);
        }
        if self.wire.is_ahead() {
            // Commands in the clear that would be taken as if they had come over TLS.
            return Ok(Some(self.leave("501 5.5.4 Nothing may follow STARTTLS").await));
        }
        self.wire.say("220 2.0.0 Go ahead");
        self.wire.flush(ANSWER).await?;
        Ok(Some(Ended::StartTls))
    }

    fn mail(&mut self, from: smtp_proto::MailFrom<String>) {
        if !self.greeted {
            return self.mistake("503 5.5.1 EHLO comes first");
        }
        if self.mails >= self.config.limits.mails {
            return self.wire.say("452 4.5.3 Enough for one connection; make another one");
        }
        let answer = self.transaction.mail(from, self.config.limits.mail_bytes);
        self.answer(answer);
    }

    async fn data(&mut self) -> io::Result<Option<Ended>> {
        if !self.transaction.has_recipients() {
            self.mistake("503 5.5.1 MAIL and RCPT come first");
            return Ok(None);
        }
        self.wire.say("354 End with CR LF . CR LF");
        self.wire.flush(ANSWER).await?;
        let mut spool = self.spool();
        let (mut dots, mut out, mut raw) = (Dots::new(), Vec::new(), 0u64);
        let deadline = Instant::now() + self.config.limits.mail;
        let mut failed = None;
        loop {
            let piece = match self.wire.content(PIECE, deadline).await {
                Ok(piece) if piece.is_empty() => return Ok(Some(Ended::Over)),
                Ok(piece) => piece,
                Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                    return Ok(Some(self.leave("421 4.4.2 The mail did not come in time").await));
                }
                Err(error) => return Err(error),
            };
            let (used, ended) = dots.push(&piece, &mut out);
            raw += used as u64;
            if failed.is_none() {
                failed = spool.write(&out).await.err();
            }
            out.clear();
            if ended {
                self.wire.put_back(&piece[used..]);
                break;
            }
            if raw > self.config.limits.mail_bytes.saturating_mul(PATIENCE) {
                return Ok(Some(self.leave("552 5.3.4 This mail is too large").await));
            }
        }
        if dots.is_bare() {
            // What follows may be what one of us takes for commands and the other for text.
            return Ok(Some(self.leave("550 5.5.2 Lines end with CR LF; this mail has others").await));
        }
        self.finish(spool, failed).await
    }

    async fn chunk(&mut self, size: u64, last: bool) -> io::Result<Option<Ended>> {
        let ready = self.transaction.has_recipients();
        let mut spool = self.chunks.take().unwrap_or_else(|| self.spool());
        let most = self.config.limits.mail_bytes.saturating_mul(PATIENCE);
        if spool.size().saturating_add(size) > most {
            return Ok(Some(self.leave("552 5.3.4 This mail is too large").await));
        }
        self.wire.flush(ANSWER).await?;
        let deadline = Instant::now() + self.config.limits.mail;
        let (mut rest, mut failed) = (size, None);
        while rest > 0 {
            let most = usize::try_from(rest).unwrap_or(PIECE).min(PIECE);
            let piece = match self.wire.content(most, deadline).await {
                Ok(piece) if piece.is_empty() => return Ok(Some(Ended::Over)),
                Ok(piece) => piece,
                Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                    return Ok(Some(self.leave("421 4.4.2 The mail did not come in time").await));
                }
                Err(error) => return Err(error),
            };
            rest -= piece.len() as u64;
            if failed.is_none() && ready {
                failed = spool.write(&piece).await.err();
            }
        }
        if !ready {
            self.mistake("503 5.5.1 MAIL and RCPT come first");
            return Ok(None);
        }
        if last || failed.is_some() {
            return self.finish(spool, failed).await;
        }
        self.chunks = Some(spool);
        self.wire.say("250 2.0.0 Go on");
        Ok(None)
    }

    fn spool(&self) -> Spool {
        let limits = &self.config.limits;
        Spool::new(self.config.spool.clone(), limits.memory_bytes, limits.mail_bytes)
    }

    /// Has a mail stored, and answers for it.
    async fn finish(&mut self, spool: Spool, failed: Option<io::Error>) -> io::Result<Option<Ended>> {
        let transaction = std::mem::take(&mut self.transaction);
        (self.chunks, self.commands) = (None, 0);
        self.mails += 1;
        if spool.is_over() {
            self.wire.say("552 5.3.4 This mail is too large");
            return Ok(None);
        }
        let size = spool.size();
        let content = match failed {
            Some(error) => Err(error),
            None => spool.finish().await,
        };
        let content = match content {
            Ok(content) => content,
            Err(error) => {
                tracing::error!(%error, "a mail that comes in cannot be spooled; its sender keeps it. Look at the disk of the spool folder");
                self.wire.say("451 4.3.0 Not stored; try again later");
                return Ok(None);
            }
        };
        let received = Received { envelope: transaction.envelope(), peer: self.peer, size, content };
        let stored = timeout(self.config.limits.store, self.store.put(received)).await;
        self.wire.say(match stored {
            Ok(Ok(())) => "250 2.0.0 Stored",
            Ok(Err(StoreError::Never)) => "554 5.6.0 This mail cannot be taken",
            Ok(Err(StoreError::Later)) | Err(_) => "451 4.3.0 Not stored; try again later",
        });
        Ok(None)
    }
}

const fn refusal(error: &Error) -> &'static str {
    match error {
        Error::InvalidSenderAddress => "553 5.1.7 This is no sender's address",
        Error::InvalidRecipientAddress => "553 5.1.3 This is no recipient's address",
        Error::SyntaxError { .. } => "501 5.5.2 The command is not complete",
        Error::InvalidParameter { .. } => "501 5.5.4 A parameter is wrong",
        Error::UnsupportedParameter { .. } => "555 5.5.4 A parameter is not taken",
        _ => "500 5.5.1 This command is not known",
    }
}
