//! Properties of a message on the wire, both ways (design 3.4).

use bytes::Bytes;
use jiff::Timestamp;
use lapin::BasicProperties;
use lapin::message::Delivery as Received;
use lapin::types::{AMQPValue, FieldTable, ShortString};
use model::{MessageId, TraceId};

use crate::letters::id_of;
use crate::source::{Content, DeadLetter, Delivery};
use crate::{DeadLetterReport, Envelope, Letter};

const PERSISTENT: u8 = 2;

/// The properties of a message.
pub(super) fn of_envelope(envelope: &Envelope) -> BasicProperties {
    let mut headers = FieldTable::default();
    insert(&mut headers, "conversation", &envelope.conversation);
    insert(&mut headers, "trace-id", envelope.trace.as_str());
    insert(&mut headers, "received-at", &envelope.received_at.to_string());
    with_headers(Some(envelope.id.as_str()), Some(&envelope.kind), envelope.received_at, headers)
}

/// The properties of a dead letter, and its bytes.
pub(super) fn of_dead(delivery: &Delivery, letter: &DeadLetter) -> (BasicProperties, Bytes) {
    let (properties, body) = match &delivery.content {
        Content::Envelope(envelope) => (of_envelope(envelope), envelope.body.clone()),
        Content::Foreign { id, body, .. } => {
            (with_headers(id.as_deref(), None, letter.at, FieldTable::default()), body.clone())
        }
    };
    let mut headers = properties.headers().clone().unwrap_or_default();
    insert(&mut headers, "dead-reason", &letter.reason);
    insert(&mut headers, "dead-detail", &letter.detail);
    insert(&mut headers, "dead-at", &letter.at.to_string());
    insert(&mut headers, "dead-from", &letter.from.to_string());
    (properties.with_headers(headers), body)
}

fn with_headers(id: Option<&str>, kind: Option<&str>, at: Timestamp, headers: FieldTable) -> BasicProperties {
    let seconds = u64::try_from(at.as_second()).unwrap_or_default();
    let properties = BasicProperties::default()
        .with_content_type("application/json".into())
        .with_delivery_mode(PERSISTENT)
        .with_timestamp(seconds)
        .with_headers(headers);
    let properties = match id {
        Some(id) => properties.with_message_id(short(id)),
        None => properties,
    };
    match kind {
        Some(kind) => properties.with_type(short(kind)),
        None => properties,
    }
}

/// AMQP's short strings hold 255 bytes; ours are far below, foreign ones are cut.
fn short(text: &str) -> ShortString {
    text[..text.floor_char_boundary(255)].into()
}

fn insert(headers: &mut FieldTable, key: &str, value: &str) {
    headers.insert(key.into(), AMQPValue::LongString(value.into()));
}

/// What was found in a queue. A message without our properties is kept as it is, for the dead letters.
pub(super) fn content(received: Received) -> Content {
    match envelope(&received) {
        Ok(mut envelope) => {
            envelope.body = Bytes::from(received.data);
            Content::Envelope(envelope)
        }
        Err(missing) => Content::Foreign {
            detail: format!("{missing} is missing or not what it must be"),
            id: received.properties.message_id().as_ref().map(ToString::to_string),
            body: Bytes::from(received.data),
        },
    }
}

/// All but the body.
fn envelope(received: &Received) -> Result<Envelope, &'static str> {
    let properties = &received.properties;
    let id = properties.message_id().as_ref().ok_or("property message_id")?;
    let kind = properties.kind().as_ref().ok_or("property type")?;
    let headers = properties.headers().as_ref().ok_or("headers")?;
    let conversation = text(headers, "conversation").ok_or("header conversation")?;
    let trace = text(headers, "trace-id").ok_or("header trace-id")?;
    let received_at = text(headers, "received-at").and_then(|text| text.parse().ok()).ok_or("header received-at")?;
    Ok(Envelope {
        id: MessageId::new(id.to_string()),
        kind: kind.to_string(),
        conversation,
        trace: TraceId::new(trace),
        received_at,
        body: Bytes::new(),
    })
}

fn text(headers: &FieldTable, key: &str) -> Option<String> {
    match headers.inner().get(key)? {
        AMQPValue::LongString(text) => Some(text.to_string()),
        AMQPValue::ShortString(text) => Some(text.to_string()),
        _ => None,
    }
}

/// A dead letter, whole.
pub(super) fn letter(received: Received) -> Letter {
    let properties = &received.properties;
    let headers = properties.headers().clone().unwrap_or_default();
    let of = |key| text(&headers, key).unwrap_or_default();
    let report = DeadLetterReport {
        id: id_of(properties.message_id().as_ref().map(ToString::to_string), &received.data),
        reason: of("dead-reason"),
        detail: of("dead-detail"),
        at: of("dead-at").parse().unwrap_or(Timestamp::UNIX_EPOCH),
        from: of("dead-from"),
    };
    Letter {
        report,
        kind: properties.kind().as_ref().map(ToString::to_string),
        conversation: text(&headers, "conversation"),
        trace: text(&headers, "trace-id"),
        received_at: text(&headers, "received-at").and_then(|text| text.parse().ok()),
        body: Bytes::from(received.data),
    }
}

/// Headers a dead letter has and its message had not: its cause, and what the broker counted.
const OF_THE_DEAD: [&str; 6] =
    ["dead-reason", "dead-detail", "dead-at", "dead-from", "x-delivery-count", "x-acquired-count"];

/// The properties a dead letter had before it died.
pub(super) fn without_cause(properties: &BasicProperties) -> BasicProperties {
    let mut kept = FieldTable::default();
    for (key, value) in properties.headers().clone().unwrap_or_default().inner() {
        if !OF_THE_DEAD.contains(&key.as_str()) {
            kept.insert(key.clone(), value.clone());
        }
    }
    properties.clone().with_headers(kept)
}
