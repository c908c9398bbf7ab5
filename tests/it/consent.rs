//! Whole conversations with people who do not want to be written to.

use std::time::Duration;

use jiff::SignedDuration;
use runtime::Clock;
use sandbox::EventOptions;
use serde_json::Value;

use crate::neighbours::SOON;
use crate::settings::{CHANNEL, COMPANY, Queues, Settings};
use crate::town::Town;
use crate::world::{World, on_both_brokers};

on_both_brokers!(
    who_says_stop_is_left_alone_until_start,
    a_reply_that_waits_is_not_sent_after_a_stop,
    a_stop_that_comes_again_is_confirmed_once,
    a_start_before_a_late_copy_of_the_stop_holds,
    an_older_start_that_is_found_later_changes_nothing,
    who_asks_for_help_is_answered,
    a_stop_in_a_group_counts_for_its_member,
    answers_keep_to_the_pace_of_their_number,
    a_platform_that_sees_to_it_itself_is_left_to_it,
    a_confirmation_killed_in_the_middle_is_sent_once,
    a_stop_whose_confirmation_cannot_be_sent_holds,
    a_stop_that_cannot_be_answered_in_time_holds,
    consent_is_seen_and_set_from_the_command_line,
);

const CONSUMER: &str = "13125550142";
const STOPPED: &str = "You have opted out and will get no more messages from this number. Reply START to opt in again.";
const STARTED: &str = "You have opted in again to messages from this number. Reply STOP to opt out.";

fn delivered() -> Vec<(String, Vec<i64>)> {
    vec![("Delivered".to_owned(), Vec::new())]
}

fn refused() -> Vec<(String, Vec<i64>)> {
    vec![("Failed".to_owned(), vec![350])]
}

fn phone(world: &crate::neighbours::Neighbours) -> Vec<String> {
    world.on_phone(CONSUMER).into_iter().map(|sms| sms.text).collect()
}

async fn who_says_stop_is_left_alone_until_start(queues: Queues) {
    let world = World::on(queues).await;
    let clock = time_of(&world, SignedDuration::ZERO);
    world.text(CONSUMER, "please stop by");
    world.agent_sees(1).await;
    let before = world.reply(CONSUMER, "we will");
    world.receipts_told(1).await;
    world.text(CONSUMER, "STOP 🛑");
    world.phones_show(2).await;
    let after = world.reply(CONSUMER, "are you sure?");
    world.receipts_told(2).await;
    let elsewhere = world.reply("13125550177", "and you?");
    world.receipts_told(3).await;
    world.text(CONSUMER, "Stop.");
    world.agent_sees(3).await;
    assert_eq!(
        world.seen_by_agent(CONSUMER),
        ["please stop by", "STOP 🛑", "Stop."],
        "the agent sees what was written"
    );
    assert_eq!(phone(&world), ["we will", STOPPED], "confirmed once");
    let told = world.genesys.receipts().into_iter().find(|one| one.message_id == after).expect("it was told");
    assert!(told.reasons[0].1.as_deref().is_some_and(|told| told.contains("opted out")), "{:?}", told.reasons);

    clock.advance(SignedDuration::from_secs(1));
    world.text(CONSUMER, "start");
    world.phones_show(4).await;
    let again = world.reply(CONSUMER, "welcome back");
    world.receipts_told(4).await;
    assert_eq!(phone(&world), ["we will", STOPPED, STARTED, "welcome back"]);
    assert_eq!((world.receipts(&before), world.receipts(&after)), (delivered(), refused()));
    assert_eq!((world.receipts(&elsewhere), world.receipts(&again)), (delivered(), delivered()));
    let asked = &world.netsapiens.consumer_messages()[0];
    assert!(world.on_phone(CONSUMER).iter().all(|sms| sms.session == asked.session), "answers stay in the session");
    world.end().await;
}

/// Nothing of the queue `replies` waits to be taken.
async fn all_in_hand(world: &World) {
    world
        .until("everything in hand", async |world| {
            let queues = world.house.broker.queues().await.ok()?;
            let replies = queues.iter().filter(|queue| queue.queue.starts_with("causeway.replies."));
            (replies.map(|queue| queue.ready).sum::<u64>() == 0).then_some(())
        })
        .await;
}

