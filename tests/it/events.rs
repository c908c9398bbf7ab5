//! What events do not tell, and what they lose: sessions are read, looked through and subscribed to
//! (`reference/netsapiens.md` 5 and 13).

use std::time::Duration;

use http::{HeaderMap, Method};
use jiff::{SignedDuration, Timestamp};
use runtime::Clock;
use sandbox::{EventOptions, SimSubscription};
use serde_json::{Value, json};

use crate::neighbours::{Neighbours, SOON};
use crate::settings::{COMPANY, EVENT_SECRET, Queues, Settings, USER};
use crate::town::{Town, address};
use crate::world::{World, on_both_brokers};

on_both_brokers!(
    a_session_event_is_a_trigger,
    twins_and_duplicates_arrive_once,
    an_event_lost_is_found_by_the_catch_up,
    polling_alone_is_a_way_in,
    what_came_in_during_an_upgrade_is_found,
    a_group_is_one_conversation,
);

const CONSUMER: &str = "13125550142";
const OTHER: &str = "13125550143";
const POLL: &str = "subscribe = false\npoll = \"1s\"";

/// No `message` events: every message is told by its session alone.
fn sessions_only() -> EventOptions {
    EventOptions { messages: false, twins: Some(Duration::ZERO), ..EventOptions::default() }
}

fn nothing() -> EventOptions {
    EventOptions { messages: false, twins: None, ..EventOptions::default() }
}

fn polling(queues: Queues) -> Settings {
    Settings { provider: POLL, ..Settings::on(queues) }
}

async fn a_session_event_is_a_trigger(queues: Queues) {
    let world = World::on(queues).await;
    world.netsapiens.set_events(sessions_only());
    world.text(CONSUMER, "one");
    world.agent_sees(1).await;
    // What the session's row has lost of its text the event would have told, and the row is the source of truth.
    world.text(CONSUMER, "007");
    world.text(CONSUMER, "three");
    world.agent_sees(3).await;
    assert_eq!(world.seen_by_agent(CONSUMER), ["one", "7", "three"]);
    let id = world.reply(CONSUMER, "thank you");
    world.receipts_told(1).await;
    assert_eq!(world.receipts(&id), [("Delivered".to_owned(), Vec::new())]);
    world.end().await;
}

async fn twins_and_duplicates_arrive_once(queues: Queues) {
    let world = World::on(queues).await;
    for other_ids in [false, true] {
        let twins = Some(Duration::from_secs(1));
        world.netsapiens.set_events(EventOptions { twins, duplicates: 1, other_ids, ..EventOptions::default() });
        let before = world.netsapiens.event_counts().0;
        world.text(CONSUMER, &format!("other ids: {other_ids}"));
        world.until("four events", async |world| (world.netsapiens.event_counts().0 >= before + 4).then_some(())).await;
    }
    world.netsapiens.set_events(EventOptions::default());
    world.text(CONSUMER, "last");
    world.agent_sees(3).await;
    assert_eq!(world.seen_by_agent(CONSUMER), ["other ids: false", "other ids: true", "last"]);
    let (_, read) = world.netsapiens.read_counts();
    assert!(read <= 2, "twins cost one read each: {read}");
    world.end().await;
}

async fn an_event_lost_is_found_by_the_catch_up(queues: Queues) {
    let world = World::with(polling(queues)).await;
    world.text(CONSUMER, "told");
    world.agent_sees(1).await;
    world.netsapiens.faults().lose_events(1u32);
    world.text(CONSUMER, "lost");
    world.agent_sees(2).await;
    world.netsapiens.set_events(EventOptions { other_ids: true, ..EventOptions::default() });
    world.text(CONSUMER, "told under another id");
    world.agent_sees(3).await;
    a_few_looks(&world).await;
    assert_eq!(world.seen_by_agent(CONSUMER), ["told", "lost", "told under another id"]);
    world.end().await;
}

/// Whatever would be given twice has been looked at by now.
async fn a_few_looks(world: &World) {
    let (lists, _) = world.netsapiens.read_counts();
    world.until("more looks", async |world| (world.netsapiens.read_counts().0 >= lists + 3).then_some(())).await;
}

