use std::time::{Duration, Instant};

use http::{Method, StatusCode};
use runtime::{Answer, CallError, Shutdown};
use serde_json::json;

use super::{GenesysSim, GenesysSimConfig, Redelivery, SimChannel, WebhookState, sign};
use crate::testing::{self, Bridge, Caller, PATIENCE};

const SECRET: &str = "nexus-test-secret";
const CHANNEL: &str = "0123456789";
const CCID: &str = "0ff723ff-6c6f-44e0-9ce3-ce579337eadd";
const TEXT: &str = r#"{"messages":[{"channel":{"from":{"id":"16504661149"},"to":{"id":"0123456789"},"messageId":"m-1"},"type":"Text","text":"Consumer message text"}]}"#;

struct House {
    sim: GenesysSim,
    bridge: Bridge,
    caller: Caller,
}

async fn house() -> House {
    let bridge = Bridge::start().await;
    let channel =
        SimChannel { id: CHANNEL.to_owned(), secret: SECRET.to_owned(), webhook_url: Some(bridge.url.clone()) };
    let config = GenesysSimConfig { ccid: CCID.to_owned(), channels: vec![channel] };
    let sim = GenesysSim::start(testing::listener().await, config, Shutdown::new());
    sim.set_redelivery(Redelivery { attempts: 3, interval: Duration::from_millis(20), timeout: PATIENCE });
    House { sim, bridge, caller: Caller::new() }
}

impl House {
    async fn post_as(&self, channel: &str, ccid: &str, signature: &str, body: &str) -> Result<Answer, CallError> {
        let url = format!("{}/channels/{channel}/messages", self.sim.base_url());
        let headers = [
            ("x-hub-signature", signature),
            ("x-ccid", ccid),
            ("x-b3-traceid", "trace-1"),
            ("content-type", "application/json"),
        ];
        self.caller.call(Method::POST, &url, &headers, body, PATIENCE).await
    }

    async fn post(&self, body: &str) -> Answer {
        self.post_as(CHANNEL, CCID, &sign(SECRET, body.as_bytes()), body).await.expect("an answer")
    }

    async fn settled(&self, id: &str) -> WebhookState {
        self.sim.webhook_settled(id, PATIENCE).await.expect("the webhook is settled in time")
    }

    fn receipt(id: &str) -> String {
        let channel = json!({ "from": { "id": CHANNEL }, "to": { "id": "16504661149" }, "messageId": id });
        json!({ "messages": [{ "channel": channel, "type": "Receipt", "status": "Delivered" }] }).to_string()
    }
}

#[tokio::test]
async fn a_message_arrives_with_everything_it_carried() {
    let house = house().await;
    let answer = house.post(TEXT).await;
    assert_eq!(answer.status, StatusCode::OK);
    let body = testing::json(&answer);
    assert_eq!(body["status"]["code"], json!(0));
    assert!(body["data"]["ids"][0].as_str().unwrap().ends_with("-0"), "{body}");
    let [message] = house.sim.messages().try_into().unwrap();
    assert_eq!((message.from.as_str(), message.to.as_str()), ("16504661149", CHANNEL));
    assert_eq!((message.message_id.as_deref(), message.trace.as_deref()), (Some("m-1"), Some("trace-1")));
    assert_eq!((message.text.as_str(), message.signature_ok), ("Consumer message text", true));
    assert_eq!(message.raw, TEXT.as_bytes());
}

