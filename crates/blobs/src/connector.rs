//! The store's calls leave by the one way out to the network, with its certificate authorities and its proxy.

use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt;
use http_body_util::BodyDataStream;
use hyper::body::{Body, Frame};
use object_store::ClientOptions;
use object_store::client::{
    HttpClient as StoreClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpResponseBody,
    HttpService,
};
use runtime::{ByteStream, CallError, HttpClient, Reach, StreamedCall};

#[derive(Debug, Clone)]
pub(crate) struct Connector(pub(crate) HttpClient);

/// For a part of a file, or the whole of one that is read.
const TIMEOUT: Duration = Duration::from_secs(120);

impl HttpConnector for Connector {
    fn connect(&self, _options: &ClientOptions) -> object_store::Result<StoreClient> {
        Ok(StoreClient::new(self.clone()))
    }
}

#[async_trait]
impl HttpService for Connector {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let (parts, body) = request.into_parts();
        let length = body.content_length() as u64;
        let bytes =
            BodyDataStream::new(body).map(|chunk| chunk.map_err(|error| CallError::NoAnswer(error.to_string())));
        let call = StreamedCall {
            method: parts.method,
            url: parts.uri.to_string(),
            headers: parts.headers,
            body: (length > 0).then(|| (Box::pin(bytes) as ByteStream, length)),
            timeout: TIMEOUT,
            reach: Reach::Anywhere,
        };
        let answer = self.0.stream("blobs", "store", call).await.map_err(failed)?;
        let mut response = HttpResponse::new(HttpResponseBody::new(Incoming(Mutex::new(answer.body))));
        *response.status_mut() = answer.status;
        *response.headers_mut() = answer.headers;
        Ok(response)
    }
}

fn failed(error: CallError) -> HttpError {
    let kind = match error {
        CallError::NotReached(_) => HttpErrorKind::Connect,
        CallError::NoAnswer(_) => HttpErrorKind::Interrupted,
    };
    HttpError::new(kind, error)
}

/// The lock is never taken: it makes the stream `Sync`, which the store asks of bodies.
struct Incoming(Mutex<ByteStream>);

impl Body for Incoming {
    type Data = Bytes;
    type Error = HttpError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
        let bytes = self.0.get_mut().unwrap_or_else(PoisonError::into_inner);
        bytes.as_mut().poll_next(context).map(|next| next.map(|chunk| chunk.map(Frame::data).map_err(failed)))
    }
}
