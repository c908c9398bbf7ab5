//! The log of a whole run, with everything switched on, holds nothing private.

use std::fs;

use crate::settings::{API_KEY, CHANNEL_SECRET, COMPANY, EVENT_SECRET, Queues, Settings};
use crate::town::Town;
use crate::webdriver::artefacts;
use crate::world::on_both_brokers;

on_both_brokers!(a_log_at_trace_level_holds_nothing_private);

const CONSUMER: &str = "13125550142";
const WORDS: [&str; 3] = ["mauve-parcel", "quiet-harbour", "seven-lanterns"];

async fn a_log_at_trace_level_holds_nothing_private(queues: Queues) {
    let town = Town::with(Settings { log: "trace".to_owned(), ..Settings::on(queues) }).await;
    let bridge = town.start().await;
    town.text(CONSUMER, WORDS[0]);
    town.agent_sees(1).await;
    town.reply(CONSUMER, WORDS[1]);
    town.receipts_told(1).await;
    // Everything that goes wrong is logged as well.
    town.netsapiens.faults().answer_500(1u32);
    town.netsapiens.faults().close_after_accept(1u32);
    town.genesys.faults().answer_500(2u32);
    town.genesys.faults().duplicate_webhooks(1);
    town.reply(CONSUMER, WORDS[2]);
    town.text(CONSUMER, WORDS[2]);
    town.netsapiens.faults().embedded_error(1u32);
    town.reply("13125550143", WORDS[2]);
    town.reply("no number", WORDS[2]);
    town.receipts_told(4).await;
    town.agent_sees(2).await;
    for body in ["not json mauve-parcel", r#"{"type":"Text","text":"quiet-harbour"}"#] {
        let answer = town.genesys.agent_sends_raw(COMPANY, body).await.expect("the bridge answers");
        assert_eq!(answer.status, 400);
    }
    let url = format!("http://{}/metrics", bridge.admin());
    let metrics = town.http.get(url).await.expect("metrics");
    let metrics = String::from_utf8(metrics.body.to_vec()).expect("it is text");
    let log = fs::read_to_string(town.log("all")).expect("there is a log");
    fs::write(artefacts().join("trace.log"), &log).expect("the artefact is written");
    assert!(log.lines().count() > 20, "a log at trace level says much:\n{log}");
    let private = [CONSUMER, "13125550143", COMPANY, "no number", CHANNEL_SECRET, API_KEY, EVENT_SECRET];
    for private in private.iter().chain(&WORDS) {
        for (name, text) in [("log", &log), ("metrics", &metrics)] {
            if let Some(line) = text.lines().find(|line| line.contains(private)) {
                panic!("the {name} holds {private}: {line}");
            }
        }
    }
    town.end(vec![bridge]).await;
}
