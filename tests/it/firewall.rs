//! A firewall in front of NetSapiens: one text that it takes for an attack, and a bridge that it takes for one.

use model::Family;

use crate::conversation::alarms;
use crate::settings::Queues;
use crate::world::{World, on_both_brokers};

on_both_brokers!(
    a_text_that_a_firewall_refuses_is_given_up_alone,
    a_firewall_that_refuses_everything_pauses_the_account,
);

const CONSUMER: &str = "13125550142";
const OTHER: &str = "13125550143";

fn delivered() -> Vec<(String, Vec<i64>)> {
    vec![("Delivered".to_owned(), Vec::new())]
}

async fn paused(world: &World) -> bool {
    alarms(&world.readyz().await.1).contains(&("account-paused".to_owned(), "crexendo".to_owned()))
}

async fn a_text_that_a_firewall_refuses_is_given_up_alone(queues: Queues) {
    let world = World::on(queues).await;
    world.netsapiens.faults().forbid_word("<script>");
    let refused = world.reply(CONSUMER, "Press F12 and write <script>");
    let _accepted = world.webhook_answered(&refused).await;
    let behind = world.reply(CONSUMER, "behind it");
    let others: Vec<String> = (0..3).map(|number| world.reply(OTHER, &format!("meanwhile {number}"))).collect();
    world.receipts_told(5).await;
    assert!(!paused(&world).await, "the account answers");
    let receipt =
        world.genesys.receipts().into_iter().find(|receipt| receipt.message_id == refused).expect("it is told");
    assert_eq!((receipt.status.as_str(), receipt.reasons.len()), ("Failed", 1));
    assert!(receipt.reasons[0].1.as_deref().is_some_and(|told| told.contains("firewall")), "{:?}", receipt.reasons);
    for id in others.iter().chain([&behind]) {
        assert_eq!(world.receipts(id), delivered());
    }
    let texts: Vec<String> = world.on_phone(CONSUMER).into_iter().map(|sms| sms.text).collect();
    assert_eq!(texts, ["behind it"]);
    let dead = world.house.broker.dead_letters(Family::Replies, 10).await.expect("dead letters can be read");
    assert_eq!(dead.iter().map(|letter| letter.reason.as_str()).collect::<Vec<_>>(), ["firewall"]);
    world.end_with_dead_letters(&[Family::Replies]).await;
}

async fn a_firewall_that_refuses_everything_pauses_the_account(queues: Queues) {
    let world = World::on(queues).await;
    world.netsapiens.faults().forbidden_html(true);
    let ids: Vec<String> = (0..4).map(|number| world.reply(&format!("1312555010{number}"), "hello")).collect();
    world.until("the alarm", async |world| paused(world).await.then_some(())).await;
    assert_eq!((world.genesys.receipt_count(), world.netsapiens.sent_count()), (0, 0), "they wait");
    let world = world.reopened(async |town| town.netsapiens.faults().forbidden_html(false)).await;
    world.receipts_told(4).await;
    for id in &ids {
        assert_eq!(world.receipts(id), delivered());
    }
    assert!(!paused(&world).await);
    world.end().await;
}
