//! `kill -9` of the bridge while it has accepted what it has not forwarded yet.

use crate::settings::Queues;
use crate::town::Town;
use crate::world::on_both_brokers;

on_both_brokers!(what_was_accepted_survives_a_kill, a_reply_killed_in_the_middle_is_sent_once,);

const CONVERSATIONS: usize = 4;
const MESSAGES: usize = 25;

fn consumer(number: usize) -> String {
    format!("1312557{number:04}")
}

async fn what_was_accepted_survives_a_kill(queues: Queues) {
    let town = Town::on(queues).await;
    let bridge = town.start().await;
    town.genesys.faults().down(true).await;
    town.netsapiens.faults().down(true).await;
    let mut replies = Vec::new();
    for number in 0..MESSAGES {
        for conversation in 0..CONVERSATIONS {
            let consumer = consumer(conversation);
            let id = town.reply(&consumer, &format!("out {number}"));
            assert_eq!(town.webhook_answered(&id).await, sandbox::WebhookState::Accepted);
            replies.push(id);
            town.text(&consumer, &format!("in {number}"));
        }
    }
    let all = (CONVERSATIONS * MESSAGES) as u64;
    // An event of the provider is stored when it was answered; those lost with the process would be lost for good.
    let posted =
        town.netsapiens.until(crate::neighbours::SOON, |sim| (sim.event_counts().0 >= all).then_some(())).await;
    assert!(posted.is_some(), "every event was answered");
    assert_eq!(town.netsapiens.event_counts().1, 0);
    assert_eq!((town.genesys.message_count(), town.netsapiens.sent_count()), (0, 0));
    bridge.kill().await;
    town.genesys.faults().down(false).await;
    town.netsapiens.faults().down(false).await;
    let bridge = town.start().await;
    town.agent_sees(all).await;
    town.receipts_told(all).await;
    for conversation in 0..CONVERSATIONS {
        let consumer = consumer(conversation);
        let expected = |word: &str| (0..MESSAGES).map(|number| format!("{word} {number}")).collect::<Vec<_>>();
        assert_eq!(town.seen_by_agent(&consumer), expected("in"));
        assert_eq!(town.on_phone(&consumer).into_iter().map(|sms| sms.text).collect::<Vec<_>>(), expected("out"));
    }
    for id in &replies {
        assert_eq!(town.receipts(id), [("Delivered".to_owned(), Vec::new())]);
    }
    town.end(vec![bridge]).await;
}

/// The provider has taken the text and its answer is still on its way when the process is killed.
async fn a_reply_killed_in_the_middle_is_sent_once(queues: Queues) {
    let town = Town::on(queues).await;
    let bridge = town.start().await;
    town.netsapiens.faults().hang_after_accept(1u32);
    let id = town.reply("13125550142", "once");
    town.phones_show(1).await;
    bridge.kill().await;
    let bridge = town.start().await;
    town.receipts_told(1).await;
    assert_eq!(town.on_phone("13125550142").len(), 1, "what the provider has is not sent again");
    assert_eq!(town.receipts(&id), [("Delivered".to_owned(), Vec::new())]);
    town.end(vec![bridge]).await;
}
