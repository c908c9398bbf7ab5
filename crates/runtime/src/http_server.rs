//! Serves a router with limits on everything, and drains it.

mod body;
mod connection;
mod pace;
mod tls_acceptor;
mod unix;

use std::sync::Arc;
use std::time::Duration;

use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use http::StatusCode;
use serde::Serialize;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

pub use body::{BodyError, read_body};
pub use tls_acceptor::Tls;
pub use unix::serve_unix;

use crate::Shutdown;
use connection::{Ended, Server};

/// The limits of a listener.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Until the headers of a request are complete; also how long a connection may idle before its first one. Default 10 s.
    pub header_read: Duration,
    /// A connection with no request on it. Default 75 s.
    pub keep_alive: Duration,
    /// Connections at a time; more wait in the listener's backlog.
    pub connections: usize,
    /// From the soft stage on, how long the listener still accepts. Default 5 s.
    pub lag: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            header_read: Duration::from_secs(10),
            keep_alive: Duration::from_secs(75),
            connections: 4096,
            lag: Duration::from_secs(5),
        }
    }
}

/// Serves until the shutdown's soft stage plus `lag`, then answers what is in hand and returns; the hard stage cuts it off.
///
/// # Errors
/// The listener failed.
pub async fn serve(
    listener: TcpListener,
    tls: Option<Tls>,
    router: Router,
    limits: Limits,
    shutdown: Shutdown,
) -> anyhow::Result<()> {
    let places = Arc::new(Semaphore::new(limits.connections));
    let server = Server::new(router, &limits, shutdown.clone());
    let mut connections = JoinSet::new();
    let closing = closing(&shutdown, limits.lag);
    tokio::pin!(closing);
    loop {
        // The place is taken before the connection is accepted, so that what is too much waits outside.
        let place = tokio::select! {
            () = &mut closing => break,
            place = Arc::clone(&places).acquire_owned() => place?,
        };
        let accepted = tokio::select! {
            () = &mut closing => break,
            accepted = listener.accept() => accepted,
            Some(ended) = connections.join_next() => { Ended::observe(ended); continue }
        };
        match accepted {
            Ok((stream, _)) => {
                // A connection that is gone already fails on its first read, where it is seen.
                let _gone = stream.set_nodelay(true);
                connections.spawn(server.clone().over_tcp(stream, tls.clone(), place));
            }
            Err(error) => connection::accept_failed(&error, &shutdown).await,
        }
    }
    drop(listener);
    server.drain();
    while let Some(ended) = connections.join_next().await {
        Ended::observe(ended);
    }
    Ok(())
}

/// The end of accepting: some time after the soft stage, so that load balancers can notice first.
async fn closing(shutdown: &Shutdown, lag: Duration) {
    shutdown.stopping().await;
    tokio::select! {
        () = tokio::time::sleep(lag) => {}
        () = shutdown.forced() => {}
    }
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
    http_error(StatusCode::METHOD_NOT_ALLOWED, "method not allowed", "this path takes another method; the Allow header names it")
}

#[cfg(test)]
mod tests;
