use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{Request, State};
use runtime::HttpClientConfig;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::*;
use crate::{OutgoingFile, Pictures};
use model::ReasonCode;

type Seen = Arc<Mutex<Vec<(String, HeaderMap, String)>>>;
type Answers = Arc<dyn Fn(&str) -> (u16, String) + Send + Sync>;

#[derive(Clone)]
struct Far {
    answers: Answers,
    seen: Seen,
}

async fn answer(State(far): State<Far>, request: Request) -> axum::response::Response {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    let path = parts.uri.path().to_owned();
    let (status, answer) = (far.answers)(&path);
    far.seen.lock().unwrap().push((path, parts.headers, String::from_utf8(body.to_vec()).unwrap()));
    axum::response::Response::builder().status(status).header("retry-after", "7").body(answer.into()).unwrap()
}

struct Running {
    account: Account,
    seen: Seen,
    _server: JoinSet<()>,
}

async fn far(answers: impl Fn(&str) -> (u16, String) + Send + Sync + 'static) -> Running {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let seen = Seen::default();
    let far = Far { answers: Arc::new(answers), seen: Arc::clone(&seen) };
    let mut server = JoinSet::new();
    let router = Router::new().fallback(answer).with_state(far);
    server.spawn(async move { axum::serve(listener, router).await.unwrap() });
    Running { account: account(format!("http://{address}/ns-api/v2")), seen, _server: server }
}

fn account(base_url: String) -> Account {
    let config = Config {
        name: NeighbourName::new("crexendo"),
        base_url,
        domain: "example.com".to_owned(),
        auth: Auth::ApiKey(SecretString::from("nsd_key")),
        webhook_secrets: vec![SecretString::from("new"), SecretString::from("old")],
        time_zone: TimeZone::UTC,
        own_numbers: vec!["13125550100".to_owned()],
        media_hosts: Vec::new(),
    };
    let http = HttpClientConfig { connect_timeout: Duration::from_secs(5), ca_files: Vec::new(), proxy: None };
    Account::new(config, HttpClient::new(&http).unwrap(), Clock::system(), None)
}

fn request(session: Option<&str>) -> SendRequest {
    SendRequest {
        user: "9000".to_owned(),
        from: "13125550100".to_owned(),
        to: PhoneNumber::normalise("13125550142", None).unwrap(),
        others: Vec::new(),
        text: "Hello there".to_owned().into(),
        file: None,
        session: session.map(SessionId::new),
        attempt: "0123456789ab".to_owned(),
        within: Duration::MAX,
    }
}

async fn sends(status: u16, body: &'static str) -> Result<Sent, SendError> {
    far(move |_| (status, body.to_owned())).await.account.send(&request(Some("s1"))).await
}

