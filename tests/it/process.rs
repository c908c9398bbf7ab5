//! The program as an operator meets it: refusing to start, split over five processes.

use sandbox::WebhookState;

use crate::settings::{Books, Queues, Settings};
use crate::town::Town;

const CONSUMER: &str = "13125550142";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_configuration_opens_nothing_and_names_every_problem() {
    let town = Town::on(Queues::Embedded).await;
    let good = std::fs::read_to_string(town.whole()).expect("it was written");
    // No PEM file, though there.
    let no_pem = town.whole().display().to_string();
    let tls = format!("[http]\ntls = {{ cert_file = \"{no_pem}\", key_file = \"{no_pem}\" }}");
    let net = format!("[net]\nproxy = \"nonsense proxy\"\nca_files = [\"{no_pem}\"]\n[shutdown]");
    let wrong = good
        .replace("delivered_when = \"accepted\"", "delivered_wen = \"accepted\"")
        .replace("listen = \"127.0.0.1:0\"", "listen = \"everywhere\"")
        .replace("user = \"9000\"", "")
        .replace("[shutdown]", &net)
        .replace("[http]", &tls);
    let config = town.file("wrong.toml", &wrong).display().to_string();
    let output = town.run(&["run", "--config", &config]).await;
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(78), "{told}");
    for expected in [
        "delivered_wen",
        "delivered_when",
        "admin.listen",
        "user",
        "net.proxy",
        "net.ca_files",
        "http.tls.cert_file",
        "http.tls.key_file",
        "nothing was started",
    ] {
        assert!(told.contains(expected), "{expected} is missing in:\n{told}");
    }
    let check = town.run(&["config", "check", "--config", &config]).await;
    assert_eq!(check.status.code(), Some(78), "`config check` finds the same");
    for made in ["broker", "ledger.db", "control.sock", "all.sock"] {
        assert!(!town.folder.path().join(made).exists(), "{made} was made");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_embedded_broker_is_one_process() {
    let town = Town::on(Queues::Embedded).await;
    let config = town.whole().display().to_string();
    let split = town.run(&["run", "--config", &config, "--role", "ingress"]).await;
    assert_eq!(split.status.code(), Some(78), "{}", String::from_utf8_lossy(&split.stderr));
    let bridge = town.start().await;
    let second = Settings { http: "127.0.0.1:0".to_owned(), ..town.settings.clone() };
    let text = second.toml(town.folder.path(), &town.genesys, &town.netsapiens).replace("control.sock", "other.sock");
    let other = town.file("second.toml", &text).display().to_string();
    let refused = town.run(&["run", "--config", &other]).await;
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && told.contains("another process"), "{told}");
    town.end(vec![bridge]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_roles_in_five_processes() {
    // On several machines, so to say: they share no file.
    let town = Town::with(Settings { books: Books::postgres(), ..Settings::on(Queues::rabbitmq()) }).await;
    let config = town.whole().display().to_string();
    let migrated = town.run(&["ledger", "migrate", "--config", &config]).await;
    assert!(migrated.status.success(), "{}", String::from_utf8_lossy(&migrated.stderr));
    let roles = ["ingress", "genesys-outbound", "webhook-ingest", "consumer-outbound", "receipt-emitter"];
    let mut bridges = Vec::new();
    for role in roles {
        bridges.push(town.start_role(role).await);
    }
    town.text(CONSUMER, "hello");
    town.agent_sees(1).await;
    let first = town.reply(CONSUMER, "hello yourself");
    town.receipts_told(1).await;
    assert_eq!(town.receipts(&first), [("Delivered".to_owned(), Vec::new())]);

    let sender = bridges.remove(3);
    sender.kill().await;
    let second = town.reply(CONSUMER, "while nobody sends");
    assert_eq!(town.webhook_answered(&second).await, WebhookState::Accepted, "only the broker is needed to accept");
    bridges.push(town.start_role("consumer-outbound").await);
    town.receipts_told(2).await;
    let texts: Vec<String> = town.on_phone(CONSUMER).into_iter().map(|sms| sms.text).collect();
    assert_eq!(texts, ["hello yourself", "while nobody sends"]);
    town.end(bridges).await;
}
