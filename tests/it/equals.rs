//! Messages of one consumer that are alike in everything but that they are two.

use bytes::Bytes;
use runtime::Clock;
use sandbox::{ConsumerFile, EventOptions};

use crate::settings::{COMPANY, Queues, Settings};
use crate::world::{World, on_both_brokers};

on_both_brokers!(two_pictures_alike_both_arrive, two_texts_alike_arrive_by_whichever_ways,);

const POLL: &str = "subscribe = false\npoll = \"1s\"";

/// The provider's clock stands, so that all is of one second.
fn in_one_second(world: &World) {
    let (clock, _hand) = Clock::manual(Clock::system().now());
    world.netsapiens.set_clock(clock);
}

fn png(mark: u8) -> ConsumerFile {
    let mut bytes = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x10\0\0\0\x10".to_vec();
    bytes.resize(1000, mark);
    ConsumerFile { media_type: "image/png".to_owned(), size: 1000, bytes: Bytes::from(bytes) }
}

/// Of one type and size, without a caption, and the second comes when the first was read already.
async fn two_pictures_alike_both_arrive(queues: Queues) {
    let world = World::on(queues).await;
    in_one_second(&world);
    for (consumer, other_ids) in [("13125550142", false), ("13125550143", true)] {
        world.netsapiens.set_events(EventOptions { other_ids, ..EventOptions::default() });
        for mark in [1, 2] {
            let seen = world.genesys.messages().len() as u64;
            world
                .netsapiens
                .consumer_sends_file(consumer, COMPANY, "", png(mark))
                .expect("the number is the company's");
            world.agent_sees(seen + 1).await;
        }
        let links = world.seen_by_agent(consumer);
        assert_eq!(links.len(), 2, "other ids: {other_ids}");
        assert_ne!(links[0], links[1]);
    }
    let messages = world.genesys.messages();
    let mut marks = Vec::new();
    for message in &messages {
        let (_, token) = message.text.split_once("/media/").expect("a link");
        let answer = world.http.get(format!("http://{}/media/{token}", world.bridge())).await.expect("it answers");
        marks.push(answer.body.last().copied());
    }
    assert_eq!(marks, [Some(1), Some(2), Some(1), Some(2)]);
    world.end().await;
}

/// Each of two is told by an event, or is lost and found by the catch-up; events come twice.
async fn two_texts_alike_arrive_by_whichever_ways(queues: Queues) {
    let world = World::with(Settings { provider: POLL, ..Settings::on(queues) }).await;
    in_one_second(&world);
    let mut seen = 0;
    for other_ids in [false, true] {
        world.netsapiens.set_events(EventOptions { other_ids, duplicates: 1, ..EventOptions::default() });
        let ways = [[false, false], [false, true], [true, false], [true, true]];
        let consumer = |way: usize| format!("131255502{}{way}", u8::from(other_ids));
        for turn in 0..2 {
            for (way, lost) in ways.iter().enumerate() {
                world.netsapiens.faults().lose_events(lost[turn]);
                world.text(&consumer(way), "ok");
            }
            seen += ways.len() as u64;
            world.agent_sees(seen).await;
        }
        world.netsapiens.faults().lose_events(false);
    }
    let (lists, _) = world.netsapiens.read_counts();
    world.until("more looks", async |world| (world.netsapiens.read_counts().0 >= lists + 3).then_some(())).await;
    assert_eq!(world.genesys.messages().len() as u64, seen, "and nothing twice");
    for from in world.genesys.messages().into_iter().map(|message| message.from) {
        assert_eq!(world.seen_by_agent(&from), ["ok", "ok"], "{from}");
    }
    world.end().await;
}
