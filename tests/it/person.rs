//! What is kept of a person, from the command line, beside a running bridge.

use crate::dead_letters::Said;
use crate::neighbours::SOON;
use crate::settings::{Books, CHANNEL, COMPANY, Queues, Settings};
use crate::town::Town;

const CONSUMER: &str = "13125550142";
const OTHER: &str = "13125550143";

impl Town {
    async fn person(&self, arguments: &[&str]) -> Said {
        let config = self.folder.path().join("all.toml").display().to_string();
        Said::of(&self.run(&[&["person"], arguments, &["--config", &config]].concat()).await)
    }
}

async fn a_person_is_exported_and_erased(books: Books) {
    let town = Town::with(Settings { books, ..Settings::on(Queues::Embedded) }).await;
    let bridge = town.start().await;
    town.text(CONSUMER, "hello");
    town.agent_sees(1).await;
    let reply = town.reply(CONSUMER, "good day");
    town.phones_show(1).await;
    town.receipts_told(1).await;
    town.netsapiens.consumer_sends_to_group(OTHER, COMPANY, &[CONSUMER], "hello all").expect("the number is owned");
    town.agent_sees(2).await;
    let out = ["consent", "set", CONSUMER, "out", "--channel", CHANNEL, "--reason", "asked", "--config"];
    let config = town.folder.path().join("all.toml").display().to_string();
    assert!(town.run(&[&out[..], &[&config]].concat()).await.status.success());
    town.genesys.faults().refuse_400(true);
    town.text(CONSUMER, "a message nobody gets");
    let config = town.folder.path().join("all.toml").display().to_string();
    let deadline = tokio::time::Instant::now() + SOON;
    while Said::of(&town.run(&["dead-letters", "list", "--json", "--config", &config]).await).json()["causes"][0]["count"]
        != 1
    {
        assert!(tokio::time::Instant::now() < deadline, "it does not die");
    }
    let exported = town.person(&["export", "(312) 555-0142", "--json"]).await;
    let held: serde_json::Value = serde_json::from_str(&exported.out).expect("it is JSON");
    for (kind, count) in [("effects", 4), ("receipts", 1), ("arrivals", 2), ("sessions", 1), ("consents", 1)] {
        assert_eq!(held[kind].as_array().map(Vec::len), Some(count), "{kind}: {held}");
    }
    let group = &held["groups"][0];
    let name = format!("{CONSUMER},{OTHER}");
    assert_eq!((&group["group"], group["effects"].as_array().map(Vec::len)), (&name.into(), Some(1)), "{held}");
    assert!(held["timeline"].as_array().is_some_and(|lines| lines.len() >= 8), "{held}");
    assert!(!exported.out.contains("good day"), "the ledger holds no texts");

    assert_eq!(town.person(&["erase", CONSUMER]).await.code, Some(2), "it asks for --yes");
    let told = town.person(&["erase", CONSUMER, "--yes"]).await.well();
    assert!(told.contains("1 dead letters of this consumer stay") && told.contains("--dead-letters"), "{told}");
    assert!(told.contains("     5  messages") && told.contains("     1  groups"), "{told}");
    assert!(told.contains("     1  records of whether they want to be written to stay"), "{told}");
    let erased = town.person(&["erase", CONSUMER, "--yes", "--dead-letters", "--json"]).await.json();
    assert_eq!((&erased["discarded"], &erased["dead_letters"]), (&1.into(), &0.into()), "{erased}");
    let stop = town.person(&["export", CONSUMER]).await;
    assert!(stop.out.contains("opted out on sales-sms"), "a STOP survives: {}", stop.out);
    let forgotten = town.person(&["erase", CONSUMER, "--yes", "--consent", "--json"]).await.json();
    assert_eq!((&forgotten["consents"], &forgotten["consents_kept"]), (&1.into(), &0.into()), "{forgotten}");
    let nothing = town.person(&["export", CONSUMER]).await;
    assert!(nothing.out.contains("holds nothing of this consumer"), "{}", nothing.out);

    // The same webhook once more: nobody is texted twice, and no agent is told twice.
    let simulated = ["genesys", "simulate-webhook", "--config", &config, "--channel", CHANNEL, "--to", CONSUMER];
    let output = town.run(&[&simulated[..], &["--text", "good day", "--message", &reply]].concat()).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    town.genesys.faults().refuse_400(false);
    // A reply behind it in the same conversation shows that it was looked at.
    town.reply(CONSUMER, "and good night");
    town.phones_show(2).await;
    town.receipts_told(2).await;
    let texts: Vec<String> = town.on_phone(CONSUMER).into_iter().map(|sms| sms.text).collect();
    assert_eq!(texts, ["good day", "and good night"]);
    assert_eq!(town.receipts(&reply).len(), 1);
    assert!(bridge.terminate().await.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_sqlite() {
    a_person_is_exported_and_erased(Books::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_postgres() {
    a_person_is_exported_and_erased(Books::postgres()).await;
}
