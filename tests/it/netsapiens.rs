//! The acceptance list of NetSapiens (`reference/netsapiens.md` 13), from the command line and against the simulator.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, ToSpan, Zoned};
use sandbox::{SendAnswer, SimLogin};
use serde_json::{Value, json};

use crate::neighbours::Neighbours;
use crate::settings::{API_KEY, CHANNEL_SECRET, COMPANY, EVENT_SECRET, Queues, Settings};
use crate::town::Town;
use crate::world::World;

const CONSUMER: &str = "13125550142";
pub(crate) const OAUTH: &str = "kind = \"oauth\", client_id = \"bridge\", client_secret = \"Cl13nt-secret\", \
                     username = \"1001@example.com\", password = \"Pa55-word\"";
const JWT: &str = "kind = \"jwt\", client_id = \"bridge\", client_secret = \"Cl13nt-secret\", \
                   username = \"1001@example.com\", password = \"Pa55-word\"";
/// A process is started for every look, on a machine that may be busy.
const PATIENCE: Duration = Duration::from_secs(120);

/// A town, and the command line of an engineer who tries its account.
struct Desk {
    town: Town,
    config: String,
}

impl Desk {
    async fn open() -> Self {
        let town = Town::on(Queues::Embedded).await;
        let config = town.whole().display().to_string();
        Self { town, config }
    }

    /// The account of a login, and a ledger that its token is kept in.
    async fn logs_in(&mut self) {
        let text = std::fs::read_to_string(&self.config).expect("it was written");
        let key = format!("kind = \"api-key\", key = \"{API_KEY}\"");
        assert!(text.contains(&key));
        self.config = self.town.file("oauth.toml", &text.replace(&key, OAUTH)).display().to_string();
        let migrated = self.town.run(&["ledger", "migrate", "--config", &self.config]).await;
        assert!(migrated.status.success(), "{}", String::from_utf8_lossy(&migrated.stderr));
    }

    async fn runs(&self, arguments: &[&str]) -> (bool, String, String) {
        let output = self.town.run(&[&["netsapiens", "--config", &self.config], arguments].concat()).await;
        let (said, told) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        for secret in [API_KEY, CHANNEL_SECRET, EVENT_SECRET, "Cl13nt-secret", "Pa55-word"] {
            assert!(!said.contains(secret) && !told.contains(secret), "{arguments:?} prints a secret");
        }
        (output.status.success(), said.into_owned(), told.into_owned())
    }

    async fn says(&self, arguments: &[&str]) -> String {
        let (well, said, told) = self.runs(arguments).await;
        assert!(well, "{arguments:?}: {said}{told}");
        said
    }

    async fn json(&self, arguments: &[&str]) -> Value {
        let said = self.says(&[arguments, &["--json"]].concat()).await;
        serde_json::from_str(&said).expect("it is JSON")
    }

