//! The page with the two simulated servers joined by the least a bridge can do: no queue, no ledger, no retry.
//!
//! It shows the page while one works on it, at http://127.0.0.1:8088 or the address given; `causeway sandbox` shows the bridge.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context;
use axum::extract::State;
use axum::routing::post;
use axum::{Json, Router};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use runtime::http_server::{Limits, serve};
use runtime::{Call, Clock, HttpClient, HttpClientConfig, Shutdown, Tasks};
use sandbox::page::{Mailbox, PageState, Walk, router};
use sandbox::{GenesysSim, GenesysSimConfig, MailSim, NetSapiensSim, NetSapiensSimConfig, SimChannel, SimNumber, sign};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

const CCID: &str = "0ff723ff-6c6f-44e0-9ce3-ce579337eadd";
const SECRET: &str = "sandbox-secret";
const CHANNEL: &str = "13125550100";
const CONSUMER: &str = "13125550142";
const SESSION: &str = "example0123456789abcdefghijklmnop";
const TIMEOUT: Duration = Duration::from_secs(10);
const LINES: usize = 500;

/// Work for the one task that calls out.
enum Errand {
    ToGenesys { id: String, text: String },
    ToConsumer { id: String, text: String },
}

#[derive(Clone)]
struct Wire {
    genesys: GenesysSim,
    netsapiens: NetSapiensSim,
    client: HttpClient,
    errands: mpsc::Sender<Errand>,
    lines: Arc<Mutex<Vec<Value>>>,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let address: SocketAddr = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8088".to_owned()).parse()?;
    let shutdown = Shutdown::new();
    let mut tasks = Tasks::new(shutdown.clone());
    let signals = shutdown.on_signals(Duration::from_secs(5))?;

    let hooks = listener().await?;
    let base = format!("http://{}", hooks.local_addr()?);
    let channel =
        SimChannel { id: CHANNEL.to_owned(), secret: SECRET.to_owned(), webhook_url: Some(format!("{base}/webhook")) };
    let config = GenesysSimConfig { ccid: CCID.to_owned(), channels: vec![channel] };
    let genesys = GenesysSim::start(listener().await?, config, shutdown.clone());
    let config = NetSapiensSimConfig {
        domain: "example.com".to_owned(),
        api_key: "key".to_owned(),
        numbers: vec![SimNumber { user: "9000".to_owned(), number: CHANNEL.to_owned() }],
        event_url: Some(format!("{base}/event")),
    };
    let netsapiens = NetSapiensSim::start(listener().await?, config, shutdown.clone());

    let config = HttpClientConfig { connect_timeout: Duration::from_secs(5), ca_files: Vec::new(), proxy: None };
    let (errands, work) = mpsc::channel(64);
    let wire = Wire {
        genesys: genesys.clone(),
        netsapiens: netsapiens.clone(),
        client: HttpClient::new(&config)?,
        errands,
        lines: Arc::default(),
    };
    let routes = Router::new().route("/webhook", post(webhook)).route("/event", post(event)).with_state(wire.clone());
    tasks.spawn("webhooks", serve(hooks, None, routes, Limits::default(), shutdown.clone()));
    tasks.spawn("errands", run_errands(wire.clone(), work, shutdown.clone()));

    let walk = Walk::new(move |_| {
        let lines = wire.lines.lock().unwrap_or_else(PoisonError::into_inner).clone();
        async move { Ok(json!({ "queues": queues(&lines), "lines": lines })) }
    });
    // This least of a bridge carries no mail: what is written waits.
    let mailbox = Mailbox {
        server: MailSim::start(listener().await?, "consumer.example", shutdown.clone()),
        consumer: "ann@consumer.example".to_owned(),
        company: "help@company.example".to_owned(),
        channel: "company.example".to_owned(),
    };
    let page = PageState {
        genesys,
        netsapiens,
        channel: CHANNEL.to_owned(),
        company_number: CHANNEL.to_owned(),
        consumer_number: CONSUMER.to_owned(),
        mailbox,
        walk,
        shutdown: shutdown.clone(),
    };
    let listener = TcpListener::bind(address).await?;
    let limits = Limits { lag: Duration::ZERO, ..Limits::default() };
    tasks.spawn("page", serve(listener, None, router(page), limits, shutdown.clone()));
    tokio::select! {
        stopped = signals => stopped.map(|_| ()),
        ended = tasks.join() => ended,
    }
}

async fn listener() -> anyhow::Result<TcpListener> {
    Ok(TcpListener::bind("127.0.0.1:0").await?)
}

/// A message is in its queue from `received` until something ends it.
fn queues(lines: &[Value]) -> Value {
    let count = |family: &str, what: &[&str]| {
        let of_family = lines.iter().filter(|line| line["family"] == json!(family));
        of_family.filter(|line| what.iter().any(|what| line["what"] == json!(what))).count()
    };
    let queue = |family: &str| {
        let left = count(family, &["received"]).saturating_sub(count(family, &["sent", "failed", "receipt"]));
        json!({ "queue": format!("causeway.{family}.main.0"), "ready": left.saturating_sub(1), "in_hand": left.min(1) })
    };
    json!([queue("inbound"), queue("replies"), queue("receipts")])
}

