use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::*;

/// What a far side does once a request has come in.
enum Act {
    Answer(&'static str),
    HangUp,
    Hang,
    Flood,
}

async fn far_side(act: Act) -> (SocketAddr, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = [0; 4096];
        let read = stream.read(&mut request).await.unwrap();
        assert!(read > 0, "a request came in");
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
    });
    (address, tasks)
}

fn client() -> HttpClient {
    let config = HttpClientConfig { connect_timeout: Duration::from_secs(5), ca_files: Vec::new(), proxy: None };
    HttpClient::new(&config).unwrap()
}

fn call(address: SocketAddr, timeout: Duration) -> Call {
    let url = format!("http://{address}/secret-path");
    Call { method: Method::POST, url, headers: HeaderMap::new(), body: Bytes::from_static(b"{}"), timeout }
}

const LONG: Duration = Duration::from_secs(20);

#[tokio::test]
async fn an_answer_is_read_and_a_redirect_is_an_answer() {
    let (address, _far) = far_side(Act::Answer("HTTP/1.1 302 Found\r\nlocation: /elsewhere\r\ncontent-length: 2\r\n\r\nno")).await;
    let answer = client().call("t", "o", call(address, LONG)).await.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!((answer.status.as_u16(), &answer.body[..]), (302, &b"no"[..]));
}

#[tokio::test]
async fn silence_and_hanging_up_leave_the_outcome_unknown() {
    let (address, _far) = far_side(Act::Hang).await;
    let error = client().call("t", "o", call(address, Duration::from_millis(200))).await.err().unwrap();
    assert!(matches!(error, CallError::NoAnswer(_)), "{error}");
    let (address, _far) = far_side(Act::HangUp).await;
    let error = client().call("t", "o", call(address, LONG)).await.err().unwrap();
    assert!(matches!(error, CallError::NoAnswer(_)), "{error}");
    assert!(!error.to_string().contains("secret-path"), "{error}");
}

#[tokio::test]
async fn an_answer_cut_off_leaves_the_outcome_unknown() {
    let (address, _far) = far_side(Act::Answer("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf")).await;
    let error = client().call("t", "o", call(address, LONG)).await.err().unwrap();
    assert!(matches!(error, CallError::NoAnswer(_)), "{error}");
}

#[tokio::test]
async fn a_closed_port_was_not_reached() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let error = client().call("t", "o", call(address, LONG)).await.err().unwrap();
    assert!(matches!(error, CallError::NotReached(_)), "{error}");
}

#[tokio::test]
async fn an_endless_answer_is_cut_off() {
    let (address, mut far) = far_side(Act::Flood).await;
    let answer = client().call("t", "o", call(address, LONG)).await.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(answer.body.len(), ANSWER_LIMIT);
    assert!(far.join_next().await.unwrap().is_ok());
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
    check("Sat, 21 Nov 2026 10:02:00 GMT", Some(120));
    check("Sat, 21 Nov 2026 09:00:00 GMT", Some(0));
    check("soon", None);
}
