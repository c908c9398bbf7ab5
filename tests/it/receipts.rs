//! Receipts that no reply in hand makes: sent by an operator, reported by a provider early, or poisonous.

use std::time::Duration;

use jiff::SignedDuration;
use ledger::{Begin, Effect, Ledger, ReceiptVerdict, Reported, SqliteConfig};
use model::{
    Address, AgentReply, ChannelName, DeliveryReport, Family, NeighbourName, PhoneNumber, ReasonCode, Receipt,
    ReceiptStatus, ReplyBody, TraceId,
};
use runtime::Clock;

use crate::dead_letters::Said;
use crate::neighbours::SOON;
use crate::settings::{CHANNEL, COMPANY, Queues, Settings};
use crate::town::Town;
use crate::world::{World, on_both_brokers};

on_both_brokers!(an_operator_tells_what_became_of_a_reply, a_reply_that_bounces_after_days_is_told);

const CONSUMER: &str = "13125550142";

impl Town {
    async fn receipts_send(&self, arguments: &[&str]) -> Said {
        let config = self.folder.path().join("all.toml").display().to_string();
        let channel = ["receipts", "send", "--channel", CHANNEL, "--config", &config];
        Said::of(&self.run(&[&channel, arguments].concat()).await)
    }
}

/// Delivered by hand where the provider says nothing, then removed; each once, and nothing goes back.
async fn an_operator_tells_what_became_of_a_reply(queues: Queues) {
    let town = Town::with(Settings { delivered_when: "never", ..Settings::on(queues) }).await;
    let bridge = town.start().await;
    let (first, second) = (town.reply(CONSUMER, "one"), town.reply(CONSUMER, "two"));
    town.phones_show(2).await;
    town.webhook_answered(&second).await;
    let said = town.receipts_send(&["--message", &first, "--status", "removed"]).await;
    said.refused("Removed only after Delivered");
    let told = town.receipts_send(&["--message", &first, "--status", "delivered"]).await.well();
    assert!(told.contains("on its way"), "{told}");
    town.receipts_told(1).await;
    let again = ["--message", &first, "--status", "delivered", "--json"];
    // What was told is recorded a moment after Genesys took it.
    let deadline = tokio::time::Instant::now() + SOON;
    while town.receipts_send(&again).await.json()["result"] != "repeated" {
        assert!(tokio::time::Instant::now() < deadline, "it is never known as told");
    }
    town.receipts_send(&["--message", &first, "--status", "failed"]).await.refused("cannot follow");
    town.receipts_send(&["--message", &first, "--status", "removed", "--to", CONSUMER]).await.well();
    town.receipts_told(2).await;
    let status = |word: &str, codes: &[i64]| (word.to_owned(), codes.to_vec());
    assert_eq!(town.receipts(&first), [status("Delivered", &[]), status("Removed", &[])]);

    let failed = ["--message", &second, "--status", "failed", "--code", "530", "--reason", "No such number."];
    town.receipts_send(&failed).await.well();
    town.receipts_told(3).await;
    assert_eq!(town.receipts(&second), [status("Failed", &[530])]);
    let last = town.genesys.receipts().pop().expect("it was told");
    assert_eq!((last.channel_id.as_str(), last.reasons[0].1.as_deref()), (COMPANY, Some("No such number.")));

    let unknown = town.receipts_send(&["--message", "nobody", "--status", "delivered"]).await;
    unknown.refused("the ledger knows no reply of this id");
    let nobody = ["--message", &second, "--status", "failed", "--to", "13125550199"];
    town.receipts_send(&nobody).await.refused("none of the 1 recipients");
    let wrong = town.receipts_send(&["--message", &first, "--status", "failed", "--code", "999"]).await;
    assert_eq!(wrong.code, Some(2));
    town.end(vec![bridge]).await;
}

