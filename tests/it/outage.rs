//! The broker is gone or blocks: webhooks are told to come again, `/readyz` says why, and all of it ends by itself.

use std::time::{Duration, Instant};

use sandbox::WebhookState;
use serde_json::json;
use test_support::{PostgresServer, RabbitNode, Version, own_nodes};
use tokio::task::block_in_place;

use crate::neighbours::SOON;
use crate::settings::{Books, COMPANY, Queues, Settings};
use crate::town::{Bridge, Town};
use crate::world::World;

const CONSUMER: &str = "13125550142";
/// Design section 4, webhook answers.
const AT_MOST: Duration = Duration::from_secs(2);

async fn webhook_is_told_to_come_again(world: &World, id: &str) {
    let channel = json!({ "id": COMPANY, "from": { "id": COMPANY }, "to": { "id": CONSUMER }, "messageId": id });
    let body = json!({ "channel": channel, "type": "Text", "text": "not stored" });
    let began = Instant::now();
    let answer = world.genesys.agent_sends_raw(COMPANY, body).await.expect("the bridge answers");
    let took = began.elapsed();
    assert_eq!(answer.status, 503, "{}", String::from_utf8_lossy(&answer.body));
    assert!(took < AT_MOST, "answered after {took:?}");
}

async fn unready(world: &World, why: &str) {
    world
        .until("an unready process that says why", async |world| {
            let (status, body) = world.readyz().await;
            let told = body["components"].as_array()?.iter().any(|component| {
                component["required"] == json!(true)
                    && component["detail"].as_str().is_some_and(|told| told.contains(why))
            });
            (status == 503 && told).then_some(())
        })
        .await;
}

