use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use broker::Broker;
use bytes::Bytes;
use genesys::{Verified, Webhook, peek_channel};
use http::{HeaderMap, StatusCode, header};
use model::TraceId;
use runtime::Clock;
use runtime::http_server::read_body;
use tokio::sync::watch;
use tracing::{Instrument, info_span};

use crate::answer::Refused;
use crate::body::{Bodies, decode};
use crate::directory::{Channel, Channels, Kind};
use crate::replies;

/// What this room needs to know.
#[derive(Debug, Clone)]
pub struct Config {
    /// Of a request, and of what it decodes to.
    pub body_limit: usize,
    /// The same for channels that carry mail.
    pub mail_body_limit: usize,
    /// For a body to come in.
    pub body_read: Duration,
    /// The status of a signature that matches no secret.
    pub bad_signature_status: StatusCode,
    /// The status of a channel that is not configured.
    pub unknown_channel_status: StatusCode,
}

/// The room's doors.
#[derive(Clone)]
pub struct Room {
    /// What it needs to know.
    pub config: Config,
    /// The channels, which change when a secret file does.
    pub channels: watch::Receiver<Arc<Channels>>,
    /// Where replies go.
    pub broker: Broker,
    /// The time.
    pub clock: Clock,
}

/// `POST /genesys/{channel}` and `POST /genesys`.
pub fn routes(room: Room) -> Router {
    Router::new().route("/genesys/{channel}", post(by_name)).route("/genesys", post(by_id)).with_state(Arc::new(room))
}

async fn by_name(
    State(room): State<Arc<Room>>,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refused> {
    let channel = room.directory().named(&name).ok_or(Refused::UnknownChannel(room.config.unknown_channel_status))?;
    let bodies = room.read(&headers, body, matches!(channel.kind, Kind::Email)).await?;
    let verified = room.verify(&channel, &headers, &bodies)?;
    room.accept(&channel, &headers, &verified).await
}

async fn by_id(State(room): State<Arc<Room>>, headers: HeaderMap, body: Body) -> Result<Response, Refused> {
    let bodies = room.read(&headers, body, room.directory().has_mail()).await?;
    let id = peek_channel(&bodies.decoded).map_err(Refused::Unreadable)?;
    let candidates = room.directory().called(&id);
    let mut refused = Refused::UnknownChannel(room.config.unknown_channel_status);
    for channel in candidates {
        match room.verify(&channel, &headers, &bodies) {
            Ok(verified) => return room.accept(&channel, &headers, &verified).await,
            Err(error) => refused = error,
        }
    }
    Err(refused)
}

impl Room {
    fn directory(&self) -> Arc<Channels> {
        Arc::clone(&self.channels.borrow())
    }

    async fn read(&self, headers: &HeaderMap, body: Body, mail: bool) -> Result<Bodies, Refused> {
        let limit = if mail { self.config.mail_body_limit } else { self.config.body_limit };
        let wire: Bytes = read_body(headers, body, limit, self.config.body_read).await.map_err(Refused::Body)?;
        decode(headers, wire, limit)
    }

    fn verify<'a>(&self, channel: &Channel, headers: &HeaderMap, bodies: &'a Bodies) -> Result<Verified<'a>, Refused> {
        let signature = headers.get("x-hub-signature").map(|value| value.to_str().unwrap_or_default());
        let verified = channel.secrets.verify_decoded(signature, &bodies.wire, &bodies.decoded).map_err(|error| {
            metrics::counter!("causeway_webhook_verified_total", "channel" => channel.name.to_string(), "secret" => "none")
                .increment(1);
            tracing::warn!(channel = %channel.name, %error, "a webhook's signature was refused; check the channel's secret_files");
            Refused::Signature(self.config.bad_signature_status, error)
        })?;
        let position = verified.secret().to_string();
        metrics::counter!("causeway_webhook_verified_total", "channel" => channel.name.to_string(), "secret" => position)
            .increment(1);
        Ok(verified)
    }

    /// Stores every reply of a verified webhook, in order, and only then says 200.
    async fn accept(
        &self,
        channel: &Channel,
        headers: &HeaderMap,
        verified: &Verified<'_>,
    ) -> Result<Response, Refused> {
        let webhook = Webhook::read(verified).map_err(Refused::Unreadable)?;
        if let Some(id) =
            webhook.messages.iter().filter_map(|message| message.channel.as_ref()).find(|id| !channel.is_called(id))
        {
            tracing::warn!(channel = %channel.name, other = %id, "a webhook on this channel's URL is about another channel; give every channel its own URL");
            return Err(Refused::UnknownChannel(self.config.unknown_channel_status));
        }
        let trace = trace_of(headers);
        let received_at = self.clock.now();
        let mut first = None;
        for (index, message) in webhook.messages.iter().enumerate() {
            let replies = replies::of_message(channel, message, index, verified.body(), &trace, received_at);
            for reply in &replies.replies {
                let span =
                    info_span!("accept reply", message.id = %reply.id, trace.id = %trace, channel = %channel.name);
                self.broker.publish(reply).instrument(span).await.map_err(|error| {
                    tracing::warn!(channel = %channel.name, %error, "a reply could not be stored; Genesys will deliver it again");
                    Refused::NotStored
                })?;
                tracing::info!(message.id = %reply.id, trace.id = %trace, channel = %channel.name, "a reply was accepted");
            }
            first.get_or_insert(replies.message_id);
        }
        let stamp = received_at.as_second() as f64;
        metrics::gauge!("causeway_last_message_timestamp_seconds", "channel" => channel.name.to_string(), "direction" => "out").set(stamp);
        if webhook.messages.len() > 1 {
            tracing::warn!(channel = %channel.name, messages = webhook.messages.len(), "a webhook held several messages; the answer names the first");
        }
        let body = serde_json::json!({ "messageId": first });
        Ok(([(header::CONTENT_TYPE, "application/json")], body.to_string()).into_response())
    }
}

/// The webhook's trace id, or a new one in the form Genesys emits.
fn trace_of(headers: &HeaderMap) -> TraceId {
    let foreign = headers.get("x-b3-traceid").and_then(|value| value.to_str().ok()).and_then(TraceId::from_foreign);
    foreign.unwrap_or_else(|| TraceId::new(uuid::Uuid::new_v4().to_string()))
}
