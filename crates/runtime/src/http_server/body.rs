use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::response::{IntoResponse, Response};
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use http_body_util::BodyExt;
use hyper::body::{Frame, Incoming, SizeHint};
use tokio::time::{Sleep, sleep};

use super::http_error;

/// Why a body was not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// Over the limit.
    #[error("the body is over the limit")]
    TooLarge,
    /// Not complete in time.
    #[error("the body did not come in in time")]
    TooSlow,
    /// Cut off, or framed wrongly.
    #[error("the body was cut off")]
    Broken,
}

/// Reads a body to its end within a limit and a time; a declared length over the limit is refused unread.
///
/// # Errors
/// [`BodyError`].
pub async fn read_body(headers: &HeaderMap, body: Body, limit: usize, within: Duration) -> Result<Bytes, BodyError> {
    let declared = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if declared.is_some_and(|declared| declared > limit as u64) {
        return Err(BodyError::TooLarge);
    }
    tokio::time::timeout(within, collect(body, limit)).await.unwrap_or(Err(BodyError::TooSlow))
}

async fn collect(mut body: Body, limit: usize) -> Result<Bytes, BodyError> {
    let mut read = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| error.into_inner().downcast().map_or(BodyError::Broken, |error| *error))?;
        let Ok(data) = frame.into_data() else { continue };
        if read.len() + data.len() > limit {
            return Err(BodyError::TooLarge);
        }
        read.extend_from_slice(&data);
    }
    Ok(read.freeze())
}

impl IntoResponse for BodyError {
    fn into_response(self) -> Response {
        let (status, error, detail) = match self {
            Self::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "body too large", "the limit is http.body_limit"),
            Self::TooSlow => (StatusCode::REQUEST_TIMEOUT, "body too slow", "send the body at once; the wait is over"),
            Self::Broken => (StatusCode::BAD_REQUEST, "body cut off", "the body ended before its declared length"),
        };
        let mut response = http_error(status, error, detail);
        // What is left of the body is not read, so the connection cannot be used again.
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        response
    }
}

/// Whether a body of a connection was dropped before its end, so that the rest of it may still be coming.
#[derive(Clone, Default)]
pub(super) struct LeftOver(Arc<AtomicBool>);

impl LeftOver {
    pub(super) fn is_there(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// A request's body, which has to come in within a time whoever reads it.
pub(super) struct PacedBody {
    body: Incoming,
    timer: Pin<Box<Sleep>>,
    left_over: LeftOver,
}

impl PacedBody {
    pub(super) fn new(body: Incoming, within: Duration, left_over: LeftOver) -> Self {
        Self { body, timer: Box::pin(sleep(within)), left_over }
    }
}

impl Drop for PacedBody {
    fn drop(&mut self) {
        if !self.body.is_end_stream() {
            self.left_over.0.store(true, Ordering::Relaxed);
        }
    }
}

impl HttpBody for PacedBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) {
            return Poll::Ready(frame.map(|frame| frame.map_err(|_| BodyError::Broken)));
        }
        ready!(self.timer.as_mut().poll(context));
        Poll::Ready(Some(Err(BodyError::TooSlow)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
