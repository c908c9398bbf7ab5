//! Logins against a server that keeps the rules of section 2.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::extract::{Request, State};
use axum::response::{Html, IntoResponse, Response};
use axum::{Json, Router};
use http::StatusCode;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use model::NeighbourName;
use runtime::{Clock, HttpClient, HttpClientConfig, ManualClock};
use secrecy::SecretString;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::{Auth, Login, Stored, TokenStore};
use crate::SendError;
use crate::netsapiens::{Account, Config};

/// What the server is told to be like, and what it saw.
#[derive(Default)]
struct Far {
    granted: u32,
    refreshed: u32,
    refused: u32,
    calls: u32,
    refresh: Option<String>,
    /// The one token that is taken; nothing where every one has expired.
    access: Option<String>,
    login: Option<(StatusCode, String)>,
    never_takes: bool,
    /// Logins that came in, whatever became of them.
    asked: u32,
    /// A login is not answered.
    swallows: bool,
}

type Shared = Arc<Mutex<Far>>;

async fn answer(State(far): State<Shared>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 1 << 16).await.unwrap();
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let is_login = parts.uri.path().ends_with("/tokens");
    let swallowed = {
        let mut far = far.lock().unwrap();
        far.asked += u32::from(is_login);
        is_login && far.swallows
    };
    if swallowed {
        std::future::pending::<()>().await;
    }
    let mut far = far.lock().unwrap();
    if is_login {
        return login(&mut far, &body);
    }
    far.calls += 1;
    let given = parts.headers["authorization"].to_str().unwrap().to_owned();
    if far.never_takes || far.access.as_ref().map(|access| format!("Bearer {access}")) != Some(given) {
        let told = json!({ "code": 401, "message": "The access token provided has expired." });
        return (StatusCode::UNAUTHORIZED, Json(told)).into_response();
    }
    Json(json!({ "apiversion": "45" })).into_response()
}

fn login(far: &mut Far, body: &Value) -> Response {
    assert_eq!((&body["client_id"], &body["client_secret"]), (&json!("bridge"), &json!("s3cret")));
    if let Some((status, told)) = far.login.clone() {
        far.refused += 1;
        return (status, Html(told)).into_response();
    }
    let known = match body["grant_type"].as_str() {
        Some("password") => body["password"] == "right",
        Some("refresh_token") => far.refresh.as_deref() == body["refresh_token"].as_str(),
        _ => false,
    };
    if !known {
        far.refused += 1;
        return (StatusCode::UNAUTHORIZED, Json(json!({ "code": 401, "message": "no" }))).into_response();
    }
    if body["grant_type"] == "password" {
        far.granted += 1;
    } else {
        far.refreshed += 1;
    }
    let number = far.granted + far.refreshed;
    (far.access, far.refresh) = (Some(format!("access-{number}")), Some(format!("refresh-{number}")));
    let told = json!({ "access_token": far.access, "refresh_token": far.refresh, "expires_in": 3600, "scope": "User" });
    Json(told).into_response()
}

#[derive(Debug, Default)]
struct Memory {
    marks: Mutex<HashMap<String, (String, u64)>>,
    lease: Mutex<Option<String>>,
}

impl TokenStore for Memory {
    fn read<'a>(&'a self, name: &'a str) -> Stored<'a, Option<(String, u64)>> {
        Box::pin(async move { Ok(self.marks.lock().unwrap().get(name).cloned()) })
    }

    fn put<'a>(&'a self, name: &'a str, expected: u64, value: &'a str) -> Stored<'a, bool> {
        Box::pin(async move {
            let mut marks = self.marks.lock().unwrap();
            let version = marks.get(name).map_or(0, |(_, version)| *version);
            if version != expected {
                return Ok(false);
            }
            marks.insert(name.to_owned(), (value.to_owned(), version + 1));
            Ok(true)
        })
    }

    fn lease<'a>(&'a self, _name: &'a str, owner: &'a str, _long: Duration) -> Stored<'a, bool> {
        Box::pin(async move {
            let mut lease = self.lease.lock().unwrap();
            Ok(lease.get_or_insert_with(|| owner.to_owned()) == owner)
        })
    }

    fn release<'a>(&'a self, _name: &'a str, owner: &'a str) -> Stored<'a, ()> {
        Box::pin(async move {
            let mut lease = self.lease.lock().unwrap();
            if lease.as_deref() == Some(owner) {
                *lease = None;
            }
            Ok(())
        })
    }
}

struct House {
    far: Shared,
    base_url: String,
    store: Arc<Memory>,
    clock: Clock,
    hand: ManualClock,
    _server: JoinSet<()>,
}

