use std::time::Duration;

use http::{Method, StatusCode};
use runtime::{Answer, CallError, Shutdown};
use serde_json::{Value, json};

use super::{EventOptions, NetSapiensSim, NetSapiensSimConfig, SendAnswer, SimNumber};
use crate::testing::{self, Bridge, Caller, PATIENCE};

const COMPANY: &str = "13125550100";
const CONSUMER: &str = "13125550142";
const SESSION: &str = "m0123456789abcdefghijklmnopqrstuvwxyz_01";

struct House {
    sim: NetSapiensSim,
    bridge: Bridge,
    caller: Caller,
}

async fn house() -> House {
    let bridge = Bridge::start().await;
    let number = |user: &str, number: &str| SimNumber { user: user.to_owned(), number: number.to_owned() };
    let config = NetSapiensSimConfig {
        domain: "example.com".to_owned(),
        api_key: "nsd_key".to_owned(),
        numbers: vec![number("9000", COMPANY), number("9001", "13125550101")],
        event_url: Some(bridge.url.clone()),
    };
    let sim = NetSapiensSim::start(testing::listener().await, config, Shutdown::new());
    House { sim, bridge, caller: Caller::new() }
}

fn sms(text: &str) -> Value {
    json!({ "type": "sms", "message": text, "destination": CONSUMER, "from-number": COMPANY })
}

fn path(session: &str) -> String {
    format!("/domains/example.com/users/9000/messagesessions/{session}/messages")
}

impl House {
    async fn try_send(&self, session: &str, body: &Value, timeout: Duration) -> Result<Answer, CallError> {
        let url = format!("{}{}", self.sim.base_url(), path(session));
        let user_agent = format!("causeway/0.1 {}", "a".repeat(80));
        let headers =
            [("authorization", "Bearer nsd_key"), ("content-type", "application/json"), ("user-agent", &user_agent)];
        self.caller.call(Method::POST, &url, &headers, &body.to_string(), timeout).await
    }

    async fn send(&self, session: &str, body: &Value) -> Answer {
        self.try_send(session, body, PATIENCE).await.expect("an answer")
    }

    async fn get(&self, path: &str) -> Answer {
        let url = format!("{}{path}", self.sim.base_url());
        self.caller
            .call(Method::GET, &url, &[("authorization", "Bearer nsd_key")], "", PATIENCE)
            .await
            .expect("an answer")
    }

    async fn read(&self, path: &str) -> Value {
        testing::json(&self.get(path).await)
    }
}

#[tokio::test]
async fn a_consumers_message_is_a_row_and_an_event() {
    let house = house().await;
    let id = house.sim.consumer_sends(CONSUMER, COMPANY, "007").unwrap();
    let [post] = house.bridge.posts(1).await.try_into().unwrap_or_else(|_| panic!("one event"));
    let event = post.json()[0].clone();
    assert!(event.as_object().unwrap().values().all(Value::is_string), "{event}");
    assert_eq!(
        (&event["object"], &event["direction"], &event["text"]),
        (&json!("message"), &json!("orig"), &json!("007"))
    );
    assert_eq!((&event["from_num"], &event["dialed"], &event["id"]), (&json!(CONSUMER), &json!(COMPANY), &json!(id)));
    let sessions = house.read("/domains/example.com/users/9000/messagesessions").await;
    assert_eq!(sessions[0]["messagesession-id"], event["session_id"]);
    assert_eq!(sessions[0]["messagesession-remote"], json!(13_125_550_142_i64));
    assert_eq!(sessions[0]["messagesession-last-status"], json!("unread"));
    let rows = house.read(&path(event["session_id"].as_str().unwrap())).await;
    assert_eq!(rows[0]["id"].to_string(), id);
    assert_eq!((&rows[0]["text"], &rows[0]["direction"]), (&json!(7), &json!("orig")), "PHP's numeric check");
    assert!(rows[0].get("file-access-url ").is_some(), "the documented trailing space");
    assert!(house.sim.consumer_sends(CONSUMER, "1999", "nobody's").is_err());
}

