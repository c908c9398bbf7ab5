//! Unsubscribing by one click (RFC 8058), by the URL in the mail itself, as a mail program does for its reader.

use std::net::SocketAddr;

use axum::Router;
use axum::extract::Request;
use axum::response::IntoResponse;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, header};
use runtime::Shutdown;
use runtime::http_server::{Limits, Tls, serve};
use serde_json::json;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::http::Http;
use crate::mail::{Company, public_record, settings, signing, verifies};
use crate::mail_in::{ANN, HELP, fixture};
use crate::settings::{Queues, Settings};
use crate::town::address;
use crate::world::on_both_brokers;

on_both_brokers!(one_click_in_a_mail_ends_the_mails);

const BOB: &str = "bob@consumer.example";
const ONE_CLICK: &str = "List-Unsubscribe=One-Click";

/// What ends TLS in front of the bridge.
struct Front {
    url: String,
    shutdown: Shutdown,
    _tasks: JoinSet<anyhow::Result<()>>,
}

impl Front {
    async fn before(bridge: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let url = format!("https://localhost:{}", listener.local_addr().expect("it is bound").port());
        let tls = Tls::load(&fixture("server.pem"), &fixture("server.key")).expect("the files fit");
        let inside = Http::new();
        let forward = move |request: Request| {
            let inside = inside.clone();
            async move {
                let (head, body) = request.into_parts();
                let body = axum::body::to_bytes(body, 1 << 16).await.expect("a small body");
                let url = format!("http://{bridge}{}", head.uri.path());
                let answer = inside.call(head.method, url, HeaderMap::new(), body).await.expect("the bridge answers");
                (answer.status, answer.body).into_response()
            }
        };
        let (shutdown, mut tasks) = (Shutdown::new(), JoinSet::new());
        let router = Router::new().fallback(forward);
        tasks.spawn(serve(listener, Some(tls), router, Limits::default(), shutdown.clone()));
        Self { url, shutdown, _tasks: tasks }
    }
}

/// A header of a mail, unfolded.
fn header_of(raw: &str, name: &str) -> String {
    let unfolded = raw.replace("\n ", " ").replace("\n\t", " ");
    let head = unfolded.lines().take_while(|line| !line.is_empty());
    let value = head.filter_map(|line| line.split_once(':')).find(|(known, _)| known.eq_ignore_ascii_case(name));
    value.unwrap_or_else(|| panic!("no {name} in:\n{raw}")).1.trim().to_owned()
}

async fn one_click_in_a_mail_ends_the_mails(queues: Queues) {
    let (folder, bridge) = (TempDir::new().expect("a folder"), address());
    let (key, dkim) = signing(&folder);
    let front = Front::before(bridge).await;
    let public = |keys: &str| Settings {
        http: bridge.to_string(),
        public_url: Some(front.url.clone()),
        ..settings(queues, "accepted", keys, "list_unsubscribe = \"url\"")
    };
    let company = Company::with(public, &dkim).await;
    company.writes("m-1", HELP, &[ANN], json!({})).await;
    let (_, raw) = company.mails("ann", 1).await.remove(0);

    // Both headers, and nobody on the way can change them.
    assert_eq!(header_of(&raw, "List-Unsubscribe-Post"), ONE_CLICK);
    let signature = header_of(&raw, "DKIM-Signature").replace(' ', "").to_lowercase();
    let signed = signature.split(';').find_map(|tag| tag.strip_prefix("h=")).expect("it names what it signs");
    for name in ["list-unsubscribe", "list-unsubscribe-post"] {
        assert!(signed.split(':').any(|known| known == name), "{name} is signed: {signed}");
    }
    let (mail, record) = (company.postfix.mails("ann").remove(0), public_record(&key));
    assert!(verifies(&mail, &record), "{raw}");
    let other = String::from_utf8_lossy(&mail).replace("/unsubscribe/", "/unsubscribe/x");
    assert!(!verifies(other.as_bytes(), &record), "another URL is noticed");

    let url = header_of(&raw, "List-Unsubscribe").trim_matches(['<', '>']).to_owned();
    assert!(url.starts_with(&format!("{}/unsubscribe/", front.url)), "{url}");
    let outside = Http::trusting(vec![fixture("authority.pem")]);
    // A program that only follows links has not clicked.
    assert_eq!(outside.get(url.clone()).await.expect("an answer").status, 200);
    company.writes("m-2", HELP, &[ANN], json!({})).await;
    assert_eq!(company.mails("ann", 2).await.len(), 2);

    let form = HeaderValue::from_static("application/x-www-form-urlencoded");
    let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, form)]);
    let left = outside.call(Method::POST, url, headers, Bytes::from_static(ONE_CLICK.as_bytes())).await;
    assert_eq!(left.expect("an answer").status, 200);
    company.refused("m-3", ANN).await;
    company.writes("m-4", HELP, &[BOB], json!({})).await;
    assert_eq!(company.mails("bob", 1).await.len(), 1, "nobody else left");
    assert_eq!(company.mails("ann", 2).await.len(), 2);
    company.close().await;
    front.shutdown.force();
}
