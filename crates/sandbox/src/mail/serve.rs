//! Takes the company's mail by SMTP.

use std::sync::Arc;
use std::time::Duration;

use anyhow::ensure;
use mail_parser::{MessageParser, MimeHeaders};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufStream};
use tokio::net::TcpStream;
use tokio::time::timeout;
use uuid::Uuid;

use super::state::{DeliveredMail, State};

const SILENT: Duration = Duration::from_secs(300);
const LINE: u64 = 4096;
const MAIL: usize = 40 << 20;
const DELIVERED: &str = "250 2.0.0 delivered";

/// What was told of a mail so far.
#[derive(Default)]
struct Envelope {
    from: Option<String>,
    to: Vec<String>,
}

/// One conversation.
pub(super) async fn converse(stream: TcpStream, state: Arc<State>) -> anyhow::Result<()> {
    let mut wire = BufStream::new(stream);
    say(&mut wire, &format!("220 mail.{} ESMTP", state.domain)).await?;
    let mut envelope = Envelope::default();
    loop {
        let line = line(&mut wire, LINE).await?;
        let line = String::from_utf8_lossy(&line).trim_end().to_owned();
        let verb = line.split([' ', ':']).next().unwrap_or_default().to_ascii_uppercase();
        let answer = match verb.as_str() {
            "EHLO" => format!("250-mail.{}\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250 SIZE {MAIL}", state.domain),
            "HELO" | "NOOP" => "250 2.0.0 ok".to_owned(),
            "RSET" => {
                envelope = Envelope::default();
                "250 2.0.0 ok".to_owned()
            }
            "MAIL" if state.faults.busy.strikes() => "451 4.3.0 nothing is taken now, come back later".to_owned(),
            "MAIL" => {
                envelope = Envelope { from: address(&line), to: Vec::new() };
                "250 2.1.0 ok".to_owned()
            }
            "RCPT" => recipient(&state, &line, &mut envelope),
            "DATA" if envelope.from.is_some() && !envelope.to.is_empty() => {
                say(&mut wire, "354 go on").await?;
                let raw = content(&mut wire).await?;
                match received(&mut wire, &state, &std::mem::take(&mut envelope), &raw).await {
                    Some(answer) => answer.to_owned(),
                    None => return Ok(()),
                }
            }
            "DATA" => "503 5.5.1 MAIL and RCPT come first".to_owned(),
            "QUIT" => return say(&mut wire, "221 2.0.0 bye").await,
            _ => "500 5.5.1 this is not known here".to_owned(),
        };
        say(&mut wire, &answer).await?;
    }
}

fn recipient(state: &State, line: &str, envelope: &mut Envelope) -> String {
    let Some(to) = address(line) else { return "501 5.1.3 this is no address".to_owned() };
    let here = to.rsplit_once('@').is_some_and(|(_, domain)| domain.eq_ignore_ascii_case(&state.domain));
    if !here {
        return "550 5.7.1 this is no relay".to_owned();
    }
    if state.faults.no_such_user.strikes() {
        return "550 5.1.1 the mailbox does not exist".to_owned();
    }
    if state.faults.later.strikes() {
        return "450 4.2.0 the mailbox is busy, come back later".to_owned();
    }
    envelope.to.push(to);
    "250 2.1.5 ok".to_owned()
}

fn address(line: &str) -> Option<String> {
    let (_, rest) = line.split_once('<')?;
    rest.split_once('>').map(|(address, _)| address.to_owned())
}

async fn say(wire: &mut BufStream<TcpStream>, answer: &str) -> anyhow::Result<()> {
    wire.write_all(answer.as_bytes()).await?;
    wire.write_all(b"\r\n").await?;
    Ok(wire.flush().await?)
}

async fn line(wire: &mut BufStream<TcpStream>, most: u64) -> anyhow::Result<Vec<u8>> {
    let mut line = Vec::new();
    timeout(SILENT, (&mut *wire).take(most).read_until(b'\n', &mut line)).await??;
    ensure!(line.ends_with(b"\n"), "the client is gone, or its line never ends");
    Ok(line)
}

async fn content(wire: &mut BufStream<TcpStream>) -> anyhow::Result<Vec<u8>> {
    let mut all = Vec::new();
    loop {
        let line = line(wire, MAIL as u64).await?;
        if line == b".\r\n" {
            return Ok(all);
        }
        all.extend_from_slice(line.strip_prefix(b".").unwrap_or(&line));
        ensure!(all.len() <= MAIL, "a mail of more than is taken");
    }
}

/// What becomes of a mail that has come, and the answer to it; none where the conversation ends without one.
async fn received(
    wire: &mut BufStream<TcpStream>,
    state: &State,
    envelope: &Envelope,
    raw: &[u8],
) -> Option<&'static str> {
    let faults = &state.faults;
    if faults.refuse_content.strikes() {
        return Some("451 4.3.0 it could not be kept, bring it again");
    }
    if faults.close_before_accept.strikes() {
        return None;
    }
    let hangs = faults.hang_after_accept.strikes();
    let silent = hangs || faults.close_after_accept.strikes();
    take(state, envelope, raw, !silent);
    if hangs {
        // Until the client has had enough.
        let _gone = line(wire, LINE).await;
    }
    if silent {
        return None;
    }
    if faults.close_after_answer.strikes() {
        // Whether it is heard is what the fault is about.
        let _heard = say(wire, DELIVERED).await;
        return None;
    }
    Some(DELIVERED)
}

/// Puts a mail into the mailboxes of its recipients.
fn take(state: &State, envelope: &Envelope, raw: &[u8], answered: bool) {
    let parsed = MessageParser::default().parse(raw);
    let parsed = parsed.as_ref();
    let text = |found: Option<&str>| found.unwrap_or_default().to_owned();
    let from = parsed.and_then(|mail| mail.from()?.first()).map(|from| {
        let address = from.address().unwrap_or_default();
        from.name().map_or_else(|| address.to_owned(), |name| format!("{name} <{address}>"))
    });
    let body = parsed.and_then(|mail| mail.body_text(0)).unwrap_or_default().trim_end().to_owned();
    let files = parsed.map(|mail| mail.attachments().map(|file| text(file.attachment_name())).collect());
    let mut room = state.room();
    let at = room.clock.now();
    for to in &envelope.to {
        room.delivered.push(DeliveredMail {
            at,
            id: Uuid::new_v4().simple().to_string(),
            envelope_from: envelope.from.clone().unwrap_or_default(),
            to: to.clone(),
            from: from.clone().unwrap_or_default(),
            subject: text(parsed.and_then(|mail| mail.subject())),
            message_id: text(parsed.and_then(|mail| mail.message_id())),
            in_reply_to: parsed.and_then(|mail| mail.in_reply_to().as_text().map(str::to_owned)),
            text: body.clone(),
            files: files.clone().unwrap_or_default(),
            answered,
            bounced: false,
            raw: raw.to_vec(),
        });
    }
    drop(room);
    state.changed();
}