/// What a provider reports of a reply reaches its agent, whether it comes before the reply is recorded or after.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_report_that_overtakes_its_reply_is_told() {
    let world = World::with(Settings { delivered_when: "never", ..Settings::on(Queues::Embedded) }).await;
    let (ledger, provider) = (world.house.ledger.clone().expect("a ledger"), NeighbourName::new("crexendo"));
    // Its usual answer names no id, and then there is nothing a report could be matched by.
    world.netsapiens.faults().send_answer(sandbox::SendAnswer::Object);
    world.reply(CONSUMER, "the first");
    world.phones_show(1).await;
    let known = world.netsapiens.sent()[0].id.clone();
    let bounced = || ReceiptStatus::failed(ReasonCode::InvalidDestination, "Nobody is there.");
    let late = world
        .until("the record of the first", async |_| match ledger.report(&provider, &known, bounced()).await {
            Ok(Reported::Matched(receipt)) => Some(receipt),
            _ => None,
        })
        .await;
    world.house.broker.publish(late.as_ref()).await.expect("it is stored");
    world.receipts_told(1).await;

    let next = next_id(&known);
    assert_eq!(ledger.report(&provider, &next, bounced()).await.expect("the ledger answers"), Reported::Held);
    let reply = world.reply(CONSUMER, "the second");
    world.receipts_told(2).await;
    assert_eq!(world.netsapiens.sent()[1].id, next, "the simulation counts its messages");
    assert_eq!(world.receipts(&reply), [("Failed".to_owned(), vec![530])]);
    drop(ledger);
    world.end().await;
}

/// A reply of five days ago whose agent saw `Delivered`, because the provider had accepted it: longer ago than receipts are kept.
async fn accepted_five_days_ago(ledger: &Ledger, message: &str, known: &str) -> AgentReply {
    let channel = ChannelName::new(CHANNEL);
    let received_at = Clock::system().now() - SignedDuration::from_hours(5 * 24);
    let reply = AgentReply {
        id: AgentReply::derive_id(&channel, message, CONSUMER),
        channel,
        provider: NeighbourName::new("crexendo"),
        genesys: NeighbourName::new("main"),
        genesys_message_id: message.to_owned(),
        from_id: COMPANY.to_owned().into(),
        to_id: CONSUMER.to_owned().into(),
        to: Address::Phone(PhoneNumber::normalise(CONSUMER, None).expect("it is a number")),
        body: ReplyBody::Text("hello".to_owned().into()),
        trace: TraceId::new("trace"),
        received_at,
    };
    let effect = Effect::from(&reply);
    let begun = ledger.begin(effect.clone(), Duration::from_secs(15)).await.expect("the ledger answers");
    let Begin::First(attempt) = begun else { panic!("it was begun before: {begun:?}") };
    let reports = ledger.sent(&effect, &attempt, Some(known.to_owned())).await.expect("the ledger answers");
    assert_eq!(reports, []);
    assert_eq!(ledger.receipt(&reply.accepted()).await.expect("the ledger answers"), ReceiptVerdict::Emit);
    ledger.receipt_emitted(&reply.accepted()).await.expect("the ledger answers");
    reply
}

