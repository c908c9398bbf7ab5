use std::time::Duration;

use http::{Method, StatusCode};
use runtime::http_server::{Limits, serve};
use runtime::{Answer, Shutdown};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::{Mailbox, PageState, Walk, router};
use crate::testing::{self, Bridge, Caller, PATIENCE};
use crate::{GenesysSim, GenesysSimConfig, MailSim, NetSapiensSim, NetSapiensSimConfig, SimChannel, SimNumber};

const COMPANY: &str = "13125550100";
const CONSUMER: &str = "13125550142";
const MAIL: &str = "company.example";

struct House {
    url: String,
    state: PageState,
    caller: Caller,
    server: JoinSet<anyhow::Result<()>>,
    _bridge: Bridge,
}

async fn house() -> House {
    let bridge = Bridge::start().await;
    let shutdown = Shutdown::new();
    let channel = SimChannel { id: COMPANY.to_owned(), secret: "s".to_owned(), webhook_url: Some(bridge.url.clone()) };
    let mail = SimChannel { id: MAIL.to_owned(), ..channel.clone() };
    let config = GenesysSimConfig { ccid: "c".to_owned(), channels: vec![channel, mail] };
    let genesys = GenesysSim::start(testing::listener().await, config, Shutdown::new());
    let config = NetSapiensSimConfig {
        domain: "example.com".to_owned(),
        api_key: "k".to_owned(),
        numbers: vec![SimNumber { user: "9000".to_owned(), number: COMPANY.to_owned() }],
        event_url: None,
    };
    let netsapiens = NetSapiensSim::start(testing::listener().await, config, Shutdown::new());
    let state = PageState {
        genesys,
        netsapiens,
        channel: COMPANY.to_owned(),
        company_number: COMPANY.to_owned(),
        consumer_number: CONSUMER.to_owned(),
        mailbox: Mailbox {
            server: MailSim::start(testing::listener().await, "consumer.example", Shutdown::new()),
            consumer: "ann@consumer.example".to_owned(),
            company: "help@company.example".to_owned(),
            channel: MAIL.to_owned(),
        },
        walk: Walk::new(async |number| Ok(json!({ "asked": number }))),
        shutdown: shutdown.clone(),
    };
    let listener = testing::listener().await;
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    let mut server = JoinSet::new();
    let limits = Limits { lag: Duration::ZERO, ..Limits::default() };
    server.spawn(serve(listener, None, router(state.clone()), limits, shutdown));
    House { url, state, caller: Caller::new(), server, _bridge: bridge }
}

impl House {
    async fn post(&self, path: &str, body: &Value) -> Answer {
        let headers = [("content-type", "application/json"), ("sec-fetch-site", "same-origin")];
        let url = format!("{}{path}", self.url);
        self.caller.call(Method::POST, &url, &headers, &body.to_string(), PATIENCE).await.expect("an answer")
    }

    async fn view(&self) -> Value {
        let url = format!("{}/view", self.url);
        testing::json(&self.caller.call(Method::GET, &url, &[], "", PATIENCE).await.expect("an answer"))
    }
}

#[tokio::test]
async fn the_page_is_one_file_that_runs_only_its_own_code() {
    let house = house().await;
    let url = format!("{}/", house.url);
    let page = house.caller.call(Method::GET, &url, &[], "", PATIENCE).await.unwrap();
    let policy = page.headers["content-security-policy"].to_str().unwrap();
    let nonce = policy.split("script-src 'nonce-").nth(1).unwrap().split('\'').next().unwrap();
    let html = std::str::from_utf8(&page.body).unwrap();
    assert_eq!(html.matches(&format!("nonce=\"{nonce}\"")).count(), 2, "one style, one script");
    assert!(!html.contains("{{") && !html.contains("innerHTML") && !html.contains("src=\""));
    for id in [
        "consumer-picture",
        "consumer-stop",
        "consumer-group",
        "agent-picture",
        "consumer-text",
        "agent-send",
        "agent-log",
        "walk",
        "fault-slow",
        "fault-duplicate-webhooks",
    ] {
        assert!(html.contains(&format!("id=\"{id}\"")), "{id}");
    }
    let again = house.caller.call(Method::GET, &url, &[], "", PATIENCE).await.unwrap();
    assert_ne!(again.headers["content-security-policy"], policy, "a nonce is used once");
}

#[tokio::test]
async fn what_is_said_on_one_side_is_in_the_view() {
    let house = house().await;
    assert_eq!(house.post("/consumer", &json!({ "text": "hello" })).await.status, StatusCode::OK);
    let told = testing::json(&house.post("/agent", &json!({ "text": "good day" })).await);
    let id = told["id"].as_str().unwrap();
    house.state.genesys.webhook_settled(id, PATIENCE).await.unwrap();
    let view = house.view().await;
    assert_eq!((&view["phone"][0]["text"], &view["phone"][0]["mine"]), (&json!("hello"), &json!(true)));
    let reply = &view["desk"][0];
    assert_eq!(
        (&reply["id"], &reply["webhook"], &reply["receipt"]),
        (&json!(id), &json!("accepted"), &json!("pending"))
    );
    assert_eq!(view["walk"]["asked"], json!(CONSUMER));
}

