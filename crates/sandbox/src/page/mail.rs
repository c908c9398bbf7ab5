//! The consumer's mailbox, and the agent's desk as far as mail goes. What a mail holds is shown as text and never as HTML.

use std::sync::Arc;

use axum::Json;
use axum::extract::State as Shared;
use axum::extract::rejection::JsonRejection;
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::StatusCode;
use runtime::http_server::http_error;
use serde::Deserialize;
use serde_json::{Value, json};

use super::PageState;
use super::act::{LONGEST, bad};
use super::view::{newest, receipts, reply};
use crate::{ConsumerMail, GenesysSim, MailFile, MailSim, OutgoingState, ReceivedAttachment};

/// Where the consumer's mail is.
#[derive(Clone)]
pub struct Mailbox {
    /// The consumer's mail server.
    pub server: MailSim,
    /// The consumer's address there.
    pub consumer: String,
    /// The company's address.
    pub company: String,
    /// The Genesys channel the agent answers mail on.
    pub channel: String,
}

/// The most files of one mail.
const FILES: usize = 5;

#[derive(Deserialize)]
pub(super) struct Written {
    subject: String,
    text: String,
    #[serde(default)]
    files: Vec<Attached>,
}

#[derive(Deserialize)]
pub(super) struct Attached {
    name: String,
    #[serde(rename = "type")]
    media_type: String,
    /// Base64.
    data: String,
}

#[derive(Deserialize)]
pub(super) struct Which {
    id: String,
}

fn checked(written: Result<Json<Written>, JsonRejection>) -> Result<Written, String> {
    let Json(written) = written.map_err(|rejection| rejection.body_text())?;
    if written.text.trim().is_empty() || written.text.chars().count() > LONGEST || written.subject.len() > LONGEST {
        return Err("text must not be empty, and neither it nor the subject longer than 5000 characters".to_owned());
    }
    if written.files.len() > FILES {
        return Err("a mail of this page has at most five files".to_owned());
    }
    Ok(written)
}

pub(super) fn file(attached: Attached) -> Result<MailFile, String> {
    let bytes = STANDARD.decode(&attached.data).map_err(|_| "the data of a file is not base64".to_owned())?;
    let media_type = Some(attached.media_type).filter(|one| one.contains('/'));
    let media_type = media_type.unwrap_or_else(|| "application/octet-stream".to_owned());
    Ok(MailFile { name: attached.name, media_type, bytes: bytes.into() })
}

pub(super) async fn consumer(
    Shared(state): Shared<Arc<PageState>>,
    written: Result<Json<Written>, JsonRejection>,
) -> Result<Json<Value>, Response> {
    let Written { subject, text, files } = checked(written).map_err(|detail| bad(&detail))?;
    let files = files.into_iter().map(file).collect::<Result<_, _>>().map_err(|detail| bad(&detail))?;
    let mailbox = &state.mailbox;
    // As mail programs do, the newest of the company's mails is answered.
    let in_reply_to = mailbox.server.delivered().pop().map(|mail| mail.message_id).filter(|id| !id.is_empty());
    let id = mailbox.server.consumer_sends(&ConsumerMail {
        from: mailbox.consumer.clone(),
        from_name: "Ann".to_owned(),
        to: mailbox.company.clone(),
        subject,
        text,
        files,
        in_reply_to,
    });
    Ok(Json(json!({ "id": id })))
}

pub(super) async fn agent(
    Shared(state): Shared<Arc<PageState>>,
    written: Result<Json<Written>, JsonRejection>,
) -> Result<Json<Value>, Response> {
    let Written { subject, text, .. } = checked(written).map_err(|detail| bad(&detail))?;
    let Mailbox { consumer, company, channel, .. } = &state.mailbox;
    let id = state.genesys.agent_sends_mail(channel, company, consumer, &subject, &text);
    Ok(Json(json!({ "id": id })))
}

pub(super) async fn bounce(
    Shared(state): Shared<Arc<PageState>>,
    which: Result<Json<Which>, JsonRejection>,
) -> Result<Json<Value>, Response> {
    let Json(Which { id }) = which.map_err(|rejection| bad(&rejection.body_text()))?;
    let bounced = state.mailbox.server.bounce(&id);
    bounced.map_err(|error| http_error(StatusCode::CONFLICT, "not returned", &format!("{error:#}")))?;
    Ok(Json(json!({ "id": id })))
}

pub(super) fn view(state: &PageState) -> Value {
    let Mailbox { consumer, company, channel, .. } = &state.mailbox;
    json!({
        "consumer": consumer,
        "company": company,
        "channel": channel,
        "phone": mailbox(state),
        "desk": desk(state),
    })
}

fn mailbox(state: &PageState) -> Value {
    let mut log = Vec::new();
    for mail in state.mailbox.server.brought().into_iter().filter(|mail| !mail.report) {
        let note = match mail.state {
            OutgoingState::Waiting => "on its way".to_owned(),
            OutgoingState::Accepted => "taken by the company".to_owned(),
            OutgoingState::Refused(code) => format!("refused with {code}"),
        };
        let shown = json!({
            "id": mail.message_id, "mine": true, "subject": mail.subject, "text": mail.text, "files": mail.files,
            "at": mail.at, "note": note,
        });
        log.push((mail.at, shown));
    }
    for mail in state.mailbox.server.delivered() {
        let shown = json!({
            "id": mail.id, "mine": false, "subject": mail.subject, "text": mail.text, "files": mail.files, "at": mail.at,
            "note": if mail.bounced { "returned to its sender" } else { "" },
            "bounces": !mail.bounced && !mail.envelope_from.is_empty(),
        });
        log.push((mail.at, shown));
    }
    newest(log)
}

/// The name of what a message refers to, or its type where it is no longer here.
fn called(genesys: &GenesysSim, file: ReceivedAttachment) -> String {
    let here = genesys.media().into_iter().find(|media| media.url() == file.url);
    here.map_or(file.mime, |media| media.filename)
}

fn desk(state: &PageState) -> Value {
    let (receipts, mailbox) = (receipts(state), &state.mailbox);
    let mut log = Vec::new();
    for message in state.genesys.messages() {
        if message.channel_id == mailbox.channel {
            let subject = message.email.map(|email| email.subject);
            let files: Vec<String> = message.attachments.into_iter().map(|file| called(&state.genesys, file)).collect();
            let shown = json!({
                "id": message.message_id.unwrap_or_default(), "mine": false, "subject": subject.unwrap_or_default(),
                "text": message.text, "files": files, "at": message.at,
            });
            log.push((message.at, shown));
        }
    }
    for message in state.genesys.agent_messages() {
        if message.channel_id == mailbox.channel {
            let mut shown = reply(&message, receipts.get(&message.id));
            if let Some(fields) = shown.as_object_mut() {
                fields.insert("subject".to_owned(), json!(message.subject));
            }
            log.push((message.at, shown));
        }
    }
    newest(log)
}
