//! Dead letters from the command line, against a running bridge.

use std::process::Output;

use model::{AgentReply, ChannelName, Family};
use serde_json::Value;
use tokio::time::Instant;

use crate::neighbours::SOON;
use crate::settings::{CHANNEL, Queues, Settings};
use crate::town::{Bridge, Town};
use crate::world::on_both_brokers;

on_both_brokers!(replies_are_replayed_in_order_and_their_agent_is_told, messages_are_discarded_and_replayed);

const CONSUMER: &str = "13125550142";
const WORDS: [&str; 3] = ["mauve-parcel", "quiet-harbour", "seven-lanterns"];

/// What a command of `causeway dead-letters` said, and how it ended.
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    err: String,
}

impl Said {
    pub(crate) fn of(output: &Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
    }

    /// Nothing private is in it; its output.
    pub(crate) fn well(self) -> String {
        assert_eq!(self.code, Some(0), "{}{}", self.out, self.err);
        assert_no_words(&self.out);
        self.out
    }

    /// It ended with 1 and said so, without anything private.
    pub(crate) fn refused(self, expected: &str) -> String {
        assert_eq!(self.code, Some(1), "{}{}", self.out, self.err);
        assert!(self.err.contains(expected), "{expected} is missing in {}{}", self.out, self.err);
        assert_no_words(&self.out);
        assert_no_words(&self.err);
        self.out
    }

    pub(crate) fn json(self) -> Value {
        serde_json::from_str(&self.well()).expect("it is JSON")
    }
}

fn assert_no_words(text: &str) {
    for private in WORDS.iter().chain([&CONSUMER]) {
        assert!(!text.contains(private), "{private} is told: {text}");
    }
}

impl Town {
    pub(crate) async fn dead_letters(&self, arguments: &[&str]) -> Said {
        let config = self.folder.path().join("all.toml").display().to_string();
        Said::of(&self.run(&[&["dead-letters"], arguments, &["--config", &config]].concat()).await)
    }

    /// The ids of the dead letters of one cause, once there are so many.
    pub(crate) async fn dead_of(&self, cause: &str, count: usize) -> Vec<String> {
        let deadline = Instant::now() + SOON;
        loop {
            let listed = self.dead_letters(&["list", "--json"]).await.json();
            let causes = listed["causes"].as_array().expect("causes are listed");
            let group = causes.iter().find(|group| group["cause"] == cause);
            if let Some(group) = group.filter(|group| group["count"] == count) {
                assert_eq!(causes.len(), 1, "{listed}");
                let letters = group["letters"].as_array().into_iter().flatten();
                return letters.filter_map(|letter| letter["id"].as_str()).map(ToOwned::to_owned).collect();
            }
            assert!(Instant::now() < deadline, "{count} dead letters of {cause} are not listed: {listed}");
        }
    }
}

fn id_of(reply: &str) -> String {
    AgentReply::derive_id(&ChannelName::new(CHANNEL), reply, CONSUMER).to_string()
}

/// What `--json` says of each letter.
fn verdicts(said: &str) -> Vec<(String, String)> {
    let fates: Value = serde_json::from_str(said).expect("it is JSON");
    let text = |fate: &Value, key: &str| fate[key].as_str().unwrap_or_default().to_owned();
    fates.as_array().into_iter().flatten().map(|fate| (text(fate, "id"), text(fate, "verdict"))).collect()
}

fn each(ids: &[String], verdict: &str) -> Vec<(String, String)> {
    ids.iter().map(|id| (id.clone(), verdict.to_owned())).collect()
}

