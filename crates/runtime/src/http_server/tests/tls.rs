use std::path::{Path, PathBuf};

use bytes::Bytes;
use http::Method;

use super::*;
use crate::{Call, CallError, HttpClient, HttpClientConfig};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/tls").join(name)
}

fn tls() -> Tls {
    Tls::load(&fixture("server.pem"), &fixture("server.key")).unwrap()
}

async fn ask(authorities: Vec<PathBuf>, host: &str, port: u16) -> Result<Bytes, CallError> {
    let config = HttpClientConfig { connect_timeout: PATIENCE, ca_files: authorities, proxy: None };
    let url = format!("https://{host}:{port}/");
    let call = Call { method: Method::GET, url, headers: HeaderMap::new(), body: Bytes::new(), timeout: PATIENCE };
    HttpClient::new(&config).unwrap().call("t", "o", call).await.map(|answer| answer.body)
}

#[tokio::test]
async fn a_certificate_counts_when_its_authority_is_known_and_its_name_is_right() {
    let running = start_with(Some(tls()), router(), quick()).await;
    let port = running.address.port();
    let known = vec![fixture("authority.pem")];
    assert_eq!(ask(known.clone(), "localhost", port).await.unwrap(), "hello");
    let unknown = ask(Vec::new(), "localhost", port).await.unwrap_err();
    assert!(matches!(unknown, CallError::NotReached(_)), "{unknown}");
    let misnamed = ask(known, "127.0.0.1", port).await.unwrap_err();
    assert!(matches!(misnamed, CallError::NotReached(_)), "{misnamed}");
}

#[tokio::test]
async fn a_slow_handshake_is_cut_off_and_a_drain_does_not_wait_for_it() {
    let mut running = start_with(Some(tls()), router(), quick()).await;
    assert_eq!(talk(running.address, "").await, "");

    running = start_with(Some(tls()), router(), Limits { lag: Duration::ZERO, ..Limits::default() }).await;
    let _silent = TcpStream::connect(running.address).await.unwrap();
    let began = Instant::now();
    running.shutdown.begin();
    running.ended().await;
    assert!(began.elapsed() < Limits::default().header_read, "the handshake was not waited for");
}

#[test]
fn files_that_do_not_serve_are_named() {
    let error = |cert: &str, key: &str| format!("{:#}", Tls::load(&fixture(cert), &fixture(key)).err().unwrap());
    assert!(error("nowhere.pem", "server.key").contains("nowhere.pem"));
    assert!(error("server.pem", "make.sh").contains("make.sh"));
    assert!(error("authority.pem", "server.key").contains("do not fit"));
    assert!(error("make.sh", "server.key").contains("make.sh holds no certificate in PEM"));
}