/// Genesys is down, the provider too, and a reply waits; the STOP that comes behind it holds for it all the same.
async fn a_reply_that_waits_is_not_sent_after_a_stop(queues: Queues) {
    let world = World::on(queues).await;
    world.genesys.faults().down(true).await;
    world.netsapiens.faults().down(true).await;
    let waits = world.reply(CONSUMER, "too late");
    let _accepted = world.webhook_answered(&waits).await;
    let elsewhere = world.reply("13125550177", "not concerned");
    let _accepted = world.webhook_answered(&elsewhere).await;
    world.text(CONSUMER, "stop");
    let accepted = world.netsapiens.until(SOON, |sim| (sim.event_counts().0 >= 1).then_some(())).await;
    assert!(accepted.is_some(), "the STOP is stored");
    all_in_hand(&world).await;
    world.netsapiens.faults().down(false).await;
    world.phones_show(2).await;
    world.genesys.faults().down(false).await;
    world.receipts_told(2).await;
    world.agent_sees(1).await;
    assert_eq!(phone(&world), [STOPPED], "Genesys was down all the while");
    assert_eq!((world.receipts(&waits), world.receipts(&elsewhere)), (refused(), delivered()));
    assert_eq!(world.seen_by_agent(CONSUMER), ["stop"]);
    world.end().await;
}

async fn a_stop_that_comes_again_is_confirmed_once(queues: Queues) {
    let world = World::on(queues).await;
    let twins = Some(Duration::from_millis(100));
    world.netsapiens.set_events(EventOptions { twins, duplicates: 2, ..EventOptions::default() });
    world.netsapiens.faults().close_after_accept(1u32);
    world.text(CONSUMER, "Opt-out");
    let posted = world.netsapiens.until(SOON, |sim| (sim.event_counts().0 >= 6).then_some(())).await;
    assert!(posted.is_some(), "every copy was accepted");
    let reply = world.reply(CONSUMER, "hello?");
    world.receipts_told(1).await;
    world.agent_sees(1).await;
    assert_eq!((phone(&world), world.receipts(&reply)), (vec![STOPPED.to_owned()], refused()));
    assert_eq!(world.seen_by_agent(CONSUMER), ["Opt-out"]);
    world.end().await;
}

async fn a_start_before_a_late_copy_of_the_stop_holds(queues: Queues) {
    let world = World::on(queues).await;
    let twins = Some(Duration::from_millis(1500));
    world.netsapiens.set_events(EventOptions { twins, ..EventOptions::default() });
    let clock = time_of(&world, SignedDuration::ZERO);
    world.text(CONSUMER, "stop");
    world.phones_show(1).await;
    clock.advance(SignedDuration::from_secs(1));
    world.text(CONSUMER, "start");
    let posted = world.netsapiens.until(SOON, |sim| (sim.event_counts().0 >= 4).then_some(())).await;
    assert!(posted.is_some(), "every copy was accepted");
    let reply = world.reply(CONSUMER, "welcome back");
    world.receipts_told(1).await;
    assert_eq!(phone(&world), [STOPPED, STARTED, "welcome back"]);
    assert_eq!(world.receipts(&reply), delivered());
    world.end().await;
}

/// The provider's clock, in hand: its times are of whole seconds.
fn time_of(world: &World, ahead: SignedDuration) -> runtime::ManualClock {
    let (clock, hand) = Clock::manual(Clock::system().now() + ahead);
    world.netsapiens.set_clock(clock);
    hand
}

async fn an_older_start_that_is_found_later_changes_nothing(queues: Queues) {
    let provider = "subscribe = false\npoll = \"1s\"\ncatch_up_from = \"2020-01-01\"";
    let world = World::with(Settings { provider, ..Settings::on(queues) }).await;
    let clock = time_of(&world, SignedDuration::from_mins(-1));
    // The event of the first word is lost, and it is found after the second was heard.
    let says = |lost: &str, told: &str| {
        world.netsapiens.faults().lose_events(1u32);
        world.text(CONSUMER, lost);
        clock.advance(SignedDuration::from_secs(2));
        world.text(CONSUMER, told);
        clock.advance(SignedDuration::from_secs(2));
    };
    says("START", "STOP");
    world.phones_show(1).await;
    world.agent_sees(2).await;
    let first = world.reply(CONSUMER, "not wanted");
    world.receipts_told(1).await;
    says("Stop!", "unstop");
    world.phones_show(2).await;
    world.agent_sees(4).await;
    let second = world.reply(CONSUMER, "welcome back");
    world.receipts_told(2).await;
    assert_eq!(phone(&world), [STOPPED, STARTED, "welcome back"]);
    assert_eq!((world.receipts(&first), world.receipts(&second)), (refused(), delivered()));
    world.end().await;
}

