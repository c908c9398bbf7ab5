use std::net::SocketAddr;

use axum::body::Body;
use axum::routing::{get, post};
use http::HeaderMap;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

use super::*;

struct Running {
    address: SocketAddr,
    shutdown: Shutdown,
    server: JoinSet<anyhow::Result<()>>,
}

async fn start(router: Router, limits: Limits) -> Running {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let shutdown = Shutdown::new();
    let mut server = JoinSet::new();
    server.spawn(serve(listener, None, router, limits, shutdown.clone()));
    Running { address, shutdown, server }
}

fn quick() -> Limits {
    let short = Duration::from_millis(300);
    Limits { header_read: short, keep_alive: Duration::from_millis(900), connections: 64, lag: Duration::ZERO }
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
    let running = start(router(), quick()).await;
    let began = Instant::now();
    assert_eq!(talk(running.address, "GET / HTTP/1.1\r\nhost: h\r\nx-slow: ").await, "");
    assert!(began.elapsed() < Duration::from_millis(900), "headers have the short limit");
    let began = Instant::now();
    let answer = talk(running.address, "GET / HTTP/1.1\r\nhost: h\r\n\r\n").await;
    assert!(answer.ends_with("hello"), "{answer}");
    assert!(began.elapsed() >= Duration::from_millis(800), "an idle connection has the long limit");
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
async fn draining_finishes_the_request_in_hand() {
    let (began, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (inside, gate) = (Arc::clone(&began), Arc::clone(&go_on));
    let slow = Router::new().route(
        "/",
        get(async move || {
            inside.notify_one();
            gate.notified().await;
            "finished"
        }),
    );
    let mut running = start(slow, Limits { lag: Duration::ZERO, ..Limits::default() }).await;
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
    assert!(timeout(PATIENCE, running.server.join_next()).await.unwrap().unwrap().unwrap().is_ok());
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
async fn a_panic_ends_its_connection_alone() {
    let jumpy = router().route("/panic", get(async || -> &'static str { panic!("never mind") }));
    let running = start(jumpy, quick()).await;
    assert_eq!(talk(running.address, "GET /panic HTTP/1.1\r\nhost: h\r\n\r\n").await, "");
    assert!(talk(running.address, "GET / HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n").await.ends_with("hello"));
}
