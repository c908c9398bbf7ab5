use std::collections::{BTreeSet, HashMap};
use std::ops::ControlFlow;
use std::time::Duration;

use futures_util::FutureExt;
use model::{Family, NeighbourName, Queued, TraceId};

use super::house::{Consumer, House, consume, message, neighbour, start, topology};
use crate::{Broker, Config, Done, Failure, Letter, QueueName, Sift, Sifted, Sifting, Topology};

const FAMILY: Family = Family::Inbound;

fn queue_of(conversation: u32) -> QueueName {
    let partition = message(conversation, 1).conversation().partition(topology().partitions);
    QueueName::Work { family: FAMILY, neighbour: neighbour(), partition }
}

fn id(conversation: u32, number: u32) -> String {
    message(conversation, number).id.to_string()
}

fn ids(conversation: u32, numbers: impl IntoIterator<Item = u32>) -> Vec<String> {
    numbers.into_iter().map(|number| id(conversation, number)).collect()
}

fn all(decided: &[String], sift: Sift) -> HashMap<String, Sift> {
    decided.iter().map(|id| (id.clone(), sift)).collect()
}

fn well(house: &House) -> Consumer {
    house.consume(consume(), |_, _| async { Ok(Done::Done) }.boxed())
}

impl House {
    /// A row of a conversation in the dead letters.
    async fn bury(&self, conversation: u32, count: u32) {
        self.publish_row(conversation, count).await;
        let refuse = || Failure::Reject { code: "no-such-place", cause: anyhow::anyhow!("it says no") };
        let mut consumer = self.consume(consume(), move |_, _| async move { Err(refuse()) }.boxed());
        consumer.until("rejections", |log| log.told.len() == count as usize).await;
        consumer.stop().await;
    }

    async fn letters(&self) -> Vec<Letter> {
        let mut found = Vec::new();
        let see = |letter: &Letter| {
            found.push(letter.clone());
            ControlFlow::Continue(())
        };
        self.broker.letters(FAMILY, 1000, see).await.expect("letters can be seen");
        found
    }

    async fn dead_ids(&self) -> Vec<String> {
        self.letters().await.into_iter().map(|letter| letter.report.id).collect()
    }

    async fn sift(&self, limit: usize, decisions: &HashMap<String, Sift>) -> Sifting {
        self.broker.sift(FAMILY, limit, decisions).await.expect("the broker answers")
    }
}

/// Everything a letter has is shown, an unreadable one with its bytes, and looking moves nothing.
pub async fn letters_are_seen_whole_and_stay(config: Config) {
    let house = House::open(&config).await;
    house.bury(1, 2).await;
    let bytes: &[u8] = b"\xff\x00 <not json>";
    house.broker.quarantine(&queue_of(1), bytes, TraceId::new("trace-q")).await.expect("stored");
    let mut consumer = well(&house);
    house.publish(&message(1, 3)).await;
    consumer.until_done(1).await;
    consumer.stop().await;
    for _ in 0..2 {
        let letters = house.letters().await;
        assert_eq!(letters.len(), 3);
        let letter = &letters[0];
        assert_eq!((letter.report.id.as_str(), letter.report.reason.as_str()), (&*id(1, 1), "no-such-place"));
        assert_eq!((letter.report.from.clone(), letter.report.at), (queue_of(1).to_string(), start()));
        assert_eq!(letter.kind.as_deref(), Some("InboundMessage"));
        assert_eq!(letter.conversation.as_deref(), Some(message(1, 1).conversation().header()));
        assert_eq!((letter.trace.as_deref(), letter.received_at), (Some("trace"), Some(start())));
        assert_eq!(letter.body, model::encode(&message(1, 1)));
        assert_eq!(letters[1].report.id, id(1, 2));
        assert_eq!((letters[2].report.reason.as_str(), &letters[2].body[..]), ("unreadable", bytes));
        assert!(!letters[2].report.id.is_empty());
    }
    let mut seen = 0;
    let see = |_: &Letter| {
        seen += 1;
        ControlFlow::Break(())
    };
    house.broker.letters(FAMILY, 1000, see).await.expect("letters can be seen");
    assert_eq!((seen, house.dead_ids().await.len()), (1, 3));
    house.settled().await;
}

/// A requeued letter is a message again, with all it had, and comes after nothing it came before.
pub async fn a_requeued_letter_is_consumed_again(config: Config) {
    let house = House::open(&config).await;
    house.bury(1, 3).await;
    let sifting = house.sift(100, &all(&ids(1, 1..=3), Sift::Requeue)).await;
    let requeued = |number| (id(1, number), Sifted::Requeued(queue_of(1).to_string()));
    assert_eq!(sifting, Sifting { settled: vec![requeued(1), requeued(2), requeued(3)], stopped: None });
    assert_eq!(house.dead().await, []);
    let house = house.reopen().await;
    let mut consumer = well(&house);
    assert_eq!(consumer.until_done(3).await.tries, [(1, 1), (1, 2), (1, 3)]);
    consumer.stop().await;
    house.empty().await;
}