#[tokio::test]
async fn every_fault_can_be_switched_on_and_off() {
    let house = house().await;
    let names: Vec<_> = house.view().await["faults"].as_object().unwrap().keys().cloned().collect();
    assert_eq!(names.len(), 10);
    for on in [true, false] {
        for name in &names {
            assert_eq!(house.post("/fault", &json!({ "name": name, "on": on })).await.status, StatusCode::OK, "{name}");
            assert_eq!(house.view().await["faults"][name], json!(on), "{name}");
        }
    }
    assert_eq!(house.post("/fault", &json!({ "name": "none", "on": true })).await.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn bad_and_foreign_requests_are_refused() {
    let house = house().await;
    for body in [json!({}), json!({ "text": " " }), json!({ "text": "x".repeat(5001) }), json!([])] {
        assert_eq!(house.post("/agent", &body).await.status, StatusCode::BAD_REQUEST);
    }
    let headers = [("content-type", "application/json"), ("sec-fetch-site", "cross-site")];
    let url = format!("{}/agent", house.url);
    let foreign = house.caller.call(Method::POST, &url, &headers, r#"{"text":"x"}"#, PATIENCE).await.unwrap();
    assert_eq!(foreign.status, StatusCode::FORBIDDEN);
    let plain = house.caller.call(Method::POST, &url, &[("content-type", "text/plain")], r#"{"text":"x"}"#, PATIENCE);
    assert_eq!(plain.await.unwrap().status, StatusCode::BAD_REQUEST, "what a foreign form could send");
    assert!(house.state.genesys.agent_messages().is_empty());
}

#[tokio::test]
async fn changes_come_by_themselves_and_end_with_the_shutdown() {
    let mut house = house().await;
    let address = house.url.strip_prefix("http://").unwrap().to_owned();
    let mut stream = BufReader::new(TcpStream::connect(&address).await.unwrap());
    stream.write_all(b"GET /live HTTP/1.1\r\nhost: h\r\n\r\n").await.unwrap();
    let mut lines = stream.lines();
    assert!(seen(&mut lines, "\"phone\":[]").await);
    house.state.netsapiens.consumer_sends(CONSUMER, COMPANY, "news").unwrap();
    assert!(seen(&mut lines, "news").await);
    house.state.shutdown.begin();
    assert!(!seen(&mut lines, "never said").await, "the stream ends");
    timeout(PATIENCE, house.server.join_next()).await.unwrap().unwrap().unwrap().unwrap();
}

/// Whether an update with these words comes before the stream ends.
async fn seen(lines: &mut Lines<BufReader<TcpStream>>, wanted: &str) -> bool {
    let found = async {
        while let Some(line) = lines.next_line().await.expect("the stream is readable") {
            if line.starts_with("data:") && line.contains(wanted) {
                return true;
            }
        }
        false
    };
    timeout(PATIENCE, found).await.expect("something comes in time")
}

/// A consumer's mail leaves with its file, an agent's answer is posted, and what is wrong is refused.
#[tokio::test]
async fn mail_is_written_on_both_sides() {
    let house = house().await;
    let company = MailSim::start(testing::listener().await, MAIL, Shutdown::new());
    house.state.mailbox.server.set_company(company.address());
    let file = json!({ "name": "door.txt", "type": "text/plain", "data": "aGVsbG8=" });
    let written = json!({ "subject": "Order 42", "text": "Where is it?", "files": [file] });
    assert_eq!(house.post("/mail/consumer", &written).await.status, StatusCode::OK);
    let got = company.until(PATIENCE, |sim| sim.delivered().pop()).await.expect("it is brought");
    assert_eq!(
        (got.subject.as_str(), got.text.as_str(), got.files),
        ("Order 42", "Where is it?", vec!["door.txt".to_owned()])
    );
    let taken = |sim: &MailSim| sim.brought().pop().filter(|mail| mail.state == crate::OutgoingState::Accepted);
    assert!(house.state.mailbox.server.until(PATIENCE, taken).await.is_some());
    let view = house.view().await;
    assert_eq!(view["mail"]["phone"][0]["note"], json!("taken by the company"));

    let answer = house.post("/mail/agent", &json!({ "subject": "Re: Order 42", "text": "Tomorrow" })).await;
    let id = testing::json(&answer)["id"].as_str().expect("an id").to_owned();
    assert!(house.state.genesys.webhook_settled(&id, PATIENCE).await.is_some());
    assert_eq!(house.view().await["mail"]["desk"][0]["subject"], json!("Re: Order 42"));

    for wrong in [
        json!({ "subject": "x", "text": " " }),
        json!({ "subject": "x" }),
        json!({ "subject": "", "text": "x", "files": [{ "name": "a", "type": "", "data": "?" }] }),
    ] {
        assert_eq!(house.post("/mail/consumer", &wrong).await.status, StatusCode::BAD_REQUEST, "{wrong}");
    }
    assert_eq!(house.post("/mail/bounce", &json!({ "id": "none" })).await.status, StatusCode::CONFLICT);
}

#[tokio::test]
async fn pictures_and_a_group_are_in_the_view() {
    let house = house().await;
    let file = json!({ "name": "p.png", "type": "image/png", "data": "iVBORw0KGgo=" });
    for (path, body) in [
        ("/consumer", json!({ "text": "", "file": file })),
        ("/consumer", json!({ "text": "to all", "group": true })),
        ("/agent", json!({ "text": "Look", "file": file })),
    ] {
        assert_eq!(house.post(path, &body).await.status, StatusCode::OK, "{body}");
    }
    let view = house.view().await;
    assert_eq!(view["phone"][0]["files"], json!(["image/png, 8 bytes"]));
    assert_eq!(view["phone"][1]["text"], json!("to all"));
    assert_eq!(view["desk"][0]["text"], json!("Look"));
    let media = house.state.genesys.media();
    assert_eq!((media.len(), media[0].bytes.len()), (1, 8));
    let wrong = json!({ "text": "x", "file": { "name": "p", "type": "image/png", "data": "no base64!" } });
    assert_eq!(house.post("/consumer", &wrong).await.status, StatusCode::BAD_REQUEST);
    assert_eq!(house.post("/consumer", &json!({ "text": " " })).await.status, StatusCode::BAD_REQUEST);
}