#[tokio::test]
async fn a_text_is_sent_into_its_session_under_the_name_of_its_attempt() {
    let running = far(|_| (202, r#"{"code":202,"message":"Accepted"}"#.to_owned())).await;
    let sent = running.account.send(&request(Some("2d51/?#"))).await.unwrap();
    assert_eq!(sent, Sent { provider_id: None, session: SessionId::new("2d51/?#") });
    let seen = running.seen.lock().unwrap();
    let (path, headers, body) = &seen[0];
    assert_eq!(path, "/ns-api/v2/domains/example.com/users/9000/messagesessions/2d51%2F%3F%23/messages");
    assert_eq!(headers["authorization"], "Bearer nsd_key");
    assert_eq!(headers["user-agent"], concat!("causeway/", env!("CARGO_PKG_VERSION"), " 0123456789ab"));
    assert_eq!(
        body,
        r#"{"type":"sms","message":"Hello there","destination":"13125550142","from-number":"13125550100"}"#
    );
}

fn picture(bytes: &'static [u8]) -> SendRequest {
    let file = OutgoingFile { media_type: "image/png".to_owned(), data: Bytes::from_static(bytes).into() };
    SendRequest { text: Private::default(), file: Some(file), ..request(Some("s1")) }
}

#[tokio::test]
async fn a_picture_is_sent_with_its_caption_or_the_least_there_is() {
    let running = far(|_| (202, String::new())).await;
    running.account.send(&picture(b"\x89PNG\r\n\x1a\n")).await.unwrap();
    let others = vec![PhoneNumber::normalise("13125550143", None).unwrap()];
    let group = SendRequest { text: "look".to_owned().into(), others, ..picture(b"\x89PNG\r\n\x1a\n") };
    running.account.send(&group).await.unwrap();
    let seen = running.seen.lock().unwrap();
    let tail = r#""from-number":"13125550100","data":"iVBORw0KGgo=","mime-type":"image/png","size":8}"#;
    assert_eq!(seen[0].2, format!(r#"{{"type":"mms","message":" ","destination":"13125550142",{tail}"#));
    let both = r#""destination":["13125550142","13125550143"]"#;
    assert_eq!(seen[1].2, format!(r#"{{"type":"mms","message":"look",{both},{tail}"#));
}

#[tokio::test]
async fn a_picture_is_found_by_its_name_then_by_what_it_is() {
    let row = |agent: Option<&str>, kind: Option<&str>, size: Option<u32>| {
        serde_json::json!([{ "id": 7, "direction": "term", "timestamp": "2026-11-20 18:03:12", "text": "",
            "from-user-agent": agent, "media-type": kind, "media-size": size }])
    };
    let looks = async |rows: Value| {
        let running = far(move |_| (200, rows.to_string())).await;
        running.account.look(&picture(b"12345678"), BEGAN.parse().unwrap(), &[]).await.unwrap()
    };
    let found = Look::Found { provider_id: Some("7".to_owned()) };
    let agent = history::user_agent("0123456789ab");
    for (row, expected) in [
        (row(Some(&agent), None, None), &found),
        (row(None, Some("image/png"), Some(8)), &found),
        (row(None, Some("IMAGE/PNG; name=x"), None), &found),
        (row(None, Some("image/png"), Some(9)), &Look::NotThere),
        (row(None, Some("image/jpeg"), Some(8)), &Look::NotThere),
        (row(None, None, None), &Look::NotThere),
    ] {
        assert_eq!(looks(row.clone()).await, *expected, "{row}");
    }
    let picture = row(None, Some("image/png"), Some(8));
    let running = far(move |_| (200, picture.to_string())).await;
    let silent = SendRequest { text: Private::default(), ..request(Some("s1")) };
    let looked = running.account.look(&silent, BEGAN.parse().unwrap(), &[]).await.unwrap();
    assert_eq!(looked, Look::NotThere, "a text is no picture");
}

#[tokio::test]
async fn a_number_sends_the_pictures_that_its_row_says() {
    let pictures = async |row: Value| {
        let running = far(move |_| (200, row.to_string())).await;
        running.account.pictures("9000", "+1 312 555 0100").await.unwrap()
    };
    let with = |to_one: Value, to_groups: Value| serde_json::json!([{ "number": 13125550100u64, "mms-capable": to_one, "group-mms-capable": to_groups }]);
    let all = Pictures { to_one: true, to_groups: true };
    assert_eq!(pictures(with(true.into(), "yes".into())).await, all);
    assert_eq!(pictures(with(1.into(), false.into())).await, Pictures { to_groups: false, ..all });
    assert_eq!(pictures(with(Value::Null, Value::Null)).await, Pictures::default(), "what is not said is not so");
    assert_eq!(pictures(serde_json::json!([])).await, Pictures::default());
}

#[tokio::test]
async fn without_a_usable_session_one_is_derived() {
    for session in [None, Some(""), Some("..")] {
        let running = far(|_| (200, String::new())).await;
        let sent = running.account.send(&request(session)).await.unwrap();
        assert_eq!(sent.session, derive_session("13125550100", "13125550142"), "{session:?}");
    }
}

#[tokio::test]
async fn any_2xx_is_accepted_and_ids_are_read_where_they_are() {
    for (status, body, id) in [
        (202, r#"{"code":202,"message":"Accepted"}"#, None),
        (200, r#"{"id":20202178326,"messagesession-id":"s1"}"#, Some("20202178326")),
        (200, r#"[{"id":"m-1","messagesession-id":"s1"}]"#, Some("m-1")),
        (200, "<html>fine</html>", None),
    ] {
        let sent = sends(status, body).await.unwrap();
        assert_eq!((sent.provider_id.as_deref(), sent.session.as_str()), (id, "s1"), "{body}");
    }
    for body in [r#"{"error":"no"}"#, r#"[{"status":"failed"}]"#, r#"{"ok":false}"#, r#"{"success":"false"}"#] {
        assert!(matches!(sends(200, body).await, Err(SendError::Never { .. })), "{body}");
    }
}

#[tokio::test]
async fn refusals_are_classified_by_what_to_do_next() {
    // Whoever gave up waiting does not say what became of it, and nobody may be texted twice.
    for status in [408, 500, 501, 502, 504, 520, 524] {
        for body in ["", "{}", "<html>"] {
            assert!(matches!(sends(status, body).await, Err(SendError::Unknown { .. })), "{status}");
        }
    }
    for status in [407, 421, 425] {
        assert!(matches!(sends(status, "").await, Err(SendError::Later { throttled: false, .. })), "{status}");
    }
    let seven = Some(Duration::from_secs(7));
    for status in [429, 503] {
        assert!(matches!(sends(status, "").await, Err(SendError::Later { after, .. }) if after == seven), "{status}");
    }
    assert!(matches!(sends(401, "{}").await, Err(SendError::AccountFault { .. })));
    assert!(matches!(sends(403, r#"{"code":403}"#).await, Err(SendError::AccountFault { .. })));
    assert!(matches!(sends(302, "").await, Err(SendError::AccountFault { .. })));
    for body in ["<html>blocked</html>", "", "Forbidden"] {
        let edge = sends(403, body).await.unwrap_err();
        assert!(matches!(edge, SendError::Blocked { .. }), "{edge:?}");
        assert_eq!(edge.after(), Some(Duration::from_secs(300)));
    }
    for (status, body, expected) in [
        (400, r#"{"code":400,"message":"to-number equals from-number 13125550142"}"#, ReasonCode::InvalidDestination),
        (400, r#"{"code":400,"message":"destination 13125550142 is invalid"}"#, ReasonCode::InvalidDestination),
        (400, r#"{"code":400,"message":"Number is invalid"}"#, ReasonCode::InvalidDestination),
        (400, "", ReasonCode::General),
        (413, "", ReasonCode::Unsupported),
        (422, "", ReasonCode::General),
    ] {
        let Err(SendError::Never { code, reason, cause }) = sends(status, body).await else {
            panic!("{status} {body}")
        };
        assert_eq!(code, expected, "{body}");
        assert!(!format!("{reason}{cause}").contains("1312555"), "nobody's number is told");
    }
}

/// A wrong number or user of the channel is no fault of any message, and no fault of the account.
#[tokio::test]
async fn a_number_or_user_that_is_not_there_is_the_channels_fault() {
    let not_owned = r#"{"code":400,"message":"Invalid from-number 13125550100"}"#;
    let no_user = r#"{"code":404,"message":"User 9000 does not exist in domain example.com"}"#;
    let cases = [(400, not_owned, "who owns the number"), (404, no_user, "user of the channel"), (404, "", "domain")];
    for (status, body, told) in cases {
        let Err(SendError::ChannelFault { cause }) = sends(status, body).await else { panic!("{status} {body}") };
        assert!(cause.contains(told) && !cause.contains("1312555"), "{cause}");
    }
}

#[tokio::test]
async fn an_old_server_gets_the_route_without_a_session_once() {
    let running =
        far(|path| if path.contains("messagesessions") { (404, String::new()) } else { (202, String::new()) }).await;
    assert!(running.account.send(&request(None)).await.is_ok());
    assert!(running.seen.lock().unwrap()[1].0.ends_with("/users/9000/messages"));
}

/// The caller takes an attempt for dead some seconds after 15: a second call with a time of its own would run past that.
#[tokio::test]
async fn both_routes_together_take_no_longer_than_one_call_may() {
    let limit = Duration::from_millis(1500);
    let slow = move |request: Request| async move {
        let held = if request.uri().path().contains("messagesessions") { limit * 2 / 3 } else { limit * 20 };
        let _over = tokio::time::timeout(held, std::future::pending::<()>()).await;
        StatusCode::NOT_FOUND
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut server = JoinSet::new();
    server.spawn(async move { axum::serve(listener, Router::new().fallback(slow)).await.unwrap() });
    let account = Account { timeout: limit, ..account(format!("http://{address}")) };
    let began = Instant::now();
    let sent = account.send(&request(None)).await;
    assert!(matches!(sent, Err(SendError::Unknown { .. })), "{sent:?}");
    assert!(began.elapsed() < limit * 3 / 2, "{:?}", began.elapsed());
}

#[tokio::test]
async fn nobody_there_is_certainly_not_sent() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let sent = account(format!("http://{address}")).send(&request(None)).await;
    assert!(matches!(sent, Err(SendError::Later { .. })), "{sent:?}");
}

const BEGAN: &str = "2026-11-20T18:03:11Z";

async fn looks(status: u16, rows: Value) -> Result<Look, SendError> {
    let running = far(move |_| (status, rows.to_string())).await;
    running.account.look(&request(Some("s1")), BEGAN.parse().unwrap(), &[]).await
}

#[tokio::test]
async fn an_attempt_is_found_by_its_name_then_by_its_text() {
    let row = |agent: Option<&str>, at: &str, text: &str| serde_json::json!({ "id": 7, "direction": "term", "timestamp": at, "text": text, "from-user-agent": agent });
    let agent = history::user_agent("0123456789ab");
    let found = Look::Found { provider_id: Some("7".to_owned()) };
    let (new, old) = ("2026-11-20 18:03:12", "2026-11-20 18:02:00");
    let cases = [
        (row(Some(&agent), old, "cut by the server"), &found),
        (row(Some("causeway/0.0.9 0123456789ab"), old, "made before an upgrade"), &found),
        (row(None, new, "Hello there"), &found),
        (row(Some("Mozilla"), new, " Hello there "), &found),
        (row(None, old, "Hello there"), &Look::NotThere),
        (row(None, new, "something else"), &Look::NotThere),
        (row(Some("causeway/0.0.9 another-try"), new, "Hello there"), &Look::NotThere),
    ];
    for (row, expected) in cases {
        assert_eq!(looks(200, serde_json::json!([row.clone()])).await.as_ref(), Ok(expected), "{row}");
        assert_eq!(looks(200, row.clone()).await.as_ref(), Ok(expected), "a list of one may come bare: {row}");
    }
    for (status, expected) in
        [("sending", &found), ("", &found), ("Delivery_Failed", &Look::Failed), ("rejected", &Look::Failed)]
    {
        let mut row = row(Some(&agent), new, "Hello there");
        row["status"] = status.into();
        assert_eq!(looks(200, serde_json::json!([row])).await.as_ref(), Ok(expected), "{status}");
    }
    let mut nobodys = row(None, new, "Hello there");
    nobodys["status"] = "failed".into();
    assert_eq!(looks(200, serde_json::json!([nobodys])).await, Ok(Look::NotThere), "it may be another one's");
    let cut = format!(r#"[{{"direction":"orig","text":"\ud83d"}},{}]"#, row(Some(&agent), new, "Hello there"));
    let running = far(move |_| (200, cut.clone())).await;
    let looked = running.account.look(&request(Some("s1")), BEGAN.parse().unwrap(), &[]).await;
    assert_eq!(looked.as_ref(), Ok(&found), "half an emoji of the consumer's hides no row of ours");
    let inbound = serde_json::json!([{ "direction": "orig", "timestamp": new, "text": "Hello there", "from-number": 13125550142u64 }]);
    assert_eq!(looks(200, inbound).await, Ok(Look::NotThere), "the consumer said the same");
}

#[tokio::test]
async fn a_row_is_claimed_by_one_reply_only() {
    let row = |id: u32| serde_json::json!({ "id": id, "direction": "term", "timestamp": "2026-11-20 18:03:12", "text": "Hello there" });
    let rows = serde_json::json!([row(7), row(8)]).to_string();
    let running = far(move |_| (200, rows.clone())).await;
    let looked = async |claimed: &[&str]| {
        let claimed: Vec<String> = claimed.iter().map(|id| (*id).to_owned()).collect();
        running.account.look(&request(Some("s1")), BEGAN.parse().unwrap(), &claimed).await.unwrap()
    };
    assert_eq!(looked(&["7"]).await, Look::Found { provider_id: Some("8".to_owned()) });
    assert_eq!(looked(&["7", "8"]).await, Look::NotThere);
}

/// The send went by the route without a session, so the server made one and nobody heard its id.
#[tokio::test]
async fn a_session_the_server_made_is_looked_into() {
    let running = far(|path| {
        let session = |id: &str, remote: &str| serde_json::json!({ "messagesession-id": id, "messagesession-remote": remote, "messagesession-sms-number": 13125550100u64 });
        let row = serde_json::json!({ "id": "9", "direction": "term", "timestamp": "2026-11-20 18:03:12", "text": "Hello there" });
        match path.rsplit('/').next() {
            Some("messagesessions") => (200, serde_json::json!([session("other", "13125550199"), session("made", "13125550142")]).to_string()),
            _ if path.contains("/made/") => (200, serde_json::json!([row]).to_string()),
            _ if path.contains("/other/") => (200, serde_json::json!([row]).to_string()),
            _ => (404, String::new()),
        }
    })
    .await;
    let looked = running.account.look(&request(None), BEGAN.parse().unwrap(), &[]).await;
    assert_eq!(looked, Ok(Look::Found { provider_id: Some("9".to_owned()) }));
    let asked: Vec<String> = running.seen.lock().unwrap().iter().map(|(path, ..)| path.clone()).collect();
    assert!(
        !asked.iter().any(|path| path.contains("/other/")),
        "another consumer's session is none of ours: {asked:?}"
    );
}

#[tokio::test]
async fn a_look_that_is_not_answered_says_nothing() {
    assert_eq!(looks(404, serde_json::json!({})).await, Ok(Look::NotThere));
    assert_eq!(looks(200, serde_json::json!([])).await, Ok(Look::NotThere));
    for status in [500, 503, 429, 400] {
        assert!(matches!(looks(status, serde_json::json!({})).await, Err(SendError::Later { .. })), "{status}");
    }
    assert!(matches!(looks(200, serde_json::json!("what")).await, Err(SendError::Later { .. })));
    assert!(matches!(looks(401, serde_json::json!({})).await, Err(SendError::AccountFault { .. })));
}

#[test]
fn every_secret_of_the_event_url_is_accepted_and_nothing_else() {
    let account = account("http://unused".to_owned());
    assert!(account.accepts_secret("new") && account.accepts_secret("old"));
    for wrong in ["", "ne", "news", "NEW"] {
        assert!(!account.accepts_secret(wrong), "{wrong}");
    }
}