    async fn is_refused(&self, arguments: &[&str]) -> String {
        let (well, said, told) = self.runs(arguments).await;
        assert!(!well, "{arguments:?}: {said}");
        told
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn version_apikeys_and_smsnumbers_as_array_and_as_bare_object() {
    let desk = Desk::open().await;
    assert_eq!(desk.json(&["version"]).await["api"], "Version: 45.0.0");
    let all = desk.json(&["numbers", "list"]).await;
    assert!(all.as_array().is_some_and(|all| all.iter().any(|one| one["number"] == COMPANY)), "{all}");
    let bare = desk.json(&["numbers", "list", "--user", "9000"]).await;
    assert_eq!((&bare[0]["number"], &bare[0]["owner"]), (&json!(COMPANY), &json!("9000")));
    assert_eq!(desk.json(&["numbers", "count", "--user", "9000"]).await, json!({ "total": 1 }));

    let out = desk.town.folder.path().join("new-key");
    let path = out.display().to_string();
    let made = desk.says(&["keys", "create", "--out", &path]).await;
    let key = std::fs::read_to_string(&out).expect("it was written");
    assert!(key.starts_with("nsd_") && !made.contains(&key), "{made}");
    let mode = std::fs::metadata(&out).expect("it is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    desk.is_refused(&["keys", "create", "--out", &path]).await;
    let keys = desk.json(&["keys", "list"]).await;
    let id = keys[0]["id"].as_str().expect("it has an id").to_owned();
    assert!(!keys.to_string().contains(&key), "a list shows no key");
    assert!(desk.is_refused(&["keys", "delete", &id]).await.contains("--yes"));
    desk.says(&["keys", "delete", &id, "--yes"]).await;
    assert_eq!(desk.json(&["keys", "list"]).await, json!([]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_list_with_int_ids_and_texts_and_sessions_to_their_end() {
    let desk = Desk::open().await;
    desk.town.netsapiens.consumer_sends(CONSUMER, COMPANY, "5").expect("the number is owned");
    let sessions = desk.json(&["sessions", "list"]).await;
    let id = sessions[0]["id"].as_str().expect("it has an id").to_owned();
    assert_eq!(sessions[0]["remote"], json!([CONSUMER]));
    assert_eq!(desk.json(&["sessions", "list", "--all-users"]).await, sessions);
    assert_eq!(desk.json(&["sessions", "show", &id]).await, sessions[0]);
    let messages = desk.json(&["messages", &id]).await;
    assert_eq!((&messages[0]["text"], &messages[0]["direction"]), (&json!("5"), &json!("inbound")));
    assert!(messages[0]["id"].is_string() && messages[0]["at"].is_string(), "{messages}");

    desk.says(&["sessions", "rename", &id, "the five"]).await;
    desk.says(&["sessions", "participants", &id, "9000@example.com", "1001@example.com"]).await;
    let changed = desk.json(&["sessions", "show", &id]).await;
    assert_eq!((&changed["name"], changed["participants"].as_array().map(Vec::len)), (&json!("the five"), Some(2)));
    desk.says(&["sessions", "leave", &id]).await;
    assert!(desk.is_refused(&["sessions", "delete", &id]).await.contains("--yes"));
    desk.says(&["sessions", "delete", &id, "--yes"]).await;
    assert!(desk.is_refused(&["sessions", "show", &id]).await.contains("no such session"));
    assert!(desk.is_refused(&["messages", "a/b/../c"]).await.contains("404"), "slashes stay in the id");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_of_several_pages_are_read_to_their_end() {
    let desk = Desk::open().await;
    for number in 0..230 {
        let consumer = format!("1312556{number:04}");
        desk.town.netsapiens.consumer_sends(&consumer, COMPANY, "one of many").expect("the number is owned");
    }
    for number in 0..120 {
        let text = format!("message {number}");
        desk.town.netsapiens.consumer_sends(CONSUMER, COMPANY, &text).expect("the number is owned");
    }
    let ids = |list: &Value| {
        let all = list.as_array().expect("a list").iter().filter_map(|one| one["id"].as_str().map(str::to_owned));
        all.collect::<BTreeSet<_>>().len()
    };
    let sessions = desk.json(&["sessions", "list", "--limit", "1000"]).await;
    assert_eq!(ids(&sessions), 231);
    assert_eq!(ids(&desk.json(&["sessions", "list", "--limit", "150"]).await), 150);
    let mine = sessions.as_array().and_then(|all| all.iter().find(|one| one["remote"] == json!([CONSUMER])));
    let id = mine.and_then(|one| one["id"].as_str()).expect("it is among them");
    assert_eq!(ids(&desk.json(&["messages", id, "--limit", "1000"]).await), 120);
    assert_eq!(ids(&desk.json(&["messages", id, "--limit", "110"]).await), 110);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn subscription_create_and_409_and_delete_on_cores_old_and_new() {
    for old in [false, true] {
        let desk = Desk::open().await;
        desk.town.netsapiens.faults().old_core(old);
        let subscriptions = async |arguments: &[&str]| desk.says(&[&["subscriptions"], arguments].concat()).await;
        assert_eq!(desk.json(&["subscriptions", "list"]).await, json!([]));
        assert!(subscriptions(&["create", "--days", "30"]).await.contains("created"));
        assert!(subscriptions(&["create", "--days", "30"]).await.contains("one like it already"));
        assert!(subscriptions(&["create", "--model", "messagesession"]).await.contains("created"));
        let list = desk.json(&["subscriptions", "list"]).await;
        let shown = |key: &str| [list[0][key].clone(), list[1][key].clone()];
        assert_eq!(shown("model"), [json!("message"), json!("messagesession")]);
        assert_eq!(
            (shown("user"), shown("host")),
            ([json!("9000"), json!("9000")], [json!("127.0.0.1"), json!("127.0.0.1")])
        );
        let id = list[0]["id"].as_str().expect("it has an id");
        assert!(desk.is_refused(&["subscriptions", "delete", id]).await.contains("--yes"));
        subscriptions(&["delete", id, "--yes"]).await;
        assert!(desk.is_refused(&["subscriptions", "delete", id, "--yes"]).await.contains("no such subscription"));
        assert_eq!(desk.json(&["subscriptions", "list"]).await, json!([list[1]]));
        desk.town.netsapiens.change_subscriptions(|all| "error".clone_into(&mut all[0].status));
        assert_eq!(desk.json(&["subscriptions", "list"]).await[0]["status"], "error", "one in error is listed");
        let left = desk.town.netsapiens.subscriptions();
        assert!(left[0].post_url.ends_with(EVENT_SECRET), "it is posted to the bridge's own URL");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn send_202_and_200_object_and_200_array_and_every_type() {
    let desk = Desk::open().await;
    for (answer, id) in [(SendAnswer::Accepted, false), (SendAnswer::Object, true), (SendAnswer::Array, true)] {
        desk.town.netsapiens.faults().send_answer(answer);
        let said = desk.says(&["send", "--to", CONSUMER, "--text", "hello"]).await;
        assert_eq!(said.contains("accepted as "), id, "{said}");
    }
    assert_eq!(desk.town.netsapiens.sent_count(), 3);
    let started = desk.says(&["sessions", "start", "--to", CONSUMER, "--text", "anew"]).await;
    assert!(started.contains("accepted"), "{started}");

    desk.town.netsapiens.set_row(COMPANY, json!({ "mms-capable": true }));
    let picture = desk.town.folder.path().join("dot.png");
    std::fs::write(&picture, b"\x89PNG\r\n\x1a\n").expect("it can be written");
    let picture = picture.display().to_string();
    desk.says(&["send", "--to", CONSUMER, "--file", &picture]).await;
    desk.says(&["send", "--chat", "--to", "9001", "--text", "hi"]).await;
    desk.says(&["send", "--chat", "--to", "9001", "--to", "9002", "--file", &picture, "--text", "look"]).await;
    let [mms, chat, media] = desk.town.netsapiens.posts().try_into().expect("three came");
    assert_eq!((&mms["type"], &mms["size"], &mms["data"]), (&json!("mms"), &json!(8), &json!("iVBORw0KGgo=")));
    assert_eq!((&mms["mime-type"], &mms["from-number"]), (&json!("image/png"), &json!(COMPANY)));
    assert_eq!(chat, json!({ "type": "chat", "message": "hi", "destination": "9001" }));
    assert_eq!((&media["type"], &media["destination"]), (&json!("chat-media"), &json!(["9001", "9002"])));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusals_are_told_with_their_cause() {
    let desk = Desk::open().await;
    let faults = || desk.town.netsapiens.faults();
    let send = ["send", "--to", CONSUMER, "--text", "hello"];
    faults().embedded_error(1u32);
    assert!(desk.is_refused(&send).await.contains("a failure in it"), "2xx with an embedded error");
    let foreign = [&send[..], &["--from", "13125550199"]].concat();
    assert!(desk.is_refused(&foreign).await.contains("400"), "400 from-number not owned");
    faults().forbidden_html(1u32);
    let edge = desk.is_refused(&send).await;
    assert!(edge.contains("firewall") && !edge.contains("scope"), "403 HTML is no scope error: {edge}");
    faults().answer_500(1u32);
    assert!(desk.is_refused(&send).await.contains("500"));
    faults().answer_429(1u32, Duration::from_secs(7));
    assert!(desk.is_refused(&send).await.contains("429"));
    assert_eq!(desk.town.netsapiens.sent_count(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_raw_call_stays_below_base_url_and_writes_are_confirmed() {
    let desk = Desk::open().await;
    let version: Value = serde_json::from_str(&desk.says(&["request", "get", "/version"]).await).expect("it is JSON");
    assert_eq!(version["hostname"], "sandbox");
    for path in ["//evil.example/x", "https://evil.example/", "/../../admin", "/%2e%2e/x"] {
        assert!(desk.is_refused(&["request", "GET", path]).await.contains("below base_url"), "{path}");
    }
    let create = ["request", "POST", "/apikeys", "--body", "{\"description\":\"raw\"}"];
    assert!(desk.is_refused(&create).await.contains("--yes"));
    for wrong in [&create[..], &["request", "FROB", "/version"]] {
        let output = desk.town.run(&[&["netsapiens", "--config", &desk.config], wrong].concat()).await;
        assert_eq!(output.status.code(), Some(2), "{wrong:?} is a matter of usage");
    }
    let made = desk.says(&[&create[..], &["--yes"]].concat()).await;
    assert!(made.contains("\"apikey\": \"***\""), "{made}");
    let (well, said, told) = desk.runs(&["request", "GET", "/nothing/here"]).await;
    assert!(!well && said.contains("Resource not found") && told.contains("404"), "{said}{told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn token_grant_and_refresh_with_rotation_through_the_ledger() {
    let mut desk = Desk::open().await;
    desk.logs_in().await;
    let text = |text: &str| text.to_owned();
    let login = |password: &str, lasts| SimLogin {
        client_id: text("bridge"),
        client_secret: text("Cl13nt-secret"),
        username: text("1001@example.com"),
        password: text(password),
        lasts,
    };
    desk.town.netsapiens.set_login(login("Pa55-word", SignedDuration::from_hours(1)));
    for _ in 0..3 {
        desk.says(&["version"]).await;
    }
    assert_eq!(desk.town.netsapiens.login_counts(), (1, 0, 0), "three processes share one token");
    let doctor = desk.town.run(&["doctor", "--config", &desk.config]).await;
    let said = String::from_utf8_lossy(&doctor.stdout).into_owned();
    assert!(said.contains("provider crexendo has the numbers of its channels"), "{said}");
    assert_eq!(desk.town.netsapiens.login_counts(), (1, 0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bridge_that_logs_in_for_a_jwt_works_both_ways() {
    let neighbours = Neighbours::start().await;
    let text = |text: &str| text.to_owned();
    neighbours.netsapiens.set_login(SimLogin {
        client_id: text("bridge"),
        client_secret: text("Cl13nt-secret"),
        username: text("1001@example.com"),
        password: text("Pa55-word"),
        lasts: SignedDuration::from_secs(5),
    });
    let settings = Settings { auth: Some(JWT), provider: "poll = \"1s\"", ..Settings::on(Queues::Embedded) };
    let world = World::among(neighbours, settings).await;
    world.netsapiens.faults().lose_events(true);
    world.text(CONSUMER, "found by reading");
    world.agent_sees(1).await;
    let first = world.reply(CONSUMER, "hello");
    world.receipts_told(1).await;
    world.until("a token renewed", async |world| (world.netsapiens.login_counts().1 > 0).then_some(())).await;
    let second = world.reply(CONSUMER, "hello again");
    world.receipts_told(2).await;
    for id in [first, second] {
        assert_eq!(world.receipts(&id), [("Delivered".to_owned(), Vec::new())]);
    }
    assert_eq!(world.on_phone(CONSUMER).len(), 2, "a token that changes sends nothing twice");
    let (granted, refreshed, refused) = world.netsapiens.login_counts();
    assert!(
        granted >= 1 && refreshed >= 1 && refused == 0,
        "{granted} logins, {refreshed} renewals, {refused} refused"
    );
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_200_without_token_and_a_second_factor_and_a_wrong_password_are_told_once() {
    for (fault, expected) in [(0, "without a token"), (1, "second factor"), (2, "check client_id")] {
        let mut desk = Desk::open().await;
        desk.logs_in().await;
        let password = if fault == 2 { "another" } else { "Pa55-word" };
        desk.town.netsapiens.set_login(SimLogin {
            client_id: "bridge".to_owned(),
            client_secret: "Cl13nt-secret".to_owned(),
            username: "1001@example.com".to_owned(),
            password: password.to_owned(),
            lasts: SignedDuration::from_hours(1),
        });
        desk.town.netsapiens.faults().login_without_token(fault == 0);
        desk.town.netsapiens.faults().login_wants_mfa(fault == 1);
        let told = desk.is_refused(&["version"]).await;
        assert!(told.contains(expected), "{told}");
        desk.town.netsapiens.faults().login_without_token(false);
        desk.town.netsapiens.faults().login_wants_mfa(false);
        assert!(desk.is_refused(&["version"]).await.contains(expected), "no login loop");
        assert_eq!(desk.town.netsapiens.login_counts().2, u64::from(fault == 2));
    }
}

/// The time there in winter, without its zone.
fn in_chicago() -> String {
    let shifted = Zoned::now().with_time_zone(TimeZone::UTC) - 6.hours();
    shifted.strftime("%Y-%m-%d %H:%M:%S").to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_time_zone_raises_an_alarm_at_the_start() {
    let neighbours = Neighbours::start().await;
    neighbours.netsapiens.set_row("/version", json!({ "current-time": in_chicago() }));
    let world = World::among(neighbours, Settings::on(Queues::Embedded)).await;
    let alarm = world
        .until("the alarm", async |world| {
            let (_, report) = world.readyz().await;
            report["alarms"].as_array()?.iter().find(|alarm| alarm["alarm"] == "clock").cloned()
        })
        .await;
    assert_eq!(alarm["target"], "crexendo");
    assert!(alarm["detail"].as_str().is_some_and(|told| told.contains("time_zone of provider crexendo")), "{alarm}");
    world.netsapiens.set_row("/version", json!({}));
    let world = world.reopened(async |_| {}).await;
    world.text(CONSUMER, "well");
    world.agent_sees(1).await;
    assert_eq!(world.readyz().await.1["alarms"], json!([]), "the zone is right");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_doctor_names_the_channel_of_a_number_that_is_not_as_it_must_be() {
    let desk = Desk::open().await;
    let doctor = async || {
        let output = tokio::time::timeout(PATIENCE, desk.town.run(&["doctor", "--config", &desk.config])).await;
        String::from_utf8_lossy(&output.expect("it ends").stdout).into_owned()
    };
    let well = doctor().await;
    assert!(well.contains("provider crexendo has the numbers of its channels"), "{well}");
    assert!(well.contains("note     channel sales-sms: its number sends no pictures"), "{well}");
    assert!(well.contains("well     provider crexendo has the time"), "{well}");
    assert!(well.contains("well     the store of files answers"), "{well}");
    desk.town.netsapiens.set_row("/version", json!({ "current-time": in_chicago() }));
    let said = doctor().await;
    let zone = |line: &str| line.starts_with("FINDING  provider crexendo: it writes its times -06:00 from UTC");
    assert!(said.lines().any(zone), "{said}");
    desk.town.netsapiens.set_row("/version", json!({}));
    for (fields, expected) in [
        (json!({ "dest": 9001 }), "belongs to user 9001"),
        (json!({ "application": "callqueue" }), "routed to \"callqueue\""),
        (json!({ "number": "13125550199" }), "no SMS number like its own"),
    ] {
        desk.town.netsapiens.set_row(COMPANY, fields);
        let said = doctor().await;
        let finding = said.lines().find(|line| line.starts_with("FINDING  channel sales-sms")).unwrap_or_default();
        assert!(finding.contains(expected) && !finding.contains(COMPANY), "{expected}: {said}");
    }
    for (fields, expected) in
        [(json!({ "readonly": "yes" }), "read-only"), (json!({ "user-scope": "Super User" }), "super user's")]
    {
        desk.town.netsapiens.set_row("~", fields);
        let said = doctor().await;
        assert!(said.lines().any(|line| line.starts_with("FINDING") && line.contains(expected)), "{expected}: {said}");
    }
}
