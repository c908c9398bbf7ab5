use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{Request, State};
use axum::response::Response;
use futures_util::TryStreamExt;
use jiff::tz::TimeZone;
use model::NeighbourName;
use runtime::{Clock, HttpClient, HttpClientConfig};
use secrecy::SecretString;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::super::account::Config;
use super::super::auth::Auth;
use super::*;

/// Path and query, and whether the key came along.
type Seen = Arc<Mutex<Vec<(String, bool)>>>;
type Answers = Arc<dyn Fn(&str, bool) -> Response + Send + Sync>;

struct Far {
    account: Account,
    base: String,
    seen: Seen,
    _server: JoinSet<()>,
}

async fn answer(State((answers, seen)): State<(Answers, Seen)>, request: Request) -> Response {
    let path = request.uri().to_string();
    let key = request.headers().contains_key(header::AUTHORIZATION);
    let answer = answers(&path, key);
    seen.lock().unwrap().push((path, key));
    answer
}

fn status(status: u16, body: impl Into<axum::body::Body>) -> Response {
    Response::builder().status(status).body(body.into()).unwrap()
}

async fn far(answers: impl Fn(&str, bool) -> Response + Send + Sync + 'static) -> Far {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let seen = Seen::default();
    let answers: Answers = Arc::new(answers);
    let router = Router::new().fallback(answer).with_state((answers, Arc::clone(&seen)));
    let mut server = JoinSet::new();
    server.spawn(async move { axum::serve(listener, router).await.unwrap() });
    let account = account(&format!("{base}/ns-api/v2"), &[]);
    Far { account, base, seen, _server: server }
}

fn account(base_url: &str, media_hosts: &[&str]) -> Account {
    let config = Config {
        name: NeighbourName::new("crexendo"),
        base_url: base_url.to_owned(),
        domain: "example.com".to_owned(),
        auth: Auth::ApiKey(SecretString::from("nsd_key")),
        webhook_secrets: Vec::new(),
        time_zone: TimeZone::UTC,
        own_numbers: Vec::new(),
        media_hosts: media_hosts.iter().map(|host| (*host).to_owned()).collect(),
    };
    let http = HttpClientConfig { connect_timeout: Duration::from_secs(5), ca_files: Vec::new(), proxy: None };
    Account::new(config, HttpClient::new(&http).unwrap(), Clock::system(), None)
}

fn at(url: &str) -> InboundFile {
    InboundFile { url: Some(url.to_owned().into()), row: Some("7".to_owned()), ..InboundFile::default() }
}

async fn bytes(opened: Result<OpenedFile, MediaError>) -> Vec<u8> {
    let body = opened.unwrap_or_else(|error| panic!("it is opened: {error}")).body;
    body.try_fold(Vec::new(), async |mut all, chunk| {
        all.extend_from_slice(&chunk);
        Ok(all)
    })
    .await
    .unwrap()
}

fn word(opened: Result<OpenedFile, MediaError>) -> &'static str {
    match opened {
        Err(MediaError::Refused { word, .. }) => word,
        Err(other) => panic!("it is refused for good: {other}"),
        Ok(_) => panic!("it is refused"),
    }
}

fn session() -> SessionId {
    SessionId::new("2d51df1810812ace8d138a2558d0bd79")
}

#[tokio::test]
async fn a_signed_url_is_fetched_without_the_key() {
    let far = far(|_, _| status(200, "picture")).await;
    let file = at(&format!("{}/ns-api/?object=message&action=read_media&auth=ab", far.base));
    assert_eq!(bytes(far.account.open_media("9000", &file, None).await).await, b"picture");
    let seen = far.seen.lock().unwrap().clone();
    assert_eq!(seen, [("/ns-api/?object=message&action=read_media&auth=ab".to_owned(), false)]);
}

#[tokio::test]
async fn the_key_is_shown_only_when_asked_for() {
    let far = far(|_, key| if key { status(200, "picture") } else { status(401, "") }).await;
    let file = at(&format!("{}/m", far.base));
    assert_eq!(bytes(far.account.open_media("9000", &file, None).await).await, b"picture");
    assert_eq!(far.seen.lock().unwrap().iter().map(|(_, key)| *key).collect::<Vec<_>>(), [false, true]);
}