async fn ready(world: &World) {
    world.until("a ready process", async |world| (world.readyz().await.0 == 200).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_blocks_is_told_and_passes() {
    if !own_nodes() {
        return;
    }
    let node = block_in_place(|| RabbitNode::start(Version::V43));
    let world = World::on(Queues::RabbitMq(node.url("/"))).await;
    block_in_place(|| node.block());
    // RabbitMQ tells a connection that it is blocked when that connection next publishes.
    let first = world.reply(CONSUMER, "while it blocks");
    unready(&world, "block").await;
    webhook_is_told_to_come_again(&world, "m-blocked").await;
    block_in_place(|| node.unblock());
    ready(&world).await;
    assert_eq!(world.webhook_answered(&first).await, WebhookState::Accepted);
    world.phones_show(1).await;
    world.receipts_told(1).await;
    world.end().await;
}

/// Texts and replies are accepted all the while; nothing is sent that could not be written down, and all goes on by itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ledger_that_dies_holds_the_queue_roles_alone() {
    let mut server = block_in_place(PostgresServer::start);
    let database = block_in_place(|| server.make_database());
    let settings = Settings { books: Books::Postgres(database), ..Settings::on(Queues::Embedded) };
    let world = World::with(settings).await;
    world.reply(CONSUMER, "before");
    world.receipts_told(1).await;
    block_in_place(|| server.kill());
    let mut replies = Vec::new();
    for number in 0..5 {
        let id = world.reply(CONSUMER, &format!("meanwhile {number}"));
        assert_eq!(world.webhook_answered(&id).await, WebhookState::Accepted);
        replies.push(id);
    }
    world
        .until("a process that tells of it and stays ready", async |world| {
            let (status, body) = world.readyz().await;
            let told = body["components"].as_array()?.iter().any(|component| {
                component["name"] == json!("ledger")
                    && component["ready"] == json!(false)
                    && component["required"] == json!(false)
            });
            (status == 200 && told).then_some(())
        })
        .await;
    assert_eq!(world.on_phone(CONSUMER).len(), 1, "nothing is sent that cannot be written down");
    block_in_place(|| server.restart());
    world.receipts_told(6).await;
    let texts: Vec<String> = world.on_phone(CONSUMER).into_iter().map(|sms| sms.text).collect();
    let expected = std::iter::once("before".to_owned()).chain((0..5).map(|number| format!("meanwhile {number}")));
    assert_eq!(texts, expected.collect::<Vec<_>>());
    world.end().await;
}

/// Genesys has it, and the ledger dies before that could be written down: what this process knows is not forgotten.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_given_while_the_ledger_dies_is_given_once() {
    let mut server = block_in_place(PostgresServer::start);
    let database = block_in_place(|| server.make_database());
    let settings = Settings { books: Books::Postgres(database), ..Settings::on(Queues::Embedded) };
    let world = World::with(settings).await;
    world.genesys.faults().answer_late(Duration::from_secs(5));
    world.text(CONSUMER, "once");
    world.agent_sees(1).await;
    block_in_place(|| server.kill());
    world.genesys.faults().answer_late(Duration::ZERO);
    world
        .until("a ledger that is away", async |world| {
            let (_, body) = world.readyz().await;
            let away = body["components"].as_array()?.iter().any(|component| {
                component["name"] == json!("ledger")
                    && component["role"] == json!("genesys-outbound")
                    && component["ready"] == json!(false)
            });
            away.then_some(())
        })
        .await;
    block_in_place(|| server.restart());
    world.until("a settled queue", async |world| (world.readyz().await.0 == 200).then_some(())).await;
    let genesys = world.genesys.clone();
    world.end().await;
    assert_eq!(genesys.message_count(), 1, "it is not given a second time");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_dies_is_told_and_comes_back() {
    if !own_nodes() {
        return;
    }
    let mut node = block_in_place(|| RabbitNode::start(Version::V43));
    let world = World::on(Queues::RabbitMq(node.url("/"))).await;
    world.genesys.faults().down(true).await;
    world.text(CONSUMER, "accepted before");
    world
        .until("an accepted event", async |world| {
            let lines = world.house.ledger.as_ref()?.recent(10).await.ok()?;
            (!lines.is_empty()).then_some(())
        })
        .await;
    block_in_place(|| node.kill());
    unready(&world, "not connected").await;
    webhook_is_told_to_come_again(&world, "m-down").await;
    let reply = world.reply(CONSUMER, "redelivered until it is stored");
    world.genesys.faults().down(false).await;
    block_in_place(|| node.restart());
    ready(&world).await;
    world.agent_sees(1).await;
    assert_eq!(world.webhook_answered(&reply).await, WebhookState::Accepted);
    world.receipts_told(1).await;
    assert_eq!(world.seen_by_agent(CONSUMER), ["accepted before"]);
    assert_eq!(world.on_phone(CONSUMER).len(), 1);
    world.end().await;
}

/// Waits until a process is as ready as this, able to store messages, and says of its consumers what it must.
async fn consumers(bridge: &Bridge, ready: bool, says: &[&str]) {
    let deadline = Instant::now() + SOON;
    let mut ticks = tokio::time::interval(Duration::from_millis(100));
    loop {
        ticks.tick().await;
        let body = bridge.readyz().await;
        let line = |name: &str| body["components"].as_array()?.iter().find(|line| line["name"] == json!(name)).cloned();
        let (consumers, broker) = (line("consumers").expect("its line"), line("broker").expect("its line"));
        assert_eq!(consumers["required"], json!(true));
        let told = consumers["detail"].as_str().unwrap_or_default();
        let right = consumers["ready"] == json!(ready) && says.iter().all(|part| told.contains(part));
        if right && body["ready"] == json!(ready) && broker["ready"] == json!(true) {
            let gauge = bridge.metric("causeway_role_ready", "consumer-outbound").await;
            assert_eq!(gauge, f64::from(u8::from(ready)), "{body}");
            return;
        }
        assert!(Instant::now() < deadline, "never {says:?}: {body}");
    }
}

/// Whoever can store messages and consumes none is of no use as a process of queue roles.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_role_that_consumes_nothing_is_unready() {
    if !own_nodes() {
        return;
    }
    let node = block_in_place(|| RabbitNode::start(Version::V43));
    let town = Town::on(Queues::RabbitMq(node.url("/"))).await;
    let first = town.start_role("consumer-outbound").await;
    // Of each partition one of the two is the active consumer, and both are ready.
    let second = town.start_replica("second", "consumer-outbound", town.settings.queues.clone()).await;
    for bridge in [&first, &second] {
        consumers(bridge, true, &[]).await;
    }

    let queue = "causeway.replies.crexendo.0";
    block_in_place(|| node.delete_queue("/", queue));
    for bridge in [&first, &second] {
        let named = format!("1 of 4 queues are not consumed, {queue} for one: ");
        consumers(bridge, false, &[&named, "run `causeway topology apply`"]).await;
    }
    let config = town.whole().display().to_string();
    let applied = town.run(&["topology", "apply", "--config", &config]).await;
    assert!(applied.status.success(), "{}", String::from_utf8_lossy(&applied.stderr));
    for bridge in [&first, &second] {
        consumers(bridge, true, &[]).await;
    }

    // Everything but these may be read, and the permission of who consumes already is not asked for again.
    let others = r"^(causeway|amq\..*|causeway\.(inbound|receipts|dead)\..*)$";
    block_in_place(|| node.rabbitmqctl(&["set_permissions", "-p", "/", "guest", ".*", ".*", others]));
    block_in_place(|| node.rabbitmqctl(&["close_all_connections", "a test of permissions"]));
    for bridge in [&first, &second] {
        consumers(bridge, false, &["4 of 4 queues", "refused", "rabbitmqctl set_permissions"]).await;
    }
    block_in_place(|| node.rabbitmqctl(&["set_permissions", "-p", "/", "guest", ".*", ".*", ".*"]));
    for bridge in [&first, &second] {
        consumers(bridge, true, &[]).await;
    }
    for bridge in [first, second] {
        assert!(bridge.terminate().await.success());
    }
}
