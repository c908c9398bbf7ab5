//! Tasks for agents: by command, and for channels whose consumers' messages go there.

use ledger::Erasure;
use model::{Address, PhoneNumber};
use sandbox::{ConsumerFile, GenesysSim, OpenMediaManners, SimInteraction};
use serde_json::Value;

use crate::neighbours::{Neighbours, SOON};
use crate::settings::{COMPANY, OPEN_MEDIA_KEY, OPEN_MEDIA_SERVICE, Queues, Settings};
use crate::town::Town;
use crate::world::{World, on_both_brokers};

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

const CONSUMER: &str = "13125550142";
const OPEN_MEDIA: &str = "inbound = \"open-media\"\nopen_media_service = \"sms-in\"";

on_both_brokers!(
    a_conversation_stands_in_one_task,
    a_task_that_was_ended_is_followed_by_the_next,
    a_full_task_is_followed_by_the_next,
    what_was_accepted_and_not_answered_is_put_once,
    a_taken_external_id_is_looked_at,
    an_idle_task_is_ended,
    a_picture_stands_in_the_task_as_a_link,
);

fn with_open_media(queues: Queues) -> Settings {
    Settings { channel: OPEN_MEDIA, ..Settings::on(queues) }
}

/// The texts of a task, in the order of their keys.
fn texts(task: &SimInteraction) -> Vec<String> {
    let messages = task.user_data.iter().filter(|(key, _)| key.starts_with("Message_"));
    messages.map(|(_, text)| text.clone()).collect()
}

impl Neighbours {
    /// Waits until tasks hold so many texts, and gives the texts of each task.
    async fn tasks_hold(&self, count: usize) -> Vec<Vec<String>> {
        let all = |genesys: &GenesysSim| genesys.interactions().iter().map(texts).collect::<Vec<_>>();
        let enough =
            |genesys: &GenesysSim| Some(all(genesys)).filter(|all| all.iter().map(Vec::len).sum::<usize>() >= count);
        let held = self.genesys.until(SOON, enough).await;
        held.unwrap_or_else(|| panic!("{count} texts are in tasks: {:?}", all(&self.genesys)))
    }

    /// Tasks hold exactly these texts.
    async fn tasks_hold_just(&self, expected: &[&[&str]]) {
        assert_eq!(self.tasks_hold(expected.iter().map(|texts| texts.len()).sum()).await, expected);
    }

    fn end_task(&self, index: usize) {
        self.genesys.agent_finishes(&self.genesys.interactions()[index].id);
    }
}

async fn a_conversation_stands_in_one_task(queues: Queues) {
    let world = World::with(with_open_media(queues)).await;
    for text in ["one", "two", "three"] {
        world.text(CONSUMER, text);
    }
    world.tasks_hold_just(&[&["one", "two", "three"]]).await;
    world.text("13125550143", "somebody else");
    world.tasks_hold_just(&[&["one", "two", "three"], &["somebody else"]]).await;
    let task = world.genesys.interactions().remove(0);
    let shown = |key: &str| task.user_data[key].as_str();
    assert_eq!((shown("MediaOrigin"), shown("FromAddress"), shown("To")), ("bridge-sms", CONSUMER, COMPANY));
    assert_eq!((Some(shown("ExternalId")), task.parent), (task.external_id.as_deref(), None));
    assert!(task.received_at.is_some_and(|at| at.ends_with('Z')));
    assert_eq!(world.genesys.message_count(), 0, "nothing goes to the channel");
    world.end().await;
}

async fn a_task_that_was_ended_is_followed_by_the_next(queues: Queues) {
    let world = World::with(with_open_media(queues)).await;
    for shows_stopped in [false, true] {
        world.genesys.set_open_media_manners(OpenMediaManners { shows_stopped, ..OpenMediaManners::default() });
        let before = world.genesys.interactions().len();
        world.text(CONSUMER, "one");
        world.tasks_hold(before + 1).await;
        let (last, task) = (before, world.genesys.interactions().remove(before));
        world.end_task(last);
        world.text(CONSUMER, "two");
        world.tasks_hold(before + 2).await;
        let next = world.genesys.interactions().remove(before + 1);
        assert_eq!((texts(&task), texts(&next)), (vec!["one".to_owned()], vec!["two".to_owned()]));
        assert_eq!(next.parent, Some(task.id), "it names the one before it");
        world.end_task(before + 1);
    }
    world.end().await;
}

async fn a_full_task_is_followed_by_the_next(queues: Queues) {
    let world = World::with(with_open_media(queues)).await;
    let long: Vec<String> = (0..5).map(|number| format!("{number}{}", "\u{fc}".repeat(2500))).collect();
    for text in &long {
        world.text(CONSUMER, text);
    }
    let tasks = world.tasks_hold(5).await;
    assert_eq!(tasks.concat(), long);
    assert_eq!(tasks.iter().map(Vec::len).collect::<Vec<_>>(), [3, 2]);
    let [first, second] = world.genesys.interactions().try_into().expect("two tasks");
    assert_eq!(second.parent, Some(first.id));
    let size = |task: &SimInteraction| task.user_data.iter().map(|(key, value)| key.len() + value.len()).sum::<usize>();
    assert!(world.genesys.interactions().iter().all(|task| size(task) <= 16 << 10));

    // One text that is larger than any task is cut.
    let huge: String = (0..3000).map(|number| format!("{number:06} ")).collect();
    world.text(CONSUMER, &huge);
    let tasks = world.tasks_hold(7).await;
    assert_eq!(tasks.concat()[5..].concat(), huge);
    world.end().await;
}

