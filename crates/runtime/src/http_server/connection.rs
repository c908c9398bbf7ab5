use std::io;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::JoinError;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use super::pace::{Paced, Phase};
use super::{Limits, Tls};
use crate::Shutdown;

/// What every connection of a listener shares.
#[derive(Clone)]
pub(super) struct Server {
    router: Router,
    http: http1::Builder,
    header_read: Duration,
    draining: CancellationToken,
    shutdown: Shutdown,
}

/// How a connection ended.
pub(super) struct Ended;

impl Ended {
    pub(super) fn observe(ended: Result<Self, JoinError>) {
        if let Err(error) = ended
            && error.is_panic()
        {
            tracing::error!("a request handler panicked; its connection was closed");
        }
    }
}

impl Server {
    pub(super) fn new(router: Router, limits: &Limits, shutdown: Shutdown) -> Self {
        let mut http = http1::Builder::new();
        // hyper's timer runs from the end of one request to the end of the next one's headers, so it can only be the longer
        // of the two limits; the shorter one is `Paced`'s.
        http.timer(TokioTimer::new()).header_read_timeout(limits.keep_alive).max_buf_size(64 * 1024);
        Self { router, http, header_read: limits.header_read, draining: CancellationToken::new(), shutdown }
    }

    /// Lets every connection finish the request it has, and no more.
    pub(super) fn drain(&self) {
        self.draining.cancel();
    }

    pub(super) async fn over_tcp(self, stream: TcpStream, tls: Option<Tls>, place: OwnedSemaphorePermit) -> Ended {
        match tls {
            None => self.over(stream).await,
            Some(tls) => match timeout(self.header_read, tls.acceptor.accept(stream)).await {
                Ok(Ok(stream)) => self.over(stream).await,
                Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
                Err(_) => tracing::debug!("a TLS handshake took too long"),
            },
        }
        drop(place);
        Ended
    }

    /// Serves one connection; a panic of a handler ends it, and only it.
    pub(super) async fn over<S>(self, stream: S)
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let phase = Phase::new();
        let stream = TokioIo::new(Paced::new(stream, phase.clone(), self.header_read));
        let service = service_fn(move |request: Request<Incoming>| {
            phase.request();
            let (router, phase) = (self.router.clone(), phase.clone());
            async move {
                let answer = router.oneshot(request.map(Body::new)).await;
                phase.answered();
                answer
            }
        });
        let connection = self.http.serve_connection(stream, service);
        tokio::pin!(connection);
        let ended = tokio::select! {
            ended = &mut connection => ended,
            () = self.shutdown.forced() => return,
            () = self.draining.cancelled() => {
                connection.as_mut().graceful_shutdown();
                tokio::select! {
                    ended = connection => ended,
                    () = self.shutdown.forced() => return,
                }
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "a connection ended early");
        }
    }
}

/// Out of file descriptors is the one common cause; it passes when connections end, so the listener waits a little.
pub(super) async fn accept_failed(error: &io::Error, shutdown: &Shutdown) {
    let passing = [io::ErrorKind::ConnectionAborted, io::ErrorKind::ConnectionReset, io::ErrorKind::ConnectionRefused];
    if passing.contains(&error.kind()) {
        return;
    }
    tracing::error!(%error, "a connection could not be accepted; if this goes on, raise the limit of open files");
    tokio::select! {
        () = tokio::time::sleep(Duration::from_millis(200)) => {}
        () = shutdown.forced() => {}
    }
}

