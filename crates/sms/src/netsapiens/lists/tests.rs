use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::Query;
use axum::{Json, Router};
use jiff::tz::TimeZone;
use model::NeighbourName;
use runtime::{Clock, HttpClient, HttpClientConfig};
use secrecy::SecretString;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::*;
use crate::netsapiens::{Auth, Config};

/// A server with so many numbers: which of them it gives for a start and a limit.
struct Far {
    account: Account,
    asked: Arc<Mutex<Vec<(usize, usize)>>>,
    _server: JoinSet<()>,
}

async fn far(gives: impl Fn(usize, usize) -> Vec<usize> + Clone + Send + Sync + 'static) -> Far {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&asked);
    let list = async move |Query(query): Query<HashMap<String, usize>>| {
        let (start, limit) = (query["start"], query["limit"]);
        noted.lock().unwrap().push((start, limit));
        let row = |number: usize| json!({ "number": 13_125_550_000_u64 + number as u64, "application": "user" });
        Json(gives(start, limit).into_iter().map(row).collect::<Value>())
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base_url = format!("http://{}/ns-api/v2", listener.local_addr().unwrap());
    let mut server = JoinSet::new();
    let router = Router::new().fallback(axum::routing::get(list));
    server.spawn(async move { axum::serve(listener, router).await.unwrap() });
    let config = Config {
        name: NeighbourName::new("crexendo"),
        base_url,
        domain: "example.com".to_owned(),
        auth: Auth::ApiKey(SecretString::from("nsd_key")),
        webhook_secrets: Vec::new(),
        time_zone: TimeZone::UTC,
        own_numbers: Vec::new(),
        media_hosts: Vec::new(),
    };
    let http = HttpClientConfig { connect_timeout: Duration::from_secs(5), ca_files: Vec::new(), proxy: None };
    let account = Account::new(config, HttpClient::new(&http).unwrap(), Clock::system(), None);
    Far { account, asked, _server: server }
}

impl Far {
    async fn numbers(&self) -> usize {
        let numbers = self.account.numbers(None).await.unwrap();
        let all: HashSet<String> = numbers.iter().map(|number| number.number.clone()).collect();
        assert_eq!(all.len(), numbers.len(), "each once");
        numbers.len()
    }
}

#[tokio::test]
async fn every_page_is_read_and_each_row_once() {
    let whole = far(|start, limit| (start..250.min(start + limit)).collect()).await;
    assert_eq!(whole.numbers().await, 250);
    assert_eq!(*whole.asked.lock().unwrap(), [(0, 100), (100, 100), (200, 100)]);
    let even = far(|start, limit| (start..200.min(start + limit)).collect()).await;
    assert_eq!(even.numbers().await, 200, "a last page that is full is followed by an empty one");
}

#[tokio::test]
async fn a_row_that_came_in_meanwhile_is_read_once() {
    // From the second page on everything has moved on by one.
    let moved = far(|start, limit| {
        let first = if start == 0 { 0 } else { start - 1 };
        (first..150.min(first + limit)).collect()
    })
    .await;
    assert_eq!(moved.numbers().await, 150);
}

#[tokio::test]
async fn a_server_that_knows_no_pages_is_asked_for_one_large_one() {
    let flat = far(|_, limit| (0..250.min(limit)).collect()).await;
    assert_eq!(flat.numbers().await, 250);
    assert_eq!(*flat.asked.lock().unwrap(), [(0, 100), (100, 100), (0, 1_000)]);
}
