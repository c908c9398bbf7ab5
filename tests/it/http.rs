//! The tests' way to the bridge's listeners.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method};
use runtime::{Answer, Call, CallError, HttpClient, HttpClientConfig};
use serde_json::Value;

const TIMEOUT: Duration = Duration::from_secs(30);

#[derive(Clone)]
pub(crate) struct Http(HttpClient);

impl Http {
    pub(crate) fn new() -> Self {
        Self::trusting(Vec::new())
    }

    /// With authorities beside those of the machine.
    pub(crate) fn trusting(ca_files: Vec<PathBuf>) -> Self {
        let config = HttpClientConfig { connect_timeout: TIMEOUT, ca_files, proxy: None };
        Self(HttpClient::new(&config).expect("a client"))
    }

    pub(crate) async fn call(
        &self,
        method: Method,
        url: String,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<Answer, CallError> {
        self.0.call("test", "test", Call { method, url, headers, body, timeout: TIMEOUT }).await
    }

    pub(crate) async fn get(&self, url: String) -> Result<Answer, CallError> {
        self.call(Method::GET, url, HeaderMap::new(), Bytes::new()).await
    }

    /// Status and body of `/readyz`; `None` where nobody listens.
    pub(crate) async fn readyz(&self, admin: SocketAddr) -> Option<(u16, Value)> {
        let answer = self.get(format!("http://{admin}/readyz")).await.ok()?;
        Some((answer.status.as_u16(), serde_json::from_slice(&answer.body).expect("/readyz is JSON")))
    }
}
