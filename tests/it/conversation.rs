//! The main job: texts in, replies out, receipts back.

use std::collections::BTreeSet;
use std::time::Duration;

use sandbox::{EventOptions, WebhookState};
use serde_json::{Value, json};

use crate::settings::{COMPANY, Queues, Settings};
use crate::world::{World, on_both_brokers};

on_both_brokers!(
    a_conversation_runs_both_ways,
    many_conversations_stay_in_order,
    what_comes_twice_is_done_once,
    genesys_errors_delay_and_lose_nothing,
    a_sick_provider_delays_and_nobody_is_texted_twice,
    an_answer_that_is_lost_is_looked_up,
    a_provider_that_cannot_be_asked_raises_an_alarm,
    what_cannot_be_sent_is_told_to_the_agent,
    a_reply_the_provider_refuses_is_told_to_the_agent,
    delivered_is_not_claimed_without_evidence,
    a_refused_channel_alarms_and_comes_back,
    a_refused_account_alarms,
    a_quiet_channel_alarms_until_something_comes_in,
);

const CONSUMER: &str = "13125550142";

fn delivered() -> Vec<(String, Vec<i64>)> {
    vec![("Delivered".to_owned(), Vec::new())]
}

async fn a_conversation_runs_both_ways(queues: Queues) {
    let world = World::on(queues).await;
    world.text(CONSUMER, "Is my parcel here? 📦");
    world.agent_sees(1).await;
    let message = world.genesys.messages().remove(0);
    assert_eq!((message.from.as_str(), message.to.as_str()), (CONSUMER, COMPANY));
    assert_eq!(message.text, "Is my parcel here? 📦");
    assert!(message.signature_ok && message.message_id.is_some_and(|id| id.starts_with("in-")));
    assert!(message.trace.is_some(), "a walk has a trace from its beginning");

    let id = world.reply(CONSUMER, "It is — come by before 6.");
    world.receipts_told(1).await;
    let sent = world.on_phone(CONSUMER);
    assert_eq!(sent.iter().map(|sms| sms.text.as_str()).collect::<Vec<_>>(), ["It is — come by before 6."]);
    let asked = world.netsapiens.consumer_messages().remove(0);
    assert_eq!(sent[0].session, asked.session, "a reply goes into the session of what it answers");
    assert_eq!(sent[0].from, COMPANY);
    let receipt = world.genesys.receipts().remove(0);
    assert_eq!((receipt.message_id.as_str(), receipt.status.as_str()), (id.as_str(), "Delivered"));
    assert_eq!((receipt.from.as_str(), receipt.to.as_str()), (COMPANY, CONSUMER));
    assert!(receipt.known && !receipt.early, "a receipt never overtakes the webhook's 200");
    let reply = world.genesys.agent_message(&id).expect("it was sent");
    assert_eq!(receipt.trace.as_deref(), Some(reply.trace.as_str()), "the trace id is continued verbatim");
    assert_eq!(reply.attempts[0].echoed.as_deref(), Some(id.as_str()));

    let other = world.reply("13125550177", "Hello, this is support.");
    world.receipts_told(2).await;
    assert_eq!(world.on_phone("13125550177").len(), 1, "a conversation may begin with the agent");
    assert_eq!(world.receipts(&other), delivered());
    world.end().await;
}

