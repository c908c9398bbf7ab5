use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{Request, State};
use axum::response::Response;
use model::{ChannelId, ChannelName, NeighbourName};
use runtime::{Clock, HttpClient, HttpClientConfig};
use secrecy::SecretString;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use http::HeaderMap;

use super::*;
use crate::{SecretEncoding, Secrets, Tenant};

const SECRET: &str = "nexus-test-secret";
const HELLO: Upload<'static> = Upload { name: "hello.txt", media_type: "text/plain", size: 12 };

type Seen = Arc<Mutex<Vec<(Method, String, HeaderMap, Vec<u8>)>>>;

struct Far {
    client: Client,
    seen: Seen,
    _server: JoinSet<()>,
}

#[derive(Clone)]
struct Answers {
    seen: Seen,
    status: u16,
    kind: &'static str,
    body: &'static str,
}

async fn answer(State(far): State<Answers>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 1 << 20).await.unwrap().to_vec();
    far.seen.lock().unwrap().push((parts.method, parts.uri.path().to_owned(), parts.headers, body));
    Response::builder().status(far.status).header("content-type", far.kind).body(far.body.into()).unwrap()
}

async fn far(media_signature: MediaSignature, status: u16, kind: &'static str, body: &'static str) -> Far {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base_url = format!("http://{}/nexus/v3", listener.local_addr().unwrap());
    let seen = Seen::default();
    let router = Router::new().fallback(answer).with_state(Answers { seen: Arc::clone(&seen), status, kind, body });
    let mut server = JoinSet::new();
    server.spawn(async move { axum::serve(listener, router).await.unwrap() });
    let tenant = Tenant {
        name: NeighbourName::new("main"),
        base_url,
        ccid: "ccid".to_owned(),
        channel_api_key: None,
        send_message_id: true,
        media_signature,
        open_media: crate::OpenMediaAccess::default(),
    };
    let http = HttpClientConfig { connect_timeout: Duration::from_secs(5), ca_files: Vec::new(), proxy: None };
    Far { client: Client::new(tenant, HttpClient::new(&http).unwrap(), Clock::system()), seen, _server: server }
}

fn channel() -> ChannelAccess {
    ChannelAccess {
        name: ChannelName::parse("sales").unwrap(),
        id: ChannelId::new("+0123456789"),
        secrets: Secrets::new(&[SecretString::from(SECRET)], SecretEncoding::Utf8).unwrap(),
    }
}

async fn hello() -> Result<ByteStream, CallError> {
    Ok(Box::pin(stream::iter([Ok(Bytes::from_static(b"hello ")), Ok(Bytes::from_static(b"nexus\n"))])))
}

fn trace() -> TraceId {
    TraceId::new("trace-1".to_owned())
}

const TAKEN: &str = r#"{"status":{"code":0},"data":{"mediaId":"bb4a9f86-dbbb-4464-a669-650da94fbad6","url":"genesys://nexus/bb4a9f86-dbbb-4464-a669-650da94fbad6","filename":"hello","mimetype":"text/plain","length":12}}"#;

/// V8a and V8b of the reference.
#[tokio::test]
async fn the_vectors_of_an_upload() {
    for (signature, expected) in [
        (MediaSignature::WholeBody, "sha1=8af1c89869428180c2392075a19a27ea80d638d2"),
        (MediaSignature::FileBytes, "sha1=fbcf7241e43f6e35e2cc14a8aa062e970c71766a"),
        (MediaSignature::Empty, "sha1=7d3d9c5a31e6676919d675d67901a74d99d116c3"),
    ] {
        let far = far(signature, 200, "application/json", TAKEN).await;
        let form = Form::with_boundary(&HELLO, "nexus-boundary-1".to_owned());
        assert_eq!(form.head.len() + 12 + form.tail.len(), 151);
        assert_eq!(far.client.signature(&channel(), &form, &hello).await.unwrap(), expected, "{signature:?}");
    }
}

#[tokio::test]
async fn an_upload_is_signed_over_the_exact_bytes_that_arrive() {
    let far = far(MediaSignature::WholeBody, 200, "application/json", TAKEN).await;
    let uploaded = far.client.upload(&channel(), &HELLO, hello, &trace()).await.unwrap();
    assert_eq!(uploaded.id, "bb4a9f86-dbbb-4464-a669-650da94fbad6");
    assert_eq!(uploaded.url, "genesys://nexus/bb4a9f86-dbbb-4464-a669-650da94fbad6");
    let (method, path, headers, body) = far.seen.lock().unwrap().remove(0);
    assert_eq!((method, path.as_str()), (Method::POST, "/nexus/v3/channels/%2B0123456789/media"));
    assert_eq!(headers["x-hub-signature"], sign(&channel().secrets, &body));
    assert_eq!(headers["content-length"], body.len().to_string(), "it is not sent in chunks");
    assert_eq!((&headers["x-ccid"], &headers["x-b3-traceid"]), (&"ccid".parse().unwrap(), &"trace-1".parse().unwrap()));
    let text = String::from_utf8(body).unwrap();
    assert!(headers["content-type"].to_str().unwrap().starts_with("multipart/form-data; boundary=causeway-"));
    let disposition =
        "Content-Disposition: form-data; name=\"file\"; filename=\"hello.txt\"\r\nContent-Type: text/plain";
    assert!(text.contains(disposition) && text.contains("\r\n\r\nhello nexus\n\r\n--"), "{text}");
}

