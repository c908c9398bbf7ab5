use std::iter;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use lettre::transport::smtp::Error;
use lettre::transport::smtp::client::AsyncSmtpConnection;
use lettre::transport::smtp::commands::{Data, Mail, Rcpt};
use lettre::transport::smtp::extension::{Extension, MailBodyParameter, MailParameter, RcptParameter};
use lettre::transport::smtp::response::Response;
use model::{Private, ReasonCode, ReceiptReason};
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use super::compose::Composed;
use super::outcome::{Sending, Whose};
use crate::reason::{self, Status, Step};

/// How long each step may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Times {
    /// Until the sender is answered, which is the first word over a connection that was kept.
    pub(super) first: Duration,
    /// Until each other command is answered.
    pub(super) step: Duration,
    /// Until the mail itself is with the server.
    pub(super) upload: Duration,
    /// Until the server says what became of it.
    pub(super) answer: Duration,
}

/// A transaction that came to no answer.
pub(super) struct Failure {
    /// The step it broke at.
    pub(super) at: Step,
    pub(super) how: How,
}

pub(super) enum How {
    /// The server wants a login.
    Login,
    /// The server ends the conversation, and says so (421).
    Closing(ReceiptReason),
    /// The connection broke, or what came was no SMTP.
    Broken,
    /// A command was not answered in time.
    Silent,
    /// The mail was with the server, and what became of it was not heard.
    Doubt(&'static str),
}

impl Failure {
    /// Whether it may be for the time the connection waited, and the mail was certainly not taken.
    pub(super) fn of_the_wait(&self) -> bool {
        match self.how {
            How::Login | How::Closing(_) | How::Broken => true,
            How::Silent => self.at == Step::Sender,
            How::Doubt(_) => false,
        }
    }
}

/// Written at once: a mail is not copied as a whole to have its dots stuffed.
const PIECE: usize = 64 * 1024;

/// A connection, and what is known of its server beyond what the library knows.
pub(super) struct Line {
    pub(super) connection: AsyncSmtpConnection,
    /// Whether it is asked to report success too.
    pub(super) reports: bool,
    /// No other mail goes over it.
    pub(super) spent: bool,
}

/// Hands one mail to one recipient over a connection.
pub(super) async fn transact(line: &mut Line, mail: &Composed, times: &Times) -> Result<Sending, Failure> {
    let parameters = match parameters(&line.connection, mail) {
        Ok(parameters) => parameters,
        Err(sending) => return Ok(sending),
    };
    let sender = Mail::new(Some(mail.envelope_sender.clone()), parameters).to_string();
    let recipient = Rcpt::new(mail.recipient.clone(), notify(line.reports)).to_string();
    let commands = [
        (Step::Sender, sender, times.first),
        (Step::Recipient, recipient, times.step),
        (Step::Content, Data.to_string(), times.step),
    ];
    for (at, command, within) in commands {
        match timeout(within, line.connection.command(command)).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => return line.refused(&error, at, times).await,
            Err(_) => return Err(Failure { at, how: How::Silent }),
        }
    }
    match line.hand_over(mail, times).await {
        Ok(Handed::Taken(response)) => {
            let answer: String = response.message().collect::<Vec<_>>().join(" ");
            Ok(Sending::Sent { answer: Private::new(answer.chars().take(200).collect()) })
        }
        Ok(Handed::Refused(error)) => line.refused(&error, Step::Content, times).await,
        Ok(Handed::NotWhole) => {
            line.spent = true;
            Ok(Sending::Later { whose: Whose::Mail, reason: reason::told(ReasonCode::Expired, None, None) })
        }
        Err(what) => Err(Failure { at: Step::Content, how: How::Doubt(what) }),
    }
}

/// What became of a mail that was written to a server.
enum Handed {
    Taken(Response),
    Refused(Error),
    /// The end of it never went out, so it was certainly not taken. The server had agreed to all before, so it is this mail that
    /// was too large, or the way too slow for it.
    NotWhole,
}

