//! The public listener: routes of the roles that answer HTTP, and what every request gets.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use axum::extract::{MatchedPath, Request};
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use runtime::Tasks;
use runtime::http_server::{Limits, Tls, not_allowed, not_found, serve};
use tokio::net::TcpListener;

use super::Role;
use super::open::Parts;
use super::watch;

/// For a body to come in (design 3.3).
const BODY_READ: Duration = Duration::from_secs(30);

/// Of a webhook of a mail channel, where `http.body_limit` is not larger (design 3.3).
const MAIL_BODY: usize = 10 << 20;

pub(super) fn spawn(
    tasks: &mut Tasks,
    listener: TcpListener,
    roles: &BTreeSet<Role>,
    parts: &Parts<'_>,
) -> anyhow::Result<()> {
    let http = &parts.config.http;
    let body_limit =
        usize::try_from(http.body_limit).context("http.body_limit is larger than this machine can address")?;
    let mut router = Router::new();
    if roles.contains(&Role::Ingress) {
        let refusals = match parts.ledger {
            Some(ledger) => {
                let (refusals, waiting) = ingress::Refusals::with_timeline(parts.clock.clone());
                let written = ingress::write_refusals(waiting, ledger.clone(), parts.shutdown.clone());
                tasks.spawn("refused events", written);
                refusals
            }
            None => ingress::Refusals::without_timeline(parts.clock.clone()),
        };
        let room = ingress::Room {
            refusals,
            config: ingress::Config { body_limit, body_read: BODY_READ },
            directory: parts.directories.ingress.subscribe(),
            broker: parts.broker.clone(),
            clock: parts.clock.clone(),
        };
        if let Some(ledger) = parts.ledger {
            watch::spawn(tasks, &room, ledger, parts);
        }
        router = router.merge(ingress::routes(room));
    }
    if roles.contains(&Role::Ingress) {
        router = router.merge(ingress::leave_routes(ingress::LeaveRoom {
            book: parts.directories.leave.subscribe(),
            broker: parts.broker.clone(),
            clock: parts.clock.clone(),
        }));
        router = router.merge(ingress::media_routes(ingress::Media {
            store: parts.directories.store.clone(),
            keys: parts.directories.media_keys.subscribe(),
            clock: parts.clock.clone(),
        }));
    }
    if roles.contains(&Role::WebhookIngest) {
        router = router.merge(webhook_ingest::routes(webhook_ingest::Room {
            config: webhook_ingest::Config {
                body_limit,
                mail_body_limit: body_limit.max(MAIL_BODY),
                body_read: BODY_READ,
                bad_signature_status: http.bad_signature_status,
                unknown_channel_status: http.unknown_channel_status,
            },
            channels: parts.directories.webhook.subscribe(),
            broker: parts.broker.clone(),
            clock: parts.clock.clone(),
        }));
    }
    let router = router.fallback(not_found).method_not_allowed_fallback(not_allowed).layer(from_fn(count));
    let tls = http.tls.as_ref().map(|tls| Tls::load(&tls.cert_file, &tls.key_file)).transpose()?;
    let limits = Limits { lag: parts.config.stop.lag, ..Limits::default() };
    tasks.spawn("public listener", serve(listener, tls, router, limits, parts.shutdown.clone()));
    Ok(())
}

/// Counts a request under its route. The path that came in is never written anywhere: it may hold a secret.
async fn count(request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().map_or("unknown", MatchedPath::as_str).to_owned();
    let response = next.run(request).await;
    let status = response.status().as_u16().to_string();
    metrics::counter!("causeway_http_requests_total", "route" => route, "status" => status).increment(1);
    response
}