/// Mail servers give up after days. What they say then is news, however old the reply is.
async fn a_reply_that_bounces_after_days_is_told(queues: Queues) {
    let world = World::on(queues).await;
    let ledger = world.house.ledger.clone().expect("a ledger");
    let reply = accepted_five_days_ago(&ledger, "days-1", "known-1").await;
    let status = ReceiptStatus::failed(ReasonCode::InvalidDestination, "Nobody is there.");
    let report = DeliveryReport {
        id: DeliveryReport::derive_id(&reply.provider, "known-1", &status),
        provider: reply.provider.clone(),
        foreign_id: "known-1".to_owned(),
        status,
        trace: TraceId::new("report"),
        received_at: Clock::system().now(),
    };
    world.house.broker.publish(&report).await.expect("it is stored");
    let told = ("Failed".to_owned(), vec![530]);
    let seen = world.until("the failure, or a dead letter", async |world| {
        let dead = world.house.broker.dead_letters(Family::Receipts, 1).await.ok()?;
        let receipts = world.receipts("days-1");
        (!receipts.is_empty() || !dead.is_empty()).then_some(receipts)
    });
    assert_eq!(seen.await, [told]);
    drop(ledger);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reply_of_days_ago_is_taken_back() {
    let town = Town::on(Queues::Embedded).await;
    let bridge = town.start().await;
    let path = town.folder.path().join("ledger.db");
    let config = ledger::Config::Sqlite(SqliteConfig { path, retain: Duration::from_secs(86_400), sole_owner: false });
    let ledger = Ledger::open(config, Clock::system()).await.expect("a ledger");
    accepted_five_days_ago(&ledger, "days-2", "known-2").await;
    ledger.close().await;
    let told = town.receipts_send(&["--message", "days-2", "--status", "removed"]).await.well();
    assert!(told.contains("on its way"), "{told}");
    town.receipts_told(1).await;
    assert_eq!(town.receipts("days-2"), [("Removed".to_owned(), Vec::new())]);
    town.end(vec![bridge]).await;
}

/// The simulated provider counts its messages.
fn next_id(id: &str) -> String {
    let digits = id.len() - id.chars().rev().take_while(char::is_ascii_digit).count();
    let (word, number) = id.split_at(digits);
    let next = number.parse::<u64>().expect("it ends in a number") + 1;
    format!("{word}{next:0width$}", width = number.len())
}

/// A receipt that five processes began to tell, and none came back from, is put aside.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_poisonous_receipt_is_put_aside() {
    let town = Town::on(Queues::Embedded).await;
    let message = "poisonous-1";
    let channel = ChannelName::new(CHANNEL);
    let consumer = PhoneNumber::normalise(CONSUMER, None).expect("it is a number");
    let receipt = Receipt {
        // What the bridge itself will tell: taken by the provider, which is all the evidence there is.
        accepted: true,
        id: AgentReply::derive_id(&channel, message, CONSUMER),
        channel,
        genesys: NeighbourName::new("main"),
        genesys_message_id: message.to_owned(),
        from_id: COMPANY.to_owned().into(),
        to_id: CONSUMER.to_owned().into(),
        to: Address::Phone(consumer),
        status: ReceiptStatus::Delivered,
        trace: TraceId::new("trace"),
        received_at: Clock::system().now(),
        told_at: None,
    };
    for _ in 0..5 {
        let path = town.folder.path().join("ledger.db");
        let retain = Duration::from_secs(86_400);
        let config = ledger::Config::Sqlite(SqliteConfig { path, retain, sole_owner: false });
        let crashed = Ledger::open(config, Clock::system()).await.expect("a ledger");
        assert_eq!(crashed.receipt(&receipt).await.expect("it answers"), ReceiptVerdict::Emit);
        crashed.close().await;
    }
    let bridge = town.start().await;
    let config = town.folder.path().join("all.toml").display().to_string();
    let simulated = ["genesys", "simulate-webhook", "--config", &config, "--channel", CHANNEL, "--to", CONSUMER];
    let output = town.run(&[&simulated[..], &["--text", "hello", "--message", message]].concat()).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let deadline = tokio::time::Instant::now() + SOON;
    let list = ["dead-letters", "list", "--json", "--family", Family::Receipts.word(), "--config", &config];
    loop {
        let listed = Said::of(&town.run(&list).await).json();
        if listed["causes"][0]["cause"] == "poison" {
            break;
        }
        assert!(tokio::time::Instant::now() < deadline, "it is not put aside: {listed}");
    }
    assert_eq!((town.genesys.receipt_count(), town.netsapiens.sent_count()), (0, 1));
    let id = receipt.id.to_string();
    Said::of(&town.run(&["dead-letters", "replay", "--id", &id, "--config", &config]).await).well();
    town.receipts_told(1).await;
    assert!(bridge.terminate().await.success());
}
