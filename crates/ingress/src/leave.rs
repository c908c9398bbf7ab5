//! Consumers who unsubscribe: by the link in a mail, `/unsubscribe/{token}`, or by a mail to the address in it.

use std::collections::HashMap;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use broker::{Broker, PublishError};
use email::LeaveKeys;
use http::{HeaderValue, StatusCode, header};
use model::{Address, Arrival, ArrivalPath, ChannelName, ConsentChange, Keyword, MessageId, NeighbourName, TraceId};
use runtime::Clock;
use runtime::http_server::http_error;
use tokio::sync::watch;

use crate::routes::new_trace;

/// What unsubscribing needs.
#[derive(Clone)]
pub struct LeaveRoom {
    /// What signs the tokens, and the mail channels, which change when a key file does.
    pub book: watch::Receiver<Arc<LeaveBook>>,
    /// Where wishes go.
    pub broker: Broker,
    /// The time.
    pub clock: Clock,
}

/// The keys, and whom each mail channel sends by.
#[derive(Debug, Default)]
pub struct LeaveBook {
    /// What signs the tokens; none signs none.
    pub keys: Option<LeaveKeys>,
    /// The provider of each mail channel.
    pub channels: HashMap<ChannelName, NeighbourName>,
}

/// `GET` and `POST` of `/unsubscribe/{token}`. A `GET` only asks: programs follow links that nobody clicked.
pub fn leave_routes(room: LeaveRoom) -> Router {
    Router::new().route("/unsubscribe/{token}", get(ask).post(leave)).with_state(Arc::new(room))
}

impl LeaveRoom {
    fn read(&self, token: &str) -> Option<(ChannelName, NeighbourName, Address)> {
        let book = Arc::clone(&self.book.borrow());
        let (channel, consumer) = book.keys.as_ref()?.read_url(token)?;
        let provider = book.channels.get(&channel)?.clone();
        Some((channel, provider, consumer))
    }
}

async fn ask(State(room): State<Arc<LeaveRoom>>, Path(token): Path<String>) -> Response {
    match room.read(&token) {
        None => nothing(),
        Some(_) => {
            page("<p>Do you want no more mail from us?</p><form method=\"post\"><button>Unsubscribe</button></form>")
        }
    }
}

/// What RFC 8058 asks for: one POST, without a login and without another step. Its body says nothing that the path does not.
async fn leave(State(room): State<Arc<LeaveRoom>>, Path(token): Path<String>) -> Response {
    let Some((channel, provider, consumer)) = room.read(&token) else { return nothing() };
    let message = MessageId::derive("lv", &[&uuid::Uuid::new_v4().to_string()]);
    match publish(&room.broker, &room.clock, (&channel, &provider), consumer, message).await {
        Ok(()) => page("<p>You will get no more mail from us.</p>"),
        Err(error) => {
            tracing::error!(%channel, %error, "a wish to unsubscribe could not be stored");
            let told = "this could not be done just now; try again in a minute";
            let mut answer = http_error(StatusCode::SERVICE_UNAVAILABLE, "not available", told);
            answer.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("10"));
            answer
        }
    }
}

/// Gives a wish to whoever sends the channel's mail. Each is one of its own: who came back may leave again.
pub(crate) async fn publish(
    broker: &Broker,
    clock: &Clock,
    (channel, provider): (&ChannelName, &NeighbourName),
    consumer: Address,
    message: MessageId,
) -> Result<(), PublishError> {
    let trace: TraceId = new_trace();
    let arrival = Arrival {
        path: ArrivalPath::MessageEvent,
        fingerprint: message.to_string(),
        sent_at: None,
        beside: Vec::new(),
    };
    let change = ConsentChange {
        id: ConsentChange::derive_id(&message),
        channel: channel.clone(),
        provider: provider.clone(),
        from: consumer,
        keyword: Keyword::Stop,
        message,
        arrival,
        session: None,
        trace,
        received_at: clock.now(),
    };
    broker.publish(&change).await?;
    tracing::info!(message.id = %change.id, %channel, "a consumer unsubscribed");
    Ok(())
}

fn nothing() -> Response {
    http_error(StatusCode::NOT_FOUND, "not found", "there is nothing here")
}

fn page(content: &str) -> Response {
    let body = format!(
        "<!doctype html><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <meta name=\"robots\" content=\"noindex\"><title>Unsubscribe</title><body>{content}</body>"
    );
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; form-action 'self'; frame-ancestors 'none'"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    (headers, body).into_response()
}