async fn many_conversations_stay_in_order(queues: Queues) {
    const CONVERSATIONS: u32 = 12;
    const MESSAGES: u32 = 15;
    let world = World::on(queues).await;
    world.netsapiens.set_events(EventOptions { echo: false, ..EventOptions::default() });
    let consumers: Vec<String> = (0..CONVERSATIONS).map(|number| format!("1312556{number:04}")).collect();
    for number in 0..MESSAGES {
        for consumer in &consumers {
            world.text(consumer, &format!("in {number}"));
            world.reply(consumer, &format!("out {number}"));
        }
        // The next is sent once this one was accepted, which is what order means.
        world
            .until("accepted webhooks", async |world| {
                let open = |message: &sandbox::AgentMessage| message.webhook == WebhookState::Sending;
                (!world.genesys.agent_messages().iter().any(open)).then_some(())
            })
            .await;
        let texts = u64::from((number + 1) * CONVERSATIONS);
        world.until("accepted events", async |world| (world.netsapiens.event_counts().0 >= texts).then_some(())).await;
    }
    let all = u64::from(CONVERSATIONS * MESSAGES);
    world.agent_sees(all).await;
    world.phones_show(all).await;
    world.receipts_told(all).await;
    for consumer in &consumers {
        let expected = |word: &str| (0..MESSAGES).map(|number| format!("{word} {number}")).collect::<Vec<_>>();
        assert_eq!(world.seen_by_agent(consumer), expected("in"));
        assert_eq!(world.on_phone(consumer).into_iter().map(|sms| sms.text).collect::<Vec<_>>(), expected("out"));
    }
    let told: BTreeSet<String> = world.genesys.receipts().into_iter().map(|receipt| receipt.message_id).collect();
    assert_eq!((told.len() as u64, world.genesys.receipt_count()), (all, all), "one receipt each");
    world.end().await;
}

async fn what_comes_twice_is_done_once(queues: Queues) {
    let world = World::on(queues).await;
    world.genesys.faults().duplicate_webhooks(3);
    let twins = Some(Duration::from_millis(100));
    world.netsapiens.set_events(EventOptions { twins, duplicates: 2, ..EventOptions::default() });
    world.text(CONSUMER, "once");
    let id = world.reply(CONSUMER, "once, too");
    world.receipts_told(1).await;
    world.agent_sees(1).await;
    world
        .until("every duplicate", async |world| {
            let posts = world.genesys.agent_message(&id).map(|message| message.attempts.len());
            (posts == Some(4) && world.netsapiens.event_counts().0 >= 6).then_some(())
        })
        .await;
    // A last message in the same conversation passes only after everything before it.
    let last = world.reply(CONSUMER, "last");
    world.text(CONSUMER, "last");
    world.agent_sees(2).await;
    world.until("the last receipt", async |world| (!world.receipts(&last).is_empty()).then_some(())).await;
    assert_eq!(world.seen_by_agent(CONSUMER), ["once", "last"]);
    assert_eq!(world.on_phone(CONSUMER).len(), 2);
    assert_eq!(world.receipts(&id), delivered());
    world.end().await;
}

async fn genesys_errors_delay_and_lose_nothing(queues: Queues) {
    let world = World::on(queues).await;
    world.genesys.faults().answer_500(2u32);
    world.text(CONSUMER, "first");
    world.text(CONSUMER, "second");
    world.agent_sees(2).await;
    world.genesys.faults().answer_503(1u32);
    world.text(CONSUMER, "third");
    world.agent_sees(3).await;
    world.genesys.faults().answer_429(1u32, Duration::from_secs(1));
    world.text(CONSUMER, "fourth");
    world.agent_sees(4).await;
    world.genesys.faults().down(true).await;
    world.text(CONSUMER, "fifth");
    world
        .until("a try against a closed port", async |world| {
            let lines = world.house.ledger.as_ref()?.recent(10).await.ok()?;
            lines.last().is_some_and(|line| line.what == ledger::What::Released).then_some(())
        })
        .await;
    world.genesys.faults().down(false).await;
    world.agent_sees(5).await;
    assert_eq!(world.seen_by_agent(CONSUMER), ["first", "second", "third", "fourth", "fifth"]);
    world.end().await;
}

