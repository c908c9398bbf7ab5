use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::*;
use crate::Metrics;

/// What a far side does once a request has come in.
enum Act {
    Answer(&'static str),
    HangUp,
    Hang,
    Flood,
}

/// A far side for one connection, whose task gives the request it saw.
async fn far_side(act: Act) -> (SocketAddr, JoinSet<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let request = read_request(&mut stream).await;
        match act {
            Act::Answer(answer) => stream.write_all(answer.as_bytes()).await.unwrap(),
            Act::HangUp => {}
            Act::Hang => std::future::pending().await,
            Act::Flood => {
                stream.write_all(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n").await.unwrap();
                // The client stops reading at its limit, and then writing fails.
                while stream.write_all(&[b'x'; 65_536]).await.is_ok() {}
            }
        }
        request
    });
    (address, tasks)
}

/// The head of a request and its body of two bytes.
async fn read_request(stream: &mut TcpStream) -> String {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n{}") {
        let read = stream.read_buf(&mut request).await.unwrap();
        assert!(read > 0, "the request is complete: {}", String::from_utf8_lossy(&request));
    }
    String::from_utf8(request).unwrap()
}

fn config() -> HttpClientConfig {
    HttpClientConfig { connect_timeout: Duration::from_secs(5), ca_files: Vec::new(), proxy: None }
}

fn client() -> HttpClient {
    HttpClient::new(&config()).unwrap()
}

fn call(address: SocketAddr, timeout: Duration) -> Call {
    let url = format!("http://{address}/secret-path");
    Call { method: Method::POST, url, headers: HeaderMap::new(), body: Bytes::from_static(b"{}"), timeout }
}

async fn fails(address: SocketAddr, timeout: Duration) -> CallError {
    let error = client().call("t", "o", call(address, timeout)).await.err().expect("the call fails");
    assert!(!error.to_string().contains("secret-path"), "{error}");
    error
}

const LONG: Duration = Duration::from_secs(20);
const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nyes";

#[tokio::test]
async fn an_answer_is_read_and_the_call_says_who_calls() {
    let (address, mut far) = far_side(Act::Answer(OK)).await;
    let answer = client().call("t", "o", call(address, LONG)).await.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!((answer.status.as_u16(), &answer.body[..]), (200, &b"yes"[..]));
    let request = far.join_next().await.unwrap().unwrap();
    assert!(request.starts_with("POST /secret-path HTTP/1.1\r\n"), "{request}");
    assert!(request.contains(concat!("user-agent: causeway/", env!("CARGO_PKG_VERSION"), "\r\n")), "{request}");

    let (address, mut far) = far_side(Act::Answer(OK)).await;
    let mut named = call(address, LONG);
    named.headers.insert(header::USER_AGENT, "causeway/attempt-7".parse().unwrap());
    assert!(client().call("t", "o", named).await.is_ok());
    let request = far.join_next().await.unwrap().unwrap();
    assert!(request.contains("user-agent: causeway/attempt-7\r\n"), "{request}");
    assert_eq!(request.matches("user-agent").count(), 1, "{request}");
}

#[tokio::test]
async fn a_redirect_is_an_answer() {
    let moved = "HTTP/1.1 302 Found\r\nlocation: /elsewhere\r\ncontent-length: 2\r\n\r\nno";
    let (address, _far) = far_side(Act::Answer(moved)).await;
    let answer = client().call("t", "o", call(address, LONG)).await.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!((answer.status.as_u16(), &answer.body[..]), (302, &b"no"[..]));
}

#[tokio::test]
async fn silence_and_hanging_up_leave_the_outcome_unknown() {
    let (address, _far) = far_side(Act::Hang).await;
    let error = fails(address, Duration::from_millis(200)).await;
    assert!(matches!(error, CallError::NoAnswer(_)), "{error}");
    let (address, _far) = far_side(Act::HangUp).await;
    let error = fails(address, LONG).await;
    assert!(matches!(error, CallError::NoAnswer(_)), "{error}");
}

#[tokio::test]
async fn an_answer_cut_off_leaves_the_outcome_unknown() {
    let (address, _far) = far_side(Act::Answer("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf")).await;
    let error = fails(address, LONG).await;
    assert!(matches!(error, CallError::NoAnswer(_)), "{error}");
}

