use genesys::{WebhookContent, WebhookMessage};
use jiff::Timestamp;
use model::{AgentReply, MailReply, MessageId, Private, ReasonCode, ReplyBody, TraceId, Unsendable};

use crate::directory::{Channel, Kind};
use crate::mail;

/// The replies of one message of a webhook, one per recipient, and the id the answer names.
pub(crate) struct Replies {
    pub(crate) message_id: String,
    pub(crate) replies: Vec<AgentReply>,
}

/// Translates one message of a verified webhook.
pub(crate) fn of_message(
    channel: &Channel,
    message: &WebhookMessage,
    index: usize,
    wire: &[u8],
    trace: &TraceId,
    received_at: Timestamp,
) -> Replies {
    let message_id = message.message_id.clone().unwrap_or_else(|| substitute_id(channel, index, wire, trace));
    let reply = |to_id: &Private<String>, body: ReplyBody| AgentReply {
        id: AgentReply::derive_id(&channel.name, &message_id, to_id.expose()),
        channel: channel.name.clone(),
        provider: channel.provider.clone(),
        genesys: channel.genesys.clone(),
        genesys_message_id: message_id.clone(),
        from_id: message.from_id.clone(),
        to_id: to_id.clone(),
        to: channel.recipient(to_id.expose()),
        body,
        trace: trace.clone(),
        received_at,
    };
    let replies = match (&channel.kind, &message.content) {
        (Kind::Email, WebhookContent::Mail(mail)) => {
            let bodies = mail::bodies(mail);
            mail.recipients.iter().zip(bodies).map(|(to, body)| reply(&to.id, body)).collect()
        }
        (kind, content) => {
            let body = body(kind, content);
            message.to_ids.iter().map(|to_id| reply(to_id, body.clone())).collect()
        }
    };
    Replies { message_id, replies }
}

/// A message without an id gets one that the same webhook, redelivered with its trace id, gets again.
fn substitute_id(channel: &Channel, index: usize, wire: &[u8], trace: &TraceId) -> String {
    let body = String::from_utf8_lossy(wire);
    let parts = [channel.name.as_str(), trace.as_str(), &body, &index.to_string()];
    MessageId::derive("nx", &parts).to_string()
}

fn body(kind: &Kind, content: &WebhookContent) -> ReplyBody {
    let unsendable = |code, reason: &str| ReplyBody::Unsendable(Unsendable { code, reason: reason.to_owned() });
    match (kind, content) {
        (Kind::Email, WebhookContent::Text(text)) => {
            ReplyBody::Mail(Box::new(MailReply { text: Some(text.clone()), ..MailReply::default() }))
        }
        (Kind::Sms { .. }, WebhookContent::Text(text)) => ReplyBody::Text(text.clone()),
        (Kind::Sms { .. }, WebhookContent::Media(media)) => ReplyBody::Media(media.clone()),
        (Kind::Email, WebhookContent::Media(media)) => {
            let text = Some(media.text.clone()).filter(|text| !text.expose().is_empty());
            ReplyBody::Mail(Box::new(MailReply { text, files: media.files.clone(), ..MailReply::default() }))
        }
        (_, WebhookContent::Mail(_)) => unsendable(ReasonCode::Unsupported, "Mail cannot be sent on this channel."),
        (_, WebhookContent::Unsendable(why)) => ReplyBody::Unsendable(why.clone()),
    }
}