async fn who_asks_for_help_is_answered(queues: Queues) {
    let channel =
        "help_text = \"Example Ltd, 0800 123. Reply STOP to opt out.\"\nstop_words = [\"ALTO\"]\nstop_text = \"\"";
    let world = World::with(Settings { more: channel.to_owned(), ..Settings::on(queues) }).await;
    world.text(CONSUMER, "Help!");
    world.phones_show(1).await;
    world.text(CONSUMER, "STOP");
    world.agent_sees(2).await;
    let first = world.reply(CONSUMER, "STOP is none of our words");
    world.receipts_told(1).await;
    world.text(CONSUMER, "¡Alto!");
    world.agent_sees(3).await;
    world.text(CONSUMER, "HELP");
    world.phones_show(3).await;
    let second = world.reply(CONSUMER, "not sent");
    world.receipts_told(2).await;
    let help = "Example Ltd, 0800 123. Reply STOP to opt out.";
    assert_eq!(phone(&world), [help, "STOP is none of our words", help], "no confirmation, and help for everybody");
    assert_eq!((world.receipts(&first), world.receipts(&second)), (delivered(), refused()));
    world.end().await;
}

/// Whoever leaves is written to no more, alone or in a group; the others are, without them.
async fn a_stop_in_a_group_counts_for_its_member(queues: Queues) {
    const OTHER: &str = "13125550143";
    let world = World::with(Settings { channel: "groups = true", ..Settings::on(queues) }).await;
    let group = format!("{CONSUMER},{OTHER}");
    let says = |from: &str, other: &str, text: &str| {
        let sent = world.netsapiens.consumer_sends_to_group(from, COMPANY, &[other], text);
        sent.expect("the number is the company's");
    };
    says(CONSUMER, OTHER, "are we on?");
    world.agent_sees(1).await;
    let mut told = 0;
    let mut reply = async |to: &str, text: &str| {
        let id = world.reply(to, text);
        told += 1;
        world.receipts_told(told).await;
        world.receipts(&id)
    };
    assert_eq!(reply(&group, "see you").await, delivered());
    says(OTHER, CONSUMER, "Stop!");
    world.phones_show(2).await;
    world.agent_sees(2).await;
    assert_eq!(reply(&group, "both of you").await, refused());
    assert_eq!(reply(OTHER, "you alone").await, refused());
    assert_eq!(reply(CONSUMER, "and you").await, delivered());
    let sent: Vec<_> = world.netsapiens.sent().into_iter().map(|sms| (sms.to, sms.text)).collect();
    let sms = |to: &str, text: &str| (to.to_owned(), text.to_owned());
    assert_eq!(sent, [sms(&group, "see you"), sms(OTHER, STOPPED), sms(CONSUMER, "and you")], "confirmed to one alone");
    let receipts = world.genesys.receipts();
    let reasons: Vec<_> = receipts.iter().flat_map(|one| one.reasons.iter().filter_map(|one| one.1.clone())).collect();
    assert!(reasons[0].starts_with("A member of the group has opted out"), "{reasons:?}");
    assert!(reasons.iter().all(|reason| !reason.contains("1312")), "nobody is named");
    assert_eq!(world.seen_by_agent(&group), [format!("+{CONSUMER}: are we on?"), format!("+{OTHER}: Stop!")]);

    world.text(OTHER, "START");
    world.phones_show(4).await;
    assert_eq!(reply(&group, "welcome back").await, delivered());
    world.text(CONSUMER, "STOP");
    world.phones_show(6).await;
    assert_eq!(reply(&group, "who left alone").await, refused());
    world.end().await;
}

/// Whoever asks is recorded at once, and answered as fast as the number may send.
async fn answers_keep_to_the_pace_of_their_number(queues: Queues) {
    let channel = "pace = \"30/m\"\nhelp_text = \"Reply STOP to opt out.\"";
    let world = World::with(Settings { more: channel.to_owned(), ..Settings::on(queues) }).await;
    for (number, word) in ["STOP", "HELP", "STOP"].into_iter().enumerate() {
        world.text(&format!("1312555014{number}"), word);
    }
    world.agent_sees(3).await;
    world.phones_show(3).await;
    let at: Vec<_> = world.netsapiens.sent().into_iter().map(|sms| sms.at).collect();
    let apart = at[2].duration_since(at[0]);
    assert!(apart >= SignedDuration::from_millis(3_500), "three in {apart:#}");
    world.end().await;
}

async fn a_platform_that_sees_to_it_itself_is_left_to_it(queues: Queues) {
    let world = World::with(Settings { more: "consent = \"off\"".to_owned(), ..Settings::on(queues) }).await;
    world.text(CONSUMER, "STOP");
    world.agent_sees(1).await;
    let reply = world.reply(CONSUMER, "sent all the same");
    world.receipts_told(1).await;
    assert_eq!((phone(&world), world.receipts(&reply)), (vec!["sent all the same".to_owned()], delivered()));
    world.end().await;
}

