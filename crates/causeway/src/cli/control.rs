//! Talks to a running process over its control socket.

use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use bytes::Bytes;
use http::{Method, Request, header};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use secrecy::ExposeSecret;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

use crate::config::{Config, Control};

/// How long a process may take to answer. What it asks itself, broker and ledger, answers or fails sooner.
const PATIENCE: Duration = Duration::from_secs(30);
/// What walks through all dead letters there are takes longer.
const LONG: [&str; 2] = ["/dead-letters/replay", "/dead-letters/discard"];
const PATIENCE_LONG: Duration = Duration::from_secs(1800);

/// Asks the running process of a configuration.
pub(super) async fn ask<T: DeserializeOwned>(config: &Config, method: Method, path: &str) -> anyhow::Result<T> {
    send(config, method, path, Bytes::new()).await
}

/// Asks the running process of a configuration, with a body.
pub(super) async fn post<T: DeserializeOwned>(config: &Config, path: &str, body: &impl Serialize) -> anyhow::Result<T> {
    send(config, Method::POST, path, Bytes::from(serde_json::to_vec(body)?)).await
}

async fn send<T: DeserializeOwned>(config: &Config, method: Method, path: &str, body: Bytes) -> anyhow::Result<T> {
    let patience = if LONG.contains(&path) { PATIENCE_LONG } else { PATIENCE };
    let body = within(patience, &config.admin.control, method, path, body).await?;
    serde_json::from_slice(&body).context("the process answered in a form this version does not read")
}

async fn within(
    patience: Duration,
    control: &Control,
    method: Method,
    path: &str,
    body: Bytes,
) -> anyhow::Result<Bytes> {
    let answered = tokio::time::timeout(patience, exchanged(control, method, path, body)).await;
    let late = |_| {
        anyhow!(
            "the process took the request and did not answer within {} s; it is stuck or overloaded: look at its log, and \
             start it again if it stays so",
            patience.as_secs()
        )
    };
    answered.map_err(late)?
}

async fn exchanged(control: &Control, method: Method, path: &str, body: Bytes) -> anyhow::Result<Bytes> {
    let mut request = Request::builder().method(method).uri(path).header(header::HOST, "causeway");
    if !body.is_empty() {
        request = request.header(header::CONTENT_TYPE, "application/json");
    }
    let body = Full::new(body);
    match control {
        Control::Unix(socket) => {
            let stream = UnixStream::connect(socket).await.with_context(|| {
                format!("no process answers on the control socket {}; is `causeway run` up?", socket.display())
            })?;
            exchange(stream, request.body(body)?).await
        }
        Control::Tcp { listen, token } => {
            request = request.header(header::AUTHORIZATION, format!("Bearer {}", token.expose_secret()));
            let stream = TcpStream::connect(listen).await.with_context(|| format!("no process answers on {listen}"))?;
            exchange(stream, request.body(body)?).await
        }
    }
}

async fn exchange<S>(stream: S, request: Request<Full<Bytes>>) -> anyhow::Result<Bytes>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let talk = async {
        let response = sender.send_request(request).await?;
        let status = response.status();
        let body = response.into_body().collect().await?.to_bytes();
        if !status.is_success() {
            let error: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
            let detail = error.get("detail").and_then(serde_json::Value::as_str).unwrap_or("no detail");
            bail!("the process answered {status}: {detail}");
        }
        Ok(body)
    };
    tokio::select! {
        // The answer is read to its end before the connection ends, so the exchange is looked at first.
        biased;
        body = talk => body,
        ended = connection => match ended {
            Ok(()) => Err(anyhow!("the process closed the connection without an answer")),
            Err(error) => Err(error.into()),
        },
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::UnixListener;

    use super::*;

    #[tokio::test]
    async fn a_process_that_is_stuck_is_waited_for_no_longer_than_that() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("control.sock");
        // Connections are taken, and nobody answers.
        let _stuck = UnixListener::bind(&socket).unwrap();
        let (patience, control) = (Duration::from_millis(200), Control::Unix(socket));
        let asked = within(patience, &control, Method::GET, "/queues", Bytes::new());
        let error = tokio::time::timeout(Duration::from_secs(60), asked).await.expect("it hangs").unwrap_err();
        assert!(error.to_string().contains("did not answer within"), "{error}");
    }
}