async fn house() -> House {
    let far = Shared::default();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base_url = format!("http://{}/ns-api/v2", listener.local_addr().unwrap());
    let router = Router::new().fallback(answer).with_state(Arc::clone(&far));
    let mut server = JoinSet::new();
    server.spawn(async move { axum::serve(listener, router).await.unwrap() });
    let (clock, hand) = Clock::manual(Timestamp::UNIX_EPOCH);
    House { far, base_url, store: Arc::default(), clock, hand, _server: server }
}

impl House {
    fn account(&self, password: &str) -> Account {
        let login = Login {
            client_id: "bridge".to_owned(),
            client_secret: SecretString::from("s3cret"),
            username: "1001@example.com".to_owned(),
            password: SecretString::from(password),
        };
        let config = Config {
            name: NeighbourName::new("crexendo"),
            base_url: self.base_url.clone(),
            domain: "example.com".to_owned(),
            auth: Auth::OAuth(login),
            webhook_secrets: Vec::new(),
            time_zone: TimeZone::UTC,
            media_hosts: Vec::new(),
            own_numbers: Vec::new(),
        };
        let http = HttpClientConfig { connect_timeout: Duration::from_secs(5), ca_files: Vec::new(), proxy: None };
        let store: Arc<dyn TokenStore> = self.store.clone();
        Account::new(config, HttpClient::new(&http).unwrap(), self.clock.clone(), Some(store))
    }

    /// Password grants, refreshes, refused logins, and other calls.
    fn seen(&self) -> [u32; 4] {
        let far = self.far.lock().unwrap();
        [far.granted, far.refreshed, far.refused, far.calls]
    }
}

fn fault(told: Result<impl std::fmt::Debug, SendError>) -> String {
    match told {
        Err(SendError::AccountFault { cause }) => {
            assert!(!cause.contains("right") && !cause.contains("wrong") && !cause.contains("s3cret"), "{cause}");
            cause
        }
        other => panic!("the account is not at fault: {other:?}"),
    }
}

#[tokio::test]
async fn token_grant_and_refresh_with_rotation() {
    let house = house().await;
    let account = house.account("right");
    for _ in 0..3 {
        account.version().await.unwrap();
    }
    assert_eq!(house.seen(), [1, 0, 0, 3], "one login is good for many calls");
    house.hand.advance(SignedDuration::from_secs(2_879));
    account.version().await.unwrap();
    assert_eq!(house.seen(), [1, 0, 0, 4]);
    house.hand.advance(SignedDuration::from_secs(1));
    account.version().await.unwrap();
    assert_eq!(house.seen(), [1, 1, 0, 5], "renewed at 80 % of its time, and no call was refused");
    house.hand.advance(SignedDuration::from_secs(3_000));
    account.version().await.unwrap();
    assert_eq!(house.seen(), [1, 2, 0, 6], "with the refresh token that came with the last one");
}

#[tokio::test]
async fn an_expired_token_is_renewed_once_per_request() {
    let house = house().await;
    let account = house.account("right");
    account.version().await.unwrap();
    house.hand.advance(SignedDuration::from_secs(90));
    house.far.lock().unwrap().access = None;
    account.version().await.unwrap();
    assert_eq!(house.seen(), [1, 1, 0, 3], "a 401, a refresh, and the call again");
    house.hand.advance(SignedDuration::from_secs(90));
    house.far.lock().unwrap().never_takes = true;
    fault(account.version().await);
    assert_eq!(house.seen(), [1, 2, 0, 5]);
    for _ in 0..5 {
        fault(account.version().await);
    }
    assert_eq!(house.seen()[..3], [1, 2, 0], "a server that takes no token is not logged in to in a loop");
}

#[tokio::test]
async fn a_refused_refresh_token_is_followed_by_the_password_once() {
    let house = house().await;
    let account = house.account("right");
    account.version().await.unwrap();
    house.far.lock().unwrap().refresh = Some("somebody else's".to_owned());
    house.hand.advance(SignedDuration::from_secs(3_600));
    account.version().await.unwrap();
    assert_eq!(house.seen(), [2, 0, 1, 2]);
}

#[tokio::test]
async fn wrong_credentials_pause_the_account_and_are_not_tried_in_a_loop() {
    let house = house().await;
    let (account, replica) = (house.account("wrong"), house.account("wrong"));
    for _ in 0..5 {
        assert!(fault(account.version().await).contains("check client_id, client_secret, username and password"));
        fault(replica.version().await);
    }
    assert_eq!(house.seen(), [0, 0, 1, 0], "one login of all replicas");
    house.account("right").version().await.unwrap();
    assert_eq!(house.seen(), [1, 0, 1, 1], "another password is tried at once");
    house.hand.advance(SignedDuration::from_mins(31));
    fault(account.version().await);
    assert_eq!(house.seen()[2], 2, "after a while, for the platform may have mended it");
}

