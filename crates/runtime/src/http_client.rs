use std::fmt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Method, StatusCode, header};
use jiff::Timestamp;

use crate::tls;

mod guard;
mod stream;

pub use guard::leads_inside;
pub use stream::{ByteStream, Reach, StreamedAnswer, StreamedCall};

/// How the house goes out to the network.
#[derive(Clone)]
pub struct HttpClientConfig {
    /// Time to a connection. Default 5 s.
    pub connect_timeout: Duration,
    /// Extra certificate authorities, PEM.
    pub ca_files: Vec<PathBuf>,
    /// Proxy for every call; those of the environment are not used.
    pub proxy: Option<String>,
}

impl fmt::Debug for HttpClientConfig {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A proxy's URL may hold a password.
        let proxy = self.proxy.as_ref().map(|_| "***");
        formatter
            .debug_struct("HttpClientConfig")
            .field("connect_timeout", &self.connect_timeout)
            .field("ca_files", &self.ca_files)
            .field("proxy", &proxy)
            .finish()
    }
}

/// The one way out to the network: times out, follows no redirect, tries once, measures.
#[derive(Clone, Debug)]
pub struct HttpClient {
    client: reqwest::Client,
    /// The same, for URLs that came from outside: it reaches public addresses only.
    guarded: reqwest::Client,
}

/// One request.
#[derive(Clone)]
pub struct Call {
    /// Method.
    pub method: Method,
    /// Absolute URL. Never logged: paths hold numbers and secrets.
    pub url: String,
    /// Headers beside those the client sets; a `User-Agent` here replaces the client's.
    pub headers: HeaderMap,
    /// Body, empty for none.
    pub body: Bytes,
    /// From start to the last byte of the answer.
    pub timeout: Duration,
}

/// An answer, read to its end.
#[derive(Clone)]
pub struct Answer {
    /// Status.
    pub status: StatusCode,
    /// Headers.
    pub headers: HeaderMap,
    /// Body, cut off at 1 MiB.
    pub body: Bytes,
}

/// No answer.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The far side was not reached; nothing can have happened there.
    #[error("not reached: {0}")]
    NotReached(String),
    /// Something was sent and no answer came; nobody knows what happened there.
    #[error("no answer: {0}")]
    NoAnswer(String),
}

/// What is read of an answer; no JSON answer of a neighbour comes near it.
const ANSWER_LIMIT: usize = 1 << 20;
/// How long a connection nobody uses is kept: shorter than the keep-alive of common servers and gateways, which close
/// at 60 s and more, so that a call seldom meets a connection that is just being closed.
const IDLE: Duration = Duration::from_secs(20);
/// Connections nobody uses that are kept per host. A ledger that commits lets a crowd go at once, and whose connections are
/// closed between two crowds opens them again for each.
const IDLE_PER_HOST: usize = 256;

impl HttpClient {
    /// Builds the client.
    ///
    /// # Errors
    /// A certificate authority that cannot be read, or a proxy URL that is none.
    pub fn new(config: &HttpClientConfig) -> anyhow::Result<Self> {
        tls::install_provider();
        let mut authorities = Vec::new();
        for file in &config.ca_files {
            let found = tls::read_authorities(file).with_context(|| format!("net.ca_files: {}", file.display()))?;
            let found: Result<Vec<_>, _> = found.iter().map(|one| reqwest::Certificate::from_der(one)).collect();
            authorities.extend(found.context(CANNOT_BUILD)?);
        }
        let client = builder(config)?.tls_certs_merge(authorities.clone()).build().context(CANNOT_BUILD)?;
        let guarded = builder(config)?.dns_resolver(guard::PublicNames).tls_certs_merge(authorities);
        Ok(Self { client, guarded: guarded.build().context(CANNOT_BUILD)? })
    }

