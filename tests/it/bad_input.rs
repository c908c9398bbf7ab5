//! What bad input gets: an answer that says what to mend, at bounded cost, and a bridge that goes on as before.

use std::io::Write;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use hmac::{Hmac, KeyInit, Mac};
use http::{HeaderMap, Method};
use model::Family;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::settings::{CHANNEL, CHANNEL_SECRET, COMPANY, EVENT_SECRET, Queues};
use crate::world::World;

const CONSUMER: &str = "13125550142";

fn signature(secret: &str, body: &[u8]) -> String {
    let mut mac = Hmac::<sha1::Sha1>::new_from_slice(secret.as_bytes()).expect("any key length will do");
    mac.update(body);
    format!("sha1={}", hex::encode(mac.finalize().into_bytes()))
}

fn message(id: &str, text: &Value) -> String {
    let channel = json!({
        "id": COMPANY, "type": "sms", "from": { "id": COMPANY }, "to": { "id": CONSUMER }, "messageId": id,
    });
    json!({ "channel": channel, "type": "Text", "text": text }).to_string()
}

fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(body).expect("it is written to memory");
    encoder.finish().expect("it is written to memory")
}

struct Post<'a> {
    path: String,
    method: Method,
    body: Vec<u8>,
    signature: Option<String>,
    encoding: Option<&'a str>,
}

impl Post<'_> {
    fn signed(body: impl Into<Vec<u8>>) -> Self {
        let body = body.into();
        let signature = Some(signature(CHANNEL_SECRET, &body));
        Self { path: format!("/genesys/{CHANNEL}"), method: Method::POST, body, signature, encoding: None }
    }
}

impl World {
    async fn post(&self, post: Post<'_>) -> (u16, String, Option<String>) {
        let mut headers = HeaderMap::new();
        if let Some(signature) = post.signature {
            headers.insert("x-hub-signature", signature.parse().expect("it is ASCII"));
        }
        if let Some(encoding) = post.encoding {
            headers.insert("content-encoding", encoding.parse().expect("it is ASCII"));
        }
        let url = format!("http://{}{}", self.bridge(), post.path);
        let answer = self.http.call(post.method, url, headers, post.body.into()).await.expect("the bridge answers");
        let kind = answer.headers.get("content-type").and_then(|kind| kind.to_str().ok()).map(str::to_owned);
        (answer.status.as_u16(), String::from_utf8(answer.body.to_vec()).expect("it is text"), kind)
    }

