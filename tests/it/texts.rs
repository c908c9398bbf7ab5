//! Long replies: what they cost, how they are cut, and that each part is sent once.

use crate::settings::{Queues, Settings};
use crate::town::Town;
use crate::world::{World, on_both_brokers};

on_both_brokers!(
    a_long_reply_is_sent_in_parts,
    parts_whose_answers_are_lost_are_sent_once,
    a_reply_killed_between_its_parts_is_sent_once,
    a_reply_that_is_too_long_is_told_to_the_agent,
    a_part_that_is_refused_ends_the_reply,
);

const CONSUMER: &str = "13125550142";

/// Five parts of at most 160 characters.
const SHORT: &str = "max_characters = 160";

fn long() -> (String, Vec<String>) {
    let word = |number: usize| format!("word-{number:02}");
    let parts: Vec<String> =
        (0..5).map(|part| (0..20).map(|place| word(part * 20 + place)).collect::<Vec<_>>().join(" ")).collect();
    (parts.join(" "), parts)
}

fn delivered() -> Vec<(String, Vec<i64>)> {
    vec![("Delivered".to_owned(), Vec::new())]
}

async fn a_long_reply_is_sent_in_parts(queues: Queues) {
    let world = World::with(Settings { more: SHORT.to_owned(), ..Settings::on(queues) }).await;
    let (text, parts) = long();
    let id = world.reply(CONSUMER, &text);
    world.webhook_answered(&id).await;
    let next = world.reply(CONSUMER, "and that was it");
    world.receipts_told(2).await;
    let sent: Vec<String> = world.on_phone(CONSUMER).into_iter().map(|sms| sms.text).collect();
    assert_eq!(sent[..5], parts, "in order, cut between words");
    assert_eq!(sent[5..], ["and that was it"], "what comes after it waits for all of it");
    assert_eq!((world.receipts(&id), world.receipts(&next)), (delivered(), delivered()));
    let counted = format!("causeway_segments_total{{channel=\"{}\"}} ", crate::settings::CHANNEL);
    assert!(world.metrics().await.contains(&counted), "segments are counted");
    world.end().await;
}

async fn parts_whose_answers_are_lost_are_sent_once(queues: Queues) {
    let world = World::with(Settings { more: SHORT.to_owned(), ..Settings::on(queues) }).await;
    world.netsapiens.faults().close_after_accept(2u32);
    let (text, parts) = long();
    let id = world.reply(CONSUMER, &text);
    world.receipts_told(1).await;
    let sent: Vec<String> = world.on_phone(CONSUMER).into_iter().map(|sms| sms.text).collect();
    assert_eq!(sent, parts, "each is looked for, and found");
    assert_eq!(world.receipts(&id), delivered());
    world.end().await;
}

/// Killed twice: with a part sent and the next one not begun, and with a part on its way.
async fn a_reply_killed_between_its_parts_is_sent_once(queues: Queues) {
    let settings = Settings { more: "max_characters = 160\npace = \"30/m\"".to_owned(), ..Settings::on(queues) };
    let town = Town::with(settings).await;
    let bridge = town.start().await;
    let (text, parts) = long();
    let id = town.reply(CONSUMER, &text);
    town.phones_show(1).await;
    bridge.kill().await;
    town.netsapiens.faults().hang_after_accept(1u32);
    let bridge = town.start().await;
    town.phones_show(2).await;
    bridge.kill().await;
    let bridge = town.start().await;
    town.receipts_told(1).await;
    let sent: Vec<String> = town.on_phone(CONSUMER).into_iter().map(|sms| sms.text).collect();
    assert_eq!(sent, parts, "every part once, in order");
    assert_eq!(town.receipts(&id), delivered());
    town.end(vec![bridge]).await;
}

async fn a_reply_that_is_too_long_is_told_to_the_agent(queues: Queues) {
    let world = World::with(Settings { more: "max_segments = 2".to_owned(), ..Settings::on(queues) }).await;
    let id = world.reply(CONSUMER, &"a".repeat(307));
    world.receipts_told(1).await;
    assert_eq!(world.receipts(&id), [("Failed".to_owned(), vec![520])]);
    let receipt = world.genesys.receipts().remove(0);
    let told = receipt.reasons[0].1.as_deref().unwrap_or_default();
    assert!(told.contains("3 segments"), "{told}");
    let fits = world.reply(CONSUMER, &"a".repeat(306));
    world.receipts_told(2).await;
    assert_eq!(world.receipts(&fits), delivered());
    assert_eq!(world.netsapiens.sent_count(), 1);
    world.end().await;
}

async fn a_part_that_is_refused_ends_the_reply(queues: Queues) {
    let settings = Settings { more: "max_characters = 160\npace = \"30/m\"".to_owned(), ..Settings::on(queues) };
    let world = World::with(settings).await;
    let id = world.reply(CONSUMER, &long().0);
    world.phones_show(1).await;
    world.netsapiens.faults().embedded_error(1u32);
    world.receipts_told(1).await;
    assert_eq!(world.netsapiens.sent_count(), 1, "nothing is sent after what was refused");
    let receipt = world.genesys.receipts().remove(0);
    assert_eq!((receipt.message_id.as_str(), receipt.status.as_str()), (id.as_str(), "Failed"));
    let told = receipt.reasons[0].1.as_deref().unwrap_or_default();
    assert!(told.starts_with("Only 1 of 5 parts went out. "), "{told}");
    world.end().await;
}