async fn webhook(State(wire): State<Wire>, body: Bytes) -> Json<Value> {
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let id = body["channel"]["messageId"].as_str().unwrap_or_default().to_owned();
    let text = body["text"].as_str().unwrap_or_default().to_owned();
    wire.note("replies", &id, "received", "webhook verified and stored");
    if wire.errands.send(Errand::ToConsumer { id: id.clone(), text }).await.is_err() {
        tracing::debug!("the example is stopping");
    }
    Json(json!({ "messageId": id }))
}

async fn event(State(wire): State<Wire>, body: Bytes) -> Json<Value> {
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    if body[0]["direction"] == json!("orig") {
        let id = body[0]["id"].as_str().unwrap_or_default().to_owned();
        let text = body[0]["text"].as_str().unwrap_or_default().to_owned();
        wire.note("inbound", &id, "received", "event stored");
        if wire.errands.send(Errand::ToGenesys { id, text }).await.is_err() {
            tracing::debug!("the example is stopping");
        }
    }
    Json(json!({ "ok": true }))
}

async fn run_errands(wire: Wire, mut work: mpsc::Receiver<Errand>, shutdown: Shutdown) -> anyhow::Result<()> {
    loop {
        let errand = tokio::select! {
            errand = work.recv() => errand.context("nobody gives errands any more")?,
            () = shutdown.stopping() => return Ok(()),
        };
        match errand {
            Errand::ToGenesys { id, text } => wire.to_genesys(&id, &text).await?,
            Errand::ToConsumer { id, text } => wire.to_consumer(&id, &text).await?,
        }
    }
}

impl Wire {
    fn note(&self, family: &str, id: &str, what: &str, detail: &str) {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let at = Clock::system().now();
        lines.push(json!({
            "at": at, "id": id, "family": family, "foreign_id": id, "trace": "example", "what": what, "detail": detail,
        }));
        let surplus = lines.len().saturating_sub(LINES);
        lines.drain(..surplus);
    }

    async fn to_genesys(&self, id: &str, text: &str) -> anyhow::Result<()> {
        self.note("inbound", id, "began", "first attempt");
        let channel = json!({ "from": { "id": CONSUMER }, "to": { "id": CHANNEL }, "messageId": id });
        let told = self.post_genesys(&json!({ "channel": channel, "type": "Text", "text": text })).await?;
        self.note("inbound", id, if told.starts_with('2') { "sent" } else { "failed" }, &format!("Genesys: {told}"));
        Ok(())
    }

    async fn to_consumer(&self, id: &str, text: &str) -> anyhow::Result<()> {
        self.note("replies", id, "began", "first attempt");
        let path = format!("/domains/example.com/users/9000/messagesessions/{SESSION}/messages");
        let body = json!({ "type": "sms", "message": text, "destination": CONSUMER, "from-number": CHANNEL });
        let headers = [("authorization", "Bearer key".to_owned())];
        let told =
            self.call(format!("{}{path}", self.netsapiens.base_url()), &headers, body.to_string().into()).await?;
        let sent = told.starts_with('2');
        self.note("replies", id, if sent { "sent" } else { "failed" }, &format!("provider: {told}"));
        let channel = json!({ "from": { "id": CHANNEL }, "to": { "id": CONSUMER }, "messageId": id });
        let mut receipt = json!({ "channel": channel, "type": "Receipt", "status": "Delivered" });
        if !sent {
            receipt["status"] = json!("Failed");
            receipt["reasons"] = json!([{ "code": 500, "message": "the provider did not take it" }]);
        }
        self.note("receipts", id, "received", "");
        let told = self.post_genesys(&receipt).await?;
        let what = if told.starts_with('2') { "receipt" } else { "failed" };
        self.note("receipts", id, what, &format!("{}: {told}", receipt["status"].as_str().unwrap_or_default()));
        Ok(())
    }

    async fn post_genesys(&self, message: &Value) -> anyhow::Result<String> {
        let body = Bytes::from(json!({ "messages": [message] }).to_string());
        let headers = [("x-hub-signature", sign(SECRET, &body)), ("x-ccid", CCID.to_owned())];
        self.call(format!("{}/channels/{CHANNEL}/messages", self.genesys.base_url()), &headers, body).await
    }

    /// The status, or why there is none.
    async fn call(&self, url: String, extra: &[(&'static str, String)], body: Bytes) -> anyhow::Result<String> {
        let mut headers = HeaderMap::new();
        headers.insert("content-type", HeaderValue::from_static("application/json"));
        for (name, value) in extra {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_str(value)?);
        }
        let call = Call { method: Method::POST, url, headers, body, timeout: TIMEOUT };
        Ok(match self.client.call("example", "post", call).await {
            Ok(answer) => answer.status.to_string(),
            Err(error) => error.to_string(),
        })
    }
}