/// The provider is away for longer than replies may wait; the operator lets them wait longer, and replays them.
async fn replies_are_replayed_in_order_and_their_agent_is_told(queues: Queues) {
    let mut town = Town::with(Settings { expire_replies: "2s", log: "debug".to_owned(), ..Settings::on(queues) }).await;
    let bridge = town.start().await;
    town.netsapiens.faults().answer_503(true);
    let mut replies = Vec::new();
    for word in WORDS {
        let reply = town.reply(CONSUMER, word);
        town.webhook_answered(&reply).await;
        replies.push(reply);
    }
    town.receipts_told(3).await;
    let failed = ("Failed".to_owned(), vec![305]);
    assert_eq!(town.receipts(&replies[0]), std::slice::from_ref(&failed));
    let ids = town.dead_of("expired", 3).await;
    assert_eq!(ids, replies.iter().map(|reply| id_of(reply)).collect::<Vec<_>>(), "the oldest first");
    let listed = town.dead_letters(&["list", "--family", "replies"]).await.well();
    assert!(listed.starts_with("expired: 3 letters") && listed.contains(&ids[0]), "{listed}");
    let others = town.dead_letters(&["list", "--family", "inbound"]).await.well();
    assert_eq!(others.trim(), "there are no dead letters");

    let shown = town.dead_letters(&["show", &ids[0]]).await.well();
    for expected in ["expired", "causeway.replies.crexendo.", "AgentReply", "received", "dead", "failed"] {
        assert!(shown.contains(expected), "{expected} is missing in {shown}");
    }
    let shown = town.dead_letters(&["show", &ids[0], "--body"]).await;
    assert!(shown.out.contains(WORDS[0]) && !shown.out.contains(WORDS[1]), "{}", shown.out);

    town.dead_letters(&["show", "nobody"]).await.refused("there is no dead letter nobody");
    town.dead_letters(&["replay", "--id", &ids[0], "nobody"]).await.refused("there is no dead letter nobody");
    town.dead_letters(&["replay", "--cause", "bad-luck"]).await.refused("no dead letter with the cause bad-luck");
    assert_eq!(town.dead_letters(&["replay"]).await.code, Some(2), "a replay says of what");
    assert_eq!(town.dead_letters(&["discard", "--all"]).await.code, Some(2), "a discard says why");
    let stay = town.dead_letters(&["replay", "--all", "--json"]).await.refused("3 of 3 letters stay");
    assert_eq!(verdicts(&stay), each(&ids, "stays"));
    assert!(stay.contains("expire.replies"), "{stay}");

    assert!(bridge.terminate().await.success());
    town.dead_letters(&["list"]).await.refused("no process answers");
    town.settings.expire_replies = "4h";
    town.netsapiens.faults().answer_503(false);
    let bridge = town.start().await;
    let dry = town.dead_letters(&["replay", "--all", "--dry-run", "--json"]).await.well();
    assert_eq!(verdicts(&dry), each(&ids, "would-be-replayed"));
    assert_eq!(town.dead_of("expired", 3).await, ids, "a dry run does nothing");
    assert_eq!(town.netsapiens.sent_count(), 0);

    let replayed = town.dead_letters(&["replay", "--cause", "expired", "--json"]).await.well();
    assert_eq!(verdicts(&replayed), each(&ids, "replayed"));
    town.receipts_told(6).await;
    let texts: Vec<String> = town.on_phone(CONSUMER).into_iter().map(|sms| sms.text).collect();
    assert_eq!(texts, WORDS);
    for reply in &replies {
        assert_eq!(town.receipts(reply), [failed.clone(), ("Delivered".to_owned(), Vec::new())]);
    }
    town.dead_letters(&["replay", "--id", &ids[0]]).await.refused("there is no dead letter");
    assert_eq!(town.dead_letters(&["list"]).await.well().trim(), "there are no dead letters");
    let config = town.whole().display().to_string();
    let traced = Said::of(&town.run(&["trace", &ids[0], "--config", &config]).await).well();
    assert!(traced.contains("replayed"), "{traced}");
    assert_no_words(&std::fs::read_to_string(town.log("all")).expect("there is a log"));
    town.end(vec![bridge]).await;
}

/// Genesys refuses what consumers write; one message is given up for good, the others are replayed.
async fn messages_are_discarded_and_replayed(queues: Queues) {
    let town = Town::on(queues).await;
    let bridge = town.start().await;
    town.genesys.faults().refuse_400(true);
    for (before, word) in WORDS.iter().enumerate() {
        town.text(CONSUMER, word);
        town.dead_of("bad-request", before + 1).await;
    }
    let ids = town.dead_of("bad-request", 3).await;
    alarm_stands(&town, &bridge, true).await;
    let none = town.dead_letters(&["replay", "--older-than", "1h", "--dry-run"]).await.well();
    assert_eq!(none.trim(), "there are no such dead letters");

    let reason = "a test of the carrier";
    let discarded = town.dead_letters(&["discard", "--id", &ids[1], "--reason", reason, "--json"]).await.well();
    assert_eq!(verdicts(&discarded), each(&ids[1..2], "discarded"));
    let config = town.whole().display().to_string();
    let traced = Said::of(&town.run(&["trace", &ids[1], "--config", &config]).await).well();
    assert!(traced.contains("discarded") && traced.contains(reason), "{traced}");
    let log = std::fs::read_to_string(town.log("all")).expect("there is a log");
    assert!(log.contains(reason), "{log}");
    assert_no_words(&log);

    town.genesys.faults().refuse_400(false);
    let left = [ids[0].clone(), ids[2].clone()];
    assert_eq!(town.dead_of("bad-request", 2).await, left);
    let word = Family::Inbound.word();
    let replayed = town.dead_letters(&["replay", "--older-than", "0s", "--family", word, "--json"]).await.well();
    assert_eq!(verdicts(&replayed), each(&left, "replayed"));
    town.agent_sees(2).await;
    assert_eq!(town.seen_by_agent(CONSUMER), [WORDS[0], WORDS[2]]);
    assert_eq!(town.dead_letters(&["list"]).await.well().trim(), "there are no dead letters");
    alarm_stands(&town, &bridge, false).await;
    assert!(bridge.terminate().await.success());
}

/// Waits until the alarm about dead letters stands, or does not.
async fn alarm_stands(town: &Town, bridge: &Bridge, stands: bool) {
    let deadline = Instant::now() + SOON;
    let mut looks = tokio::time::interval(std::time::Duration::from_millis(200));
    loop {
        looks.tick().await;
        let (_, readyz) = town.http.readyz(bridge.admin()).await.expect("the admin listener answers");
        let alarms = readyz["alarms"].as_array().expect("alarms are listed");
        if alarms.iter().any(|alarm| alarm["alarm"] == "dead-letters") == stands {
            return;
        }
        assert!(Instant::now() < deadline, "stands: {stands}: {readyz}");
    }
}
