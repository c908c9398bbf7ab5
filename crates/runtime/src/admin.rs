//! `/livez`, `/readyz` and `/metrics`.

use std::net::{SocketAddr, TcpListener as StdListener};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, anyhow};
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use http::{StatusCode, header};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use crate::http_server::{Limits, not_allowed, not_found, serve};
use crate::{Health, Metrics, Shutdown};

/// The routes of the admin listener.
pub fn router(health: Health, metrics: Metrics) -> Router {
    Router::new()
        .route("/livez", get(livez))
        .route("/readyz", get(readyz).with_state(health))
        .route("/metrics", get(render).with_state(metrics))
        .fallback(not_found)
        .method_not_allowed_fallback(not_allowed)
}

async fn livez() -> Json<serde_json::Value> {
    Json(serde_json::json!({ "alive": true }))
}

async fn readyz(State(health): State<Health>) -> Response {
    let report = health.report();
    let status = if report.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(report)).into_response()
}

async fn render(State(metrics): State<Metrics>) -> Response {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], metrics.render()).into_response()
}

/// An admin listener on a thread of its own, so that it answers while the rest of the process is overloaded.
///
/// It ends when it is joined or dropped, and not with the soft stage: probes are answered while the process drains.
pub struct OwnThread {
    address: SocketAddr,
    stop: Shutdown,
    ended: oneshot::Receiver<()>,
    thread: Option<JoinHandle<anyhow::Result<()>>>,
}

/// Serves the admin routes from a thread of its own. Should that thread fail, it begins `shutdown`: a process nobody can
/// look into is not left running.
///
/// # Errors
/// The thread or its runtime cannot be started.
pub fn serve_on_own_thread(
    listener: StdListener,
    health: Health,
    metrics: Metrics,
    shutdown: Shutdown,
) -> anyhow::Result<OwnThread> {
    let address = listener.local_addr()?;
    listener.set_nonblocking(true)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let stop = Shutdown::new();
    let stopped = stop.clone();
    let (end, ended) = oneshot::channel();
    let run = move || {
        let _guard = Guard { shutdown, stopped: stopped.clone(), _end: end };
        runtime.block_on(async move {
            let limits = Limits { lag: Duration::ZERO, ..Limits::default() };
            serve(TcpListener::from_std(listener)?, None, router(health, metrics), limits, stopped).await
        })
    };
    let thread = std::thread::Builder::new().name("admin".to_owned()).spawn(run).context("no thread for probes")?;
    Ok(OwnThread { address, stop, ended, thread: Some(thread) })
}

/// Tells the end of the thread, however it ends: its sender is dropped with it.
struct Guard {
    shutdown: Shutdown,
    stopped: Shutdown,
    _end: oneshot::Sender<()>,
}

impl Drop for Guard {
    fn drop(&mut self) {
        if !self.stopped.is_stopping() {
            tracing::error!("the admin listener failed; the process stops");
            self.shutdown.begin();
        }
    }
}

impl OwnThread {
    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops answering and waits for the thread: the last thing a process does.
    ///
    /// # Errors
    /// The listener had failed.
    pub async fn join(mut self) -> anyhow::Result<()> {
        self.stop.force();
        // An error here is the sender's drop, which is the end that is waited for; joining tells how it went.
        let _dropped = (&mut self.ended).await;
        let Some(thread) = self.thread.take() else { return Ok(()) };
        thread.join().map_err(|_| anyhow!("the admin listener panicked"))?.context("the admin listener failed")
    }
}

impl Drop for OwnThread {
    fn drop(&mut self) {
        self.stop.force();
    }
}

#[cfg(test)]
mod tests;
