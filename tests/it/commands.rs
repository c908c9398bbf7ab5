//! Every command of the command line against a running bridge.

use serde_json::Value;

use crate::netsapiens::OAUTH;
use crate::settings::{CHANNEL, COMPANY, EVENT_SECRET, Queues, Settings};
use crate::town::Town;
use crate::world::on_both_brokers;

on_both_brokers!(a_bridge_is_looked_into_from_the_command_line);

const CONSUMER: &str = "13125550142";

impl Town {
    async fn says(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments).await;
        let (said, told) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{arguments:?}: {said}{told}");
        said.into_owned()
    }
}

async fn a_bridge_is_looked_into_from_the_command_line(queues: Queues) {
    let town = Town::on(queues.clone()).await;
    let bridge = town.start().await;
    let config = town.folder.path().join("all.toml").display().to_string();
    town.says(&["healthcheck", "--config", &config]).await;
    town.says(&["config", "check", "--config", &config]).await;
    let shown = town.says(&["config", "show", "--config", &config]).await;
    assert!(shown.contains("***") && !shown.contains(EVENT_SECRET), "secrets are not shown: {shown}");

    let channels = town.says(&["channels", "--config", &config]).await;
    let webhook = format!("http://{}/genesys/{CHANNEL}", town.settings.http);
    assert!(channels.contains(&webhook) && !channels.contains(EVENT_SECRET), "{channels}");

    let to = ["--channel", CHANNEL, "--to", CONSUMER];
    let simulated = [&["genesys", "simulate-webhook", "--config", &config], &to[..], &["--text", "by hand"]].concat();
    town.says(&[&simulated[..], &["--message", "m-by-hand"]].concat()).await;
    town.phones_show(1).await;
    town.genesys
        .until(crate::neighbours::SOON, |sim| (!sim.refusals().is_empty() || sim.receipt_count() > 0).then_some(()))
        .await;
    let lines: Value = loop {
        let traced = town.says(&["trace", "m-by-hand", "--json", "--config", &config]).await;
        let lines: Value = serde_json::from_str(&traced).expect("it is JSON");
        if lines.as_array().is_some_and(|lines| lines.iter().any(|line| line["what"] == "receipt")) {
            break lines;
        }
    };
    let what: Vec<&str> = lines.as_array().into_iter().flatten().filter_map(|line| line["what"].as_str()).collect();
    assert_eq!(what, ["received", "began", "sent", "receipt"]);
    let by_number = town.says(&["trace", CONSUMER, "--config", &config]).await;
    assert!(by_number.contains("sent") && !by_number.contains("by hand"), "{by_number}");

    let queues_table = town.says(&["queues", "--config", &config]).await;
    for queue in ["causeway.inbound.main.0", "causeway.replies.crexendo.3", "causeway.dead.receipts"] {
        assert!(queues_table.contains(queue), "{queue} is missing in {queues_table}");
    }
    town.says(&["topology", "apply", "--config", &config]).await;

    let from = ["--channel", CHANNEL, "--from", CONSUMER, "--text", "from the command line"];
    town.says(&[&["genesys", "send", "--config", &config], &from[..]].concat()).await;
    assert_eq!(town.seen_by_agent(CONSUMER), ["from the command line"]);
    let about = ["--message", "m-by-hand", "--status", "failed"];
    town.says(&[&["genesys", "receipt", "--config", &config], &to[..], &about].concat()).await;
    town.receipts_told(2).await;
    let last = town.genesys.receipts().pop().expect("it was told");
    assert_eq!((last.status.as_str(), last.channel_id.as_str()), ("Failed", COMPANY));

    let body = town.file("body", r#"{"text":"sign me"}"#).display().to_string();
    let signed = town.says(&["genesys", "sign", "--channel", CHANNEL, "--body", &body, "--config", &config]).await;
    let expected = sandbox::sign(crate::settings::CHANNEL_SECRET, br#"{"text":"sign me"}"#);
    assert!(signed.contains(&expected), "{signed}");

    town.end(vec![bridge]).await;
}

fn told(output: &std::process::Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_doctor_finds_what_is_wrong_and_makes_nothing() {
    let town = Town::on(Queues::Embedded).await;
    let bridge = town.start().await;
    let config = town.folder.path().join("all.toml");
    let doctor = async |config: &std::path::Path| {
        let output = town.run(&["doctor", "--config", &config.display().to_string()]).await;
        (output.status.code(), told(&output))
    };
    let (code, said) = doctor(&config).await;
    // The address of a test is plain http, which is worth a word, and nothing to be mended.
    assert_eq!(code, Some(0), "{said}");
    assert_eq!((said.matches("FINDING").count(), said.matches("note     ").count()), (0, 2), "{said}");
    for well in ["Genesys takes calls on channel sales-sms", "provider crexendo takes the key", "the ledger answers"] {
        assert!(said.contains(well), "{well} is missing in {said}");
    }
    let text = std::fs::read_to_string(&config).expect("it was written");
    let broken = [
        (crate::settings::CHANNEL_SECRET, "another-secret", "check the secret_files of channel sales-sms"),
        (crate::settings::CCID, "6a7e1d36-0000-0000-0000-000000000000", "check ccid"),
        ("id = \"13125550100\"", "id = \"13125550109\"", "check its id"),
        (crate::settings::API_KEY, "another-key", "check auth of provider crexendo"),
    ];
    for (right, wrong, expected) in broken {
        let path = town.file("broken.toml", &text.replace(right, wrong));
        let (code, said) = doctor(&path).await;
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains(expected), "{expected} is missing in {said}");
    }
    assert_eq!((town.genesys.message_count(), town.netsapiens.sent_count()), (0, 0), "it makes nothing");
    town.end(vec![bridge]).await;
}

/// It may be another user who looks before the first start, and the ledger would be theirs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_command_makes_a_ledger() {
    let town = Town::with(Settings { auth: Some(OAUTH), ..Settings::on(Queues::Embedded) }).await;
    let config = town.whole().display().to_string();
    let run = async |arguments: &[&str]| {
        let output = town.run(&[arguments, &["--config", &config]].concat()).await;
        assert!(!town.folder.path().join("ledger.db").exists(), "{arguments:?} made one");
        (output.status.success(), told(&output))
    };
    let (_, said) = run(&["doctor"]).await;
    assert!(said.contains("note     ") && said.contains("there is no ledger yet"), "{said}");
    for arguments in [&["person", "export", "13125550142"][..], &["person", "erase", "13125550142", "--yes"]] {
        let (well, said) = run(arguments).await;
        assert!(!well && said.contains("there is no ledger yet"), "{arguments:?}: {said}");
    }
    assert!(!run(&["consent", "list"]).await.0, "nobody can be asked");
    // There is no token to share; that this one is refused is the provider's word.
    let (_, said) = run(&["netsapiens", "version"]).await;
    assert!(said.contains("login") && !said.contains("ledger"), "{said}");
}

/// What only the running process can have seen is told by the doctor as well.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_doctor_tells_the_alarms_of_the_running_process() {
    let town = Town::on(Queues::Embedded).await;
    let bridge = town.start().await;
    let config = town.folder.path().join("all.toml").display().to_string();
    let before = told(&town.run(&["doctor", "--config", &config]).await);
    assert!(before.contains("well     the running process raises no alarm, and misses nothing"), "{before}");
    town.netsapiens.faults().refuse_401(true);
    town.reply(CONSUMER, "held");
    let deadline = tokio::time::Instant::now() + crate::neighbours::SOON;
    loop {
        let said = told(&town.run(&["doctor", "--config", &config]).await);
        if said.lines().any(|line| line.starts_with("FINDING  alarm account-paused of crexendo since ")) {
            break;
        }
        assert!(tokio::time::Instant::now() < deadline, "{said}");
    }
    town.netsapiens.faults().refuse_401(false);
    town.phones_show(1).await;
    town.end(vec![bridge]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_doctor_looks_at_rabbitmq() {
    let town = Town::on(Queues::rabbitmq()).await;
    let config = town.whole().display().to_string();
    let missing = told(&town.run(&["doctor", "--config", &config]).await);
    assert!(missing.contains("causeway topology apply"), "{missing}");
    let applied = town.run(&["topology", "apply", "--config", &config]).await;
    assert!(applied.status.success(), "{}", told(&applied));
    let there = told(&town.run(&["doctor", "--config", &config]).await);
    assert!(there.contains("RabbitMQ 4.") && there.contains("every queue and exchange is as it must be"), "{there}");
    assert!(there.contains("unseen   the queues of the running process"), "{there}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bridge_that_is_not_there_is_told() {
    let town = Town::on(Queues::Embedded).await;
    let config = town.whole().display().to_string();
    for command in ["queues", "healthcheck"] {
        let output = town.run(&[command, "--config", &config]).await;
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && !told.trim().is_empty(), "{command}: {told}");
        assert_ne!(output.status.code(), Some(101), "{command} panicked: {told}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rabbitmqs_management_is_used_where_it_is_given() {
    if !test_support::own_nodes() {
        return;
    }
    let node = tokio::task::block_in_place(|| test_support::RabbitNode::start_managed(test_support::Version::V43));
    let town = Town::on(Queues::RabbitMq(node.url("/"))).await;
    let text = std::fs::read_to_string(town.whole()).expect("it was written");
    let managed = format!("kind = \"rabbitmq\"\nmanagement_url = \"{}\"", node.management_url());
    let path = town.file("managed.toml", &text.replacen("kind = \"rabbitmq\"", &managed, 1)).display().to_string();
    let applied = town.run(&["topology", "apply", "--config", &path]).await;
    assert!(told(&applied).contains("policy causeway-dead: dead letters are kept for 14 days"), "{}", told(&applied));
    // RabbitMQ's management tells of a change some seconds after it.
    let says = async |expected: &str| {
        let deadline = tokio::time::Instant::now() + crate::neighbours::SOON;
        loop {
            let output = town.run(&["doctor", "--config", &path]).await;
            if told(&output).contains(expected) {
                return output.status.code();
            }
            assert!(tokio::time::Instant::now() < deadline, "{expected}: {}", told(&output));
        }
    };
    says("well     RabbitMQ has no alarm, no policy that hurts").await;
    node.rabbitmqctl(&["set_policy", "--apply-to", "queues", "strict", "inbound", r#"{"max-length":1}"#]);
    let code = says("FINDING  policy strict sets max-length on causeway.inbound.main.0").await;
    assert_eq!(code, Some(1));
    let without = town.whole().display().to_string();
    let unseen = told(&town.run(&["doctor", "--config", &without]).await);
    assert!(unseen.contains("set broker.management_url_file"), "{unseen}");
}