async fn polling_alone_is_a_way_in(queues: Queues) {
    let world = World::with(polling(queues)).await;
    world.netsapiens.set_events(nothing());
    for text in ["one", "two"] {
        world.text(CONSUMER, text);
        world.text(OTHER, text);
    }
    world.agent_sees(4).await;
    let id = world.reply(CONSUMER, "an answer");
    world.receipts_told(1).await;
    assert_eq!(world.receipts(&id), [("Delivered".to_owned(), Vec::new())]);
    world.text(CONSUMER, "three");
    world.agent_sees(5).await;
    a_few_looks(&world).await;
    assert_eq!(world.seen_by_agent(CONSUMER), ["one", "two", "three"]);
    assert_eq!(world.seen_by_agent(OTHER), ["one", "two"]);
    assert_eq!(world.netsapiens.event_counts().0, 0);
    world.end().await;
}

async fn what_came_in_during_an_upgrade_is_found(queues: Queues) {
    let world = World::with(polling(queues)).await;
    world.text(CONSUMER, "before");
    world.agent_sees(1).await;
    let world = world
        .reopened(async |neighbours| {
            neighbours.netsapiens.faults().lose_events(true);
            neighbours.text(CONSUMER, "meanwhile");
            neighbours.netsapiens.faults().lose_events(false);
        })
        .await;
    world.agent_sees(2).await;
    world.text(CONSUMER, "after");
    world.agent_sees(3).await;
    assert_eq!(world.seen_by_agent(CONSUMER), ["before", "meanwhile", "after"]);
    world.end().await;
}

async fn a_group_is_one_conversation(queues: Queues) {
    let world = World::with(Settings { channel: "groups = true", ..Settings::on(queues) }).await;
    let group = |from: &str, other: &str, text: &str| {
        let sent = world.netsapiens.consumer_sends_to_group(from, COMPANY, &[other], text);
        sent.expect("the number is the company's");
    };
    group(CONSUMER, OTHER, "are we on?");
    world.agent_sees(1).await;
    world.netsapiens.set_events(sessions_only());
    group(OTHER, CONSUMER, "I am");
    world.agent_sees(2).await;
    let name = format!("{CONSUMER},{OTHER}");
    let expected = [format!("+{CONSUMER}: are we on?"), format!("+{OTHER}: I am")];
    assert_eq!(world.seen_by_agent(&name), expected);
    let id = world.reply(&name, "see you both");
    world.receipts_told(1).await;
    assert_eq!(world.receipts(&id), [("Delivered".to_owned(), Vec::new())]);
    let sent = world.netsapiens.sent().remove(0);
    assert_eq!((sent.to, sent.text.as_str()), (name, "see you both"));
    assert_eq!(sent.session, world.netsapiens.consumer_messages()[0].session, "it goes to the group's own session");
    world.end().await;
}

/// More than a page of a list holds.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_absence_is_caught_up_in_order() {
    const MESSAGES: u64 = 450;
    let world = World::with(polling(Queues::Embedded)).await;
    let world = world
        .reopened(async |neighbours| {
            neighbours.netsapiens.set_events(nothing());
            for number in 0..MESSAGES {
                neighbours.text(CONSUMER, &format!("number {number}"));
            }
        })
        .await;
    world.agent_sees(MESSAGES).await;
    let expected: Vec<String> = (0..MESSAGES).map(|number| format!("number {number}")).collect();
    assert_eq!(world.seen_by_agent(CONSUMER), expected);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reply_to_a_group_is_refused_where_groups_are_not_served() {
    let world = World::on(Queues::Embedded).await;
    let id = world.reply(&format!("{CONSUMER},{OTHER}"), "both of you");
    world.receipts_told(1).await;
    assert_eq!(world.receipts(&id), [("Failed".to_owned(), vec![510])]);
    assert_eq!(world.netsapiens.sent_count(), 0);
    world.end().await;
}

/// Two years of history, and an account that was looked after by others until now.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_gets_nothing_from_before_the_first_installation() {
    let neighbours = Neighbours::start().await;
    history(&neighbours);
    let world = World::among(neighbours, polling(Queues::Embedded)).await;
    world.text(CONSUMER, "the first");
    world.agent_sees(1).await;
    world.netsapiens.set_events(sessions_only());
    world.text(OTHER, "another first");
    world.agent_sees(2).await;
    a_few_looks(&world).await;
    assert_eq!(
        (world.seen_by_agent(CONSUMER), world.seen_by_agent(OTHER)),
        (vec!["the first".to_owned()], vec!["another first".to_owned()])
    );
    world.end().await;
}

