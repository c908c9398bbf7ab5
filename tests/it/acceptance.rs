//! The lines of the acceptance lists that no other test holds, and the table that says which test holds which line.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method};
use serde_json::json;

use crate::settings::{CHANNEL, CHANNEL_SECRET, COMPANY, Queues};
use crate::world::{World, on_both_brokers};

on_both_brokers!(
    the_same_webhook_five_times_in_parallel_is_one_send,
    a_missing_or_odd_trace_id_is_accepted,
    non_ascii_text_is_verified_over_raw_bytes,
);

const CONSUMER: &str = "13125550142";

fn reply(id: &str, text: &str) -> serde_json::Value {
    json!({
        "channel": {
            "id": COMPANY, "type": "sms", "from": { "id": COMPANY }, "to": { "id": CONSUMER }, "messageId": id,
        },
        "type": "Text",
        "text": text,
    })
}

async fn the_same_webhook_five_times_in_parallel_is_one_send(queues: Queues) {
    let world = World::on(queues).await;
    world.genesys.faults().duplicate_webhooks(4);
    let id = world.reply(CONSUMER, "once");
    let posted = async |world: &World| {
        let message = world.genesys.agent_message(&id)?;
        (message.attempts.len() == 5).then_some(message.attempts)
    };
    let attempts = world.until("five answers", posted).await;
    for attempt in attempts {
        assert_eq!((attempt.status, attempt.echoed.as_deref()), (Some(200), Some(id.as_str())));
    }
    world.receipts_told(1).await;
    // A last reply in the same conversation is sent only after everything before it.
    world.genesys.faults().duplicate_webhooks(0);
    world.reply(CONSUMER, "last");
    world.receipts_told(2).await;
    let texts: Vec<String> = world.on_phone(CONSUMER).into_iter().map(|sms| sms.text).collect();
    assert_eq!(texts, ["once", "last"]);
    world.end().await;
}

async fn a_missing_or_odd_trace_id_is_accepted(queues: Queues) {
    let world = World::on(queues).await;
    let long = "x".repeat(400);
    let traces = [None, Some(""), Some("80f198ee56343ba864fe8b2a57d3eff7"), Some("no uuid at all; <b>"), Some(&long)];
    for (index, trace) in traces.into_iter().enumerate() {
        let body = Bytes::from(reply(&format!("m-{index}"), &format!("text {index}")).to_string());
        let mut headers = HeaderMap::new();
        let signature = sandbox::sign(CHANNEL_SECRET, &body);
        headers.insert("x-hub-signature", HeaderValue::from_str(&signature).expect("it is hex"));
        if let Some(trace) = trace {
            headers.insert("x-b3-traceid", HeaderValue::from_str(trace).expect("it is ASCII"));
        }
        let url = format!("http://{}/genesys/{CHANNEL}", world.bridge());
        let answer = world.http.call(Method::POST, url, headers, body).await.expect("an answer");
        assert_eq!(answer.status.as_u16(), 200, "{trace:?}");
    }
    world.receipts_told(5).await;
    assert_eq!(world.on_phone(CONSUMER).len(), 5);
    world.end().await;
}

async fn non_ascii_text_is_verified_over_raw_bytes(queues: Queues) {
    let world = World::on(queues).await;
    let text = "Grüße €5 😀";
    let raw = reply("m-raw", text).to_string();
    let escaped =
        raw.replace('ü', "\\u00fc").replace('ß', "\\u00df").replace('€', "\\u20ac").replace('😀', "\\ud83d\\ude00");
    assert!(raw.contains(text) && escaped.is_ascii());
    for body in [raw, escaped.replace("m-raw", "m-escaped")] {
        let answer = world.genesys.agent_sends_raw(COMPANY, body.as_str()).await.expect("an answer");
        assert_eq!(answer.status, 200);
    }
    world.receipts_told(2).await;
    let texts: Vec<String> = world.on_phone(CONSUMER).into_iter().map(|sms| sms.text).collect();
    assert_eq!(texts, [text, text]);
    world.end().await;
}

fn sources(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("the folder is there").flatten() {
        let path = entry.path();
        if path.is_dir() {
            sources(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push(path);
        }
    }
}

/// The names of a table's row: `file.rs::test`.
fn named(row: &str) -> impl Iterator<Item = (&str, &str)> {
    row.split('`').skip(1).step_by(2).filter_map(|name| name.rsplit_once("::"))
}

/// Every line of the lists has a row, and every test a row names is there.
#[test]
fn every_line_of_the_acceptance_lists_is_held_by_tests_that_are_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let table = fs::read_to_string(root.join("docs/acceptance.md")).expect("the table is there");
    let mut files = Vec::new();
    sources(&root.join("crates"), &mut files);
    sources(&root.join("tests"), &mut files);
    let rows: Vec<&str> = table.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| line")).collect();
    let mut lines = BTreeSet::new();
    for row in &rows {
        let line = row.split('|').nth(1).expect("a first column").trim();
        lines.insert(line.to_owned());
        let tests: Vec<_> = named(row).collect();
        assert!(!tests.is_empty() || row.contains("not there"), "{line} has no test");
        for (file, test) in tests {
            let found = files
                .iter()
                .filter(|path| path.ends_with(file))
                .any(|path| fs::read_to_string(path).expect("it is text").contains(&format!("fn {test}(")));
            assert!(found, "{line}: there is no test {test} in {file}");
        }
    }
    let genesys = (1..=16).map(|number| format!("genesys {number}"));
    let missing: Vec<String> = genesys.filter(|line| !lines.contains(line)).collect();
    assert!(missing.is_empty(), "lines without a row: {missing:?}");
    assert!(rows.len() >= 16 + 24, "{} rows", rows.len());
}
