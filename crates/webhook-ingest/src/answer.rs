use axum::response::{IntoResponse, Response};
use genesys::{SignatureError, WebhookError};
use http::{HeaderValue, StatusCode, header};
use runtime::http_server::{BodyError, http_error};

/// Every way a webhook is not answered with 200.
#[derive(Debug)]
pub(crate) enum Refused {
    /// Nobody here has that name or id. The status is configurable for the days of a rollout.
    UnknownChannel(StatusCode),
    /// The status is configurable for the days of a rotation.
    Signature(StatusCode, SignatureError),
    Unreadable(WebhookError),
    Body(BodyError),
    Encoding,
    /// A `gzip` body that is none.
    NotGzip,
    NotStored,
}

/// How soon Genesys may redeliver what was not stored.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("5");

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        match self {
            Self::UnknownChannel(status) => answer(
                status,
                "unknown channel",
                "no channel of this name or id is configured; `causeway channels` lists the URL of each",
            ),
            Self::Signature(status, error) => answer(
                status,
                "signature refused",
                &format!("{error}; it is sha1= and the hex HMAC-SHA1 of the body, keyed with the channel's secret"),
            ),
            Self::Unreadable(error) => answer(StatusCode::BAD_REQUEST, "unreadable webhook", &error.to_string()),
            Self::Body(error) => error.into_response(),
            Self::Encoding => answer(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "unsupported content encoding",
                "send the body as it is, or with Content-Encoding: gzip",
            ),
            Self::NotGzip => answer(StatusCode::BAD_REQUEST, "unreadable webhook", "the body says gzip, and is not"),
            Self::NotStored => answer(
                StatusCode::SERVICE_UNAVAILABLE,
                "not stored",
                "the message could not be stored durably; deliver it again",
            ),
        }
    }
}

fn answer(status: StatusCode, error: &str, detail: &str) -> Response {
    let mut response = http_error(status, error, detail);
    if status == StatusCode::SERVICE_UNAVAILABLE {
        response.headers_mut().insert(header::RETRY_AFTER, RETRY_AFTER);
    }
    response
}