#[tokio::test]
async fn what_is_wrong_is_refused_and_not_kept() {
    let house = house().await;
    let right = sign(SECRET, TEXT.as_bytes());
    let status = async |channel: &str, ccid: &str, signature: &str, body: &str| {
        house.post_as(channel, ccid, signature, body).await.unwrap().status.as_u16()
    };
    assert_eq!(status(CHANNEL, CCID, &sign("another", TEXT.as_bytes()), TEXT).await, 401);
    assert_eq!(status(CHANNEL, CCID, &right, &format!("{TEXT} ")).await, 401);
    assert_eq!(status(CHANNEL, "another", &right, TEXT).await, 403);
    assert_eq!(status("99", CCID, &right, TEXT).await, 404);
    assert_eq!(status(CHANNEL, CCID, &sign(SECRET, b"{}"), "{}").await, 400);
    assert_eq!(house.sim.message_count(), 0);
    let refused: Vec<_> = house.sim.refusals().iter().map(|refusal| refusal.status).collect();
    assert_eq!(refused, [401, 401, 403, 404, 400]);
    house.sim.faults().accept_any_signature(1);
    assert_eq!(status(CHANNEL, CCID, "sha1=00", TEXT).await, 200);
    assert!(!house.sim.messages()[0].signature_ok);
}

