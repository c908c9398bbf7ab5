mod tls;
mod unix;

use std::net::SocketAddr;
use std::sync::Arc;

use axum::body::Body;
use axum::routing::{get, post};
use http::HeaderMap;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use super::*;

struct Running {
    address: SocketAddr,
    shutdown: Shutdown,
    server: JoinSet<anyhow::Result<()>>,
}

async fn start(router: Router, limits: Limits) -> Running {
    start_with(None, router, limits).await
}

async fn start_with(tls: Option<Tls>, router: Router, limits: Limits) -> Running {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let shutdown = Shutdown::new();
    let mut server = JoinSet::new();
    server.spawn(serve(listener, tls, router, limits, shutdown.clone()));
    Running { address, shutdown, server }
}

impl Running {
    async fn ended(&mut self) {
        timeout(PATIENCE, self.server.join_next()).await.expect("the server ends").unwrap().unwrap().unwrap();
    }
}

/// A handler that says when it began and waits until it may go on.
fn gated() -> (Router, Arc<Notify>, Arc<Notify>) {
    let (began, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (inside, gate) = (Arc::clone(&began), Arc::clone(&go_on));
    let handler = async move || {
        inside.notify_one();
        gate.notified().await;
        "finished"
    };
    (Router::new().route("/", get(handler)), began, go_on)
}

fn quick() -> Limits {
    let short = Duration::from_millis(300);
    let keep_alive = Duration::from_millis(900);
    Limits { header_read: short, body_read: short, keep_alive, connections: 64, lag: Duration::ZERO }
}

fn router() -> Router {
    let read = |headers: HeaderMap, body: Body| async move {
        read_body(&headers, body, 10, Duration::from_millis(300)).await.map(|body| body.len().to_string())
    };
    Router::new()
        .route("/body", post(read))
        .route("/", get(async || "hello"))
        .fallback(not_found)
        .method_not_allowed_fallback(not_allowed)
}

const PATIENCE: Duration = Duration::from_secs(20);

async fn talk(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    timeout(PATIENCE, stream.read_to_end(&mut answer)).await.expect("the connection is closed in time").unwrap();
    String::from_utf8(answer).unwrap()
}

#[tokio::test]
async fn slow_headers_are_cut_off_and_an_idle_connection_lives_longer() {
    let keep_alive = Duration::from_secs(3);
    let running = start(router(), Limits { keep_alive, ..quick() }).await;
    let began = Instant::now();
    assert_eq!(talk(running.address, "GET / HTTP/1.1\r\nhost: h\r\nx-slow: ").await, "");
    assert!(began.elapsed() < keep_alive, "headers have the short limit");
    let began = Instant::now();
    let answer = talk(running.address, "GET / HTTP/1.1\r\nhost: h\r\n\r\n").await;
    assert!(answer.ends_with("hello"), "{answer}");
    assert!(began.elapsed() >= keep_alive - quick().header_read, "an idle connection has the long limit");
}

#[tokio::test]
async fn headers_that_drip_are_cut_off_on_a_used_connection_too() {
    let running = start(router(), Limits { keep_alive: PATIENCE, ..quick() }).await;
    let mut stream = TcpStream::connect(running.address).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nhost: h\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"hello") {
        assert!(stream.read_buf(&mut answer).await.unwrap() > 0);
    }
    let began = Instant::now();
    let mut drips = tokio::time::interval(Duration::from_millis(20));
    while stream.write_all(b"G").await.is_ok() {
        drips.tick().await;
        assert!(began.elapsed() < PATIENCE / 2, "the connection is closed however steadily it drips");
    }
}

#[tokio::test]
async fn bodies_over_the_limit_or_too_slow_are_answered() {
    let running = start(router(), quick()).await;
    let declared = "POST /body HTTP/1.1\r\nhost: h\r\ncontent-length: 11\r\n\r\n";
    assert!(talk(running.address, declared).await.starts_with("HTTP/1.1 413 "));
    let chunked = "POST /body HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\nb\r\n01234567890\r\n0\r\n\r\n";
    assert!(talk(running.address, chunked).await.starts_with("HTTP/1.1 413 "));
    let slow = "POST /body HTTP/1.1\r\nhost: h\r\ncontent-length: 10\r\n\r\n01";
    let answer = talk(running.address, slow).await;
    assert!(answer.starts_with("HTTP/1.1 408 ") && answer.contains("\"error\":\"body too slow\""), "{answer}");
}

/// Closing while bytes are still coming resets a connection, and a reset throws away an answer that was not read yet.
#[tokio::test]
async fn a_large_body_does_not_sweep_its_own_refusal_away() {
    let running = start(router(), Limits { lag: Duration::ZERO, ..Limits::default() }).await;
    for _ in 0..5 {
        let mut stream = TcpStream::connect(running.address).await.unwrap();
        stream.write_all(b"POST /body HTTP/1.1\r\nhost: h\r\ncontent-length: 10485760\r\n\r\n").await.unwrap();
        stream.write_all(&vec![b'x'; 10_485_760]).await.expect("the body is taken");
        let mut answer = String::new();
        timeout(PATIENCE, stream.read_to_string(&mut answer)).await.unwrap().expect("the answer can be read");
        assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    }
}