    /// It is refused with this status, in the house's form, and leaks nothing.
    async fn refused(&self, what: &str, status: u16, post: Post<'_>) {
        let (found, body, kind) = self.post(post).await;
        assert_eq!(found, status, "{what}: {body}");
        assert_eq!(kind.as_deref(), Some("application/json"), "{what}");
        let told: Value = serde_json::from_str(&body).expect("it is JSON");
        for key in ["error", "detail"] {
            assert!(told[key].as_str().is_some_and(|told| !told.is_empty()), "{what}: {body}");
        }
        for private in [CONSUMER, CHANNEL_SECRET, EVENT_SECRET, "private words"] {
            assert!(!body.contains(private), "{what} leaks: {body}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_refusal_says_what_to_mend() {
    let world = World::on(Queues::Embedded).await;
    let good = message("m-1", &json!("private words"));
    let post = Post { signature: None, ..Post::signed(good.clone()) };
    world.refused("no signature", 401, post).await;
    let post = Post { signature: Some(signature("another secret", good.as_bytes())), ..Post::signed(good.clone()) };
    world.refused("wrong signature", 401, post).await;
    let post = Post { signature: Some("sha1=zz".to_owned()), ..Post::signed(good.clone()) };
    world.refused("half a signature", 401, post).await;
    let post = Post { path: "/genesys/nobody".to_owned(), ..Post::signed(good.clone()) };
    world.refused("unknown channel", 404, post).await;
    let other = good.replace(COMPANY, "13125550199");
    let post = Post { path: "/genesys".to_owned(), ..Post::signed(other.clone()) };
    world.refused("unknown channel by id", 404, post).await;
    world.refused("another channel on this one's URL", 404, Post::signed(other)).await;
    world.refused("unknown path", 404, Post { path: "/".to_owned(), ..Post::signed(good.clone()) }).await;
    let post = Post { method: Method::GET, ..Post::signed(good.clone()) };
    world.refused("wrong method", 405, post).await;
    world.refused("not JSON", 400, Post::signed("private words")).await;
    world.refused("no channel", 400, Post::signed(r#"{"type":"Text","text":"private words"}"#)).await;
    let nobody = json!({ "channel": { "id": COMPANY }, "type": "Text", "text": "private words" });
    world.refused("nobody to write to", 400, Post::signed(nobody.to_string())).await;
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    world.refused("deep nesting", 400, Post::signed(deep)).await;
    world.refused("ten megabytes", 413, Post::signed(vec![b'x'; 10 * 1024 * 1024])).await;
    let bomb = gzip(&vec![b' '; 20 * 1024 * 1024]);
    assert!(bomb.len() < 512 * 1024, "it is small on the wire");
    world.refused("a bomb", 413, Post { encoding: Some("gzip"), ..Post::signed(bomb) }).await;
    world.refused("not gzip", 400, Post { encoding: Some("gzip"), ..Post::signed(good.clone()) }).await;
    world.refused("another coding", 415, Post { encoding: Some("br"), ..Post::signed(good) }).await;
    let path = format!("/netsapiens/nobody/{EVENT_SECRET}");
    world.refused("unknown provider", 404, Post { path, ..Post::signed("{}") }).await;
    let path = "/netsapiens/crexendo/guess".to_owned();
    world.refused("wrong event secret", 404, Post { path, ..Post::signed("{}") }).await;
    assert_eq!(world.netsapiens.sent_count(), 0);
    goes_on(world, &[]).await;
}

/// After all of it a conversation runs as if nothing had been.
async fn goes_on(world: World, dead: &[Family]) {
    let before = (world.genesys.message_count(), world.genesys.receipt_count());
    world.text(CONSUMER, "still there?");
    world.agent_sees(before.0 + 1).await;
    let id = world.reply(CONSUMER, "still here");
    world.receipts_told(before.1 + 1).await;
    assert_eq!(world.receipts(&id), [("Delivered".to_owned(), Vec::new())]);
    world.end_with_dead_letters(dead).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn odd_webhooks_are_accepted_and_told() {
    let world = World::on(Queues::Embedded).await;
    let accepted = async |body: Vec<u8>, encoding| {
        let (status, body, _) = world.post(Post { encoding, ..Post::signed(body) }).await;
        assert_eq!(status, 200, "{body}");
    };
    let sent = [("m-number", json!(42), "42"), ("m-true", json!(true), "true")];
    for (id, text, _) in &sent {
        accepted(message(id, text).into_bytes(), None).await;
    }
    let half = message("m-half", &json!("HALF")).replace("HALF", "half \\ud83d an emoji");
    accepted(half.into_bytes(), None).await;
    let zipped = message("m-gzip", &json!("zipped"));
    accepted(gzip(zipped.as_bytes()), Some("gzip")).await;
    let twice =
        message("m-twice", &json!("FIRST")).replace("\"text\":\"FIRST\"", "\"text\":\"first\",\"text\":\"last\"");
    accepted(twice.into_bytes(), None).await;
    world.receipts_told(5).await;
    let texts: Vec<String> = world.on_phone(CONSUMER).into_iter().map(|sms| sms.text).collect();
    assert_eq!(texts, ["42", "true", "half \u{fffd} an emoji", "zipped", "last"]);

    let long = message("m-long", &json!("long ".repeat(20_000)));
    accepted(long.into_bytes(), None).await;
    world.receipts_told(6).await;
    goes_on(world, &[]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn odd_events_are_answered_200_and_kept_for_a_person() {
    let world = World::on(Queues::Embedded).await;
    for body in ["private words", "[[[", "{\"a\":", ""] {
        let path = format!("/netsapiens/crexendo/{EVENT_SECRET}");
        let (status, told, _) = world.post(Post { path, ..Post::signed(body) }).await;
        assert_eq!(status, 200, "{body}: {told}");
    }
    let odd = [json!(null), json!(42), json!([]), json!([null, 1, "x"]), json!({ "unknown": { "deep": [1] } })];
    for body in odd {
        let path = format!("/netsapiens/crexendo/{EVENT_SECRET}");
        let (status, told, _) = world.post(Post { path, ..Post::signed(body.to_string()) }).await;
        assert_eq!(status, 200, "{body}: {told}");
    }
    world
        .until("dead letters", async |world| {
            let letters = world.house.broker.dead_letters(Family::Inbound, 100).await.ok()?;
            (letters.len() >= 3).then_some(())
        })
        .await;
    goes_on(world, &[Family::Inbound]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_that_are_nobodys_are_told_with_their_cause() {
    let world = World::on(Queues::Embedded).await;
    let stranger = "13125550171";
    let text = json!([{
        "object": "message", "action": "INSERT", "id": "m-6541f0a2b3c4d", "timestamp": "2026-11-20 18:03:11", "type": "sms",
        "domain": "example.com", "direction": "orig", "from_num": stranger, "from_uid": "", "term_num": "",
        "term_uid": "7777@example.com", "dialed": "13125550999", "text": "private words",
        "session_id": "2d51df1810812ace8d138a2558d0bd79"
    }]);
    // It says no more than that something happened in a session of a user who is nobody here.
    let session = json!([{ "session_id": "2d51df1810812ace8d138a2558d0bd80", "user": "7777" }]);
    for (secret, expected, body) in [(EVENT_SECRET, 200, &text), (EVENT_SECRET, 200, &session), ("guessed", 404, &text)]
    {
        let path = format!("/netsapiens/crexendo/{secret}");
        let (status, told, _) = world.post(Post { path, ..Post::signed(body.to_string()) }).await;
        assert_eq!(status, expected, "{told}");
    }
    let path = format!("/netsapiens/nobody/{EVENT_SECRET}");
    assert_eq!(world.post(Post { path, ..Post::signed(text.to_string()) }).await.0, 404);
    let metrics = world.metrics().await;
    for (provider, cause) in [
        ("crexendo", "unknown-number"),
        ("crexendo", "unknown-user"),
        ("crexendo", "bad-secret"),
        ("unknown", "unknown-provider"),
    ] {
        let counted = format!("causeway_events_dropped_total{{provider=\"{provider}\",cause=\"{cause}\"}} ");
        assert!(metrics.contains(&counted), "{counted}");
    }
    let line = world
        .until("its line in the timeline", async |world| {
            let lines = world.house.ledger.as_ref()?.timeline(stranger).await.ok()?;
            lines.into_iter().find(|line| line.what == ledger::What::Failed)
        })
        .await;
    assert!(line.detail.contains("no channel here"), "{}", line.detail);
    goes_on(world, &[]).await;
}

/// Headers within 10 s (design 3.3); who stays silent is cut off, and the bridge serves others meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_headers_are_cut_off() {
    let world = World::on(Queues::Embedded).await;
    let mut slow = TcpStream::connect(world.bridge()).await.expect("the listener accepts");
    slow.write_all(b"POST /genesys/sales-sms HTTP/1.1\r\nHost: x\r\n").await.expect("it is sent");
    let mut rest = Vec::new();
    let cut = timeout(Duration::from_secs(20), slow.read_to_end(&mut rest)).await;
    assert!(cut.is_ok(), "a client that never ends its headers is cut off");
    goes_on(world, &[]).await;
}
