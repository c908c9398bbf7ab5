use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use broker::{Broker, PublishError, QueueName};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use model::{ConsentChange, Family, InboundMessage, MessageId, NeighbourName, TraceId};
use runtime::Clock;
use runtime::http_server::{http_error, read_body};
use sms::ConsumerText;
use tokio::sync::watch;

use crate::directory::{Channel, Directory};

/// What this room needs to know.
#[derive(Debug, Clone)]
pub struct Config {
    /// Of a request.
    pub body_limit: usize,
    /// For a body to come in.
    pub body_read: Duration,
}

/// The room's doors.
#[derive(Clone)]
pub struct Room {
    /// What it needs to know.
    pub config: Config,
    /// Providers and channels, which change when a secret file does.
    pub directory: watch::Receiver<Arc<Directory>>,
    /// Where messages go.
    pub broker: Broker,
    /// The time.
    pub clock: Clock,
}

/// `POST /netsapiens/{provider}/{secret}`.
pub fn routes(room: Room) -> Router {
    Router::new().route("/netsapiens/{provider}/{secret}", post(event)).with_state(Arc::new(room))
}

async fn event(
    State(room): State<Arc<Room>>,
    Path((provider, secret)): Path<(String, String)>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let directory = Arc::clone(&room.directory.borrow());
    // A wrong secret and an unknown provider are the same answer, so that neither can be told by trying.
    let Some(provider) = directory.provider(&provider).filter(|provider| provider.accepts_secret(&secret)) else {
        return http_error(StatusCode::NOT_FOUND, "not found", "there is nothing here");
    };
    let body = match read_body(&headers, body, room.config.body_limit, room.config.body_read).await {
        Ok(body) => body,
        Err(error) => return error.into_response(),
    };
    let events = match provider.read_events(&body) {
        Ok(events) => events,
        Err(error) => return room.quarantine(provider.name(), &body, &error.to_string()).await,
    };
    for cause in &events.dropped {
        count_dropped(provider.name(), cause);
    }
    for text in &events.texts {
        let Some(channel) = directory.channel(provider.name(), &text.to_number) else {
            tracing::warn!(provider = %provider.name(), "an event is about a number that is no channel here; add a [[channel]] or narrow the subscription");
            count_dropped(provider.name(), "unknown-number");
            continue;
        };
        if let Err(error) = room.accept(provider.name(), channel, text).await {
            tracing::error!(channel = %channel.name, %error, "a consumer's message could not be stored; the provider was told 503");
            return not_stored();
        }
    }
    accepted()
}

/// What a message asks for, where it is a keyword. It goes straight to where replies are sent from, so that a STOP never waits
/// for a Genesys that is down, and goes first, so that it is not lost to a broker that takes one and not the other.
fn consent_change(provider: &NeighbourName, channel: &Channel, message: &InboundMessage) -> Option<ConsentChange> {
    let keyword = channel.keywords.as_ref()?.find(message.text.expose())?;
    Some(ConsentChange {
        id: ConsentChange::derive_id(&message.id),
        channel: message.channel.clone(),
        provider: provider.clone(),
        from: message.from.clone(),
        keyword,
        message: message.id.clone(),
        arrival: message.arrival.clone(),
        session: message.session.clone(),
        trace: message.trace.clone(),
        received_at: message.received_at,
    })
}

/// Providers send no trace id, so a message's walk begins here.
fn new_trace() -> TraceId {
    TraceId::new(uuid::Uuid::new_v4().to_string())
}

fn accepted() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], r#"{"ok":true}"#).into_response()
}

fn not_stored() -> Response {
    let mut response = http_error(
        StatusCode::SERVICE_UNAVAILABLE,
        "not stored",
        "the event could not be stored durably; post it again",
    );
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
    response
}

fn count_dropped(provider: &NeighbourName, cause: &'static str) {
    metrics::counter!("causeway_events_dropped_total", "provider" => provider.to_string(), "cause" => cause)
        .increment(1);
}

impl Room {
    async fn accept(
        &self,
        provider: &NeighbourName,
        channel: &Channel,
        text: &ConsumerText,
    ) -> Result<(), PublishError> {
        let received_at = self.clock.now();
        let message = InboundMessage {
            id: MessageId::derive("in", &[provider.as_str(), &text.provider_id]),
            channel: channel.name.clone(),
            genesys: channel.genesys.clone(),
            from: channel.sender(text.from.expose()),
            text: text.text.clone(),
            files: text.files.clone(),
            session: text.session.clone(),
            arrival: text.arrival.clone(),
            trace: new_trace(),
            received_at,
        };
        if let Some(change) = consent_change(provider, channel, &message) {
            self.broker.publish(&change).await?;
            tracing::info!(message.id = %change.id, trace.id = %change.trace, channel = %channel.name, "a keyword was accepted");
        }
        self.broker.publish(&message).await?;
        tracing::info!(message.id = %message.id, trace.id = %message.trace, channel = %channel.name, "a consumer's message was accepted");
        let stamp = received_at.as_second() as f64;
        metrics::gauge!("causeway_last_message_timestamp_seconds", "channel" => channel.name.to_string(), "direction" => "in").set(stamp);
        Ok(())
    }

    /// Anything but a 2xx would only disable the subscription, so an unreadable event is kept for a person instead.
    async fn quarantine(&self, provider: &NeighbourName, body: &[u8], detail: &str) -> Response {
        count_dropped(provider, "unreadable");
        let Some(genesys) = self.directory.borrow().tenant_of(provider) else { return accepted() };
        let queue = QueueName::Work { family: Family::Inbound, neighbour: genesys, partition: 0 };
        match self.broker.quarantine(&queue, body, new_trace()).await {
            Ok(()) => {
                tracing::warn!(%provider, detail, "an event could not be read; it is in the dead letters");
                accepted()
            }
            Err(error) => {
                tracing::error!(%provider, %error, "an unreadable event could not be quarantined");
                not_stored()
            }
        }
    }
}