#[tokio::test]
async fn replicas_share_one_token_and_log_nobody_out() {
    let house = house().await;
    let (one, two) = (house.account("right"), house.account("right"));
    let (first, second) = tokio::join!(one.version(), two.version());
    assert!(first.is_ok() && second.is_ok());
    assert_eq!(house.seen(), [1, 0, 0, 2]);
    for round in 1..4 {
        house.hand.advance(SignedDuration::from_secs(3_600));
        let (first, second) = tokio::join!(one.version(), two.version());
        assert!(first.is_ok() && second.is_ok(), "{first:?} {second:?}");
        assert_eq!(house.seen()[..3], [1, round, 0], "one of them refreshed, and the other one took what it got");
    }
}

#[tokio::test]
async fn a_200_without_a_token_or_with_a_second_factor_is_refused_with_its_cause() {
    for (told, expected) in [
        (json!({ "username": "1001@example.com" }).to_string(), "without a token"),
        ("<html>welcome</html>".to_owned(), "without a token"),
        (json!({ "access_token": "t", "scope": "mfa_required" }).to_string(), "second factor"),
    ] {
        let house = house().await;
        house.far.lock().unwrap().login = Some((StatusCode::OK, told));
        let account = house.account("right");
        assert!(fault(account.version().await).contains(expected));
        fault(account.version().await);
        assert_eq!(house.seen(), [0, 0, 1, 0], "and not asked for again and again");
    }
}

#[tokio::test]
async fn a_firewall_or_a_fault_at_the_login_is_no_wrong_password() {
    let house = house().await;
    let account = house.account("right");
    for (status, pause) in [(403, Some(300)), (408, None), (429, Some(30)), (500, None), (503, None)] {
        let status = StatusCode::from_u16(status).unwrap();
        house.far.lock().unwrap().login = Some((status, "<html>no</html>".to_owned()));
        let told = account.version().await;
        let Err(SendError::Later { after, .. }) = told else { panic!("{status}: {told:?}") };
        assert_eq!(after, pause.map(Duration::from_secs), "{status}");
    }
    house.far.lock().unwrap().login = Some((StatusCode::NOT_FOUND, "<html>nothing here</html>".to_owned()));
    assert!(fault(account.version().await).contains("no ns-api v2"));
}

#[tokio::test]
async fn a_token_is_used_to_its_end_while_the_next_one_cannot_be_had() {
    let house = house().await;
    let account = house.account("right");
    account.version().await.unwrap();
    house.hand.advance(SignedDuration::from_secs(3_000));
    house.far.lock().unwrap().login = Some((StatusCode::SERVICE_UNAVAILABLE, String::new()));
    account.version().await.unwrap();
    house.hand.advance(SignedDuration::from_secs(600));
    assert!(matches!(account.version().await, Err(SendError::Later { .. })));
}

/// A login that leads nowhere takes each call its own time and no more, however many wait for it, and no call is made without
/// time for it.
#[tokio::test]
async fn calls_wait_for_a_login_side_by_side() {
    let house = house().await;
    house.far.lock().unwrap().swallows = true;
    let mut account = house.account("right");
    account.timeout = Duration::from_secs(2);
    let mut calls = JoinSet::new();
    for _ in 0..20 {
        let account = account.clone();
        calls.spawn(async move { account.version().await });
    }
    let all = tokio::time::timeout(Duration::from_secs(20), calls.join_all()).await.expect("not one after the other");
    for told in all {
        assert!(matches!(told, Err(SendError::Later { .. })), "{told:?}");
    }
    assert_eq!(house.seen(), [0, 0, 0, 0], "and no call was made");
    assert!(house.far.lock().unwrap().asked <= 2, "they share what became of it");
    house.far.lock().unwrap().swallows = false;
    account.version().await.unwrap();
}

/// While the next token cannot be had, the one that is good for calls is used without waiting.
#[tokio::test]
async fn nobody_waits_for_a_login_with_a_good_token_in_hand() {
    let house = house().await;
    let mut account = house.account("right");
    account.timeout = Duration::from_secs(60);
    account.version().await.unwrap();
    house.hand.advance(SignedDuration::from_secs(3_000));
    house.far.lock().unwrap().swallows = true;
    let mut renewal = JoinSet::new();
    let renewing = account.clone();
    renewal.spawn(async move { renewing.version().await });
    let deadline = Instant::now() + Duration::from_secs(30);
    while house.far.lock().unwrap().asked < 2 {
        assert!(Instant::now() < deadline, "nobody renews it");
        tokio::task::yield_now().await;
    }
    for _ in 0..3 {
        let told = tokio::time::timeout(Duration::from_secs(30), account.version()).await;
        told.expect("it waits for the login").unwrap();
    }
    assert_eq!(house.far.lock().unwrap().asked, 2);
}