async fn a_sick_provider_delays_and_nobody_is_texted_twice(queues: Queues) {
    let world = World::on(queues).await;
    world.netsapiens.faults().answer_503(2u32);
    let first = world.reply(CONSUMER, "first");
    let _accepted = world.webhook_answered(&first).await;
    let second = world.reply(CONSUMER, "second");
    world.receipts_told(2).await;
    world.netsapiens.faults().answer_500(1u32);
    let third = world.reply(CONSUMER, "third");
    world.receipts_told(3).await;
    let texts: Vec<String> = world.on_phone(CONSUMER).into_iter().map(|sms| sms.text).collect();
    assert_eq!(texts, ["first", "second", "third"]);
    for id in [first, second, third] {
        assert_eq!(world.receipts(&id), delivered());
    }
    world.end().await;
}

async fn an_answer_that_is_lost_is_looked_up(queues: Queues) {
    let world = World::on(queues).await;
    world.netsapiens.faults().close_after_accept(1u32);
    let id = world.reply(CONSUMER, "did it arrive?");
    world.receipts_told(1).await;
    world.netsapiens.faults().fail_after_accept(1u32);
    let other = world.reply(CONSUMER, "and this one?");
    world.receipts_told(2).await;
    let texts: Vec<String> = world.on_phone(CONSUMER).into_iter().map(|sms| sms.text).collect();
    assert_eq!(texts, ["did it arrive?", "and this one?"], "what was sent is found, and not sent again");
    assert_eq!((world.receipts(&id), world.receipts(&other)), (delivered(), delivered()));
    world.end().await;
}

async fn a_provider_that_cannot_be_asked_raises_an_alarm(queues: Queues) {
    let world = World::on(queues).await;
    world.netsapiens.faults().close_after_accept(1u32);
    world.netsapiens.faults().reads_answer_500(true);
    let id = world.reply(CONSUMER, "who knows?");
    let expected = [("maybe-sent".to_owned(), "crexendo".to_owned())];
    world.until("the alarm", async |world| (alarms(&world.readyz().await.1) == expected).then_some(())).await;
    assert_eq!((world.on_phone(CONSUMER).len(), world.receipts(&id).len()), (1, 0));
    world.netsapiens.faults().reads_answer_500(false);
    world.receipts_told(1).await;
    assert_eq!((world.on_phone(CONSUMER).len(), world.receipts(&id)), (1, delivered()));
    assert!(alarms(&world.readyz().await.1).is_empty(), "what is known raises no alarm");
    world.end().await;
}

fn webhook(id: &str, to: &Value, more: Value) -> Value {
    let mut message = json!({
        "channel": { "id": COMPANY, "type": "sms", "from": { "id": COMPANY }, "to": to, "messageId": id },
        "type": "Text",
    });
    if let (Value::Object(message), Value::Object(more)) = (&mut message, more) {
        message.extend(more);
    }
    message
}

async fn what_cannot_be_sent_is_told_to_the_agent(queues: Queues) {
    let world = World::on(queues).await;
    let consumer = json!({ "id": CONSUMER });
    let picture = json!({ "type": "RichMedia", "richMedia": { "url": "genesys://nexus/../4f" } });
    let cases = [
        (webhook("m-empty", &consumer, json!({ "text": "" })), 520),
        (webhook("m-null", &consumer, json!({ "text": null })), 520),
        (webhook("m-picture", &consumer, picture), 510),
        (webhook("m-mail", &consumer, json!({ "type": "Email", "text": "Dear" })), 510),
        (webhook("m-nobody", &json!({ "id": "not-a-number" }), json!({ "text": "hello" })), 530),
    ];
    let mut told = Vec::new();
    for (body, code) in &cases {
        let answer = world.genesys.agent_sends_raw(COMPANY, body.clone()).await.expect("the bridge answers");
        assert_eq!(answer.status, 200, "what can be answered with a receipt is accepted");
        told.push((body["channel"]["messageId"].as_str().expect("it has an id").to_owned(), *code));
    }
    world.receipts_told(cases.len() as u64).await;
    for (id, code) in told {
        assert_eq!(world.receipts(&id), [("Failed".to_owned(), vec![code])], "{id}");
    }
    assert_eq!(world.netsapiens.sent_count(), 0);
    world.end().await;
}

