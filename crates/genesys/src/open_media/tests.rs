use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{Request, State};
use axum::response::Response;
use model::NeighbourName;
use runtime::{Clock, HttpClient, HttpClientConfig};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::*;
use crate::{Blame, MediaSignature, Tenant};

type Seen = Arc<Mutex<Vec<(Method, String, HeaderMap, String)>>>;
type Answers = Arc<Mutex<VecDeque<(u16, &'static str)>>>;

/// A tenant that keeps what it is asked, and answers what it is told, in turn.
struct Far {
    client: Client,
    seen: Seen,
    _server: JoinSet<()>,
}

impl Far {
    /// Method and path of every call, in turn.
    fn asked(&self) -> Vec<(String, String)> {
        let seen = self.seen.lock().unwrap();
        seen.iter().map(|(method, path, ..)| (method.to_string(), path.clone())).collect()
    }

    fn body(&self, index: usize) -> String {
        self.seen.lock().unwrap()[index].3.clone()
    }
}

async fn answer(State((answers, seen)): State<(Answers, Seen)>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    let body = String::from_utf8(body.to_vec()).unwrap();
    seen.lock().unwrap().push((parts.method, parts.uri.path().to_owned(), parts.headers, body));
    let (status, body) = answers.lock().unwrap().pop_front().unwrap_or((500, "nobody expected this call"));
    Response::builder().status(status).body(body.into()).unwrap()
}

async fn far_with(wrapper: BodyWrapper, answers: &[(u16, &'static str)]) -> Far {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base_url = format!("http://{}/nexus/v3", listener.local_addr().unwrap());
    let (answers, seen): (Answers, Seen) = (Arc::new(Mutex::new(answers.iter().copied().collect())), Seen::default());
    let router = Router::new().fallback(answer).with_state((answers, Arc::clone(&seen)));
    let mut server = JoinSet::new();
    server.spawn(async move { axum::serve(listener, router).await.unwrap() });
    let tenant = Tenant {
        name: NeighbourName::new("main"),
        base_url,
        ccid: "ccid".to_owned(),
        channel_api_key: None,
        send_message_id: true,
        media_signature: MediaSignature::WholeBody,
        open_media: OpenMediaAccess { api_key: Some(SecretString::from("open-media-key")), wrapper },
    };
    let http = HttpClientConfig { connect_timeout: Duration::from_secs(5), ca_files: Vec::new(), proxy: None };
    Far { client: Client::new(tenant, HttpClient::new(&http).unwrap(), Clock::system()), seen, _server: server }
}

async fn far(answers: &[(u16, &'static str)]) -> Far {
    far_with(BodyWrapper::Data, answers).await
}

fn external(id: &str) -> InteractionRef {
    InteractionRef::External(ExternalId::parse(id).unwrap())
}

fn new() -> NewInteraction {
    NewInteraction {
        external_id: ExternalId::parse("em-3f9c1b").unwrap(),
        parent: Some("00027aH6V9XY00AB".to_owned()),
        received_at: Some("2026-11-19T10:15:30Z".parse().unwrap()),
        user_data: UserData::default().with("Subject", "Order 42").with("Cc", "").with("FromAddress", "a@b.example"),
    }
}

const MADE: (u16, &str) = (200, r#"{"status":{"code":0},"data":{"id":"00027aH6V9XY00AC"}}"#);
const STOPPED: (u16, &str) = (200, r#"{"data":{"interaction":{"id":"00027aH6V9XY00AC","state":"Stopped"}}}"#);
const MISSING: (u16, &str) = (404, r#"{"status":{"code":404}}"#);
const TAKEN: (u16, &str) = (409, r#"{"status":{"code":409}}"#);

#[tokio::test]
async fn open_media_create_writes_the_documented_body() {
    let far = far(&[MADE]).await;
    let made = far.client.create_interaction("email in", &new(), false).await.unwrap();
    let Created::Made(made) = made else { panic!("{made:?}") };
    assert_eq!((made.id.as_deref(), made.ended), (Some("00027aH6V9XY00AC"), false));
    let (method, path, headers, body) = far.seen.lock().unwrap().remove(0);
    assert_eq!((method, path.as_str()), (Method::POST, "/nexus/v3/openmedia/email%20in/interactions"));
    assert_eq!(headers["x-api-key"], "open-media-key");
    assert_eq!(headers["content-type"], "application/json");
    assert!(headers.get("x-hub-signature").is_none() && headers.get("x-ccid").is_none(), "neither is listed");
    let expected = r#"{"data":{"externalId":"em-3f9c1b","parentInteractionId":"00027aH6V9XY00AB","receivedAt":"2026-11-19T10:15:30.000Z","userData":{"Subject":"Order 42","FromAddress":"a@b.example"}}}"#;
    assert_eq!(body, expected);
}

#[tokio::test]
async fn open_media_bodies_can_be_bare_and_hold_no_nulls() {
    let far = far_with(BodyWrapper::Bare, &[MADE]).await;
    let plain = NewInteraction { parent: None, received_at: None, user_data: UserData::default(), ..new() };
    far.client.create_interaction("email-in", &plain, false).await.unwrap();
    assert_eq!(far.body(0), r#"{"externalId":"em-3f9c1b"}"#);
}

#[tokio::test]
async fn open_media_calls_by_id_and_by_external_id_go_to_their_paths() {
    let far = far(&[MADE, MADE, (200, "{}"), (200, ""), (200, "{}"), (200, "{}")]).await;
    let (by_id, by_external) = (InteractionRef::Id("00/1".to_owned()), external("em-1"));
    for at in [&by_id, &by_external] {
        let found = far.client.interaction("email-in", at).await.unwrap().expect("it is there");
        assert_eq!(found.id.as_deref(), Some("00027aH6V9XY00AC"));
    }
    let reason = StopReason { system_name: Some("Normal".to_owned()), description: Some("Handled outside".to_owned()) };
    assert_eq!(far.client.stop_interaction("email-in", &by_id, &reason).await.unwrap(), Reached::Done);
    let no_reason = StopReason::default();
    assert_eq!(far.client.stop_interaction("email-in", &by_external, &no_reason).await.unwrap(), Reached::Done);
    let changes = Changes {
        changed: UserData::default().with("Subject", "Order 42 (urgent)"),
        added: UserData::default().with("Bounced", "true"),
        deleted: vec!["TempFlag".to_owned()],
    };
    for at in [&by_id, &by_external] {
        assert_eq!(far.client.update_interaction("email-in", at, &changes).await.unwrap(), Reached::Done);
    }
    let all = "/nexus/v3/openmedia/email-in/interactions";
    let get = |id: &str| ("GET".to_owned(), format!("{all}/{id}"));
    let post = |id: &str| ("POST".to_owned(), format!("{all}/{id}"));
    let expected = [
        get("00%2F1"),
        get("ext_em-1"),
        post("00%2F1/stop"),
        post("ext_em-1/stop"),
        post("00%2F1/update"),
        post("ext_em-1/update"),
    ];
    assert_eq!(far.asked(), expected);
    let stop = r#"{"data":{"reasonSystemName":"Normal","reasonDescription":"Handled outside"}}"#;
    let update = r#"{"data":{"changedProperties":{"Subject":"Order 42 (urgent)"},"addedProperties":{"Bounced":"true"},"deletedProperties":["TempFlag"]}}"#;
    assert_eq!((far.body(2).as_str(), far.body(3).as_str()), (stop, ""));
    assert_eq!((far.body(4).as_str(), far.body(5).as_str()), (update, update));
}

#[tokio::test]
async fn open_media_409_is_resolved_by_looking_at_the_external_id() {
    let there = far(&[TAKEN, MADE]).await;
    let created = there.client.create_interaction("email-in", &new(), false).await.unwrap();
    assert!(matches!(created, Created::There(Interaction { id: Some(_), .. })), "{created:?}");
    assert_eq!(there.asked()[1].1, "/nexus/v3/openmedia/email-in/interactions/ext_em-3f9c1b");
    for gone in [MISSING, STOPPED] {
        let far = far(&[TAKEN, gone]).await;
        assert_eq!(far.client.create_interaction("email-in", &new(), false).await.unwrap(), Created::Ended);
    }
}

#[tokio::test]
async fn open_media_create_of_unknown_outcome_is_looked_for_first() {
    let made = far(&[MADE]).await;
    let created = made.client.create_interaction("email-in", &new(), true).await.unwrap();
    assert!(matches!(created, Created::There(_)), "{created:?}");
    assert_eq!(made.asked().len(), 1, "nothing was made");
    let not_made = far(&[MISSING, MADE]).await;
    let created = not_made.client.create_interaction("email-in", &new(), true).await.unwrap();
    assert!(matches!(created, Created::Made(_)), "{created:?}");
    let ended = far(&[STOPPED]).await;
    assert_eq!(ended.client.create_interaction("email-in", &new(), true).await.unwrap(), Created::Ended);
}

#[tokio::test]
async fn open_media_tasks_that_are_gone_are_no_error() {
    let far = far(&[MISSING, MISSING, MISSING]).await;
    assert!(far.client.interaction("email-in", &external("em-1")).await.unwrap().is_none());
    let stopped = far.client.stop_interaction("email-in", &external("em-1"), &StopReason::default()).await;
    assert_eq!(stopped.unwrap(), Reached::Gone);
    let updated = far.client.update_interaction("email-in", &external("em-1"), &Changes::default()).await;
    assert_eq!(updated.unwrap(), Reached::Gone);
}

#[tokio::test]
async fn open_media_answers_are_classified_by_what_to_do_next() {
    let create = async |answer: (u16, &'static str)| {
        far(&[answer]).await.client.create_interaction("email-in", &new(), false).await.unwrap_err()
    };
    for (status, says) in [(401, "api_key_file"), (403, "api_key_file"), (404, "open_media_service"), (307, "base_url")]
    {
        let refusal = create((status, "")).await;
        let Refusal::ChannelFault { cause, .. } = &refusal else { panic!("{status}: {refusal:?}") };
        assert!(cause.contains(says), "{cause}");
    }
    for status in [400, 413, 422] {
        let refusal = create((status, "")).await;
        assert!(matches!(refusal, Refusal::Never { .. }), "{status}: {refusal:?}");
    }
    for status in [408, 429, 502, 503, 504] {
        let refusal = create((status, "")).await;
        let later = matches!(refusal, Refusal::Later { blame: Blame::Tenant | Blame::Channel, maybe_done: false, .. });
        assert!(later, "{status}: {refusal:?}");
    }
    let refusal = create((500, "")).await;
    assert!(matches!(refusal, Refusal::Later { blame: Blame::Message, .. }), "{refusal:?}");
    let refusal = create((200, r#"{"status":{"code":2,"message":"a@b.example"}}"#)).await;
    assert_eq!(refusal.to_string(), "Genesys answered 200 OK (status.code 2)");
}

#[test]
fn open_media_ids_are_found_wherever_they_stand() {
    for told in [
        r#"{"data":{"id":"i"}}"#,
        r#"{"data":{"interactionId":"i"}}"#,
        r#"{"data":{"interaction":{"id":"i"}}}"#,
        r#"{"id":"i"}"#,
        r#"{"interactionId":"i","data":{"id":null}}"#,
    ] {
        let found = body::interaction(serde_json::from_str(told).unwrap());
        assert_eq!((found.id.as_deref(), found.ended), (Some("i"), false), "{told}");
    }
    for told in ["null", "[]", r#""text""#, r#"{"status":{"code":0}}"#] {
        assert_eq!(body::interaction(serde_json::from_str(told).unwrap()).id, None, "{told}");
    }
    let shown = r#"{"data":{"id":"i","status":"Queued","userData":{"Message1":"private words"}}}"#;
    let shown = body::interaction(serde_json::from_str(shown).unwrap());
    assert!(!shown.ended && shown.user_data().expect("it is shown").contains_key("Message1"));
    assert!(!format!("{shown:?}").contains("private"), "{shown:?}");
}

#[test]
fn external_ids_can_stand_in_a_path() {
    for good in ["em-3f9c1b", "A_1", &"x".repeat(64)] {
        assert!(ExternalId::parse(good).is_ok(), "{good}");
    }
    for bad in ["", "ext_1", "<a@b>", "a/b", "ü", "a.b", &"x".repeat(65)] {
        assert_eq!(ExternalId::parse(bad), Err(NotAnExternalId), "{bad}");
    }
}

#[test]
fn user_data_is_measured_and_not_printed() {
    let data: UserData = [("Message", "Grüße"), ("Empty", "")].into_iter().collect();
    assert_eq!(data.size(), 7 + 7);
    assert!(!format!("{data:?}").contains("Gr"), "{data:?}");
}
