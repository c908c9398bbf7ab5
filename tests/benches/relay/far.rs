//! The far sides: Genesys, NetSapiens and the floor's receiver in one. They answer at once and write down what came when.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use anyhow::{Context, ensure};
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;

/// Stands in every text before the ten digits of the message's number.
const MARK: &str = "bench-";
const DIGITS: usize = 10;

/// What a far side was told about a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// The message itself.
    Delivered,
    /// The receipt of a reply.
    Receipt,
}

/// The far sides of a run; they end when this is dropped.
pub(crate) struct Far {
    address: SocketAddr,
    desk: Arc<Desk>,
    _listening: JoinSet<()>,
}

/// One number for each message, and what arrived of it.
pub(crate) struct Desk {
    arrivals: Mutex<Arrivals>,
    open: AtomicBool,
    more: Notify,
}

#[derive(Default)]
struct Arrivals {
    /// How often each message and its receipt came, by the message's number.
    counts: Vec<[u8; 2]>,
    delivered: u64,
    waiting: HashMap<u64, mpsc::Sender<(Step, Instant)>>,
}

/// The text of a message: as long as a usual SMS.
pub(crate) fn text(number: u64) -> String {
    format!("{} {}", id(number), "Good morning, could you tell me when the parcel will be here? It was due yesterday.")
}

/// The id of a message.
pub(crate) fn id(number: u64) -> String {
    format!("{MARK}{number:010}")
}

impl Far {
    pub(crate) async fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("the far sides' listener")?;
        let address = listener.local_addr()?;
        let desk = Arc::new(Desk { arrivals: Mutex::default(), open: AtomicBool::new(true), more: Notify::new() });
        let mut listening = JoinSet::new();
        listening.spawn(listen(listener, Arc::clone(&desk)));
        Ok(Self { address, desk, _listening: listening })
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn desk(&self) -> Arc<Desk> {
        Arc::clone(&self.desk)
    }
}

impl Desk {
    /// The number of a new message.
    pub(crate) fn number(&self) -> u64 {
        let mut arrivals = self.arrivals();
        arrivals.counts.push([0; 2]);
        arrivals.counts.len() as u64 - 1
    }

    /// The same, and what arrives of it is told.
    pub(crate) fn announced(&self, told: mpsc::Sender<(Step, Instant)>) -> u64 {
        let number = self.number();
        self.arrivals().waiting.insert(number, told);
        number
    }

    /// Nothing more is expected of it.
    pub(crate) fn done(&self, number: u64) {
        self.arrivals().waiting.remove(&number);
    }

    /// Whether messages are taken, or refused as by a neighbour that is down.
    pub(crate) fn set_open(&self, open: bool) {
        self.open.store(open, Ordering::Relaxed);
    }

    /// Messages that arrived until now.
    pub(crate) fn delivered(&self) -> u64 {
        self.arrivals().delivered
    }

    /// Waits until so many arrived.
    pub(crate) async fn until_delivered(&self, count: u64) {
        loop {
            let more = self.more.notified();
            if self.delivered() >= count {
                return;
            }
            more.await;
        }
    }

    /// Each of these messages came exactly once, and its receipt too where there must be one.
    pub(crate) fn check(&self, numbers: impl IntoIterator<Item = u64>, receipts: bool) -> anyhow::Result<()> {
        let arrivals = self.arrivals();
        let expected = [1, u8::from(receipts)];
        let wrong = numbers.into_iter().filter(|number| arrivals.counts[*number as usize] != expected).count();
        ensure!(wrong == 0, "{wrong} messages did not arrive exactly once");
        Ok(())
    }

    /// Nothing that came in the whole run came twice.
    pub(crate) fn check_none_twice(&self) -> anyhow::Result<()> {
        let twice = self.arrivals().counts.iter().filter(|counts| counts.iter().any(|count| *count > 1)).count();
        ensure!(twice == 0, "{twice} messages or receipts came more than once");
        Ok(())
    }

    fn arrived(&self, number: u64, step: Step) {
        let now = Instant::now();
        let mut arrivals = self.arrivals();
        let Some(counts) = arrivals.counts.get_mut(number as usize) else { return };
        let count = &mut counts[step as usize];
        *count = count.saturating_add(1);
        if step == Step::Delivered {
            arrivals.delivered += 1;
        }
        if let Some(told) = arrivals.waiting.get(&number) {
            // A sender that has heard enough does not look any more.
            let _heard = told.try_send((step, now));
        }
        drop(arrivals);
        self.more.notify_waiters();
    }

    fn arrivals(&self) -> std::sync::MutexGuard<'_, Arrivals> {
        self.arrivals.lock().expect("nobody panics while writing down")
    }
}

async fn listen(listener: TcpListener, desk: Arc<Desk>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        if stream.set_nodelay(true).is_err() {
            continue;
        }
        let desk = Arc::clone(&desk);
        let service = service_fn(move |request| {
            let desk = Arc::clone(&desk);
            async move { Ok::<_, Infallible>(receive(&desk, request).await) }
        });
        connections.spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

async fn receive(desk: &Desk, request: Request<Incoming>) -> Response<Full<Bytes>> {
    let genesys = request.uri().path().starts_with("/genesys");
    let Ok(body) = request.into_body().collect().await else { return answer(StatusCode::BAD_REQUEST, "") };
    if !desk.open.load(Ordering::Relaxed) {
        return answer(StatusCode::SERVICE_UNAVAILABLE, "");
    }
    let body = body.to_bytes();
    let receipt = genesys && find(&body, b"\"type\":\"Receipt\"").is_some();
    let Some(number) = number(&body) else { return answer(StatusCode::NOT_FOUND, "{}") };
    desk.arrived(number, if receipt { Step::Receipt } else { Step::Delivered });
    if genesys {
        answer(StatusCode::OK, r#"{"status":{"code":0},"data":{"ids":["7f3b9a0c"]}}"#)
    } else {
        answer(StatusCode::ACCEPTED, r#"{"code":202,"message":"Accepted"}"#)
    }
}

fn answer(status: StatusCode, body: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from_static(body.as_bytes())));
    *response.status_mut() = status;
    response
}

fn number(body: &[u8]) -> Option<u64> {
    let begin = find(body, MARK.as_bytes())? + MARK.len();
    std::str::from_utf8(body.get(begin..begin + DIGITS)?).ok()?.parse().ok()
}

fn find(body: &[u8], words: &[u8]) -> Option<usize> {
    body.windows(words.len()).position(|window| window == words)
}