/// `catch_up_from` reaches back further than the installation, and never further than `max_inbound_age`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_gets_nothing_older_than_it_may_be() {
    let neighbours = Neighbours::start().await;
    history(&neighbours);
    let provider = "subscribe = false\npoll = \"1s\"\ncatch_up_from = \"2020-01-01\"\nmax_inbound_age = \"2h\"";
    let world = World::among(neighbours, Settings { provider, ..Settings::on(Queues::Embedded) }).await;
    world.agent_sees(2).await;
    a_few_looks(&world).await;
    assert_eq!(world.seen_by_agent(CONSUMER), ["an hour old"]);
    assert_eq!(world.seen_by_agent(OTHER), ["an hour old"]);
    world.end().await;
}

/// Rows of two consumers from two years ago until an hour ago.
fn history(neighbours: &Neighbours) {
    let now = Clock::system().now();
    neighbours.netsapiens.set_events(nothing());
    for (hours, text) in
        [(2 * 365 * 24, "two years old"), (48, "two days old"), (3, "three hours old"), (1, "an hour old")]
    {
        let (clock, _hand) = Clock::manual(now - SignedDuration::from_hours(hours));
        neighbours.netsapiens.set_clock(clock);
        neighbours.text(CONSUMER, text);
        neighbours.text(OTHER, text);
    }
    neighbours.netsapiens.set_clock(Clock::system());
    neighbours.netsapiens.set_events(EventOptions::default());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn odd_events_are_taken_and_harm_nobody() {
    let world = World::on(Queues::Embedded).await;
    let event = |more: Value| {
        let mut event = json!({
            "object": "message", "direction": "orig", "type": "sms", "id": "m-1", "from_num": CONSUMER,
            "dialed": COMPANY, "text": "hello", "session_id": "s", "timestamp": world_now(),
        });
        for (key, value) in more.as_object().expect("it is an object") {
            event[key] = value.clone();
        }
        json!([event])
    };
    let odd = [
        event(json!({ "dialed": "13125550199", "term_uid": "1234@example.com" })),
        json!([{ "session_id": "2d51df18", "user": "1234@example.com" }]),
        json!([{ "session_id": "../../../apikeys/~?x=#", "user": format!("{USER}@example.com") }]),
        json!([{ "session_id": "..", "user": format!("{USER}@example.com") }]),
        json!([{ "session_id": "x".repeat(10_000), "user": format!("{USER}@example.com") }]),
        event(json!({ "text": "", "session_id": "no/such/session" })),
    ];
    for body in odd {
        assert_eq!(post(&world, &body).await, 200, "{body}");
    }
    // What names a session that is not there is told as the event told it.
    assert_eq!(post(&world, &event(json!({ "id": "", "text": "of no session", "session_id": "a/b//c" }))).await, 200);
    world.agent_sees(1).await;
    assert_eq!(world.seen_by_agent(CONSUMER), ["of no session"]);
    let dropped = world.metrics().await;
    for cause in ["unknown-number", "unknown-user"] {
        let line = format!("causeway_events_dropped_total{{provider=\"crexendo\",cause=\"{cause}\"}}");
        assert!(dropped.contains(&line), "{cause}");
    }
    world.text(OTHER, "all is well");
    world.agent_sees(2).await;
    world.end().await;
}

fn world_now() -> String {
    Clock::system().now().to_string()
}

async fn post(world: &World, body: &Value) -> u16 {
    let url = format!("http://{}/netsapiens/crexendo/{EVENT_SECRET}", world.bridge());
    let answer = world.http.call(Method::POST, url, HeaderMap::new(), body.to_string().into()).await;
    answer.expect("the bridge answers").status.as_u16()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_cannot_be_read_holds_its_conversation_alone() {
    let world = World::on(Queues::Embedded).await;
    world.netsapiens.faults().reads_answer_500(true);
    world.netsapiens.set_events(sessions_only());
    world.text(CONSUMER, "held");
    world.until("a try", async |world| tried(world).await.then_some(())).await;
    world.netsapiens.set_events(EventOptions::default());
    world.text(OTHER, "not held");
    world.agent_sees(1).await;
    assert_eq!(world.seen_by_agent(OTHER), ["not held"]);
    world.netsapiens.faults().reads_answer_500(false);
    world.agent_sees(2).await;
    assert_eq!(world.seen_by_agent(CONSUMER), ["held"]);
    world.end().await;
}

async fn tried(world: &World) -> bool {
    let Some(ledger) = &world.house.ledger else { return false };
    let lines = ledger.recent(20).await.unwrap_or_default();
    lines.iter().any(|line| line.what == ledger::What::Released)
}

/// Where the outside reaches the bridge has to be known before it starts.
fn subscribing() -> Settings {
    Settings { http: address().to_string(), provider: "", ..Settings::on(Queues::Embedded) }
}

async fn subscribed(world: &World, what: &str, fits: impl Fn(&SimSubscription) -> bool) -> SimSubscription {
    let found = world
        .netsapiens
        .until(SOON, |sim| sim.subscriptions().into_iter().find(|one| one.model == "message" && fits(one)))
        .await;
    found.unwrap_or_else(|| panic!("no subscription that is {what}: {:?}", world.netsapiens.subscriptions()))
}

fn days(one: &SimSubscription) -> i64 {
    one.expires.duration_since(Clock::system().now()).as_hours() / 24
}

/// Events come by the subscription alone: nobody set the URL by hand.
async fn only_subscribed(settings: Settings, prepare: impl FnOnce(&Neighbours)) -> World {
    let neighbours = Neighbours::start().await;
    prepare(&neighbours);
    let world = World::among(neighbours, settings).await;
    world.netsapiens.set_event_url("http://127.0.0.1:9/nobody");
    world
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscription_is_made_and_carries_the_events() {
    for old in [false, true] {
        let world = only_subscribed(subscribing(), |neighbours| {
            neighbours.netsapiens.faults().old_core(old);
            neighbours.netsapiens.faults().subscribe_202(true);
        })
        .await;
        let one = subscribed(&world, "made", |_| true).await;
        assert_eq!((one.user.as_str(), days(&one) >= 29), (USER, true));
        assert!(one.post_url.ends_with(&format!("/netsapiens/crexendo/{EVENT_SECRET}")));
        world.text(CONSUMER, "by subscription");
        world.agent_sees(1).await;
        let metric = "causeway_subscription_expires_seconds{provider=\"crexendo\"}";
        world.until("the metric", async |world| world.metrics().await.contains(metric).then_some(())).await;
        assert!(alarms(&world).await.is_empty());
        let world = world.reopened(async |_| ()).await;
        a_look(&world).await;
        assert_eq!(world.netsapiens.subscriptions().len(), 1, "what is there is not made again");
        world.end().await;
    }
}

/// The house that was opened just now has looked through the sessions, which it does after its subscriptions.
async fn a_look(world: &World) {
    let (lists, _) = world.netsapiens.read_counts();
    if lists == 0 {
        world.until("a look", async |world| (world.netsapiens.read_counts().0 > 0).then_some(())).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscription_in_error_is_healed_and_what_it_lost_is_found() {
    let world = only_subscribed(subscribing(), |_| ()).await;
    subscribed(&world, "made", |_| true).await;
    let world = world
        .reopened(async |neighbours| {
            neighbours.netsapiens.set_event_url("http://127.0.0.1:9/nobody");
            for text in ["one", "two", "three", "four"] {
                neighbours.text(CONSUMER, text);
            }
            let fails = |sim: &sandbox::NetSapiensSim| {
                sim.subscriptions().iter().any(|one| one.status == "error").then_some(())
            };
            assert!(neighbours.netsapiens.until(SOON, fails).await.is_some(), "posts that fail end in error");
        })
        .await;
    world.agent_sees(4).await;
    assert_eq!(world.seen_by_agent(CONSUMER), ["one", "two", "three", "four"]);
    let one = subscribed(&world, "healed", |one| one.status != "error").await;
    assert_eq!(one.errors, 0);
    world.netsapiens.set_event_url("http://127.0.0.1:9/nobody");
    world.text(CONSUMER, "five");
    world.agent_sees(5).await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscription_is_renewed_adopted_and_cleared_of_twins() {
    let world = only_subscribed(subscribing(), |_| ()).await;
    subscribed(&world, "made", |_| true).await;
    let world = world
        .reopened(async |neighbours| {
            neighbours.netsapiens.change_subscriptions(|all| {
                let one = all[0].clone();
                all[0].expires = Clock::system().now() + SignedDuration::from_hours(24);
                let twin = SimSubscription { id: "twin".to_owned(), ..one.clone() };
                let stale = one.post_url.replace(EVENT_SECRET, "an-earlier-secret");
                let stale = SimSubscription { id: "stale".to_owned(), post_url: stale, ..one.clone() };
                let foreign = "https://elsewhere.example.com/hook".to_owned();
                all.extend([twin, stale, SimSubscription { id: "foreign".to_owned(), post_url: foreign, ..one }]);
            });
        })
        .await;
    subscribed(&world, "renewed", |one| days(one) >= 29 && one.id != "foreign").await;
    let only = |sim: &sandbox::NetSapiensSim| (sim.subscriptions().len() == 2).then(|| sim.subscriptions());
    let left = world.netsapiens.until(SOON, only).await.expect("the others are ended");
    assert!(left.iter().any(|one| one.id == "foreign"), "what is not ours is left alone");
    let world = world
        .reopened(async |neighbours| {
            neighbours.netsapiens.change_subscriptions(|all| {
                for one in all.iter_mut() {
                    "active".clone_into(&mut one.status);
                    one.server.clear();
                }
            });
        })
        .await;
    subscribed(&world, "posted by a server again", |one| one.id != "foreign" && !one.server.is_empty()).await;
    world.end().await;
}

async fn alarms(world: &World) -> Vec<String> {
    let (_, report) = world.readyz().await;
    let alarms = report["alarms"].as_array().into_iter().flatten();
    alarms.map(|alarm| alarm["alarm"].as_str().unwrap_or_default().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscription_that_cannot_be_made_raises_an_alarm() {
    let world = only_subscribed(subscribing(), |neighbours| {
        neighbours.netsapiens.faults().refuse_subscriptions(true);
    })
    .await;
    let expected = ["subscription-expiring".to_owned()];
    world.until("the alarm", async |world| (alarms(world).await == expected).then_some(())).await;
    assert_eq!(world.readyz().await.0, 200, "what comes in can still be stored");
    let world = world.reopened(async |neighbours| neighbours.netsapiens.faults().refuse_subscriptions(false)).await;
    subscribed(&world, "made", |_| true).await;
    world.until("the end of the alarm", async |world| alarms(world).await.is_empty().then_some(())).await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_that_is_refused_keeps_no_other_from_a_subscription() {
    const ANOTHER: &str = "9001";
    let more = format!(
        "[[channel]]\nid = \"13125550199\"\nkind = \"sms\"\nprovider = \"crexendo\"\nuser = \"{ANOTHER}\"\nsecrets = [\"other\"]"
    );
    let world = only_subscribed(Settings { more, ..subscribing() }, |neighbours| {
        neighbours.netsapiens.faults().refuse_subscriptions(1);
    })
    .await;
    subscribed(&world, "made for the other user", |one| one.user == ANOTHER).await;
    let expected = ["subscription-expiring".to_owned()];
    world.until("the alarm of the first", async |world| (alarms(world).await == expected).then_some(())).await;
    world.end().await;
}

/// Two replicas of every role, and one of them looks through the sessions.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_replicas_poll_once() {
    let queues = Queues::rabbitmq();
    let town = Town::with(Settings { provider: "subscribe = false\npoll = \"2s\"", ..Settings::on(queues) }).await;
    let first = town.start_role("ingress").await;
    let queue = town.start_role("genesys-outbound").await;
    town.netsapiens.set_events(nothing());
    let lists = |at_least: u64| town.netsapiens.until(SOON, move |sim| (sim.read_counts().0 >= at_least).then_some(()));
    assert!(lists(1).await.is_some());
    let second = town.start_replica("ingress-2", "ingress", town.settings.queues.clone()).await;
    let (began, (before, _)) = (Clock::system().now(), town.netsapiens.read_counts());
    assert!(lists(before + 5).await.is_some());
    let took: Timestamp = Clock::system().now();
    assert!(
        took.duration_since(began) >= SignedDuration::from_secs(8),
        "five looks of one replica take four intervals"
    );
    first.kill().await;
    town.text(CONSUMER, "to the one that is left");
    town.agent_sees(1).await;
    assert_eq!(town.seen_by_agent(CONSUMER), ["to the one that is left"]);
    for bridge in [second, queue] {
        assert!(bridge.terminate().await.success());
    }
}
