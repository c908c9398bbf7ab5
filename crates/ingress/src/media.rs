//! `GET /media/{token}`: what a link in a message opens. A token opens one file for a while; nothing is listed, and what a
//! browser might act on is only given to be saved.

use std::ops::Range;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use blobs::{About, BlobId, Keys, LinkError, Store, is_active};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use runtime::Clock;
use runtime::http_server::http_error;
use tokio::sync::watch;

/// What hosted files need.
#[derive(Clone)]
pub struct Media {
    /// Where they are.
    pub store: Store,
    /// What signs their tokens, which changes when a key file does; none signs none.
    pub keys: watch::Receiver<Option<Arc<Keys>>>,
    /// The time.
    pub clock: Clock,
}

/// `GET` and `HEAD` of `/media/{token}`.
pub fn media_routes(media: Media) -> Router {
    Router::new().route("/media/{token}", get(hosted)).with_state(Arc::new(media))
}

async fn hosted(
    State(media): State<Arc<Media>>,
    Path(token): Path<String>,
    method: Method,
    headers: HeaderMap,
) -> Response {
    let keys = media.keys.borrow().clone();
    let verified = keys.map_or(Err(LinkError::Unknown), |keys| keys.verify(&token, media.clock.now()));
    let id = match verified {
        Ok(id) => id,
        Err(LinkError::Unknown) => {
            count_refused("unknown");
            return nothing();
        }
        // Only who holds a token of ours is told that it was one.
        Err(LinkError::Expired) => {
            count_refused("expired");
            return http_error(StatusCode::GONE, "gone", "this link has expired");
        }
    };
    match answer(&media.store, &id, &method, &headers).await {
        Ok(answer) => answer,
        Err(error) => {
            tracing::error!(%error, "a hosted file could not be read");
            let mut answer = http_error(StatusCode::SERVICE_UNAVAILABLE, "not available", "try again later");
            answer.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("10"));
            answer
        }
    }
}

/// A link that opened nothing: whose it was its token alone knows.
fn count_refused(cause: &'static str) {
    metrics::counter!("causeway_links_refused_total", "cause" => cause).increment(1);
}

fn nothing() -> Response {
    http_error(StatusCode::NOT_FOUND, "not found", "there is nothing here")
}

async fn answer(
    store: &Store,
    id: &BlobId,
    method: &Method,
    headers: &HeaderMap,
) -> Result<Response, blobs::BlobError> {
    let Some(about) = store.about(id).await? else {
        count_refused("gone");
        return Ok(nothing());
    };
    let tag = format!("\"{id}\"");
    let given = headers.get(header::RANGE).filter(|_| fits(headers, &tag));
    let wanted = given.and_then(|range| range.to_str().ok()).map_or(Wanted::All, |range| wanted(range, about.size));
    let (status, range) = match wanted {
        Wanted::All => (StatusCode::OK, 0..about.size),
        Wanted::Part(range) => (StatusCode::PARTIAL_CONTENT, range),
        Wanted::Nothing => return Ok(unsatisfiable(about.size)),
    };
    let body = match *method {
        Method::HEAD => Body::empty(),
        _ => Body::from_stream(store.read(id, range.clone()).await?),
    };
    let mut answer = (status, body).into_response();
    describe(answer.headers_mut(), &about, &tag);
    answer.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(range.end - range.start));
    if status == StatusCode::PARTIAL_CONTENT {
        let told = format!("bytes {}-{}/{}", range.start, range.end - 1, about.size);
        set(answer.headers_mut(), header::CONTENT_RANGE, &told);
    }
    Ok(answer)
}

/// A range is meant for the file as it was; `If-Range` says which one that is.
fn fits(headers: &HeaderMap, tag: &str) -> bool {
    headers.get(header::IF_RANGE).is_none_or(|known| known.as_bytes() == tag.as_bytes())
}

fn describe(headers: &mut HeaderMap, about: &About, tag: &str) {
    let active = is_active(&about.media_type);
    set(headers, header::CONTENT_TYPE, &about.media_type);
    set(headers, header::CONTENT_DISPOSITION, &disposition(about, active));
    set(headers, header::ETAG, tag);
    for (name, value) in [
        (header::ACCEPT_RANGES, "bytes"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        // Whatever it is, it runs nothing, frames nothing and is kept by no proxy.
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; sandbox"),
        (header::CACHE_CONTROL, "private, max-age=3600"),
        (header::REFERRER_POLICY, "no-referrer"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.insert("x-robots-tag", HeaderValue::from_static("noindex"));
}

fn set(headers: &mut HeaderMap, name: header::HeaderName, value: &str) {
    // The media type is one of our own table, and the name is spelled in ASCII, so there is always a value.
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

/// The name the sender gave it, which may hold anything.
fn disposition(about: &About, active: bool) -> String {
    let how = if active { "attachment" } else { "inline" };
    let Some(name) = &about.name else { return how.to_owned() };
    let name: String =
        name.expose().chars().filter(|letter| !letter.is_control() && !"/\\".contains(*letter)).collect();
    let plain: String =
        name.chars().map(|letter| if letter.is_ascii() && letter != '"' { letter } else { '_' }).collect();
    format!("{how}; filename=\"{plain}\"; filename*=UTF-8''{}", runtime::url_segment(&name))
}

#[derive(Debug, PartialEq, Eq)]
enum Wanted {
    All,
    Part(Range<u64>),
    Nothing,
}

/// One range of bytes; what is no such range, or several, is answered with the whole.
fn wanted(range: &str, size: u64) -> Wanted {
    let Some((first, last)) = range.strip_prefix("bytes=").and_then(|range| range.split_once('-')) else {
        return Wanted::All;
    };
    let number = |text: &str| text.trim().parse::<u64>().ok();
    let found = match (first.trim(), last.trim()) {
        ("", last) => number(last).map(|length| size.saturating_sub(length)..size),
        (first, "") => number(first).map(|first| first..size),
        (first, last) => match (number(first), number(last)) {
            (Some(first), Some(last)) if first <= last => Some(first..last.saturating_add(1).min(size)),
            _ => None,
        },
    };
    match found {
        None => Wanted::All,
        Some(range) if range.start >= size || range.is_empty() => Wanted::Nothing,
        Some(range) => Wanted::Part(range),
    }
}

fn unsatisfiable(size: u64) -> Response {
    let mut answer =
        http_error(StatusCode::RANGE_NOT_SATISFIABLE, "range not satisfiable", "the file ends before this range");
    set(answer.headers_mut(), header::CONTENT_RANGE, &format!("bytes */{size}"));
    answer
}

#[cfg(test)]
mod tests;
