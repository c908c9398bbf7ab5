//! Pictures and files of agents, on their way to the consumer.

use bytes::Bytes;
use sandbox::SentSms;
use serde_json::json;

use crate::settings::{COMPANY, Queues, Settings};
use crate::town::Town;
use crate::world::World;

const CONSUMER: &str = "13125550142";
const OTHER: &str = "13125550143";

fn png(size: usize) -> Bytes {
    let mut bytes = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x10\0\0\0\x10".to_vec();
    bytes.resize(size, 7);
    bytes.into()
}

fn jpeg(size: usize) -> Bytes {
    let mut bytes = b"\xff\xd8\xff\xe0\0\x04ab\xff\xc0\0\x0b\x08\0\x10\0\x10\x01\x01\x11\0".to_vec();
    bytes.resize(size, 7);
    bytes.into()
}

fn delivered() -> Vec<(String, Vec<i64>)> {
    vec![("Delivered".to_owned(), Vec::new())]
}

async fn capable(settings: Settings) -> World {
    let world = World::with(settings).await;
    world.netsapiens.set_row(COMPANY, json!({ "mms-capable": true, "group-mms-capable": true }));
    world
}

fn on_embedded() -> Settings {
    Settings::on(Queues::Embedded)
}

impl World {
    fn agent_sends(&self, to: &str, text: &str, files: &[(&str, &str, Bytes)]) -> String {
        self.genesys.agent_sends_files(COMPANY, to, text, files)
    }

    async fn opens(&self, link: &str) -> (u16, Bytes) {
        let (_, token) = link.split_once("/media/").unwrap_or_else(|| panic!("a link: {link}"));
        let answer = self.http.get(format!("http://{}/media/{token}", self.bridge())).await;
        let answer = answer.expect("the public listener answers");
        (answer.status.as_u16(), answer.body)
    }
}

/// Text, type and length of what a phone shows; no two pictures of a test are of one length.
fn shown(sms: &SentSms) -> (&str, Option<(&str, usize)>) {
    (&sms.text, sms.file.as_ref().map(|file| (file.media_type.as_str(), file.bytes.len())))
}

