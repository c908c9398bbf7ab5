use std::convert::Infallible;
use std::future::poll_fn;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use futures_util::FutureExt;
use http::{Request, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use super::accept::Guest;
use super::body::{LeftOver, PacedBody};
use super::pace::{Paced, Phase};
use super::{Limits, http_error};
use crate::Shutdown;

/// What is kept of a request's headers; more is answered 431.
const HEADER_BYTES: usize = 64 * 1024;
/// How long the rest of a refused body is taken.
const LINGER: Duration = Duration::from_secs(5);

/// What every connection of a listener shares.
#[derive(Clone)]
pub(super) struct Server {
    router: Router,
    http: http1::Builder,
    header_read: Duration,
    body_read: Duration,
    draining: CancellationToken,
    shutdown: Shutdown,
}

impl Server {
    pub(super) fn new(router: Router, limits: &Limits, shutdown: Shutdown) -> Self {
        let mut http = http1::Builder::new();
        // hyper's timer runs from the end of one request to the end of the next one's headers, so it can only be the longer
        // of the two limits; the shorter one is `Paced`'s.
        http.timer(TokioTimer::new()).header_read_timeout(limits.keep_alive).max_buf_size(HEADER_BYTES);
        let (header_read, body_read) = (limits.header_read, limits.body_read);
        Self { router, http, header_read, body_read, draining: CancellationToken::new(), shutdown }
    }

    /// Lets every connection finish the request it has, and no more.
    pub(super) fn drain(&self) {
        self.draining.cancel();
    }

    /// Serves one connection to its end.
    pub(super) async fn over(self, guest: Guest) {
        match guest {
            Guest::Tcp(stream, None) => self.converse(stream).await,
            Guest::Unix(stream) => self.converse(stream).await,
            Guest::Tcp(stream, Some(tls)) => {
                let greeted = tokio::select! {
                    greeted = timeout(self.header_read, tls.acceptor.accept(stream)) => greeted,
                    // Who has not greeted has asked for nothing, and loses nothing.
                    () = self.draining.cancelled() => return,
                    () = self.shutdown.forced() => return,
                };
                match greeted {
                    Ok(Ok(stream)) => self.converse(stream).await,
                    Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
                    Err(_) => tracing::debug!("a TLS handshake took too long"),
                }
            }
        }
    }

    async fn converse<S>(self, stream: S)
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let phase = Phase::new();
        let stream = TokioIo::new(Paced::new(stream, phase.clone(), self.header_read, self.body_read));
        let left_over = LeftOver::default();
        let (router, body_read, unread) = (self.router, self.body_read, left_over.clone());
        let service = service_fn(move |request: Request<Incoming>| {
            phase.request();
            let request = request.map(|body| Body::new(PacedBody::new(body, body_read, unread.clone())));
            let (answer, phase) = (answer(router.clone(), request), phase.clone());
            Box::pin(async move {
                let answer = answer.await;
                phase.answered();
                Ok::<_, Infallible>(answer)
            })
        });
        let mut connection = self.http.serve_connection(stream, service);
        let before_drain = tokio::select! {
            ended = poll_fn(|context| connection.poll_without_shutdown(context)) => Some(ended),
            () = self.shutdown.forced() => return,
            () = self.draining.cancelled() => None,
        };
        let ended = match before_drain {
            Some(ended) => ended,
            None => {
                Pin::new(&mut connection).graceful_shutdown();
                tokio::select! {
                    ended = poll_fn(|context| connection.poll_without_shutdown(context)) => ended,
                    () = self.shutdown.forced() => return,
                }
            }
        };
        match ended {
            Err(error) => tracing::debug!(%error, "a connection ended early"),
            Ok(()) => tokio::select! {
                () = close(connection.into_parts().io.into_inner(), &left_over) => {}
                () = self.shutdown.forced() => {}
            },
        }
    }
}

/// Closes a connection. Closing while a body is still coming in would reset it, and sweep away the answer that refuses the
/// body before the client has read it; so the rest is taken and forgotten for a while.
async fn close(mut stream: impl AsyncRead + AsyncWrite + Unpin, left_over: &LeftOver) {
    if stream.shutdown().await.is_err() || !left_over.is_there() {
        return;
    }
    let mut forgotten = [0; 16 * 1024];
    let drained = async { while stream.read(&mut forgotten).await.is_ok_and(|read| read > 0) {} };
    // Whoever sends for longer than this has had the time to look at the answer.
    let _over = timeout(LINGER, drained).await;
}

/// A panic is one request's failure, and is told without its message, which may quote what came in.
async fn answer(router: Router, request: Request<Body>) -> Response {
    let answered = AssertUnwindSafe(router.oneshot(request)).catch_unwind().await;
    answered.map_or_else(
        |_| {
            tracing::error!("a request handler panicked; the request was answered 500");
            let detail = "this request failed on our side; the logs say where";
            http_error(StatusCode::INTERNAL_SERVER_ERROR, "internal error", detail)
        },
        |Ok(answer)| answer,
    )
}
