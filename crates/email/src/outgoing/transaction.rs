use std::sync::atomic::{AtomicBool, Ordering};

use lettre::transport::smtp::Error;
use lettre::transport::smtp::client::AsyncSmtpConnection;
use lettre::transport::smtp::commands::{Data, Mail, Rcpt};
use lettre::transport::smtp::extension::{Extension, MailBodyParameter, MailParameter, RcptParameter};
use model::{Private, ReasonCode};

use super::compose::Composed;
use super::outcome::{Sending, Whose};
use crate::reason::{self, Status, Step};

/// How far a transaction has come; it outlives the future that is cancelled by a time-out.
#[derive(Default)]
pub(super) struct Phase {
    mail_went_out: AtomicBool,
}

impl Phase {
    pub(super) fn may_be_sent(&self) -> bool {
        self.mail_went_out.load(Ordering::Relaxed)
    }

    pub(super) fn again(&self) {
        self.mail_went_out.store(false, Ordering::Relaxed);
    }

    fn mail_goes_out(&self) {
        self.mail_went_out.store(true, Ordering::Relaxed);
    }

    fn answered(&self) {
        self.mail_went_out.store(false, Ordering::Relaxed);
    }
}

/// A transaction that came to no answer.
pub(super) enum Failure {
    /// The server wants a login.
    Login,
    /// The connection broke, or what came was no SMTP.
    Broken,
}

/// Written at once: a mail is not copied as a whole to have its dots stuffed.
const PIECE: usize = 64 * 1024;

/// A connection, and what is known of its server beyond what the library knows.
pub(super) struct Line {
    pub(super) connection: AsyncSmtpConnection,
    /// Whether it is asked to report success too.
    pub(super) reports: bool,
}

/// Hands one mail to one recipient over a connection.
pub(super) async fn transact(
    Line { connection, reports }: &mut Line,
    mail: &Composed,
    phase: &Phase,
) -> Result<Sending, Failure> {
    let parameters = match parameters(connection, mail) {
        Ok(parameters) => parameters,
        Err(sending) => return Ok(sending),
    };
    let sender = connection.command(Mail::new(Some(mail.envelope_sender.clone()), parameters)).await;
    if let Err(error) = sender {
        return refused(connection, &error, Step::Sender).await;
    }
    if let Err(error) = connection.command(Rcpt::new(mail.recipient.clone(), notify(*reports))).await {
        return refused(connection, &error, Step::Recipient).await;
    }
    if let Err(error) = connection.command(Data).await {
        return refused(connection, &error, Step::Content).await;
    }
    phase.mail_goes_out();
    match connection.message_iter(mail.bytes.chunks(PIECE)).await {
        Ok(response) => {
            phase.answered();
            let answer: String = response.message().collect::<Vec<_>>().join(" ");
            Ok(Sending::Sent { answer: Private::new(answer.chars().take(200).collect()) })
        }
        Err(error) if error.status().is_some() => {
            phase.answered();
            refused(connection, &error, Step::Content).await
        }
        Err(_) => Err(Failure::Broken),
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

/// Reads a refusal, and leaves the connection ready for the next mail.
async fn refused(connection: &mut AsyncSmtpConnection, error: &Error, step: Step) -> Result<Sending, Failure> {
    let Some(reply) = error.status().map(u16::from) else { return Err(Failure::Broken) };
    if is_login_trouble(error) {
        return Err(Failure::Login);
    }
    let text = std::error::Error::source(error).map(ToString::to_string).unwrap_or_default();
    // The server's words are looked at for its code, and go no further.
    let status = Status::parse(&text).filter(|status| u16::from(status.class) == reply / 100);
    let closing = reply == 421;
    if !closing && connection.command(Reset).await.is_err() {
        connection.abort().await;
    }
    if error.is_permanent() {
        return Ok(Sending::Refused(reason::told(reason::code(Some(reply), status, step), Some(reply), status)));
    }
    let server = closing || step == Step::Sender || status.is_some_and(|status| status.subject == 3);
    let limited = status.is_some_and(|status| status.subject == 7);
    let code = if limited || closing { ReasonCode::RateLimited } else { ReasonCode::Expired };
    if closing {
        connection.abort().await;
    }
    let whose = if server { Whose::Server } else { Whose::Mail };
    Ok(Sending::Later { whose, reason: reason::told(code, Some(reply), status) })
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