fn sizes(sent: &[SentSms]) -> Vec<usize> {
    sent.iter().filter_map(|sms| Some(sms.file.as_ref()?.bytes.len())).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_picture_is_sent_as_mms_with_its_caption() {
    let world = capable(on_embedded()).await;
    world.genesys.faults().hide_media(2u32);
    let (picture, silent) = (png(300_000), jpeg(1_000_000));
    let id = world.agent_sends(CONSUMER, "This door", &[("door.png", "image/png", picture.clone())]);
    world.webhook_answered(&id).await;
    let next = world.agent_sends(CONSUMER, "", &[("", "image/jpeg", silent)]);
    world.receipts_told(2).await;
    let sent = world.on_phone(CONSUMER);
    assert_eq!(shown(&sent[0]), ("This door", Some(("image/png", 300_000))));
    assert!(sent[0].file.as_ref().is_some_and(|file| file.bytes == picture), "byte for byte");
    assert_eq!(shown(&sent[1]), (" ", Some(("image/jpeg", 1_000_000))));
    assert_eq!((sent.len(), &sent[0].session), (2, &sent[1].session), "in the session, once each");
    assert_eq!((world.receipts(&id), world.receipts(&next)), (delivered(), delivered()));
    let lists = world.netsapiens.read_counts();
    assert_eq!(lists.0, 0, "no session was read");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_pictures_are_sent_in_order_and_the_caption_with_the_first() {
    let world = capable(on_embedded()).await;
    let files = [("a", "image/png", png(1000)), ("b", "image/jpeg", jpeg(2000)), ("c", "image/png", png(3000))];
    let id = world.agent_sends(CONSUMER, "All three", &files);
    world.webhook_answered(&id).await;
    let next = world.reply(CONSUMER, "and that was it");
    world.receipts_told(2).await;
    let sent = world.on_phone(CONSUMER);
    let shown: Vec<_> = sent.iter().map(shown).collect();
    assert_eq!(shown[0], ("All three", Some(("image/png", 1000))));
    assert_eq!(shown[1], (" ", Some(("image/jpeg", 2000))));
    assert_eq!(shown[2], (" ", Some(("image/png", 3000))));
    assert_eq!(shown[3..], [("and that was it", None)]);
    assert_eq!((world.receipts(&id), world.receipts(&next)), (delivered(), delivered()));
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_a_picture_is_a_link() {
    let world = capable(on_embedded()).await;
    let pdf = Bytes::from_static(b"%PDF-1.7 a long story");
    let large = png(1_000_001);
    let odd = world.agent_sends(CONSUMER, "Read this", &[("story.pdf", "application/pdf", pdf.clone())]);
    world.receipts_told(1).await;
    let both = [("s", "image/png", png(1000)), ("l", "image/png", large.clone())];
    let mixed = world.agent_sends(CONSUMER, "One is large", &both);
    world.receipts_told(2).await;
    let sent = world.on_phone(CONSUMER);
    assert_eq!(sent.len(), 3);
    let (caption, link) = sent[0].text.split_once('\n').expect("a caption and a link");
    assert_eq!((caption, world.opens(link).await), ("Read this", (200, pdf)));
    let (caption, link) = sent[1].text.split_once('\n').expect("a caption and a link");
    assert_eq!((caption, world.opens(link).await), ("One is large", (200, large)));
    assert_eq!(shown(&sent[2]), (" ", Some(("image/png", 1000))));
    assert_eq!((world.receipts(&odd), world.receipts(&mixed)), (delivered(), delivered()));
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_number_that_sends_no_pictures_sends_links() {
    let world = World::with(on_embedded()).await;
    let bytes = png(1000);
    let id = world.agent_sends(CONSUMER, "", &[("door.png", "image/png", bytes.clone())]);
    world.receipts_told(1).await;
    let sent = world.on_phone(CONSUMER);
    assert_eq!((sent.len(), sent[0].file.is_none()), (1, true));
    assert_eq!(world.opens(&sent[0].text).await, (200, bytes));
    assert_eq!(world.receipts(&id), delivered());
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_picture_the_provider_refuses_is_sent_as_a_link() {
    let world = World::with(Settings { channel: "mms = \"always\"", ..on_embedded() }).await;
    let bytes = png(1000);
    let files = [("a", "image/png", bytes.clone()), ("b", "image/png", png(2000))];
    let id = world.agent_sends(CONSUMER, "Look", &files);
    world.receipts_told(1).await;
    let sent = world.on_phone(CONSUMER);
    let lines: Vec<&str> = sent[0].text.lines().collect();
    assert_eq!((sent.len(), lines.len(), lines[0]), (1, 3, "Look"));
    assert_eq!(world.opens(lines[1]).await, (200, bytes));
    assert_eq!(world.receipts(&id), delivered());
    world.end().await;
}

/// Behind a text that was sent already: in the middle, and as the last part.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_picture_refused_behind_other_parts_is_sent_as_a_link_in_its_place() {
    let world = World::with(Settings { channel: "mms = \"always\"", ..on_embedded() }).await;
    let (pdf, one, two) = (Bytes::from_static(b"%PDF-1.7 a long story"), png(1000), jpeg(2000));
    let files = [
        ("a", "image/png", one.clone()),
        ("story.pdf", "application/pdf", pdf.clone()),
        ("b", "image/jpeg", two.clone()),
    ];
    let id = world.agent_sends(CONSUMER, "Look", &files);
    world.receipts_told(1).await;
    let next = world.reply(CONSUMER, "and that was it");
    world.receipts_told(2).await;
    let texts: Vec<String> = world.on_phone(CONSUMER).into_iter().map(|sms| sms.text).collect();
    let (caption, link) = texts[0].split_once('\n').expect("a caption and a link");
    assert_eq!((texts.len(), caption, texts[3].as_str()), (4, "Look", "and that was it"), "{texts:?}");
    let opened = [world.opens(link).await, world.opens(&texts[1]).await, world.opens(&texts[2]).await];
    assert_eq!(opened, [(200, pdf), (200, one), (200, two)]);
    assert_eq!((world.receipts(&id), world.receipts(&next)), (delivered(), delivered()));
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_cannot_be_passed_on_ends_the_reply_with_its_cause() {
    let world = capable(Settings { channel: "media_limit = \"100 KiB\"", ..on_embedded() }).await;
    let bytes = Bytes::from_static;
    let bomb = bytes(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\x01\0\0\0\x01\0\0");
    let cases = [
        (("a.png", "image/png", bytes(b"")), "it is empty"),
        (
            ("a.jpg", "image/jpeg", bytes(b"<html><script>alert(1)</script>")),
            "it is not of the type that it is said to be",
        ),
        (("a.html", "text/html", bytes(b"<html>")), "files of its type are not passed on"),
        (("a.png", "image/png", png(200_000)), "it is too large"),
        (("a.png", "image/png", bomb), "it would be too large to open"),
    ];
    let count = cases.len() as u64;
    for (file, _) in &cases {
        // One that is well goes nowhere either: an agent is told of all of it.
        world.agent_sends(CONSUMER, "Look", &[("well.png", "image/png", png(100)), file.clone()]);
    }
    let gone = world.agent_sends(CONSUMER, "Look", &[("a.png", "image/png", png(300))]);
    world.genesys.forget_media(&world.genesys.media().pop().expect("the last one").id);
    world.receipts_told(count + 1).await;
    let told = |id: &str| {
        let receipts = world.genesys.receipts();
        let receipt = receipts.into_iter().find(|receipt| receipt.message_id == id).expect("it was told");
        let [(code, reason)] = receipt.reasons.try_into().expect("one reason");
        (receipt.status, code, reason.unwrap_or_default())
    };
    for (message, (_, why)) in world.genesys.agent_messages().into_iter().zip(&cases) {
        let expected = format!("The message was not sent: a picture or file of it cannot be passed on, because {why}.");
        assert_eq!(told(&message.id), ("Failed".to_owned(), 510, expected));
    }
    assert!(told(&gone).2.ends_with("because Genesys does not have it."), "{:?}", told(&gone));
    assert_eq!(world.netsapiens.sent_count(), 0);
    assert!(
        world
            .metrics()
            .await
            .contains("causeway_media_refused_total{channel=\"sales-sms\",direction=\"out\",cause=\"bomb\"} 1")
    );
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pictures_whose_answers_are_lost_are_sent_once() {
    let world = capable(on_embedded()).await;
    world.netsapiens.faults().close_after_accept(2u32);
    let files = [("a", "image/png", png(1000)), ("b", "image/png", png(2000))];
    let id = world.agent_sends(CONSUMER, "Both", &files);
    world.receipts_told(1).await;
    let sizes = sizes(&world.on_phone(CONSUMER));
    assert_eq!(sizes, [1000, 2000], "each is looked for, and found");
    assert_eq!(world.receipts(&id), delivered());
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_gets_a_picture_where_its_number_sends_them_to_groups() {
    let world = capable(Settings { channel: "groups = true", ..on_embedded() }).await;
    world.netsapiens.consumer_sends_to_group(CONSUMER, COMPANY, &[OTHER], "hello all").expect("the number is ours");
    world.agent_sees(1).await;
    let group = world.genesys.messages().remove(0).from;
    let id = world.agent_sends(&group, "for all", &[("a", "image/png", png(1000))]);
    world.receipts_told(1).await;
    let sent = world.netsapiens.sent().pop().expect("it was sent");
    assert_eq!((sent.to.as_str(), shown(&sent)), (group.as_str(), ("for all", Some(("image/png", 1000)))));
    assert_eq!(world.receipts(&id), delivered());
    world.end().await;

    let world = World::with(Settings { channel: "groups = true", ..on_embedded() }).await;
    world.netsapiens.set_row(COMPANY, json!({ "mms-capable": true }));
    world.agent_sends(&group, "for all", &[("a", "image/png", png(1000))]);
    world.receipts_told(1).await;
    let sent = world.netsapiens.sent().pop().expect("it was sent");
    assert!(sent.file.is_none() && sent.text.starts_with("for all\nhttp"), "{}", sent.text);
    world.end().await;
}

/// Killed twice: with a picture sent and the next one not begun, and with a picture on its way.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reply_killed_between_its_pictures_is_sent_once() {
    let town = Town::with(Settings { channel: "pace = \"30/m\"", ..on_embedded() }).await;
    town.netsapiens.set_row(COMPANY, json!({ "mms-capable": true }));
    let bridge = town.start().await;
    let files = [1000, 2000, 3000].map(|size| ("a", "image/png", png(size)));
    let id = town.genesys.agent_sends_files(COMPANY, CONSUMER, "All three", &files);
    town.phones_show(1).await;
    bridge.kill().await;
    town.netsapiens.faults().hang_after_accept(1u32);
    let bridge = town.start().await;
    town.phones_show(2).await;
    bridge.kill().await;
    let bridge = town.start().await;
    town.receipts_told(1).await;
    let sizes = sizes(&town.on_phone(CONSUMER));
    assert_eq!(sizes, [1000, 2000, 3000], "every picture once, in order");
    assert_eq!(town.receipts(&id), delivered());
    town.end(vec![bridge]).await;
}