#[tokio::test]
async fn an_expired_url_is_asked_for_again() {
    let base = Arc::new(Mutex::new(String::new()));
    let known = Arc::clone(&base);
    let far = far(move |path, _| match path {
        "/old" => status(403, ""),
        "/fresh" => status(200, "picture"),
        _ => {
            let url = format!("{}/fresh", known.lock().unwrap());
            let rows = serde_json::json!([{ "id": 8, "file-access-url ": "https://x/" }, { "id": 7, "file-access-url ": url }]);
            status(200, rows.to_string())
        }
    })
    .await;
    base.lock().unwrap().clone_from(&far.base);
    for file in [at(&format!("{}/old", far.base)), InboundFile { url: None, ..at("") }] {
        assert_eq!(bytes(far.account.open_media("9000", &file, Some(&session())).await).await, b"picture");
    }
    let rows =
        format!("/ns-api/v2/domains/example.com/users/9000/messagesessions/{}/messages?limit=50", session().as_str());
    assert!(far.seen.lock().unwrap().contains(&(rows, true)));
}

#[tokio::test]
async fn what_is_gone_is_told_from_what_may_come() {
    let gone = far(|path, _| match path {
        "/m" => status(404, ""),
        _ => status(200, r#"[{"id":7,"file-access-url":"/nowhere"}]"#),
    })
    .await;
    let file = at(&format!("{}/m", gone.base));
    assert_eq!(word(gone.account.open_media("9000", &file, Some(&session())).await), "bad-url");
    let busy = far(|_, _| status(503, "")).await;
    let later = busy.account.open_media("9000", &at(&format!("{}/m", busy.base)), None).await;
    assert!(matches!(later.map(|_| ()), Err(MediaError::Later { .. })));
}

#[tokio::test]
async fn a_redirect_leads_to_no_other_host() {
    let elsewhere = far(|_, _| status(200, "secret")).await;
    let target = elsewhere.base.clone();
    let far = far(move |path, _| match path {
        "/away" => Response::builder().status(302).header("location", format!("{target}/x")).body("".into()).unwrap(),
        "/inside" => {
            Response::builder().status(302).header("location", "http://169.254.169.254/latest").body("".into()).unwrap()
        }
        "/here" => Response::builder().status(302).header("location", "/picture").body("".into()).unwrap(),
        "/loop" => Response::builder().status(302).header("location", "/loop").body("".into()).unwrap(),
        _ => status(200, "picture"),
    })
    .await;
    let open = async |path: &str| far.account.open_media("9000", &at(&format!("{}{path}", far.base)), None).await;
    assert_eq!(bytes(open("/here").await).await, b"picture");
    assert_eq!(word(open("/loop").await), "redirect");
    assert_eq!(word(open("/inside").await), "other-host");
    let away = open("/away").await;
    assert!(matches!(word(away), "redirect" | "other-host"));
    assert!(elsewhere.seen.lock().unwrap().is_empty(), "nobody was called there");
}

#[tokio::test]
async fn urls_from_outside_lead_nowhere_else() {
    let account =
        account("https://core1.example.com/ns-api/v2", &["core2.example.com", ".media.example.com", "localhost"]);
    for (url, expected) in [
        ("http://core1.example.com/m", "bad-url"),
        ("https://user:word@core1.example.com/m", "bad-url"),
        ("https://core1.example.com:6379/m", "other-host"),
        ("https://core1.example.com.evil.test/m", "other-host"),
        ("https://evil.test/core1.example.com", "other-host"),
        ("https://media.example.com/m", "other-host"),
        ("https://xmedia.example.com/m", "other-host"),
        ("https://127.0.0.1/m", "other-host"),
        ("file:///etc/passwd", "bad-url"),
        ("gopher://core1.example.com/", "bad-url"),
        ("nonsense", "bad-url"),
        // Named by the operator, and an address inside all the same.
        ("https://localhost/m", "private-address"),
    ] {
        assert_eq!(word(account.open_media("9000", &at(url), None).await), expected, "{url}");
    }
    for allowed in ["https://core1.example.com/m", "https://CORE2.example.com/m", "https://a.media.example.com/m"] {
        assert!(account.allowed(allowed).is_ok(), "{allowed}");
    }
}

#[tokio::test]
async fn a_picture_that_comes_compressed_is_not_unpacked() {
    let far = far(|_, _| Response::builder().header("content-encoding", "gzip").body("bomb".into()).unwrap()).await;
    assert_eq!(word(far.account.open_media("9000", &at(&format!("{}/m", far.base)), None).await), "encoded");
}