async fn what_was_accepted_and_not_answered_is_put_once(queues: Queues) {
    let world = World::with(with_open_media(queues)).await;
    let tells = OpenMediaManners::default();
    for (round, manners) in [tells, OpenMediaManners { tells_nothing: true, ..tells }].into_iter().enumerate() {
        world.genesys.set_open_media_manners(manners);
        let consumer = format!("1312555014{round}");
        for text in ["one", "two"] {
            world.genesys.faults().close_after_accept(1);
            world.text(&consumer, text);
            let done = async |world: &World| (!world.genesys.faults().closes_after_accept()).then_some(());
            world.until("the answer is lost", done).await;
        }
        world.text(&consumer, "three");
        let tasks = world.tasks_hold(3 * (round + 1)).await;
        assert_eq!(tasks.get(round), Some(&["one", "two", "three"].map(str::to_owned).to_vec()), "{tasks:?}");
    }
    world.genesys.set_open_media_manners(tells);
    // A text that cannot be added twice is refused once on the way.
    let refusals = world.genesys.refusals();
    assert!(refusals.iter().all(|refusal| refusal.why.contains("there is a property")), "{refusals:?}");
    world.end_with_dead_letters(&[]).await;
}

async fn a_taken_external_id_is_looked_at(queues: Queues) {
    let world = World::with(with_open_media(queues)).await;
    let forget = async |world: &World| {
        let consumer = Address::Phone(PhoneNumber::normalise(CONSUMER, None).expect("a number"));
        let ledger = world.house.ledger.as_ref().expect("it keeps one");
        let erased = async |_: &World| {
            matches!(ledger.erase(&consumer).await.expect("it answers"), Erasure::Erased(_)).then_some(())
        };
        world.until("nothing of theirs is in hand", erased).await;
    };
    world.text(CONSUMER, "one");
    world.tasks_hold_just(&[&["one"]]).await;
    forget(&world).await;
    world.text(CONSUMER, "two");
    world.tasks_hold_just(&[&["one", "two"]]).await;
    for expected in 2..6 {
        forget(&world).await;
        world.end_task(world.genesys.interactions().len() - 1);
        world.text(CONSUMER, "next");
        world.tasks_hold(expected + 1).await;
        assert_eq!(world.genesys.interactions().len(), expected, "nothing is put into a task that has ended");
    }
    world.end().await;
}

async fn an_idle_task_is_ended(queues: Queues) {
    let channel = "inbound = \"open-media\"\nopen_media_service = \"sms-in\"\nopen_media_idle = \"3s\"";
    let world = World::with(Settings { channel, ..Settings::on(queues) }).await;
    world.text(CONSUMER, "one");
    world.tasks_hold_just(&[&["one"]]).await;
    world.genesys.faults().answer_503(1);
    let ended = async |world: &World| world.genesys.interactions()[0].stopped.then_some(());
    world.until("the task is ended", ended).await;
    world.text(CONSUMER, "two");
    world.tasks_hold_just(&[&["one"], &["two"]]).await;
    let [first, second] = world.genesys.interactions().try_into().expect("two tasks");
    assert_eq!(second.parent, Some(first.id));
    world.end().await;
}

async fn a_picture_stands_in_the_task_as_a_link(queues: Queues) {
    let world = World::with(with_open_media(queues)).await;
    let bytes = crate::media::png(1000);
    let file = ConsumerFile { media_type: "image/png".to_owned(), size: bytes.len() as u64, bytes };
    world.netsapiens.consumer_sends_file(CONSUMER, COMPANY, "Look", file).expect("the number is ours");
    let tasks = world.tasks_hold(1).await;
    let (caption, link) = tasks[0][0].split_once('\n').expect("a caption and a link");
    assert!(caption == "Look" && link.starts_with("Picture: http://"), "{link}");
    world.end().await;
}

/// The process dies when Genesys has carried a call out and not answered it: a creation, and a change.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_in_the_middle_puts_nothing_twice() {
    let town = Town::with(with_open_media(Queues::Embedded)).await;
    let mut bridge = town.start().await;
    for (count, text) in [(1, "one"), (2, "two")] {
        town.genesys.faults().answer_late(SOON);
        town.text(CONSUMER, text);
        town.tasks_hold(count).await;
        bridge.kill().await;
        town.genesys.faults().clear().await;
        bridge = town.start().await;
        bridge.metric_is("causeway_settled_total", "inbound", 1.0).await;
    }
    town.text(CONSUMER, "three");
    town.tasks_hold_just(&[&["one", "two", "three"]]).await;
    town.end(vec![bridge]).await;
}