    /// Makes one call and measures it as `causeway_upstream_seconds{target,operation,status}`.
    ///
    /// # Errors
    /// [`CallError`] tells whether the far side can have acted.
    pub async fn call(&self, target: &str, operation: &'static str, call: Call) -> Result<Answer, CallError> {
        let began = Instant::now();
        let answer = self.exchange(call).await;
        measure(target, operation, began, answer.as_ref().map(|answer| answer.status));
        answer
    }

    async fn exchange(&self, call: Call) -> Result<Answer, CallError> {
        let request =
            self.client.request(call.method, &call.url).headers(call.headers).body(call.body).timeout(call.timeout);
        #[expect(clippy::disallowed_methods, reason = "this is the one way out to the network")]
        let mut response = request.send().await.map_err(classify)?;
        let (status, headers) = (response.status(), response.headers().clone());
        let mut body = BytesMut::new();
        while let Some(chunk) = response.chunk().await.map_err(classify)? {
            let room = ANSWER_LIMIT - body.len();
            body.extend_from_slice(&chunk[..chunk.len().min(room)]);
            if chunk.len() >= room {
                break;
            }
        }
        Ok(Answer { status, headers, body: body.freeze() })
    }
}

/// How long a call took, and how it ended.
fn measure(target: &str, operation: &'static str, began: Instant, ended: Result<StatusCode, &CallError>) {
    let status = match &ended {
        Ok(status) => status.as_str(),
        Err(CallError::NotReached(_)) => "not-reached",
        Err(CallError::NoAnswer(_)) => "no-answer",
    };
    let (target, status) = (target.to_owned(), status.to_owned());
    metrics::histogram!("causeway_upstream_seconds", "target" => target, "operation" => operation, "status" => status)
        .record(began.elapsed());
}

const CANNOT_BUILD: &str = "the HTTP client cannot be built; it needs the machine's certificate authorities (Debian: ca-certificates), or net.ca_files";

fn builder(config: &HttpClientConfig) -> anyhow::Result<reqwest::ClientBuilder> {
    #[expect(clippy::disallowed_methods, reason = "this is the one way out to the network")]
    let mut builder = reqwest::Client::builder()
        .connect_timeout(config.connect_timeout)
        .pool_idle_timeout(IDLE)
        .pool_max_idle_per_host(IDLE_PER_HOST)
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .user_agent(concat!("causeway/", env!("CARGO_PKG_VERSION")))
        .tcp_nodelay(true)
        .no_proxy();
    if let Some(proxy) = &config.proxy {
        // The cause is left out: it may quote the URL, which may hold a password.
        let proxy = reqwest::Proxy::all(proxy).map_err(|_| anyhow!("net.proxy is no proxy URL"))?;
        builder = builder.proxy(proxy);
    }
    Ok(builder)
}

/// The URL is left out of every error: its path may hold a number or a secret.
fn classify(error: reqwest::Error) -> CallError {
    let unreached = error.is_connect() || error.is_builder();
    let error = anyhow::Error::from(error.without_url());
    let told = error.chain().skip(1).last().map_or_else(|| error.to_string(), |cause| format!("{error}: {cause}"));
    if unreached { CallError::NotReached(told) } else { CallError::NoAnswer(told) }
}

impl Answer {
    /// `Retry-After` in seconds or as a date, as a wait from `now`.
    pub fn retry_after(&self, now: Timestamp) -> Option<Duration> {
        let value = self.headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
        if let Ok(seconds) = value.parse() {
            return Some(Duration::from_secs(seconds));
        }
        let date = jiff::fmt::rfc2822::parse(value).ok()?;
        Some(Duration::try_from(date.timestamp().duration_since(now)).unwrap_or_default())
    }
}

/// One segment of a URL's path, or one value of its query, percent-encoded but for what needs none.
pub fn url_segment(text: &str) -> String {
    let encode = |byte: u8| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            char::from(byte).to_string()
        } else {
            format!("%{byte:02X}")
        }
    };
    text.bytes().map(encode).collect()
}

#[cfg(test)]
mod tests;
