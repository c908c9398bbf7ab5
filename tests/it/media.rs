//! Pictures of consumers, on their way to the agent.

use std::time::Duration;

use bytes::Bytes;
use sandbox::{ConsumerFile, EventOptions};

use crate::settings::{COMPANY, Queues, Settings};
use crate::world::{World, on_both_brokers};

on_both_brokers!(
    a_picture_reaches_the_agent_as_a_link,
    a_picture_reaches_the_agent_as_rich_media,
    a_shape_that_is_refused_becomes_a_link,
    several_pictures_arrive_in_order,
    a_fresh_url_is_asked_for_when_one_has_expired,
    a_picture_that_cannot_be_had_is_told_to_the_agent,
    a_picture_no_message_event_told_of_reaches_the_agent,
);

const CONSUMER: &str = "13125550142";

pub(crate) fn png(size: usize) -> Bytes {
    let mut bytes = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x10\0\0\0\x10".to_vec();
    bytes.resize(size, 7);
    bytes.into()
}

fn picture(bytes: Bytes) -> ConsumerFile {
    ConsumerFile { media_type: "image/png".to_owned(), size: bytes.len() as u64, bytes }
}

impl World {
    fn sends(&self, text: &str, file: ConsumerFile) {
        self.netsapiens.consumer_sends_file(CONSUMER, COMPANY, text, file).expect("the number is ours");
    }

    /// What a link in a text opens: status and bytes.
    async fn follow(&self, text: &str) -> (u16, Bytes) {
        let (_, token) = text.split_once("/media/").unwrap_or_else(|| panic!("a link: {text}"));
        let url = format!("http://{}/media/{}", self.bridge(), token.trim());
        let answer = self.http.get(url).await.expect("the public listener answers");
        (answer.status.as_u16(), answer.body)
    }
}

fn rich() -> &'static str {
    "media = \"rich-media\""
}

async fn a_picture_reaches_the_agent_as_a_link(queues: Queues) {
    let world = World::on(queues).await;
    let bytes = png(300_000);
    world.sends("Is this the right door?", picture(bytes.clone()));
    world.agent_sees(1).await;
    let message = world.genesys.messages().remove(0);
    let (caption, link) = message.text.split_once('\n').expect("a caption and a link");
    assert_eq!(caption, "Is this the right door?");
    assert!(link.starts_with("Picture: http://"), "{link}");
    assert_eq!(world.follow(link).await, (200, bytes));
    let changed = format!("{}x", &link[..link.len() - 1]);
    assert_eq!(world.follow(&changed).await.0, 404);
    assert!(world.genesys.media().is_empty(), "nothing is uploaded that no message refers to");
    world.end().await;
}

async fn a_picture_reaches_the_agent_as_rich_media(queues: Queues) {
    let world = World::with(Settings { more: rich().to_owned(), ..Settings::on(queues) }).await;
    let bytes = png(300_000);
    world.sends("Look", picture(bytes.clone()));
    world.agent_sees(1).await;
    let message = world.genesys.messages().remove(0);
    assert_eq!(message.text, "Look");
    let [attachment] = message.attachments.try_into().expect("one file");
    assert_eq!((attachment.media_type.as_str(), attachment.mime.as_str()), ("Image", "image/png"));
    let [media] = world.genesys.media().try_into().expect("one upload");
    assert_eq!((media.url(), media.bytes), (attachment.url, bytes));
    world.end().await;
}

async fn a_shape_that_is_refused_becomes_a_link(queues: Queues) {
    let world = World::with(Settings { more: rich().to_owned(), ..Settings::on(queues) }).await;
    world.genesys.faults().refuse_rich_media(1);
    let bytes = png(1000);
    world.sends("", picture(bytes.clone()));
    world.agent_sees(1).await;
    let message = world.genesys.messages().remove(0);
    assert!(message.attachments.is_empty());
    assert_eq!(world.follow(&message.text).await, (200, bytes.clone()));
    world.until("the orphan is deleted", async |world| world.genesys.media().is_empty().then_some(())).await;

    world.genesys.faults().refuse_uploads(1);
    world.sends("again", picture(bytes.clone()));
    world.agent_sees(2).await;
    assert_eq!(world.follow(&world.genesys.messages().remove(1).text).await, (200, bytes));
    let refusals = world.genesys.refusals();
    assert_eq!(refusals.len(), 1, "the shape was tried once: {refusals:?}");
    world.end_with_dead_letters(&[]).await;
}