#[tokio::test]
async fn a_name_cannot_break_out_of_its_header() {
    let far = far(MediaSignature::WholeBody, 200, "application/json", TAKEN).await;
    let file = Upload { name: "a\"\r\nX-Evil: 1\\.txt", ..HELLO };
    far.client.upload(&channel(), &file, hello, &trace()).await.unwrap();
    let body = String::from_utf8(far.seen.lock().unwrap().remove(0).3).unwrap();
    assert!(body.contains("filename=\"a___X-Evil: 1_.txt\""), "{body}");
}

#[tokio::test]
async fn a_file_that_changes_meanwhile_is_not_sent() {
    let far = far(MediaSignature::WholeBody, 200, "application/json", TAKEN).await;
    let longer = Upload { size: 20, ..HELLO };
    let refused = far.client.upload(&channel(), &longer, hello, &trace()).await;
    assert!(matches!(refused, Err(Refusal::Later { .. })), "{refused:?}");
}

#[tokio::test]
async fn a_download_gives_bytes_and_signs_nothing() {
    let far = far(MediaSignature::WholeBody, 200, "image/png", "picture").await;
    let answer = far.client.download(&channel(), "some-id", &trace()).await.unwrap();
    let bytes = whole(answer).await.unwrap().body;
    assert_eq!(bytes, "picture");
    let (method, path, headers, _) = far.seen.lock().unwrap().remove(0);
    assert_eq!((method, path.as_str()), (Method::GET, "/nexus/v3/channels/%2B0123456789/media/some-id"));
    assert_eq!(headers["x-hub-signature"], "sha1=7d3d9c5a31e6676919d675d67901a74d99d116c3", "V7");
}

#[tokio::test]
async fn what_a_download_may_be_instead() {
    let refused = async |status, kind, body| {
        let far = far(MediaSignature::WholeBody, status, kind, body).await;
        far.client.download(&channel(), "some-id", &trace()).await.map(|_| ()).expect_err("there is no file")
    };
    let json = "application/json";
    assert!(matches!(
        refused(404, json, r#"{"status":{"message":"Media not found"}}"#).await,
        Refusal::Never { code: "no-media", .. }
    ));
    let unknown = refused(404, json, r#"{"status":{"message":"Channel 1234567890 not found"}}"#).await;
    assert!(matches!(unknown, Refusal::ChannelFault { status: 404, .. }));
    assert!(matches!(refused(200, json, r#"{"status":{"code":2}}"#).await, Refusal::Never { .. }));
    assert!(matches!(refused(200, json, r#"{"status":{"code":0}}"#).await, Refusal::Never { code: "no-media", .. }));
    assert!(matches!(refused(503, "text/html", "<html>").await, Refusal::Later { .. }));
    assert!(matches!(refused(401, json, "").await, Refusal::ChannelFault { status: 401, .. }));
}

#[tokio::test]
async fn a_file_that_is_gone_already_is_deleted() {
    for (status, well) in [(200, true), (404, true), (403, false), (500, false)] {
        let far = far(MediaSignature::WholeBody, status, "application/json", "{}").await;
        assert_eq!(far.client.delete_media(&channel(), "id", &trace()).await.is_ok(), well, "{status}");
        assert_eq!(far.seen.lock().unwrap()[0].0, Method::DELETE);
    }
}

#[test]
fn references_are_checked_before_they_stand_in_a_path() {
    assert_eq!(media_id("genesys://nexus/bb4a9f86-dbbb"), Some("bb4a9f86-dbbb"));
    assert_eq!(media_id("genesys://nexus/abc?x=1"), Some("abc"));
    for refused in [
        "genesys://nexus/",
        "genesys://nexus/../x",
        "genesys://nexus/a%2fb",
        "https://nexus/abc",
        "genesys://other/abc",
    ] {
        assert_eq!(media_id(refused), None, "{refused}");
    }
    assert_eq!(media_id(&format!("genesys://nexus/{}", "a".repeat(65))), None);
}