#[tokio::test]
async fn a_closed_port_a_missing_name_and_no_url_were_not_reached() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let error = fails(address, LONG).await;
    assert!(matches!(error, CallError::NotReached(_)), "{error}");
    for url in ["http://nowhere.invalid/secret-path", "secret-path"] {
        let lost = Call { url: url.to_owned(), ..call(address, LONG) };
        let error = client().call("t", "o", lost).await.err().unwrap();
        assert!(matches!(error, CallError::NotReached(_)) && !error.to_string().contains("secret-path"), "{error}");
    }
}

#[tokio::test]
async fn an_endless_answer_is_cut_off() {
    let (address, mut far) = far_side(Act::Flood).await;
    let answer = client().call("t", "o", call(address, LONG)).await.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(answer.body.len(), ANSWER_LIMIT);
    assert!(far.join_next().await.unwrap().is_ok(), "the connection was closed");
}

#[tokio::test]
async fn calls_are_measured_by_what_came_of_them() {
    let metrics = Metrics::install();
    let (address, _far) = far_side(Act::Answer(OK)).await;
    assert!(client().call("measured", "try", call(address, LONG)).await.is_ok());
    let (address, _far) = far_side(Act::HangUp).await;
    assert!(client().call("measured", "try", call(address, LONG)).await.is_err());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let closed = listener.local_addr().unwrap();
    drop(listener);
    assert!(client().call("measured", "try", call(closed, LONG)).await.is_err());
    let text = metrics.render();
    for status in ["200", "no-answer", "not-reached"] {
        let labels = format!("{{target=\"measured\",operation=\"try\",status=\"{status}\"}}");
        assert!(text.contains(&format!("causeway_upstream_seconds_count{labels} 1")), "{status}: {text}");
    }
}

#[tokio::test]
async fn a_proxy_is_asked_for_every_host_and_its_password_is_not_told() {
    let (address, mut far) = far_side(Act::Answer(OK)).await;
    let config = HttpClientConfig { proxy: Some(format!("http://user:sesame@{address}")), ..config() };
    assert!(!format!("{config:?}").contains("sesame"));
    let far_away = Call { url: "http://nowhere.invalid/secret-path".to_owned(), ..call(address, LONG) };
    let answer = HttpClient::new(&config).unwrap().call("t", "o", far_away).await;
    assert!(answer.is_ok_and(|answer| answer.status == 200));
    let request = far.join_next().await.unwrap().unwrap();
    assert!(request.starts_with("POST http://nowhere.invalid/secret-path HTTP/1.1\r\n"), "{request}");
    let wrong = HttpClientConfig { proxy: Some("http://user:sesame@:nowhere".to_owned()), ..config };
    let error = format!("{:#}", HttpClient::new(&wrong).unwrap_err());
    assert!(error.contains("net.proxy") && !error.contains("sesame"), "{error}");
}

#[test]
fn a_file_of_authorities_that_holds_none_is_named() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(b"nothing of the kind").unwrap();
    for file in [file.path(), Path::new("/nowhere/authority.pem")] {
        let config = HttpClientConfig { ca_files: vec![file.to_owned()], ..config() };
        let error = format!("{:#}", HttpClient::new(&config).unwrap_err());
        assert!(error.contains("net.ca_files") && error.contains(&file.display().to_string()), "{error}");
    }
}

#[test]
fn retry_after_is_seconds_or_a_date() {
    let now: Timestamp = "2026-11-21T10:00:00Z".parse().unwrap();
    let check = |value: &str, expected: Option<u64>| {
        let mut headers = HeaderMap::new();
        headers.insert(header::RETRY_AFTER, value.parse().unwrap());
        let answer = Answer { status: StatusCode::OK, headers, body: Bytes::new() };
        assert_eq!(answer.retry_after(now), expected.map(Duration::from_secs), "{value}");
    };
    check("30", Some(30));
    check(" 0 ", Some(0));
    check("Sat, 21 Nov 2026 10:02:00 GMT", Some(120));
    check("Sat, 21 Nov 2026 09:00:00 GMT", Some(0));
    check("-5", None);
    check("soon", None);
}