async fn several_pictures_arrive_in_order(queues: Queues) {
    let world = World::on(queues).await;
    world.sends("first", picture(png(200_000)));
    world.text(CONSUMER, "between");
    world.sends("second", picture(png(1000)));
    world.sends("", picture(png(2000)));
    world.agent_sees(4).await;
    let texts: Vec<String> = world.genesys.messages().into_iter().map(|message| message.text).collect();
    let first_lines: Vec<&str> = texts.iter().filter_map(|text| text.split(['\n', ':']).next()).collect();
    assert_eq!(first_lines, ["first", "between", "second", "Picture"]);
    assert_eq!(world.follow(&texts[3]).await.1.len(), 2000);
    world.end().await;
}

async fn a_fresh_url_is_asked_for_when_one_has_expired(queues: Queues) {
    let world = World::on(queues).await;
    world.netsapiens.faults().expire_media(1);
    world.netsapiens.faults().media_answers_503(1);
    let bytes = png(1000);
    world.sends("Look", picture(bytes.clone()));
    world.agent_sees(1).await;
    assert_eq!(world.follow(&world.genesys.messages().remove(0).text).await, (200, bytes));
    world.end().await;
}

async fn a_picture_that_cannot_be_had_is_told_to_the_agent(queues: Queues) {
    let world = World::on(queues).await;
    let told = |bytes: &'static [u8]| picture(Bytes::from_static(bytes));
    let large = ConsumerFile { size: 1_000_000_000, ..told(b"\x89PNG\r\n\x1a\n small") };
    let bomb = told(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\x01\0\0\0\x01\0\0");
    let cases = [
        (ConsumerFile { size: 7, ..told(b"") }, "it was empty"),
        (told(b"<html><script>alert(1)</script>"), "it is not what it was said to be"),
        (ConsumerFile { media_type: "text/html".to_owned(), ..told(b"<html>") }, "files of its type are not passed on"),
        (large, "it is not what it was said to be"),
        (bomb, "it would be too large to open"),
    ];
    let count = cases.len() as u64;
    for (file, why) in cases {
        world.sends(why, file);
    }
    world.agent_sees(count).await;
    for message in world.genesys.messages() {
        let (why, told) = message.text.split_once('\n').expect("a caption, and what became of the file");
        assert_eq!(told, format!("[The consumer sent a picture or file that cannot be shown: {why}.]"));
    }
    world.netsapiens.redirect_media(Some("http://169.254.169.254/latest/meta-data".to_owned()));
    world.sends("inside", picture(png(100)));
    world.agent_sees(count + 1).await;
    let last = world.genesys.messages().pop().expect("it arrived");
    assert_eq!(
        last.text,
        "inside\n[The consumer sent a picture or file that cannot be shown: it could not be fetched safely.]"
    );
    world
        .until("metrics of refused files", async |world| {
            world.metrics().await.contains("causeway_media_refused_total").then_some(())
        })
        .await;
    world.end().await;
}

/// Learnt of from an event of its session, then from a poll alone.
async fn a_picture_no_message_event_told_of_reaches_the_agent(queues: Queues) {
    let sessions = EventOptions { messages: false, twins: Some(Duration::ZERO), ..EventOptions::default() };
    let none = EventOptions { twins: None, ..sessions };
    for (provider, events) in [("subscribe = false", sessions), ("subscribe = false\npoll = \"1s\"", none)] {
        let world = World::with(Settings { provider, ..Settings::on(queues.clone()) }).await;
        world.netsapiens.set_events(events);
        let bytes = png(20_000);
        world.sends("Look", picture(bytes.clone()));
        world.sends("", picture(png(30_000)));
        world.agent_sees(2).await;
        let texts: Vec<String> = world.genesys.messages().into_iter().map(|message| message.text).collect();
        let (caption, link) = texts[0].split_once('\n').expect("a caption and a link");
        assert_eq!((caption, world.follow(link).await), ("Look", (200, bytes)));
        assert_eq!(world.follow(&texts[1]).await.1.len(), 30_000);
        world.end().await;
    }
}
