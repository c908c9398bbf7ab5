//! The web page of `causeway sandbox`: a person is the consumer on the left and the agent on the right, and sees in the
//! middle what the bridge does about it.

mod act;
mod assets;
mod live;
mod mail;
mod view;
mod walk;

use std::sync::Arc;

use axum::Router;
use axum::middleware::from_fn;
use axum::routing::{get, post};
use runtime::Shutdown;
use runtime::http_server::{not_allowed, not_found};

pub use mail::Mailbox;
pub use walk::Walk;

use crate::{GenesysSim, NetSapiensSim};

/// What the page stands between.
#[derive(Clone)]
pub struct PageState {
    /// Where the agent is.
    pub genesys: GenesysSim,
    /// Where the consumer is.
    pub netsapiens: NetSapiensSim,
    /// The Genesys channel the agent answers on.
    pub channel: String,
    /// The company's number at the provider.
    pub company_number: String,
    /// The consumer's number.
    pub consumer_number: String,
    /// The consumer's mailbox.
    pub mailbox: Mailbox,
    /// The bridge's own view of queues and timelines.
    pub walk: Walk,
    /// Ends the live updates, which would otherwise keep the listener from draining.
    pub shutdown: Shutdown,
}

/// The routes of the page.
pub fn router(state: PageState) -> Router {
    Router::new()
        .route("/", get(assets::page))
        .route("/live", get(live::live))
        .route("/view", get(live::once))
        .route("/consumer", post(act::consumer))
        .route("/agent", post(act::agent))
        .route("/mail/consumer", post(mail::consumer))
        .route("/mail/agent", post(mail::agent))
        .route("/mail/bounce", post(mail::bounce))
        .route("/fault", post(act::fault))
        .fallback(not_found)
        .method_not_allowed_fallback(not_allowed)
        .layer(from_fn(act::same_origin))
        .with_state(Arc::new(state))
}

#[cfg(test)]
mod tests;