#[tokio::test]
async fn unknown_paths_and_methods_are_answered_in_json() {
    let running = start(router(), quick()).await;
    let close = "HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n";
    let answer = talk(running.address, &format!("GET /nowhere {close}")).await;
    assert!(answer.starts_with("HTTP/1.1 404 ") && answer.contains("{\"error\":\"not found\""), "{answer}");
    let answer = talk(running.address, &format!("DELETE /body {close}")).await;
    assert!(answer.starts_with("HTTP/1.1 405 ") && answer.to_lowercase().contains("allow: post"), "{answer}");
}

#[tokio::test]
async fn a_slow_body_is_cut_off_whoever_reads_it() {
    let careless = Router::new().route(
        "/",
        post(
            async |body: Result<String, axum::extract::rejection::StringRejection>| {
                if body.is_ok() { "whole" } else { "cut off" }
            },
        ),
    );
    let running = start(careless, quick()).await;
    let answer = talk(running.address, "POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 10\r\n\r\n01").await;
    assert!(answer.ends_with("cut off"), "{answer}");
    let whole = "POST / HTTP/1.1\r\nhost: h\r\nconnection: close\r\ncontent-length: 2\r\n\r\n01";
    assert!(talk(running.address, whole).await.ends_with("whole"));
}

/// The client neither reads nor goes away; the one place it holds comes free all the same.
#[tokio::test]
async fn a_client_that_does_not_take_its_answer_is_cut_off() {
    let large = router().route("/large", get(async || vec![b'x'; 64 << 20]));
    let running = start(large, Limits { connections: 1, ..quick() }).await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut greedy = socket.connect(running.address).await.unwrap();
    greedy.write_all(b"GET /large HTTP/1.1\r\nhost: h\r\n\r\n").await.unwrap();
    let request = "GET / HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n";
    assert!(talk(running.address, request).await.ends_with("hello"));
    drop(greedy);
}

#[tokio::test]
async fn a_body_that_ends_early_is_told_from_a_slow_one() {
    let (told, mut heard) = tokio::sync::mpsc::channel(1);
    let read = async move |headers: HeaderMap, body: Body| {
        told.send(read_body(&headers, body, 10, PATIENCE).await).await.unwrap();
    };
    let running = start(Router::new().route("/", post(read)), quick()).await;
    let mut stream = TcpStream::connect(running.address).await.unwrap();
    let chunked = b"POST / HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n2\r\n01\r\nnonsense\r\n";
    stream.write_all(chunked).await.unwrap();
    assert_eq!(timeout(PATIENCE, heard.recv()).await.unwrap(), Some(Err(BodyError::Broken)));
    let mut stream = TcpStream::connect(running.address).await.unwrap();
    stream.write_all(b"POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 4\r\n\r\n01").await.unwrap();
    assert_eq!(timeout(PATIENCE, heard.recv()).await.unwrap(), Some(Err(BodyError::TooSlow)));
}

#[tokio::test]
async fn draining_finishes_the_request_in_hand() {
    let (router, began, go_on) = gated();
    let mut running = start(router, Limits { lag: Duration::ZERO, ..Limits::default() }).await;
    let request = async { talk(running.address, "GET / HTTP/1.1\r\nhost: h\r\n\r\n").await };
    let stop = async {
        began.notified().await;
        running.shutdown.begin();
        while TcpStream::connect(running.address).await.is_ok() {
            tokio::task::yield_now().await;
        }
        go_on.notify_one();
    };
    let (answer, ()) = tokio::join!(request, stop);
    assert!(answer.ends_with("finished"), "{answer}");
    running.ended().await;
}

#[tokio::test]
async fn during_the_lag_new_connections_are_served() {
    let mut running = start(router(), Limits { lag: PATIENCE, ..Limits::default() }).await;
    running.shutdown.begin();
    let request = "GET / HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n";
    assert!(talk(running.address, request).await.ends_with("hello"));
    running.shutdown.force();
    running.ended().await;
}

#[tokio::test]
async fn the_hard_stage_cuts_off_what_is_in_hand() {
    let (router, began, _go_on) = gated();
    let mut running = start(router, Limits::default()).await;
    let mut stream = TcpStream::connect(running.address).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nhost: h\r\n\r\n").await.unwrap();
    began.notified().await;
    running.shutdown.force();
    running.ended().await;
    assert_eq!(stream.read(&mut [0; 1]).await.unwrap_or_default(), 0, "there is no answer");
}

#[tokio::test]
async fn connections_over_the_limit_wait_outside() {
    let running = start(router(), Limits { connections: 1, ..quick() }).await;
    let first = TcpStream::connect(running.address).await.unwrap();
    let request = "GET / HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n";
    let second = talk(running.address, request);
    tokio::pin!(second);
    assert!(timeout(Duration::from_millis(100), &mut second).await.is_err(), "there is one place, and it is taken");
    drop(first);
    assert!(second.await.ends_with("hello"));
}

#[tokio::test]
async fn a_panic_is_answered_and_hurts_nobody_else() {
    let jumpy = router().route("/panic", get(async || -> &'static str { panic!("+13125550100 said hello") }));
    let running = start(jumpy, quick()).await;
    let answer = talk(running.address, "GET /panic HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 500 ") && answer.contains("{\"error\":\"internal error\""), "{answer}");
    assert!(!answer.contains("13125550100"), "{answer}");
    assert!(talk(running.address, "GET / HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n").await.ends_with("hello"));
}
