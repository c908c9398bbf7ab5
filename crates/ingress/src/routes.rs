use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use broker::{Broker, PublishError, QueueName};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use model::{Family, NeighbourName, TraceId};
use runtime::Clock;
use runtime::http_server::{http_error, read_body};
use sms::{ConsumerText, ReadEvents};
use tokio::sync::watch;

use crate::directory::{Channel, Directory};
use crate::refused::Refusals;

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
    /// Where what is refused is told.
    pub refusals: Refusals,
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
    let known = directory.provider(&provider);
    let Some(provider) = known.filter(|provider| provider.accepts_secret(&secret)) else {
        room.refusals.secret(known.map(sms::Provider::name));
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
    match room.accept_all(&directory, provider.name(), &events).await {
        Ok(()) => accepted(),
        Err(error) => {
            tracing::error!(provider = %provider.name(), %error, "an event could not be stored; the provider was told 503");
            not_stored()
        }
    }
}

/// Providers send no trace id, so a message's walk begins here. Ids that rise with time keep a ledger's index of them in
/// order.
pub(crate) fn new_trace() -> TraceId {
    TraceId::new(uuid::Uuid::now_v7().to_string())
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

pub(crate) fn count_dropped(provider: &NeighbourName, cause: &'static str) {
    metrics::counter!("causeway_events_dropped_total", "provider" => provider.to_string(), "cause" => cause)
        .increment(1);
}

impl Room {
    /// Stores everything an event tells of, in its order; what is for nobody here is counted.
    async fn accept_all(
        &self,
        directory: &Directory,
        provider: &NeighbourName,
        events: &ReadEvents,
    ) -> Result<(), PublishError> {
        for text in &events.texts {
            match directory.channel(provider, &text.to_number) {
                Some(channel) => self.accept(channel, text).await?,
                None => self.refusals.text(directory, provider, text),
            }
        }
        for trigger in &events.triggers {
            let Some(channel) = directory.owner(provider, trigger) else {
                self.refusals.trigger(provider);
                continue;
            };
            // The read itself is left to the role that calls out: here nothing may depend on the provider's being up.
            let message = channel.destination().trigger(trigger, new_trace(), self.clock.now());
            self.broker.publish(&message).await?;
            tracing::info!(message.id = %message.id, trace.id = %message.trace, channel = %channel.name, "an event asks for its session to be read");
        }
        Ok(())
    }

    /// Stores one consumer's message.
    pub(crate) async fn accept(&self, channel: &Channel, text: &ConsumerText) -> Result<(), PublishError> {
        let destination = channel.destination();
        let message = destination.message(text, new_trace(), self.clock.now());
        if let Some(change) = destination.consent_change(&message) {
            self.broker.publish(&change).await?;
            tracing::info!(message.id = %change.id, trace.id = %change.trace, channel = %channel.name, "a keyword was accepted");
        }
        self.broker.publish(&message).await?;
        tracing::info!(message.id = %message.id, trace.id = %message.trace, channel = %channel.name, "a consumer's message was accepted");
        let stamp = message.received_at.as_second() as f64;
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
