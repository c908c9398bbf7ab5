//! `/livez`, `/readyz` and `/metrics`.

use std::net::{SocketAddr, TcpListener as StdListener};
use std::thread::JoinHandle;

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
pub struct OwnThread {
    address: SocketAddr,
    shutdown: Shutdown,
    ended: oneshot::Receiver<()>,
    thread: JoinHandle<anyhow::Result<()>>,
}

impl OwnThread {
    /// Serves a listener until [`OwnThread::close`], which is the last thing a process does: probes are answered while it
    /// drains.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub fn serve(listener: StdListener, health: Health, metrics: Metrics) -> anyhow::Result<Self> {
        let address = listener.local_addr()?;
        let shutdown = Shutdown::new();
        let stop = shutdown.clone();
        let (end, ended) = oneshot::channel();
        let run = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let served = runtime.block_on(async {
                listener.set_nonblocking(true)?;
                let limits = Limits { lag: std::time::Duration::ZERO, ..Limits::default() };
                serve(TcpListener::from_std(listener)?, None, router(health, metrics), limits, stop).await
            });
            // Nobody waits any more when the process is already gone past this.
            let _unheard = end.send(());
            served
        };
        let thread = std::thread::Builder::new().name("admin".to_owned()).spawn(run).context("no thread for probes")?;
        Ok(Self { address, shutdown, ended, thread })
    }

    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops answering.
    ///
    /// # Errors
    /// The listener had failed.
    pub async fn close(self) -> anyhow::Result<()> {
        self.shutdown.force();
        // The sender is dropped when the thread panics, and joining tells that.
        let _gone = self.ended.await;
        self.thread.join().map_err(|_| anyhow!("the admin listener panicked"))?.context("the admin listener failed")
    }
}
