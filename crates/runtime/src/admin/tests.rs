use std::io::{Read, Write};
use std::net::TcpStream;

use super::*;
use crate::{Clock, Need};

fn get(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn open(health: &Health) -> (OwnThread, Shutdown) {
    let shutdown = Shutdown::new();
    let listener = StdListener::bind("127.0.0.1:0").unwrap();
    let admin = serve_on_own_thread(listener, health.clone(), Metrics::install(), shutdown.clone()).unwrap();
    (admin, shutdown)
}

/// The calls block this test's only thread, as an overloaded process would: the admin thread answers all the same.
#[tokio::test]
async fn probes_are_answered_while_the_process_is_busy_and_while_it_drains() {
    let health = Health::new(Clock::system());
    let broker = health.component("broker", Need::Required);
    let (admin, shutdown) = open(&health);
    let answer = get(admin.address(), "/livez");
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("{\"alive\":true}"), "{answer}");
    let answer = get(admin.address(), "/readyz");
    assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("\"ready\":false"), "{answer}");
    broker.well();
    let answer = get(admin.address(), "/readyz");
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("\"ready\":true"), "{answer}");
    let answer = get(admin.address(), "/metrics");
    assert!(answer.to_lowercase().contains("content-type: text/plain; version=0.0.4"), "{answer}");
    assert!(answer.contains("causeway_build_info{"), "{answer}");
    assert!(get(admin.address(), "/nothing").starts_with("HTTP/1.1 404 "));

    shutdown.begin();
    health.draining();
    let answer = get(admin.address(), "/readyz");
    assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("\"draining\":true"), "{answer}");
    let address = admin.address();
    admin.join().await.unwrap();
    assert!(TcpStream::connect(address).is_err(), "the listener is closed");
}

#[tokio::test]
async fn joining_cuts_off_who_is_still_connected_and_dropping_ends_it_too() {
    let health = Health::new(Clock::system());
    let (admin, shutdown) = open(&health);
    let _idle = TcpStream::connect(admin.address()).unwrap();
    admin.join().await.unwrap();
    assert!(!shutdown.is_stopping(), "an end that was asked for is no failure");

    let (admin, _) = open(&health);
    let mut idle = TcpStream::connect(admin.address()).unwrap();
    drop(admin);
    // The end of the stream is the end of the thread's runtime, or of this one connection: closed either way. A connection
    // that was never accepted is reset instead.
    assert_eq!(idle.read(&mut [0; 1]).unwrap_or_default(), 0);
}