/// Some go back, one is gone, and the others stand in their order, also where only a part of them was walked through.
pub async fn letters_that_stay_keep_their_order(config: Config) {
    let house = House::open(&config).await;
    house.bury(1, 6).await;
    let mut decisions = all(&ids(1, [2, 5]), Sift::Requeue);
    decisions.insert(id(1, 3), Sift::Discard);
    let sifting = house.sift(3, &decisions).await;
    let settled = [(id(1, 2), Sifted::Requeued(queue_of(1).to_string())), (id(1, 3), Sifted::Discarded)];
    assert_eq!((&sifting.settled[..], sifting.stopped), (&settled[..], None), "the fifth is behind the limit");
    assert_eq!(house.dead_ids().await, ids(1, [1, 4, 5, 6]));
    assert_eq!(house.sift(100, &decisions).await.settled.len(), 1);
    assert_eq!(house.sift(100, &decisions).await, Sifting::default(), "what is done is not done again");
    assert_eq!(house.dead_ids().await, ids(1, [1, 4, 6]));
    let house = house.reopen().await;
    assert_eq!(house.dead_ids().await, ids(1, [1, 4, 6]));
    let mut consumer = well(&house);
    assert_eq!(consumer.until_done(2).await.tries, [(1, 2), (1, 5)]);
    consumer.stop().await;
    house.settled().await;
}

/// However a walk ends, every letter is somewhere, in its order, and at most one is in two places.
pub async fn a_sift_that_stops_half_way_loses_nothing(config: Config) {
    const LETTERS: u32 = 40;
    let house = House::open(&config).await;
    house.bury(1, LETTERS).await;
    let decisions = all(&ids(1, 1..=LETTERS), Sift::Requeue);
    let some = |queue: &crate::QueueReport| !queue.queue.starts_with("causeway.dead.") && queue.ready > 0;
    tokio::select! {
        _sifted = house.sift(100, &decisions) => {}
        () = house.queues("requeued letters", |all| all.iter().any(some)) => {}
    }
    let house = house.reopen().await;
    let left = house.dead_ids().await;
    let first = LETTERS - u32::try_from(left.len()).expect("a small number") + 1;
    assert_eq!(left, ids(1, first..=LETTERS), "what is left is the end of the row");
    let back = usize::try_from(first).expect("a small number") - 1;
    let mut consumer = well(&house);
    let log = consumer.until_done(back).await;
    let came: BTreeSet<u32> = log.tries.iter().map(|(_, number)| *number).collect();
    assert!((1..first).all(|number| came.contains(&number)), "{:?}, then {first}", log.tries);
    assert!(log.tries.is_sorted(), "{:?}", log.tries);
    let rest = house.sift(100, &decisions).await;
    assert_eq!((rest.settled.len(), rest.stopped), (left.len(), None));
    let last = (1, LETTERS);
    let log = consumer.until("the last letter", |log| log.done.contains(&last)).await;
    assert!(log.tries.len() <= LETTERS as usize + 1 && log.tries.is_sorted(), "{:?}", log.tries);
    consumer.stop().await;
    house.empty().await;
}

/// More letters than a page, or than the acks a broker keeps under way.
pub async fn many_letters_are_sifted_in_order(config: Config) {
    const LETTERS: u32 = 300;
    let house = House::open(&config).await;
    house.bury(1, LETTERS).await;
    let mut decisions = all(&ids(1, (1..=LETTERS).filter(|number| number % 3 == 0)), Sift::Requeue);
    decisions.extend(all(&ids(1, (1..=LETTERS).filter(|number| number % 3 == 1)), Sift::Discard));
    let part = LETTERS as usize / 2;
    let sifting = house.sift(part, &decisions).await;
    assert_eq!((sifting.settled.len(), sifting.stopped), (part * 2 / 3, None));
    let left = |number: &u32| *number as usize > part || number % 3 == 2;
    assert_eq!(house.dead_ids().await, ids(1, (1..=LETTERS).filter(left)));
    let sifting = house.sift(1000, &decisions).await;
    assert_eq!((sifting.settled.len(), sifting.stopped), (part * 2 / 3, None));
    let stays = ids(1, (1..=LETTERS).filter(|number| number % 3 == 2));
    assert_eq!(house.dead_ids().await, stays);
    let mut consumer = well(&house);
    let back: Vec<(u32, u32)> = (1..=LETTERS).filter(|number| number % 3 == 0).map(|number| (1, number)).collect();
    assert_eq!(consumer.until_done(100).await.tries, back);
    consumer.stop().await;
    assert_eq!(house.sift(1000, &all(&stays, Sift::Discard)).await.settled.len(), 100);
    house.empty().await;
}

/// A letter whose queue is not there any more is refused, and what is behind it is not.
pub async fn a_letter_of_no_queue_stays(config: Config) {
    let house = House::open(&config).await;
    house.bury(1, 2).await;
    house.settled().await;
    let elsewhere = Topology { genesys: vec![NeighbourName::new("elsewhere")], ..topology() };
    let (clock, _hand) = runtime::Clock::manual(start());
    let broker = Broker::open(config, elsewhere, clock).await.expect("it opens");
    let mut state = broker.state();
    let ready = async { state.wait_for(|state| *state == crate::State::Ready).await.map(|_| ()) };
    tokio::time::timeout(Duration::from_secs(30), ready).await.expect("in time").expect("a supervisor that lives");
    let mut decisions = all(&[id(1, 1)], Sift::Requeue);
    decisions.insert(id(1, 2), Sift::Discard);
    let sifting = broker.sift(FAMILY, 100, &decisions).await.expect("the broker answers");
    assert_eq!(sifting.settled.len(), 2);
    let (Sifted::Refused(why), Sifted::Discarded) = (&sifting.settled[0].1, &sifting.settled[1].1) else {
        panic!("{sifting:?}");
    };
    assert!(why.contains(&queue_of(1).to_string()), "{why}");
    let left = broker.dead_letters(FAMILY, 100).await.expect("dead letters can be listed");
    assert_eq!(left.into_iter().map(|letter| letter.id).collect::<Vec<_>>(), [id(1, 1)]);
    broker.close().await;
}
