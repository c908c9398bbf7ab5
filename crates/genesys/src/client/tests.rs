use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use jiff::Timestamp;
use model::{Address, Arrival, ArrivalPath, MessageId, PhoneNumber, Private, ReasonCode, ReceiptStatus};
use runtime::HttpClientConfig;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::*;
use crate::SecretEncoding;

/// A tenant that keeps what it is sent, and answers what it is told.
#[derive(Clone)]
struct Far {
    answer: (u16, &'static str, Option<(&'static str, &'static str)>),
    seen: Arc<Mutex<Vec<(String, HeaderMap, Bytes)>>>,
}

async fn answer(State(far): State<Far>, request: Request) -> axum::response::Response {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    far.seen.lock().unwrap().push((parts.uri.path().to_owned(), parts.headers, body));
    let (status, body, header) = far.answer;
    let mut response = axum::response::Response::builder().status(StatusCode::from_u16(status).unwrap());
    if let Some((name, value)) = header {
        response = response.header(name, value);
    }
    response.body(body.into()).unwrap()
}

struct Tried {
    result: Result<Accepted, Refusal>,
    seen: Vec<(String, HeaderMap, Bytes)>,
}

async fn tries(answers: Far, times: usize) -> Tried {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut server = JoinSet::new();
    let router = Router::new().fallback(answer).with_state(answers.clone());
    server.spawn(async move { axum::serve(listener, router).await.unwrap() });
    let client = client(format!("http://{address}/nexus/v3"));
    let mut result = Err(Refusal::Never { code: "untried", cause: String::new() });
    for _ in 0..times {
        result = client.send_message(&access("0123456789"), &message()).await;
    }
    let seen = answers.seen.lock().unwrap().clone();
    Tried { result, seen }
}

async fn tried(status: u16, body: &'static str) -> Tried {
    tries(Far { answer: (status, body, None), seen: Arc::default() }, 1).await
}

fn client(base_url: String) -> Client {
    let tenant = Tenant {
        name: NeighbourName::new("main"),
        base_url,
        ccid: "0ff723ff-6c6f-44e0-9ce3-ce579337eadd".to_owned(),
        channel_api_key: None,
        media_signature: MediaSignature::WholeBody,
        send_message_id: true,
        open_media: OpenMediaAccess::default(),
    };
    let config = HttpClientConfig { connect_timeout: Duration::from_secs(5), ca_files: Vec::new(), proxy: None };
    Client::new(tenant, HttpClient::new(&config).unwrap(), Clock::system())
}

fn access(id: &str) -> ChannelAccess {
    let secrets = Secrets::new(&[SecretString::from("nexus-test-secret")], SecretEncoding::Utf8).unwrap();
    ChannelAccess { name: ChannelName::new("sales"), id: ChannelId::new(id), secrets }
}

fn message() -> InboundMessage {
    InboundMessage {
        id: MessageId::new("in-1"),
        channel: ChannelName::new("sales"),
        genesys: NeighbourName::new("main"),
        from: Address::Phone(PhoneNumber::normalise("16504661149", None).unwrap()),
        text: Private::new("Consumer message text".to_owned()),
        files: model::InboundFiles::default(),
        session: None,
        arrival: Arrival {
            path: ArrivalPath::MessageEvent,
            fingerprint: String::new(),
            sent_at: None,
            beside: Vec::new(),
        },
        unread: None,
        mail: None,
        trace: TraceId::new("5767ea58-1511-4a98-bc56-7f34c43e3a51"),
        received_at: Timestamp::UNIX_EPOCH,
    }
}

fn receipt(status: ReceiptStatus) -> Receipt {
    Receipt {
        accepted: false,
        id: MessageId::new("re-1"),
        channel: ChannelName::new("sales"),
        genesys: NeighbourName::new("main"),
        genesys_message_id: "1613474523265-0".to_owned(),
        from_id: Private::new("0123456789".to_owned()),
        to_id: Private::new("16504661149".to_owned()),
        to: Address::Phone(PhoneNumber::normalise("16504661149", None).unwrap()),
        status,
        trace: TraceId::new("t"),
        received_at: Timestamp::UNIX_EPOCH,
        told_at: None,
    }
}

#[test]
fn the_written_shapes_are_the_documented_ones() {
    let text = wire::text(&access("0123456789"), "16504661149", "Consumer message text", None);
    let v1 = r#"{"messages":[{"channel":{"from":{"id":"16504661149"},"to":{"id":"0123456789"}},"type":"Text","text":"Consumer message text"}]}"#;
    assert_eq!(String::from_utf8(text).unwrap(), v1);
    let v4 = r#"{"messages":[{"channel":{"from":{"id":"0123456789"},"to":{"id":"16504661149"},"messageId":"1613474523265-0"},"type":"Receipt","status":"Delivered"}]}"#;
    assert_eq!(String::from_utf8(wire::receipt(&receipt(ReceiptStatus::Delivered))).unwrap(), v4);
    let failed =
        receipt(ReceiptStatus::failed(ReasonCode::NotAllowed, "Message not allowed. Your account has been suspended."));
    let expected = r#""type":"Receipt","status":"Failed","reasons":[{"code":350,"message":"Message not allowed. Your account has been suspended."}]}]}"#;
    assert!(String::from_utf8(wire::receipt(&failed)).unwrap().ends_with(expected));
}

#[tokio::test]
async fn a_retry_is_byte_identical_and_signed() {
    let far = Far { answer: (500, "{}", None), seen: Arc::default() };
    let tried = tries(far, 2).await;
    let [first, second] = &tried.seen[..] else { panic!("two calls came in") };
    assert_eq!((&first.2, &first.1["x-hub-signature"]), (&second.2, &second.1["x-hub-signature"]));
    assert_eq!(first.0, "/nexus/v3/channels/0123456789/messages");
    assert_eq!(first.1["x-ccid"], "0ff723ff-6c6f-44e0-9ce3-ce579337eadd");
    assert_eq!(first.1["x-b3-traceid"], "5767ea58-1511-4a98-bc56-7f34c43e3a51");
    let verified = access("x").secrets.verify(Some(first.1["x-hub-signature"].to_str().unwrap()), &first.2);
    assert!(verified.is_ok(), "the very bytes that were sent are signed");
    assert!(first.1.get("x-api-key").is_none());
}

#[tokio::test]
async fn ids_of_an_accepted_message_are_read_in_five_forms() {
    for (body, expected) in [
        (r#"{"status":{"code":0},"data":{"ids":["1613473893265-0"]}}"#, Some("1613473893265-0")),
        (r#"{"status":{"code":0},"data":{"ids":[{"id":"a"}]}}"#, Some("a")),
        (r#"{"status":{"code":"SUCCESS"},"data":{"ids":[{"messageId":"a"}]}}"#, Some("a")),
        (r#"{"status":{"code":"0"},"data":{"ids":"a"}}"#, Some("a")),
        (r#"{"data":{"ids":[7]}}"#, Some("7")),
        ("", None),
    ] {
        let accepted = tried(200, body).await.result.unwrap();
        assert_eq!(accepted.id.as_deref(), expected, "{body}");
    }
}

#[tokio::test]
async fn answers_are_classified_by_what_to_do_next() {
    let later = |refusal: &Refusal| {
        matches!(refusal, Refusal::Later { blame: Blame::Tenant | Blame::Channel, maybe_done: false, .. })
    };
    for status in [408, 425, 429, 502, 503, 504] {
        assert!(later(&tried(status, "").await.result.unwrap_err()), "{status}");
    }
    let refusal = tried(500, "").await.result.unwrap_err();
    assert!(matches!(refusal, Refusal::Later { blame: Blame::Message, maybe_done: false, .. }), "{refusal:?}");
    for (status, says) in
        [(401, "secret_files of channel sales"), (403, "ccid"), (404, "provisioned"), (302, "base_url")]
    {
        let refusal = tried(status, "").await.result.unwrap_err();
        let Refusal::ChannelFault { cause, .. } = &refusal else { panic!("{status}: {refusal:?}") };
        assert!(cause.contains(says), "{cause}");
    }
    for (status, code) in
        [(400, "bad-request"), (413, "too-large"), (415, "unsupported"), (422, "unsupported"), (410, "refused")]
    {
        let refusal = tried(status, "").await.result.unwrap_err();
        assert!(matches!(refusal, Refusal::Never { code: found, .. } if found == code), "{status}: {refusal:?}");
    }
}

#[tokio::test]
async fn a_success_may_hold_a_refusal_and_errors_quote_nothing() {
    let refusal = tried(200, r#"{"status":{"code":1}}"#).await.result.unwrap_err();
    assert!(matches!(refusal, Refusal::Later { blame: Blame::Message, .. }), "{refusal:?}");
    let body = r#"{"status":{"code":2,"message":"Consumer message text of 16504661149"}}"#;
    let refusal = tried(200, body).await.result.unwrap_err();
    assert!(matches!(refusal, Refusal::Never { .. }), "{refusal:?}");
    assert_eq!(refusal.to_string(), "Genesys answered 200 OK (status.code 2)");
}

#[tokio::test]
async fn retry_after_is_passed_on() {
    let far = Far { answer: (429, "", Some(("retry-after", "30"))), seen: Arc::default() };
    let refusal = tries(far, 1).await.result.unwrap_err();
    assert!(
        matches!(refusal, Refusal::Later { after: Some(after), .. } if after == Duration::from_secs(30)),
        "{refusal:?}"
    );
}

#[tokio::test]
async fn nobody_there_is_certainly_not_done() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let refusal = client(format!("http://{address}")).send_message(&access("+1/2"), &message()).await.unwrap_err();
    assert!(matches!(refusal, Refusal::Later { maybe_done: false, blame: Blame::Tenant, .. }), "{refusal:?}");
    assert_eq!(url_segment("+1/2"), "%2B1%2F2");
}
