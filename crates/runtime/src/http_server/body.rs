use std::time::Duration;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, StatusCode, header};
use http_body_util::BodyExt;

use super::http_error;

/// Why a body was not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyError {
    /// Over the limit.
    TooLarge,
    /// Not complete in time.
    TooSlow,
    /// Cut off.
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
        let Ok(data) = frame.map_err(|_| BodyError::Broken)?.into_data() else { continue };
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
            Self::TooSlow => (StatusCode::REQUEST_TIMEOUT, "body too slow", "the whole body must come in within 30 s"),
            Self::Broken => (StatusCode::BAD_REQUEST, "body cut off", "the body ended before its declared length"),
        };
        let mut response = http_error(status, error, detail);
        // What is left of the body is not read, so the connection cannot be used again.
        response.headers_mut().insert(header::CONNECTION, header::HeaderValue::from_static("close"));
        response
    }
}
