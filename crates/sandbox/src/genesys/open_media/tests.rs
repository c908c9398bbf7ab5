use http::Method;
use runtime::{CallError, Shutdown};
use serde_json::{Value, json};

use super::super::{GenesysSim, GenesysSimConfig, OpenMediaManners};
use crate::testing::{self, Caller, PATIENCE};

const KEY: &str = "open-media-key";

struct House {
    sim: GenesysSim,
    caller: Caller,
}

async fn house() -> House {
    let config = GenesysSimConfig { ccid: "ccid".to_owned(), channels: Vec::new() };
    let sim = GenesysSim::start(testing::listener().await, config, Shutdown::new());
    sim.serve_open_media(KEY, &["email-in"]);
    House { sim, caller: Caller::new() }
}

impl House {
    async fn tries(&self, key: &str, method: Method, path: &str, body: &str) -> Result<(u16, Value), CallError> {
        let url = format!("{}/openmedia/{path}", self.sim.base_url());
        let headers = [("x-api-key", key), ("content-type", "application/json")];
        let answer = self.caller.call(method, &url, &headers, body, PATIENCE).await?;
        Ok((answer.status.as_u16(), testing::json(&answer)))
    }

    async fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let path = format!("email-in/interactions{path}");
        self.tries(KEY, Method::POST, &path, &body).await.expect("an answer")
    }

    async fn get(&self, path: &str) -> (u16, Value) {
        let path = format!("email-in/interactions{path}");
        self.tries(KEY, Method::GET, &path, "").await.expect("an answer")
    }
}

fn task(id: &str) -> Value {
    json!({ "data": { "externalId": id, "receivedAt": "2026-11-19T10:15:30.000Z", "userData": { "Subject": "Order 42" } } })
}

#[tokio::test]
async fn all_seven_operations_do_what_is_documented() {
    let house = house().await;
    let (status, made) = house.post("", &task("em-1")).await;
    assert_eq!((status, &made["status"]["code"]), (200, &json!(0)));
    let id = made["data"]["id"].as_str().expect("an id").to_owned();
    for at in [format!("/{id}"), "/ext_em-1".to_owned()] {
        let (status, found) = house.get(&at).await;
        assert_eq!((status, &found["data"]["id"], &found["data"]["state"]), (200, &json!(id), &json!("queued")));
    }
    let changes = json!({ "data": {
        "changedProperties": { "Subject": "Order 42 (urgent)" }, "addedProperties": { "Bounced": "true" },
    } });
    assert_eq!(house.post("/ext_em-1/update", &changes).await.0, 200);
    assert_eq!(house.post("/ext_em-1/update", &changes).await.0, 400, "what is there cannot be added");
    let deletes = json!({ "data": { "deletedProperties": ["Bounced"] } });
    assert_eq!(house.post(&format!("/{id}/update"), &deletes).await.0, 200);
    let [interaction] = house.sim.interactions().try_into().expect("one task");
    assert_eq!(
        interaction.user_data.into_iter().collect::<Vec<_>>(),
        [("Subject".to_owned(), "Order 42 (urgent)".to_owned())]
    );
    let reason = json!({ "data": { "reasonSystemName": "Normal" } });
    assert_eq!(house.post(&format!("/{id}/stop"), &reason).await.0, 200);
    assert_eq!(house.post("/ext_em-1/stop", &Value::Null).await.0, 404, "it has ended");
    assert_eq!(house.get(&format!("/{id}")).await.0, 404);
    assert_eq!(house.post("/ext_em-1/update", &changes).await.0, 404);
    assert_eq!(house.post("", &task("em-2")).await.0, 200);
    assert_eq!(house.post("/ext_em-2/stop", &Value::Null).await.0, 200);
}

#[tokio::test]
async fn an_external_id_is_taken_once() {
    let house = house().await;
    assert_eq!(house.post("", &task("em-1")).await.0, 200);
    assert_eq!(house.post("", &task("em-1")).await.0, 409);
    house.sim.agent_finishes(&house.sim.interactions()[0].id);
    assert_eq!(house.post("", &task("em-1")).await.0, 409, "also when it has ended");
    let manners = OpenMediaManners { shows_stopped: true, reuses_external_ids: true, ..OpenMediaManners::default() };
    house.sim.set_open_media_manners(manners);
    assert_eq!(house.get("/ext_em-1").await.1["data"]["state"], json!("stopped"));
    assert_eq!(house.post("", &task("em-1")).await.0, 200);
    assert_eq!(house.sim.interactions().len(), 2);
}

#[tokio::test]
async fn what_is_wrong_is_refused() {
    let house = house().await;
    let body = task("em-1").to_string();
    let tries = async |key: &str, path: &str, body: &str| {
        house.tries(key, Method::POST, path, body).await.expect("an answer").0
    };
    assert_eq!(tries("another", "email-in/interactions", &body).await, 401);
    assert_eq!(tries(KEY, "nobody/interactions", &body).await, 404);
    let wrong = [
        json!({ "externalId": "em-1" }),
        json!({ "data": { "externalId": 7 } }),
        json!({ "data": { "userData": { "n": 1 } } }),
        json!({ "data": { "unknown": "x" } }),
        json!({ "data": {}, "more": {} }),
        json!([]),
    ];
    for body in wrong {
        assert_eq!(house.post("", &body).await.0, 400, "{body}");
    }
    house.sim.set_open_media_manners(OpenMediaManners { bare_bodies: true, ..OpenMediaManners::default() });
    assert_eq!(house.post("", &task("em-1")).await.0, 400);
    assert_eq!(house.post("", &json!({ "externalId": "em-1" })).await.0, 200);
    assert_eq!(house.sim.refusals().len(), 8, "{:?}", house.sim.refusals());
}

#[tokio::test]
async fn faults_strike_tasks_too() {
    let house = house().await;
    house.sim.faults().answer_500(1);
    assert_eq!(house.post("", &task("em-1")).await.0, 500);
    house.sim.faults().close_after_accept(1);
    let lost = house.tries(KEY, Method::POST, "email-in/interactions", &task("em-1").to_string()).await;
    assert!(matches!(lost, Err(CallError::NoAnswer(_))), "{lost:?}");
    assert_eq!(house.sim.interactions().len(), 1, "it was made all the same");
    assert_eq!(house.post("", &task("em-1")).await.0, 409);
    house.sim.set_open_media_manners(OpenMediaManners { tells_nothing: true, ..OpenMediaManners::default() });
    assert_eq!(house.get("/ext_em-1").await, (200, json!({ "status": { "code": 0 }, "data": {} })));
}