async fn a_confirmation_killed_in_the_middle_is_sent_once(queues: Queues) {
    let town = Town::on(queues).await;
    let bridge = town.start().await;
    town.netsapiens.faults().hang_after_accept(1u32);
    town.text(CONSUMER, "STOP");
    town.phones_show(1).await;
    bridge.kill().await;
    let bridge = town.start().await;
    let reply = town.reply(CONSUMER, "hello?");
    town.receipts_told(1).await;
    town.agent_sees(1).await;
    assert_eq!((phone(&town), town.receipts(&reply)), (vec![STOPPED.to_owned()], refused()));
    town.end(vec![bridge]).await;
}

async fn a_stop_whose_confirmation_cannot_be_sent_holds(queues: Queues) {
    let world = World::on(queues).await;
    world.netsapiens.faults().embedded_error(1u32);
    world.text(CONSUMER, "STOP");
    world.agent_sees(1).await;
    let refused_once = world.reply(CONSUMER, "hello?");
    world.receipts_told(1).await;
    assert_eq!((phone(&world), world.receipts(&refused_once)), (Vec::new(), refused()));
    world.end().await;
}

/// A keyword does not expire with the replies of its queue.
async fn a_stop_that_cannot_be_answered_in_time_holds(queues: Queues) {
    let world = World::with(Settings { expire_replies: "15s", ..Settings::on(queues) }).await;
    world.netsapiens.faults().down(true).await;
    world.text(CONSUMER, "STOP");
    world.agent_sees(1).await;
    world
        .until("the end of the STOP", async |world| {
            let lines = world.house.ledger.as_ref()?.timeline(CONSUMER).await.ok()?;
            lines.iter().any(|line| line.detail.ends_with("nothing to answer")).then_some(())
        })
        .await;
    world.netsapiens.faults().down(false).await;
    let reply = world.reply(CONSUMER, "hello?");
    world.receipts_told(1).await;
    assert_eq!(world.receipts(&reply), refused());
    assert!(phone(&world).is_empty(), "nothing was sent");
    world.end().await;
}

async fn consent_is_seen_and_set_from_the_command_line(queues: Queues) {
    let town = Town::on(queues).await;
    let bridge = town.start().await;
    let config = town.folder.path().join("all.toml").display().to_string();
    let says = async |arguments: &[&str]| {
        let output = town.run(&[&["consent"], arguments, &["--config", &config]].concat()).await;
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned(), told)
    };
    town.text(CONSUMER, "STOP");
    town.phones_show(1).await;
    let (_, listed, _) = says(&["list", "--state", "out", "--json"]).await;
    let listed: Value = serde_json::from_str(&listed).expect("it is JSON");
    assert_eq!((listed[0]["consumer"].as_str(), listed[0]["consent"].as_str()), (Some(CONSUMER), Some("out")));
    let (well, shown, _) = says(&["show", "(312) 555-0142"]).await;
    assert!(well && shown.starts_with("sales-sms: out, since ") && shown.contains("sent a keyword"), "{shown}");

    let set = ["set", CONSUMER, "in", "--channel", CHANNEL, "--reason"];
    let (well, _, told) = says(&[&set[..], &[" "]].concat()).await;
    assert!(!well && told.contains("needs a reason"), "{told}");
    let (well, changed, told) = says(&[&set[..], &["asked for it by mail"]].concat()).await;
    assert!(well && changed.starts_with("sales-sms: in, since "), "{changed}{told}");
    let (_, changed, _) = says(&[&set[..], &["asked twice"]].concat()).await;
    assert!(changed.starts_with("it was so already"), "{changed}");
    let reply = town.reply(CONSUMER, "welcome back");
    town.receipts_told(1).await;
    assert_eq!(
        (phone(&town), town.receipts(&reply)),
        (vec![STOPPED.to_owned(), "welcome back".to_owned()], delivered())
    );
    let traced = town.run(&["trace", CONSUMER, "--config", &config]).await;
    let traced = String::from_utf8_lossy(&traced.stdout).into_owned();
    assert!(traced.contains("opted in: set by an operator: asked for it by mail"), "{traced}");
    let (well, _, told) = says(&["show", CONSUMER, "--channel", "nowhere"]).await;
    assert!(!well && told.contains("nowhere is no SMS channel here"), "{told}");

    town.agent_sees(1).await;
    town.end(vec![bridge]).await;
}
