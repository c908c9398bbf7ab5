//! Receipts that an operator sends, over the control socket: through the same ledger and queue as any other.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use broker::Broker;
use http::StatusCode;
use ledger::{Ledger, ReceiptVerdict};
use model::{ChannelName, Receipt, ReceiptStatus};
use runtime::Clock;
use runtime::http_server::http_error;
use serde::{Deserialize, Serialize};

struct Desk {
    broker: Broker,
    ledger: Option<Ledger>,
    clock: Clock,
}

/// `POST /receipts/send`
#[derive(Serialize, Deserialize)]
pub(crate) struct Send {
    pub(crate) channel: ChannelName,
    /// The id Genesys knows the reply by.
    pub(crate) message: String,
    /// One of its recipients; may be left out where there is one.
    pub(crate) to: Option<String>,
    pub(crate) status: ReceiptStatus,
}

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Sent {
    /// It is on its way to Genesys.
    Queued,
    /// Genesys has been told the same before; nothing was done.
    Repeated,
}

/// `/receipts/send`
pub(super) fn routes(broker: &Broker, ledger: Option<&Ledger>, clock: &Clock) -> Router {
    let desk = Desk { broker: broker.clone(), ledger: ledger.cloned(), clock: clock.clone() };
    Router::new().route("/receipts/send", post(send)).with_state(Arc::new(desk))
}

async fn send(State(desk): State<Arc<Desk>>, Json(asked): Json<Send>) -> Response {
    let Some(ledger) = &desk.ledger else {
        let told = "this process plays no role that keeps the ledger; ask one that does";
        return http_error(StatusCode::NOT_FOUND, "no ledger here", told);
    };
    let word = asked.status.word();
    let found = match ledger.receipts_about(&asked.channel, &asked.message, asked.status).await {
        Ok(found) => found,
        Err(error) => return http_error(StatusCode::SERVICE_UNAVAILABLE, "not available", &error.to_string()),
    };
    let (receipt, verdict) = match one_of(found, asked.to.as_deref()) {
        Ok(one) => one,
        Err(told) => return http_error(StatusCode::NOT_FOUND, "no such reply", &told),
    };
    match verdict {
        ReceiptVerdict::Repeat => return Json(Sent::Repeated).into_response(),
        ReceiptVerdict::Outdated => {
            let told = format!(
                "{word} cannot follow what Genesys was told of this reply: it is Delivered or Failed once, and Removed only \
                 after Delivered; `causeway trace` shows it"
            );
            return http_error(StatusCode::CONFLICT, "not after that", &told);
        }
        ReceiptVerdict::Emit | ReceiptVerdict::Poison => {}
    }
    // It is said now, however old the reply is.
    let receipt = receipt.told(desk.clock.now());
    match desk.broker.publish(&receipt).await {
        Ok(()) => {
            tracing::info!(message.id = %receipt.id, channel = %receipt.channel, status = word, "a receipt was sent by hand");
            Json(Sent::Queued).into_response()
        }
        Err(error) => http_error(StatusCode::SERVICE_UNAVAILABLE, "not available", &error.to_string()),
    }
}

/// The reply that is meant. Addresses are not told, not even to an operator: a command's output is often kept.
fn one_of(mut found: Vec<(Receipt, ReceiptVerdict)>, to: Option<&str>) -> Result<(Receipt, ReceiptVerdict), String> {
    if found.is_empty() {
        let told = "the ledger knows no reply of this id on this channel: check both, and that it is not older than \
                    ledger.retain";
        return Err(told.to_owned());
    }
    let all = found.len();
    if let Some(to) = to {
        found.retain(|(receipt, _)| receipt.to_id.expose() == to || receipt.to.normalised() == to);
    }
    match (found.len(), found.pop()) {
        (1, Some(one)) => Ok(one),
        (0, _) => Err(format!("none of the {all} recipients of this reply is the one that --to names")),
        _ => Err(format!("this reply went to {all} recipients; name one with --to, as the webhook wrote it")),
    }
}