#[tokio::test]
async fn a_webhook_is_signed_as_documented_and_accepted() {
    let house = house().await;
    house.bridge.will_answer(StatusCode::OK, r#"{"messageId":"echoed"}"#);
    let id = house.sim.agent_sends(CHANNEL, "16504661149", "Agent message text");
    assert_eq!(house.settled(&id).await, WebhookState::Accepted);
    let [post] = house.bridge.posts(1).await.try_into().unwrap_or_else(|_| panic!("one post"));
    assert_eq!(post.headers["x-hub-signature"], sign(SECRET, &post.body));
    let address = |id: &str| json!({ "id": id });
    let channel = json!({
        "id": CHANNEL, "type": "sms", "from": address(CHANNEL), "to": address("16504661149"), "messageId": id,
    });
    assert_eq!(post.json(), json!({ "channel": channel, "type": "Text", "text": "Agent message text" }));
    let message = house.sim.agent_message(&id).unwrap();
    assert_eq!(post.headers["x-b3-traceid"], message.trace.as_str());
    assert_eq!(message.attempts[0].echoed.as_deref(), Some("echoed"));
}

#[tokio::test]
async fn a_503_is_delivered_again_with_the_same_bytes() {
    let house = house().await;
    house.bridge.will_answer(StatusCode::SERVICE_UNAVAILABLE, "");
    house.bridge.will_answer(StatusCode::INTERNAL_SERVER_ERROR, "");
    let id = house.sim.agent_sends(CHANNEL, "16504661149", "again");
    assert_eq!(house.settled(&id).await, WebhookState::Accepted);
    let posts = house.bridge.posts(3).await;
    assert!(
        posts
            .iter()
            .all(|post| post.body == posts[0].body && post.headers["x-b3-traceid"] == posts[0].headers["x-b3-traceid"])
    );
    let statuses: Vec<_> =
        house.sim.agent_message(&id).unwrap().attempts.iter().map(|attempt| attempt.status).collect();
    assert_eq!(statuses, [Some(503), Some(500), Some(200)]);
}

#[tokio::test]
async fn a_4xx_is_final_and_5xx_have_an_end() {
    let house = house().await;
    house.bridge.will_answer(StatusCode::UNAUTHORIZED, "");
    let id = house.sim.agent_sends(CHANNEL, "16504661149", "refused");
    assert_eq!(house.settled(&id).await, WebhookState::Refused(401));
    assert_eq!(house.bridge.count(), 1);
    for _ in 0..3 {
        house.bridge.will_answer(StatusCode::SERVICE_UNAVAILABLE, "");
    }
    let id = house.sim.agent_sends(CHANNEL, "16504661149", "given up");
    assert_eq!(house.settled(&id).await, WebhookState::GaveUp);
    assert_eq!(house.bridge.count(), 4);
}

#[tokio::test]
async fn duplicates_and_wrong_signatures_can_be_had() {
    let house = house().await;
    house.sim.faults().duplicate_webhooks(4);
    house.sim.agent_sends(CHANNEL, "16504661149", "five times");
    let posts = house.bridge.posts(5).await;
    assert!(posts.iter().all(|post| post.body == posts[0].body));
    house.sim.faults().clear().await;
    house.sim.faults().wrong_signature(1);
    house.sim.agent_sends(CHANNEL, "16504661149", "badly signed");
    let last = house.bridge.posts(6).await.pop().unwrap();
    assert_ne!(last.headers["x-hub-signature"], sign(SECRET, &last.body));
}

#[tokio::test]
async fn any_body_can_be_posted() {
    let house = house().await;
    house.bridge.will_answer(StatusCode::BAD_REQUEST, "mend it");
    let answer = house.sim.agent_sends_raw(CHANNEL, "not json").await.unwrap();
    assert_eq!((answer.status, &answer.body[..]), (400, &b"mend it"[..]));
    let [post] = house.bridge.posts(1).await.try_into().unwrap_or_else(|_| panic!("one post"));
    assert_eq!(post.body, "not json");
    assert_eq!(post.headers["x-hub-signature"], sign(SECRET, b"not json"));
    assert!(house.sim.agent_sends_raw("99", "x").await.is_err());
}

#[tokio::test]
async fn a_receipt_before_the_answer_is_marked_early() {
    let house = house().await;
    for _ in 0..3 {
        house.bridge.will_answer(StatusCode::SERVICE_UNAVAILABLE, "");
    }
    let unanswered = house.sim.agent_sends(CHANNEL, "16504661149", "one");
    assert_eq!(house.settled(&unanswered).await, WebhookState::GaveUp);
    let accepted = house.sim.agent_sends(CHANNEL, "16504661149", "two");
    assert_eq!(house.settled(&accepted).await, WebhookState::Accepted);
    for id in [unanswered.as_str(), accepted.as_str(), "never-heard-of"] {
        assert_eq!(house.post(&House::receipt(id)).await.status, StatusCode::OK);
    }
    let flags: Vec<_> = house.sim.receipts().iter().map(|receipt| (receipt.early, receipt.known)).collect();
    assert_eq!(flags, [(true, true), (false, true), (false, false)]);
    assert_eq!(house.sim.receipt_count(), 3);
}

#[tokio::test]
async fn faults_strike_as_often_as_told() {
    let house = house().await;
    let faults = house.sim.faults();
    faults.answer_500(2);
    for expected in [500, 500, 200] {
        assert_eq!(house.post(TEXT).await.status.as_u16(), expected);
    }
    faults.answer_429(1, Duration::from_secs(7));
    let throttled = house.post(TEXT).await;
    assert_eq!((throttled.status.as_u16(), &throttled.headers["retry-after"]), (429, &"7".parse().unwrap()));
    faults.refuse_401(1);
    assert_eq!(house.post(TEXT).await.status.as_u16(), 401);
    faults.slow(Duration::from_millis(200));
    let began = Instant::now();
    assert_eq!(house.post(TEXT).await.status.as_u16(), 200);
    assert!(began.elapsed() >= Duration::from_millis(200));
    assert_eq!(house.sim.message_count(), 2);
}

#[tokio::test]
async fn an_answer_can_be_lost_and_the_whole_server_be_away() {
    let house = house().await;
    let signature = sign(SECRET, TEXT.as_bytes());
    house.sim.faults().close_after_accept(1);
    let lost = house.post_as(CHANNEL, CCID, &signature, TEXT).await;
    assert!(matches!(lost, Err(CallError::NoAnswer(_))), "{:?}", lost.map(|answer| answer.status));
    assert_eq!(house.sim.message_count(), 1, "it was carried out all the same");
    for _ in 0..3 {
        house.sim.faults().down(true).await;
        let refused = house.post_as(CHANNEL, CCID, &signature, TEXT).await;
        assert!(matches!(refused, Err(CallError::NotReached(_))), "{:?}", refused.map(|answer| answer.status));
        house.sim.faults().clear().await;
        assert_eq!(house.post(TEXT).await.status, StatusCode::OK);
    }
    assert_eq!(house.sim.message_count(), 4);
}
