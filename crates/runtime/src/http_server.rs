//! Serves a router with limits on everything, and drains it.

mod accept;
mod body;
mod connection;
mod pace;
mod tls_acceptor;
mod unix;

use std::time::Duration;

use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use http::StatusCode;
use serde::Serialize;
use tokio::net::TcpListener;

pub use accept::accept_failed;
pub use body::{BodyError, read_body};
pub use tls_acceptor::{Tls, TlsError};
pub use unix::serve_unix;

use crate::Shutdown;
use accept::Door;

/// The limits of a listener.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Until a TLS handshake, and then the headers of a request, are complete; also how long a connection may idle before
    /// its first request. Default 10 s.
    pub header_read: Duration,
    /// For a whole body to come in, and for a client that has stopped taking its answer. Default 30 s.
    pub body_read: Duration,
    /// A connection with no request on it. Default 75 s.
    pub keep_alive: Duration,
    /// Connections at a time; more wait in the listener's backlog. Default 4096.
    pub connections: usize,
    /// From the soft stage on, how long the listener still accepts. Default 5 s.
    pub lag: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            header_read: Duration::from_secs(10),
            body_read: Duration::from_secs(30),
            keep_alive: Duration::from_secs(75),
            connections: 4096,
            lag: Duration::from_secs(5),
        }
    }
}

/// Serves until the shutdown's soft stage plus `lag`, then answers what is in hand and returns; the hard stage cuts it off.
///
/// # Errors
/// None so far: a connection that cannot be accepted is logged, and the listener goes on.
pub async fn serve(
    listener: TcpListener,
    tls: Option<Tls>,
    router: Router,
    limits: Limits,
    shutdown: Shutdown,
) -> anyhow::Result<()> {
    accept::run(Door::Tcp(listener, tls), router, &limits, &shutdown).await
}

#[derive(Serialize)]
struct ErrorBody<'a> {
    error: &'a str,
    detail: &'a str,
}

/// The house's error answer: `{"error": "…", "detail": "…"}`, which says what to mend and leaks nothing.
pub fn http_error(status: StatusCode, error: &str, detail: &str) -> Response {
    (status, Json(ErrorBody { error, detail })).into_response()
}

/// The answer to a path nobody serves.
pub async fn not_found() -> Response {
    http_error(StatusCode::NOT_FOUND, "not found", "there is nothing here")
}

/// The answer to a method a path does not take.
pub async fn not_allowed() -> Response {
    http_error(
        StatusCode::METHOD_NOT_ALLOWED,
        "method not allowed",
        "this path takes another method; the Allow header names it",
    )
}

#[cfg(test)]
mod tests;