impl Line {
    /// Writes the mail; `Err` says why nobody knows what became of it.
    async fn hand_over(&mut self, mail: &Composed, times: &Times) -> Result<Handed, &'static str> {
        let (whole, told) = (AtomicBool::new(false), Notify::new());
        let mut pieces = mail.bytes.chunks(PIECE);
        // Asked for the piece after the last one, all of them are written, and the line that ends the mail comes next: before it
        // the server has nothing it could take.
        let pieces = iter::from_fn(|| {
            let piece = pieces.next();
            if piece.is_none() {
                whole.store(true, Ordering::Relaxed);
                told.notify_one();
            }
            piece
        });
        let answered = {
            let mut sending = pin!(self.connection.message_iter(pieces));
            tokio::select! {
                biased;
                answered = &mut sending => answered,
                () = told.notified() => match timeout(times.answer, sending).await {
                    Ok(answered) => answered,
                    Err(_) => return Err("did not answer to a mail in time"),
                },
                () = sleep(times.upload) => return Ok(Handed::NotWhole),
            }
        };
        match answered {
            Ok(response) => Ok(Handed::Taken(response)),
            Err(error) if error.status().is_some() => Ok(Handed::Refused(error)),
            Err(_) if whole.load(Ordering::Relaxed) => Err("broke off while a mail was being sent"),
            Err(_) => Ok(self.last_word(times).await.map_or(Handed::NotWhole, Handed::Refused)),
        }
    }

    /// A server that hears too much of a mail may say so before it closes.
    async fn last_word(&mut self, times: &Times) -> Option<Error> {
        self.spent = true;
        let heard = timeout(times.step, self.connection.read_response()).await;
        heard.ok()?.err().filter(|error| error.status().is_some())
    }

    /// Reads a refusal, and leaves the connection ready for the next mail.
    async fn refused(&mut self, error: &Error, at: Step, times: &Times) -> Result<Sending, Failure> {
        let Some(reply) = error.status().map(u16::from) else { return Err(Failure { at, how: How::Broken }) };
        if is_login_trouble(error) {
            return Err(Failure { at, how: How::Login });
        }
        let text = std::error::Error::source(error).map(ToString::to_string).unwrap_or_default();
        // The server's words are looked at for its code, and go no further.
        let status = Status::parse(&text).filter(|status| u16::from(status.class) == reply / 100);
        if reply == 421 {
            return Err(Failure { at, how: How::Closing(reason::told(ReasonCode::RateLimited, Some(reply), status)) });
        }
        let reset = timeout(times.step, self.connection.command(Reset)).await;
        self.spent |= !matches!(reset, Ok(Ok(_)));
        if error.is_permanent() {
            return Ok(Sending::Refused(reason::told(reason::code(Some(reply), status, at), Some(reply), status)));
        }
        let server = at == Step::Sender || status.is_some_and(|status| status.subject == 3);
        let limited = status.is_some_and(|status| status.subject == 7);
        let code = if limited { ReasonCode::RateLimited } else { ReasonCode::Expired };
        let whose = if server { Whose::Server } else { Whose::Mail };
        Ok(Sending::Later { whose, reason: reason::told(code, Some(reply), status) })
    }
}

/// Of which events the server tells the envelope's sender.
fn notify(reports: bool) -> Vec<RcptParameter> {
    let events = || RcptParameter::Other { keyword: "NOTIFY".to_owned(), value: Some("SUCCESS,FAILURE".to_owned()) };
    reports.then(events).into_iter().collect()
}

/// What the mail needs the server to know beyond the oldest SMTP.
fn parameters(connection: &AsyncSmtpConnection, mail: &Composed) -> Result<Vec<MailParameter>, Sending> {
    let offers = |extension| connection.server_info().supports_feature(extension);
    let mut parameters = Vec::new();
    let ascii = [&mail.envelope_sender, &mail.recipient].iter().all(|address| address.to_string().is_ascii());
    if !ascii {
        if !offers(Extension::SmtpUtfEight) {
            let code = ReasonCode::InvalidDestination;
            return Err(Sending::Refused(reason::told(code, None, Status::parse("5.6.7"))));
        }
        parameters.push(MailParameter::SmtpUtfEight);
    }
    // What is composed here is ASCII but for names in an address of letters beyond it.
    if !mail.bytes.is_ascii() && offers(Extension::EightBitMime) {
        parameters.push(MailParameter::Body(MailBodyParameter::EightBitMime));
    }
    Ok(parameters)
}

struct Reset;

impl std::fmt::Display for Reset {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("RSET\r\n")
    }
}

/// Answers that are about who we are and not about a mail.
pub(super) fn is_login_trouble(error: &Error) -> bool {
    matches!(error.status().map(u16::from), Some(530 | 534 | 535 | 538))
}
