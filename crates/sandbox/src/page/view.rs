//! Everything the page shows, as one JSON object.

use std::collections::HashMap;

use serde_json::{Value, json};

use super::PageState;
use crate::{AgentMessage, ReceivedReceipt, WebhookState};

/// Messages on each side.
const SHOWN: usize = 200;

pub(super) async fn view(state: &PageState) -> Value {
    let walk = state.walk.look(&state.consumer_number).await;
    json!({
        "channel": state.channel,
        "company": state.company_number,
        "consumer": state.consumer_number,
        "phone": phone(state),
        "desk": desk(state),
        "mail": super::mail::view(state),
        "faults": faults(state),
        "walk": walk,
    })
}

/// What the consumer sees.
fn phone(state: &PageState) -> Value {
    let mut log = Vec::new();
    for sms in state.netsapiens.consumer_messages() {
        if sms.from == state.consumer_number {
            let files = files(sms.file);
            log.push((sms.at, json!({ "id": sms.id, "mine": true, "text": sms.text, "files": files, "at": sms.at })));
        }
    }
    for sms in state.netsapiens.sent() {
        if is_theirs(state, &sms.to) {
            let files = files(sms.file.map(|file| (file.media_type, file.bytes.len() as u64)));
            log.push((sms.at, json!({ "id": sms.id, "mine": false, "text": sms.text, "files": files, "at": sms.at })));
        }
    }
    newest(log)
}

/// Whether a number is the consumer's, or a group's with the consumer in it.
fn is_theirs(state: &PageState, numbers: &str) -> bool {
    numbers.split(',').any(|number| number == state.consumer_number)
}

fn files(file: Option<(String, u64)>) -> Vec<String> {
    file.into_iter().map(|(media_type, size)| format!("{media_type}, {size} bytes")).collect()
}

/// What the agent sees.
fn desk(state: &PageState) -> Value {
    let receipts = receipts(state);
    let mut log = Vec::new();
    for message in state.genesys.messages() {
        if is_theirs(state, &message.from) {
            let id = message.message_id.unwrap_or_default();
            log.push((message.at, json!({ "id": id, "mine": false, "text": message.text, "at": message.at })));
        }
    }
    for message in state.genesys.agent_messages() {
        if message.to == state.consumer_number {
            log.push((message.at, reply(&message, receipts.get(&message.id))));
        }
    }
    newest(log)
}

/// A message has one receipt; should it have more, the last is what an agent would see.
pub(super) fn receipts(state: &PageState) -> HashMap<String, ReceivedReceipt> {
    state.genesys.receipts().into_iter().map(|receipt| (receipt.message_id.clone(), receipt)).collect()
}

pub(super) fn reply(message: &AgentMessage, receipt: Option<&ReceivedReceipt>) -> Value {
    let webhook = match message.webhook {
        WebhookState::Sending => "sending".to_owned(),
        WebhookState::Accepted => "accepted".to_owned(),
        WebhookState::Refused(status) => format!("refused with {status}"),
        WebhookState::GaveUp => "given up".to_owned(),
    };
    let reason = receipt.and_then(|receipt| receipt.reasons.first());
    json!({
        "id": message.id,
        "mine": true,
        "text": message.text,
        "at": message.at,
        "webhook": webhook,
        "posts": message.attempts.len(),
        "receipt": receipt.map_or("pending", |receipt| receipt.status.as_str()),
        "reason": reason.map(|(code, text)| json!({ "code": code, "text": text })),
    })
}

pub(super) fn newest(mut log: Vec<(jiff::Timestamp, Value)>) -> Value {
    log.sort_by_key(|(at, _)| *at);
    let skipped = log.len().saturating_sub(SHOWN);
    log.into_iter().skip(skipped).map(|(_, message)| message).collect()
}

fn faults(state: &PageState) -> Value {
    let (genesys, netsapiens) = (state.genesys.faults(), state.netsapiens.faults());
    json!({
        "genesys-500": genesys.answers_500(),
        "genesys-401": genesys.refuses_401(),
        "genesys-lost-answers": genesys.closes_after_accept(),
        "duplicate-webhooks": genesys.duplicates() > 0,
        "provider-down": netsapiens.is_down(),
        "provider-500": netsapiens.answers_500(),
        "provider-lost-answers": netsapiens.closes_after_accept(),
        "lost-events": netsapiens.loses_events(),
        "no-such-mailbox": state.mailbox.server.faults().has_no_such_user(),
        "slow": !netsapiens.slowness().is_zero(),
    })
}
