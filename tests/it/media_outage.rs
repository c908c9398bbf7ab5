//! Pictures while somebody is away: our own store, the provider's host, and Genesys.

use model::Family;
use sandbox::ConsumerFile;

use crate::media::png;
use crate::settings::{COMPANY, Queues, Settings};
use crate::world::{World, on_both_brokers};

on_both_brokers!(
    our_own_store_is_waited_for_and_nobody_is_in_trouble_for_it,
    a_host_of_pictures_that_fails_is_the_providers_trouble,
    uploads_of_a_message_that_is_given_up_are_deleted,
    uploads_are_deleted_when_genesys_is_back,
);

const CONSUMER: &str = "13125550142";
const OTHER: &str = "13125550143";

impl World {
    fn shows(&self, text: &str) {
        let bytes = png(1000);
        let file = ConsumerFile { media_type: "image/png".to_owned(), size: bytes.len() as u64, bytes };
        self.netsapiens.consumer_sends_file(CONSUMER, COMPANY, text, file).expect("the number is ours");
    }

    /// The metrics are those of all tests of this process, so that only a name no other test uses says anything.
    async fn breaker_is_open(&self, target: &str) -> bool {
        self.metrics().await.contains(&format!("causeway_breaker_open{{target=\"{target}\"}} 1"))
    }

    /// What `/readyz` says of the store, for each role that needs it.
    async fn store_is_well(&self) -> Vec<bool> {
        let (_, report) = self.readyz().await;
        let components = report["components"].as_array().into_iter().flatten();
        components.filter(|one| one["name"] == "blobs").map(|one| one["ready"] == true).collect()
    }

    /// How often a message let go of what it had begun, for this reason.
    async fn released(&self, why: &str) -> usize {
        let ledger = self.house.ledger.as_ref().expect("it keeps a ledger");
        let lines = ledger.recent(500).await.expect("the ledger answers");
        lines.iter().filter(|line| line.what == ledger::What::Released && line.detail.contains(why)).count()
    }
}

async fn our_own_store_is_waited_for_and_nobody_is_in_trouble_for_it(queues: Queues) {
    // Nothing of the account's numbers may be asked: only what our own house does is looked at.
    let world = World::with(Settings { channel: "mms = \"always\"", ..Settings::on(queues) }).await;
    world.netsapiens.set_row(COMPANY, serde_json::json!({ "mms-capable": true }));
    std::fs::write(world.blobs(), "a file where the folder should be").expect("the folder can be written to");
    world.shows("Look");
    let reply = world.genesys.agent_sends_files(COMPANY, CONSUMER, "This one", &[("a.png", "image/png", png(500))]);
    world
        .until("trouble that is told", async |world| {
            let told = world.store_is_well().await;
            (told == [false, false, false]).then_some(())
        })
        .await;
    assert_eq!(world.readyz().await.0, 200, "texts do without it");
    world.text(OTHER, "meanwhile");
    let other = world.reply(OTHER, "meanwhile, too");
    world.until("the other's receipt", async |world| (world.receipts(&other).len() == 1).then_some(())).await;
    world.agent_sees(1).await;
    assert_eq!(world.seen_by_agent(OTHER), ["meanwhile"]);
    assert_eq!(world.released("could not be fetched").await, 0, "a try for a store that is away writes nothing down");
    std::fs::remove_file(world.blobs()).expect("it can be removed");
    world.agent_sees(2).await;
    let shown = world.seen_by_agent(CONSUMER);
    assert!(shown[0].starts_with("Look\nPicture: http"), "{shown:?}");
    world.until("the reply's receipt", async |world| (world.receipts(&reply).len() == 1).then_some(())).await;
    assert_eq!(world.on_phone(CONSUMER).len(), 1);
    world
        .until("a store that is well", async |world| (world.store_is_well().await == [true, true, true]).then_some(()))
        .await;
    world.end().await;
}

async fn a_host_of_pictures_that_fails_is_the_providers_trouble(queues: Queues) {
    let world = World::on(queues).await;
    world.netsapiens.faults().media_answers_503(true);
    world.shows("Look");
    world.until("its breaker", async |world| world.breaker_is_open("crexendo/media").await.then_some(())).await;
    world.text(OTHER, "meanwhile");
    world.agent_sees(1).await;
    assert_eq!(world.seen_by_agent(OTHER), ["meanwhile"]);
    world.netsapiens.faults().media_answers_503(false);
    world.agent_sees(2).await;
    assert!(world.seen_by_agent(CONSUMER)[0].starts_with("Look\nPicture: http"));
    world.end().await;
}

fn rich(queues: Queues) -> Settings {
    Settings { more: "media = \"rich-media\"".to_owned(), expire_inbound: "6s", ..Settings::on(queues) }
}

/// Files that are noted as uploaded.
fn noted(world: &World) -> usize {
    let folders =
        std::fs::read_dir(world.blobs()).expect("files are kept").map(|entry| entry.expect("an entry").path());
    let files = folders.filter(|path| path.is_dir()).flat_map(|path| std::fs::read_dir(path).expect("a folder"));
    files.filter(|file| file.as_ref().expect("a file").path().extension().is_some_and(|end| end == "genesys")).count()
}

async fn uploads_of_a_message_that_is_given_up_are_deleted(queues: Queues) {
    let world = World::with(rich(queues)).await;
    world.genesys.faults().messages_answer_503(true);
    world.shows("Look");
    world.until("the upload", async |world| (world.genesys.media().len() == 1).then_some(())).await;
    world.until("its end", async |world| world.genesys.media().is_empty().then_some(())).await;
    assert_eq!(noted(&world), 0, "should it be replayed, it is uploaded again");
    world.genesys.faults().messages_answer_503(false);
    assert_eq!(world.genesys.message_count(), 0);
    world.end_with_dead_letters(&[Family::Inbound]).await;
}

async fn uploads_are_deleted_when_genesys_is_back(queues: Queues) {
    let world = World::with(rich(queues)).await;
    world.genesys.faults().messages_answer_503(true);
    world.shows("Look");
    world.until("the upload", async |world| (world.genesys.media().len() == 1).then_some(())).await;
    world.genesys.faults().down(true).await;
    world
        .until("its dead letter", async |world| {
            let letters = world.house.broker.dead_letters(Family::Inbound, 10).await.expect("dead letters can be read");
            (letters.len() == 1).then_some(())
        })
        .await;
    assert_eq!((world.genesys.media().len(), noted(&world)), (1, 0), "nobody could be asked to delete it");
    world.genesys.faults().clear().await;
    world.until("its end", async |world| world.genesys.media().is_empty().then_some(())).await;
    world.end_with_dead_letters(&[Family::Inbound]).await;
}
