//! Bodies too large for memory: they are passed on as they come, both ways.

use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use http::{HeaderMap, Method, StatusCode};
use http_body_util::BodyDataStream;
use hyper::body::{Body, Frame, SizeHint};

use super::{CallError, HttpClient, classify};

/// Bytes as they come in.
pub type ByteStream = Pin<Box<dyn Stream<Item = Result<Bytes, CallError>> + Send>>;

/// Which addresses a call may reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Any: the URL is the operator's own.
    Anywhere,
    /// Public ones alone: the URL came from outside. Names are resolved and looked at on the way to the connection, so that
    /// none can point elsewhere in between.
    Public,
}

/// One request whose answer, and perhaps body, is streamed.
pub struct StreamedCall {
    /// Method.
    pub method: Method,
    /// Absolute URL. Never logged: paths hold numbers and secrets.
    pub url: String,
    /// Headers beside those the client sets.
    pub headers: HeaderMap,
    /// Body, and its length.
    pub body: Option<(ByteStream, u64)>,
    /// From start to the last byte of the answer.
    pub timeout: Duration,
    /// Which addresses it may reach.
    pub reach: Reach,
}

/// An answer whose body is still coming.
pub struct StreamedAnswer {
    /// Status.
    pub status: StatusCode,
    /// Headers.
    pub headers: HeaderMap,
    /// Body.
    pub body: ByteStream,
}

impl HttpClient {
    /// Makes one call and measures it up to the answer's headers, as [`HttpClient::call`] does.
    ///
    /// # Errors
    /// [`CallError`]; the body fails by itself later.
    pub async fn stream(
        &self,
        target: &str,
        operation: &'static str,
        call: StreamedCall,
    ) -> Result<StreamedAnswer, CallError> {
        let began = Instant::now();
        let answer = self.open(call).await;
        super::measure(target, operation, began, answer.as_ref().map(|answer| answer.status));
        answer
    }

    async fn open(&self, call: StreamedCall) -> Result<StreamedAnswer, CallError> {
        let client = match call.reach {
            Reach::Anywhere => &self.client,
            Reach::Public => {
                super::guard::literal(&call.url)?;
                &self.guarded
            }
        };
        let mut request = client.request(call.method, &call.url).headers(call.headers).timeout(call.timeout);
        if let Some((bytes, length)) = call.body {
            request = request.body(reqwest::Body::wrap(Measured { bytes: Mutex::new(bytes), left: length }));
        }
        #[expect(clippy::disallowed_methods, reason = "this is the one way out to the network")]
        let response = request.send().await.map_err(classify)?;
        let (status, headers) = (response.status(), response.headers().clone());
        let body = BodyDataStream::new(reqwest::Body::from(response)).map(|chunk| chunk.map_err(classify));
        Ok(StreamedAnswer { status, headers, body: Box::pin(body) })
    }
}

/// A body of known length, so that it is sent with a `Content-Length`: a signed body must not be sent in chunks to servers
/// that want to know first.
struct Measured {
    /// The lock is never taken: it makes the stream `Sync`, which the client asks of bodies.
    bytes: Mutex<ByteStream>,
    left: u64,
}

/// The source of a body ended too soon, or did not end.
#[derive(Debug, thiserror::Error)]
enum Uneven {
    #[error("the body is not as long as was said")]
    Length,
    #[error("{0}")]
    Source(CallError),
}

impl Body for Measured {
    type Data = Bytes;
    type Error = Uneven;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Uneven>>> {
        let bytes = self.bytes.get_mut().unwrap_or_else(PoisonError::into_inner);
        let next = ready!(bytes.as_mut().poll_next(context));
        Poll::Ready(match next {
            Some(Ok(bytes)) => match self.left.checked_sub(bytes.len() as u64) {
                Some(left) => {
                    self.left = left;
                    Some(Ok(Frame::data(bytes)))
                }
                None => Some(Err(Uneven::Length)),
            },
            Some(Err(error)) => Some(Err(Uneven::Source(error))),
            None if self.left == 0 => None,
            None => Some(Err(Uneven::Length)),
        })
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
