//! Tasks for agents: by command, and for channels whose consumers' messages go there.

use serde_json::Value;

use crate::settings::{OPEN_MEDIA_KEY, OPEN_MEDIA_SERVICE, Queues};
use crate::town::Town;

impl Town {
    /// Runs `open-media`; its exit code, and what it said.
    async fn open_media(&self, operation: &str, arguments: &[&str]) -> (Option<i32>, String) {
        let config = self.whole().display().to_string();
        let common = ["open-media", operation, "--config", &config, "--service", OPEN_MEDIA_SERVICE];
        let output = self.run(&[&common[..], arguments].concat()).await;
        let said = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(said).expect("it is text"))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_operation_is_a_command() {
    let town = Town::on(Queues::Embedded).await;
    let create = ["--external-id", "try-1", "--received-at", "2026-11-19T10:15:30Z"];
    let data = ["--data", "Subject=Order 42", "--data", "FromAddress=a@b.example", "--json"];
    let (code, said) = town.open_media("create", &[&create[..], &data].concat()).await;
    assert_eq!(code, Some(0), "{said}");
    let created: Value = serde_json::from_str(&said).expect("it is JSON");
    let [task] = town.genesys.interactions().try_into().expect("one task");
    assert_eq!((created["result"].as_str(), created["interaction_id"].as_str()), (Some("created"), Some(&*task.id)));
    assert_eq!(task.received_at.as_deref(), Some("2026-11-19T10:15:30.000Z"));
    assert_eq!((task.external_id.as_deref(), &*task.user_data["Subject"]), (Some("try-1"), "Order 42"));

    let (code, said) = town.open_media("create", &create).await;
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("nothing was made") && said.contains(&task.id), "{said}");

    let (code, said) = town.open_media("get", &["--external-id", "try-1"]).await;
    assert!(code == Some(0) && said.contains("is there") && said.contains("Order 42"), "{said}");
    let (code, said) = town.open_media("get", &["--id", &task.id, "--json"]).await;
    let found: Value = serde_json::from_str(&said).expect("it is JSON");
    assert_eq!((code, found["answer"]["data"]["externalId"].as_str()), (Some(0), Some("try-1")));

    let changes = ["--set", "Subject=Order 42 (urgent)", "--add", "Bounced=true", "--delete", "FromAddress"];
    let (code, said) = town.open_media("update", &[&["--external-id", "try-1"], &changes[..]].concat()).await;
    assert_eq!((code, said.trim()), (Some(0), "updated"));
    let (code, said) = town.open_media("update", &["--id", &task.id, "--set", "Bounced=false"]).await;
    assert_eq!((code, said.trim()), (Some(0), "updated"));
    let now = town.genesys.interactions().remove(0).user_data;
    let pairs: Vec<_> = now.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    assert_eq!(pairs, [("Bounced", "false"), ("Subject", "Order 42 (urgent)")]);

    let (code, said) = town.open_media("stop", &["--id", &task.id, "--reason", "Normal"]).await;
    assert_eq!((code, said.trim()), (Some(0), "stopped"));
    assert_eq!(town.genesys.interactions()[0].stop_reason.as_deref(), Some("Normal"));
    let (code, said) = town.open_media("stop", &["--external-id", "try-1"]).await;
    assert!(code == Some(0) && said.contains("it had ended"), "a stop of the stopped is a success: {said}");

    for (operation, arguments) in [("get", &[][..]), ("update", &["--set", "a=b"]), ("create", &[])] {
        let (code, said) = town.open_media(operation, &[&["--external-id", "try-1"], arguments].concat()).await;
        assert!(code == Some(1) && said.contains("ended"), "{operation}: {said}");
    }
    for wrong in [&["--external-id", "a/b"][..], &["--id", "1", "--external-id", "2"], &[]] {
        assert_eq!(town.open_media("get", wrong).await.0, Some(2), "{wrong:?}");
    }
    town.genesys.serve_open_media("another key", &[OPEN_MEDIA_SERVICE]);
    let (code, said) = town.open_media("create", &[]).await;
    assert!(code == Some(1) && said.contains("api_key_file") && !said.contains(OPEN_MEDIA_KEY), "{said}");
}
