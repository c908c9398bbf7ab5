//! Senders: each has one connection and one conversation, and sends its next message when the last one has arrived.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, ensure};
use bytes::Bytes;
use http::{Method, Request};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use runtime::Clock;
use serde_json::json;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::far::{Desk, Step, id, text};
use super::settings::{CHANNEL, CHANNEL_SECRET, COMPANY, DOMAIN, EVENT_SECRET, PROVIDER, USER};

/// A message that takes longer is lost.
const LOST: Duration = Duration::from_secs(60);

/// What senders send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A consumer's SMS, as the provider's event.
    Text,
    /// An agent's reply, as Genesys' webhook; it is through when its receipt was told.
    Reply,
}

/// Where to, and what.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Door {
    pub(crate) address: SocketAddr,
    pub(crate) kind: Kind,
}

/// What a round showed.
#[derive(Debug, Default)]
pub(crate) struct Round {
    pub(crate) messages: u64,
    pub(crate) took: Duration,
    /// From the request to the arrival of the message.
    pub(crate) delivered: Vec<Duration>,
    /// From the request to the arrival of the receipt.
    pub(crate) receipts: Vec<Duration>,
}

/// One sender's connection.
pub(crate) struct Line {
    address: SocketAddr,
    sender: SendRequest<Full<Bytes>>,
    _driven: JoinSet<hyper::Result<()>>,
}

impl Line {
    pub(crate) async fn open(address: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        let mut driven = JoinSet::new();
        driven.spawn(connection);
        Ok(Self { address, sender, _driven: driven })
    }

    /// Posts a message; an error when it was not taken.
    pub(crate) async fn post(&mut self, kind: Kind, number: u64, conversation: u64) -> anyhow::Result<()> {
        let request = request(self.address, kind, number, conversation)?;
        self.sender.ready().await?;
        let response = self.sender.send_request(request).await?;
        let status = response.status();
        response.into_body().collect().await?;
        ensure!(status.is_success(), "the door answered {status}");
        Ok(())
    }
}

fn request(address: SocketAddr, kind: Kind, number: u64, conversation: u64) -> anyhow::Result<Request<Full<Bytes>>> {
    let consumer = format!("1312{:07}", 5_000_000 + conversation);
    let request = Request::builder().method(Method::POST).header("host", address.to_string());
    let request = request.header("content-type", "application/json");
    let (request, body) = match kind {
        Kind::Text => {
            let event = json!([{
                "id": id(number), "timestamp": Clock::system().now().to_string(), "type": "sms", "domain": DOMAIN,
                "direction": "orig", "from-number": consumer, "terminating-number": COMPANY,
                "terminating-user-id": format!("{USER}@{DOMAIN}"), "text": text(number), "status": "",
            }]);
            (request.uri(format!("/netsapiens/{PROVIDER}/{EVENT_SECRET}")), event.to_string())
        }
        Kind::Reply => {
            let body = json!({
                "channel": {
                    "id": COMPANY, "type": "sms", "from": { "id": COMPANY }, "to": { "id": consumer },
                    "messageId": id(number),
                },
                "type": "Text",
                "text": text(number),
            })
            .to_string();
            let signature = sandbox::sign(CHANNEL_SECRET, body.as_bytes());
            let trace = format!("5767ea58-1511-4a98-bc56-{number:012}");
            let request = request.header("x-hub-signature", signature).header("x-b3-traceid", trace);
            (request.uri(format!("/genesys/{CHANNEL}")), body)
        }
    };
    Ok(request.body(Full::new(Bytes::from(body)))?)
}

/// Lets so many senders send for a while; whatever was begun comes to its end.
pub(crate) async fn round(desk: &Arc<Desk>, door: Door, senders: u64, length: Duration) -> anyhow::Result<Round> {
    let mut lines = Vec::new();
    for _ in 0..senders {
        lines.push(Line::open(door.address).await.context("a sender's connection")?);
    }
    let began = Instant::now();
    let mut sending = JoinSet::new();
    for (conversation, line) in (0..).zip(lines) {
        sending.spawn(send(Arc::clone(desk), line, door.kind, conversation, began + length));
    }
    let mut round = Round::default();
    while let Some(sent) = sending.join_next().await {
        let sent = sent??;
        round.messages += sent.messages;
        round.delivered.extend(sent.delivered);
        round.receipts.extend(sent.receipts);
    }
    round.took = began.elapsed();
    Ok(round)
}

async fn send(desk: Arc<Desk>, mut line: Line, kind: Kind, conversation: u64, end: Instant) -> anyhow::Result<Round> {
    let (told, mut arrivals) = mpsc::channel(8);
    let mut sent = Round::default();
    let mut numbers = Vec::new();
    let receipts = kind == Kind::Reply;
    while Instant::now() < end {
        let number = desk.announced(told.clone());
        let began = Instant::now();
        let (mut delivered, mut receipt) = (None, None);
        line.post(kind, number, conversation).await?;
        while delivered.is_none() || receipts && receipt.is_none() {
            let arrived = timeout(LOST, arrivals.recv()).await;
            let arrived = arrived.map_err(|_| anyhow!("a message was accepted and did not arrive in {LOST:?}"))?;
            match arrived.context("the far sides are gone")? {
                (Step::Delivered, at) => delivered = Some(at - began),
                (Step::Receipt, at) => receipt = Some(at - began),
            }
        }
        desk.done(number);
        numbers.push(number);
        sent.messages += 1;
        sent.delivered.extend(delivered);
        sent.receipts.extend(receipt);
    }
    desk.check(numbers, receipts)?;
    Ok(sent)
}

/// The status of what a listener has there.
pub(crate) async fn get(address: SocketAddr, path: &str) -> anyhow::Result<http::StatusCode> {
    let mut line = Line::open(address).await?;
    let request = Request::builder().uri(path).header("host", address.to_string()).body(Full::default())?;
    let response = line.sender.send_request(request).await?;
    let status = response.status();
    response.into_body().collect().await?;
    Ok(status)
}
