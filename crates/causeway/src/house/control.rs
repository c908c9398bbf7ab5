//! The control socket: inspection and changes of a running process, for the commands of the CLI.

use std::sync::Arc;

use axum::extract::{Query, Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use broker::Broker;
use http::{StatusCode, header};
use ledger::Ledger;
use runtime::http_server::{Limits, http_error, not_allowed, not_found, serve, serve_unix};
use runtime::{Clock, Health, Shutdown, Tasks, url_segment};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;
use tokio::net::TcpListener;

use super::consent::{self, Consents};
use super::dead_letters::{self, DeadLetters};
use super::receipts;
use crate::config::{Config, Control, ProviderKind};

#[derive(Clone)]
struct Desk {
    broker: Broker,
    ledger: Option<Ledger>,
    health: Health,
}

pub(super) async fn spawn(
    tasks: &mut Tasks,
    config: &Config,
    broker: &Broker,
    ledger: Option<&Ledger>,
    clock: &Clock,
    health: &Health,
    shutdown: &Shutdown,
) -> anyhow::Result<()> {
    let desk = Desk { broker: broker.clone(), ledger: ledger.cloned(), health: health.clone() };
    let router = Router::new()
        .route("/health", get(health_report))
        .route("/queues", get(queues))
        .route("/trace", get(trace))
        .route("/topology/apply", post(apply_topology))
        .fallback(not_found)
        .method_not_allowed_fallback(not_allowed)
        .with_state(Arc::new(desk))
        .merge(consent::routes(Consents::new(config, ledger, clock)))
        .merge(dead_letters::routes(DeadLetters::new(config, broker, ledger, clock)))
        .merge(receipts::routes(broker, ledger, clock));
    match &config.admin.control {
        Control::Unix(path) => tasks.spawn("control socket", serve_unix(path.clone(), router, shutdown.clone()).await?),
        Control::Tcp { listen, token } => {
            let router = router.layer(from_fn_with_state(Arc::new(token.clone()), authorise));
            let listener = TcpListener::bind(listen).await?;
            tasks.spawn("control socket", serve(listener, None, router, Limits::default(), shutdown.clone()));
        }
    }
    Ok(())
}

async fn authorise(State(token): State<Arc<SecretString>>, request: Request, next: Next) -> Response {
    let given = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let given = given.strip_prefix("Bearer ").unwrap_or_default();
    if bool::from(given.as_bytes().ct_eq(token.expose_secret().as_bytes())) {
        next.run(request).await
    } else {
        http_error(StatusCode::UNAUTHORIZED, "not authorised", "send the token of admin.token_file as a bearer token")
    }
}

async fn health_report(State(desk): State<Arc<Desk>>) -> Response {
    Json(desk.health.report()).into_response()
}

async fn queues(State(desk): State<Arc<Desk>>) -> Response {
    match desk.broker.queues().await {
        Ok(queues) => Json(queues).into_response(),
        Err(error) => unavailable(&error),
    }
}

#[derive(Deserialize)]
struct TraceQuery {
    query: String,
}

async fn trace(State(desk): State<Arc<Desk>>, Query(TraceQuery { query }): Query<TraceQuery>) -> Response {
    let Some(ledger) = &desk.ledger else {
        let told = "this process plays no role that keeps the ledger; ask one that does";
        return http_error(StatusCode::NOT_FOUND, "no ledger here", told);
    };
    match ledger.timeline(&query).await {
        Ok(lines) => Json(lines).into_response(),
        Err(error) => unavailable(&error.into()),
    }
}

async fn apply_topology(State(desk): State<Arc<Desk>>) -> Response {
    match desk.broker.apply_topology().await {
        Ok(mut lines) => {
            lines.extend(broker::policies());
            Json(lines).into_response()
        }
        Err(error) => unavailable(&error),
    }
}

fn unavailable(error: &anyhow::Error) -> Response {
    http_error(StatusCode::SERVICE_UNAVAILABLE, "not available", &format!("{error:#}"))
}

/// What has to be handed to Genesys and to a provider for one channel.
#[derive(Debug, Serialize)]
pub struct ChannelUrls {
    /// The channel.
    pub channel: String,
    /// Its id at Genesys.
    pub id: String,
    /// What it carries.
    pub kind: &'static str,
    /// Its tenant.
    pub genesys: String,
    /// Its provider.
    pub provider: String,
    /// Where Genesys posts the agents' replies.
    pub webhook_url: String,
    /// Where the provider posts its events; the secret in it is shown only on request.
    pub event_url: Option<String>,
}

/// The URLs of every channel.
pub fn channel_urls(config: &Config, reveal: bool) -> Vec<ChannelUrls> {
    let base = config.http.public_url.clone().unwrap_or_else(|| "<set http.public_url>".to_owned());
    let urls = |channel: &crate::config::Channel| {
        let event_url = config.provider(&channel.provider).and_then(|provider| match &provider.kind {
            ProviderKind::NetSapiens(settings) => {
                let secret = settings.webhook_secrets.first()?.expose_secret();
                // As a path segment: one with a slash in it would be two.
                let secret = if reveal { url_segment(secret) } else { "***".to_owned() };
                Some(format!("{base}/netsapiens/{}/{secret}", url_segment(provider.name.as_str())))
            }
            ProviderKind::Email(_) => None,
        });
        ChannelUrls {
            channel: channel.name.to_string(),
            id: channel.id.to_string(),
            kind: match channel.kind {
                crate::config::ChannelKind::Sms { .. } => "sms",
                crate::config::ChannelKind::Email(_) => "email",
            },
            genesys: channel.genesys.to_string(),
            provider: channel.provider.to_string(),
            webhook_url: format!("{base}/genesys/{}", channel.name),
            event_url,
        }
    };
    config.channels.iter().map(urls).collect()
}