#[tokio::test]
async fn a_send_is_a_row_of_the_session_and_comes_back_as_an_echo() {
    let house = house().await;
    let answer = house.send(SESSION, &sms("Hello")).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED);
    assert_eq!(testing::json(&answer), json!({ "code": 202, "message": "Accepted" }));
    let [sent] = house.sim.sent().try_into().unwrap();
    assert_eq!((sent.session.as_str(), sent.user.as_str(), sent.text.as_str()), (SESSION, "9000", "Hello"));
    assert_eq!((sent.from.as_str(), sent.to.as_str(), sent.user_agent.len()), (COMPANY, CONSUMER, 93));
    let [echo] = house.bridge.posts(1).await.try_into().unwrap_or_else(|_| panic!("one event"));
    assert_eq!((&echo.json()[0]["direction"], &echo.json()[0]["from_num"]), (&json!("term"), &json!(COMPANY)));
    house.sim.consumer_sends(CONSUMER, COMPANY, "Hi").unwrap();
    let rows = house.read(&path(SESSION)).await;
    let texts: Vec<_> = rows.as_array().unwrap().iter().map(|row| row["text"].as_str().unwrap()).collect();
    assert_eq!(texts, ["Hi", "Hello"], "newest first, and the answer goes into the running session");
    assert_eq!((&rows[1]["direction"], &rows[1]["status"]), (&json!("term"), &json!("sending")));
    assert_eq!(rows[1]["from-user-agent"].as_str().unwrap().len(), 64);
    assert_eq!(house.read(&format!("{}?limit=1", path(SESSION))).await.as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn times_come_in_both_spellings() {
    let house = house().await;
    house.sim.consumer_sends(CONSUMER, COMPANY, "one").unwrap();
    house.sim.consumer_sends("13125550143", COMPANY, "two").unwrap();
    let sessions = house.read("/domains/example.com/messagesessions").await;
    let spelled = |key: &str| sessions.as_array().unwrap().iter().filter(|row| row.get(key).is_some()).count();
    assert_eq!((spelled("messagesession-last-timestamp"), spelled("messagesession-last-datetime")), (1, 1));
}

#[tokio::test]
async fn what_is_wrong_is_refused_and_not_sent() {
    let house = house().await;
    let mut foreign = sms("x");
    foreign["from-number"] = json!("13125550101");
    let mut plus = sms("x");
    plus["destination"] = json!("+13125550142");
    for body in [foreign, plus, sms(""), json!({ "type": "sms" }), json!([])] {
        assert_eq!(house.send(SESSION, &body).await.status, StatusCode::BAD_REQUEST, "{body}");
    }
    for session in ["short", "m0123456789-bcdefghijklmnopqrstuvwxyz_01"] {
        assert_eq!(house.send(session, &sms("x")).await.status, StatusCode::BAD_REQUEST, "{session}");
    }
    assert_eq!(house.send(SESSION, &sms("fine")).await.status, StatusCode::ACCEPTED);
    let mut other = sms("x");
    other["destination"] = json!("13125550199");
    assert_eq!(house.send(SESSION, &other).await.status, StatusCode::BAD_REQUEST, "another's session");
    let url = format!("{}/version", house.sim.base_url());
    let unknown =
        house.caller.call(Method::GET, &url, &[("authorization", "Bearer other")], "", PATIENCE).await.unwrap();
    assert_eq!(unknown.status, StatusCode::UNAUTHORIZED);
    assert_eq!(house.get("/domains/example.com/users/1/messagesessions").await.status, StatusCode::NOT_FOUND);
    assert_eq!(house.get("/domains/other.com/messagesessions").await.status, StatusCode::NOT_FOUND);
    assert_eq!(house.sim.sent_count(), 1);
}

#[tokio::test]
async fn the_start_up_questions_are_answered() {
    let house = house().await;
    assert!(house.read("/version").await["current-time"].is_string());
    assert_eq!(house.read("/apikeys/~").await["readonly"], json!("no"));
    assert_eq!(house.read("/domains/example.com/smsnumbers").await.as_array().unwrap().len(), 2);
    let only = house.read("/domains/example.com/users/9000/smsnumbers").await;
    assert_eq!((&only["number"], &only["dest"]), (&json!(COMPANY), &json!(9000)), "a list of one is a bare object");
}

#[tokio::test]
async fn events_can_come_as_twins_twice_or_not_at_all() {
    let house = house().await;
    let twins = Some(Duration::from_millis(20));
    house.sim.set_events(EventOptions { twins, duplicates: 1, other_ids: true, ..EventOptions::default() });
    let id = house.sim.consumer_sends(CONSUMER, COMPANY, "four events").unwrap();
    let posts = house.bridge.posts(4).await;
    let objects = |wanted: &str| posts.iter().filter(|post| post.json()[0]["object"] == json!(wanted)).count();
    assert_eq!((objects("message"), objects("messagesession")), (2, 2));
    assert_ne!(posts[0].json()[0]["id"], json!(id));
    house.sim.set_events(EventOptions::default());
    house.sim.faults().lose_events(1);
    house.sim.consumer_sends(CONSUMER, COMPANY, "lost").unwrap();
    house.bridge.will_answer(StatusCode::SERVICE_UNAVAILABLE, "");
    house.sim.consumer_sends(CONSUMER, COMPANY, "not taken").unwrap();
    assert_eq!(house.bridge.posts(5).await[4].json()[0]["text"], json!("not taken"));
    house.sim.consumer_sends(CONSUMER, COMPANY, "after it").unwrap();
    assert_eq!(house.bridge.posts(6).await[5].json()[0]["text"], json!("after it"), "nothing is posted again");
    let counted = house.sim.until(PATIENCE, |sim| (sim.event_counts().0 == 6).then(|| sim.event_counts())).await;
    assert_eq!(counted, Some((6, 1, 1)));
}

#[tokio::test]
async fn faults_strike_as_often_as_told() {
    let house = house().await;
    let faults = house.sim.faults();
    let status = async || house.send(SESSION, &sms("x")).await.status.as_u16();
    faults.answer_500(1);
    assert_eq!((status().await, house.sim.sent_count()), (500, 0));
    faults.forbidden_html(1);
    let forbidden = house.send(SESSION, &sms("x")).await;
    assert_eq!((forbidden.status.as_u16(), forbidden.body.starts_with(b"<html>")), (403, true));
    faults.answer_429(1, Duration::from_secs(3));
    assert_eq!(house.send(SESSION, &sms("x")).await.headers["retry-after"], "3");
    faults.embedded_error(1);
    let embedded = house.send(SESSION, &sms("x")).await;
    assert_eq!((embedded.status.as_u16(), &testing::json(&embedded)["status"]), (200, &json!("failed")));
    assert_eq!(house.sim.sent_count(), 0);
    faults.fail_after_accept(1);
    assert_eq!((status().await, house.sim.sent_count()), (500, 1));
    faults.reads_answer_500(1);
    assert_eq!(house.get("/version").await.status.as_u16(), 500);
    faults.send_answer(SendAnswer::Object);
    assert_eq!(testing::json(&house.send(SESSION, &sms("5")).await)["text"], json!(5));
    faults.send_answer(SendAnswer::Array);
    assert_eq!(testing::json(&house.send(SESSION, &sms("six")).await)[0]["text"], json!("six"));
}

#[tokio::test]
async fn an_answer_can_be_lost_late_or_impossible() {
    let house = house().await;
    let faults = house.sim.faults();
    faults.close_after_accept(1);
    assert!(matches!(house.try_send(SESSION, &sms("a"), PATIENCE).await, Err(CallError::NoAnswer(_))));
    faults.hang_after_accept(1);
    let late = house.try_send(SESSION, &sms("b"), Duration::from_millis(300)).await;
    assert!(matches!(late, Err(CallError::NoAnswer(_))));
    assert_eq!(house.sim.sent_count(), 2, "both were carried out all the same");
    faults.down(true).await;
    assert!(matches!(house.try_send(SESSION, &sms("c"), PATIENCE).await, Err(CallError::NotReached(_))));
    faults.clear().await;
    assert_eq!(house.send(SESSION, &sms("d")).await.status, StatusCode::ACCEPTED);
    assert_eq!(house.sim.sent_count(), 3);
}

impl House {
    async fn ask(&self, method: Method, path: &str, body: &Value) -> (u16, Value) {
        let url = format!("{}{path}", self.sim.base_url());
        let headers = [("authorization", "Bearer nsd_key"), ("content-type", "application/json")];
        let answer = self.caller.call(method, &url, &headers, &body.to_string(), PATIENCE).await.expect("an answer");
        (answer.status.as_u16(), serde_json::from_slice(&answer.body).unwrap_or_default())
    }
}

#[tokio::test]
async fn subscriptions_carry_events_until_posts_fail() {
    let house = house().await;
    house.sim.set_event_url("http://127.0.0.1:9/nobody");
    let path = "/domains/example.com/subscriptions";
    let wanted = json!({ "model": "message", "post-url": house.bridge.url, "domain": "example.com", "user": "9000" });
    let (status, made) = house.ask(Method::POST, path, &wanted).await;
    assert_eq!((status, &made["status"], &made["current-active-server"]), (200, &json!("pending"), &json!("")));
    assert_eq!(house.ask(Method::POST, path, &wanted).await.0, 409);
    house.sim.consumer_sends(CONSUMER, "13125550101", "another user's").unwrap();
    house.sim.consumer_sends(CONSUMER, COMPANY, "subscribed").unwrap();
    assert_eq!(house.bridge.posts(1).await[0].json()[0]["text"], json!("subscribed"));
    let status =
        |wanted: &'static str| move |sim: &NetSapiensSim| (sim.subscriptions()[0].status == wanted).then_some(());
    assert!(house.sim.until(PATIENCE, status("active")).await.is_some());
    for _ in 0..3 {
        house.bridge.will_answer(StatusCode::SERVICE_UNAVAILABLE, "");
        house.sim.consumer_sends(CONSUMER, COMPANY, "not taken").unwrap();
    }
    assert!(house.sim.until(PATIENCE, status("error")).await.is_some());
    let one = format!("/subscriptions/{}", made["id"].as_str().unwrap());
    let healed = json!({ "error-count": 0, "subscription-expires-datetime": "2020-01-01 00:00:00" });
    assert_eq!(house.ask(Method::PUT, &one, &healed).await.0, 202);
    assert_eq!((house.read(path).await, house.sim.subscriptions().len()), (json!([]), 1), "it has ended");
    assert_eq!(house.ask(Method::DELETE, &one, &json!({})).await.0, 202);
    assert_eq!(house.ask(Method::DELETE, &one, &json!({})).await.0, 404);
    house.sim.faults().old_core(true);
    assert_eq!(
        (house.ask(Method::POST, path, &wanted).await.0, house.ask(Method::POST, "/subscriptions", &wanted).await.0),
        (404, 200)
    );
}

#[tokio::test]
async fn a_group_has_a_session_of_its_own() {
    let house = house().await;
    let one = "13125550143";
    house.sim.consumer_sends_to_group(CONSUMER, COMPANY, &[one], "hello all").unwrap();
    let event = house.bridge.posts(1).await[0].json()[0].clone();
    let session = event["session_id"].as_str().unwrap().to_owned();
    let everybody = format!("{CONSUMER},{one},{COMPANY}");
    assert_eq!(
        (&event["participants"], &event["from_num"], &event["dialed"]),
        (&json!(everybody), &json!(CONSUMER), &json!(""))
    );
    let mut reply = sms("hello both");
    reply["destination"] = json!([one, CONSUMER]);
    assert_eq!(house.send(&session, &reply).await.status, StatusCode::ACCEPTED);
    assert_eq!(house.sim.sent()[0].to, format!("{CONSUMER},{one}"));
    assert_eq!(house.read(&path(&session)).await[1]["messagesession-participants"], json!(everybody));
}