async fn a_reply_the_provider_refuses_is_told_to_the_agent(queues: Queues) {
    let world = World::on(queues).await;
    world.netsapiens.faults().embedded_error(1u32);
    let id = world.reply(CONSUMER, "refused");
    world.receipts_told(1).await;
    let receipts = world.receipts(&id);
    assert_eq!((receipts.len(), receipts[0].0.as_str()), (1, "Failed"), "{receipts:?}");
    assert_eq!(world.netsapiens.sent_count(), 0);
    world.end().await;
}

async fn delivered_is_not_claimed_without_evidence(queues: Queues) {
    let world = World::with(Settings { delivered_when: "never", ..Settings::on(queues) }).await;
    world.reply(CONSUMER, "on its way");
    world.phones_show(1).await;
    world
        .until("the count of unconfirmed", async |world| {
            world.metrics().await.contains("causeway_unconfirmed_total{provider=\"crexendo\"}").then_some(())
        })
        .await;
    let refused = world.reply("nobody", "never arrives");
    world.receipts_told(1).await;
    assert_eq!(world.receipts(&refused)[0].0, "Failed");
    assert_eq!(world.genesys.receipt_count(), 1, "the accepted one stays silent");
    world.end().await;
}

pub(crate) fn alarms(readyz: &Value) -> Vec<(String, String)> {
    let text = |alarm: &Value, key: &str| alarm[key].as_str().unwrap_or_default().to_owned();
    let alarms = readyz["alarms"].as_array().into_iter().flatten();
    alarms.map(|alarm| (text(alarm, "alarm"), text(alarm, "target"))).collect()
}

async fn a_refused_channel_alarms_and_comes_back(queues: Queues) {
    let world = World::on(queues).await;
    world.genesys.faults().refuse_401(1u32);
    world.text(CONSUMER, "held");
    let expected = [("channel-fault".to_owned(), "sales-sms".to_owned())];
    world.until("the alarm", async |world| (alarms(&world.readyz().await.1) == expected).then_some(())).await;
    assert_eq!(world.readyz().await.0, 200, "what comes in can still be stored");
    assert_eq!(world.genesys.message_count(), 0);
    world.agent_sees(1).await;
    world.until("the end of the alarm", async |world| alarms(&world.readyz().await.1).is_empty().then_some(())).await;
    world.end_with_dead_letters(&[]).await;
}

async fn a_refused_account_alarms(queues: Queues) {
    let world = World::on(queues).await;
    world.netsapiens.faults().refuse_401(true);
    let id = world.reply(CONSUMER, "held");
    let expected = [("account-paused".to_owned(), "crexendo".to_owned())];
    world.until("the alarm", async |world| (alarms(&world.readyz().await.1) == expected).then_some(())).await;
    world.text(CONSUMER, "the other way is not concerned");
    world.agent_sees(1).await;
    assert_eq!((world.netsapiens.sent_count(), world.receipts(&id).len()), (0, 0));
    world.netsapiens.faults().refuse_401(false);
    world.phones_show(1).await;
    world.receipts_told(1).await;
    assert_eq!(world.receipts(&id), delivered());
    world.until("its end", async |world| alarms(&world.readyz().await.1).is_empty().then_some(())).await;
    world.end_with_dead_letters(&[]).await;
}

async fn a_quiet_channel_alarms_until_something_comes_in(queues: Queues) {
    let settings = Settings { channel: "quiet_alarm = \"3s\"", ..Settings::on(queues) };
    let world = World::with(settings).await;
    let expected = [("no-inbound".to_owned(), "sales-sms".to_owned())];
    world.until("the alarm", async |world| (alarms(&world.readyz().await.1) == expected).then_some(())).await;
    world
        .until("the end of the alarm", async |world| {
            world.text(CONSUMER, "is anybody there?");
            alarms(&world.readyz().await.1).is_empty().then_some(())
        })
        .await;
    world.until("it again", async |world| (alarms(&world.readyz().await.1) == expected).then_some(())).await;
    world.end_with_dead_letters(&[]).await;
}
