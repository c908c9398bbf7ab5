//! The tasks conversations stand in.

use jiff::SignedDuration;
use model::{Address, ChannelName, PhoneNumber};

use super::{CALL, Fresh, consumer, effect, first, futures};
use crate::{Erasure, Interaction, InteractionState, KeptInteraction};

fn task(generation: u32) -> Interaction {
    Interaction {
        generation,
        external_id: format!("sms-1-{generation}"),
        id: (generation > 1).then(|| format!("i{generation}")),
        bytes: 300,
        entries: 1,
        last: Some("Message_0001".to_owned()),
        state: InteractionState::Open,
        threads: vec![("s-1".to_owned(), "i1".to_owned())],
    }
}

fn another() -> Address {
    Address::Phone(PhoneNumber::normalise("13125550199", None).expect("it is a number"))
}

/// A task is replaced only in the version that was read.
pub async fn an_interaction_is_put_by_whoever_read_it_last(fresh: Fresh) {
    let (ledger, channel, consumer) = (&fresh.ledger, ChannelName::new("sales"), consumer());
    let put = async |expected, task: &Interaction| {
        ledger.put_interaction(&channel, consumer.normalised(), expected, task).await.unwrap()
    };
    assert_eq!(ledger.interaction(&channel, &consumer).await.unwrap(), None);
    assert_eq!(put(1, &task(1)).await, None, "there is no version 1 yet");
    assert_eq!(put(0, &task(1)).await, Some(1));
    assert_eq!(put(0, &task(2)).await, None);
    assert_eq!(put(1, &task(2)).await, Some(2));
    assert_eq!(put(1, &task(3)).await, None);
    let found = ledger.interaction(&channel, &consumer).await.unwrap();
    let expected =
        KeptInteraction { consumer: consumer.normalised().to_owned().into(), interaction: task(2), version: 2 };
    assert_eq!(found, Some(expected));
    assert_eq!(ledger.interaction(&channel, &another()).await.unwrap(), None);
    assert_eq!(ledger.interaction(&ChannelName::new("other"), &consumer).await.unwrap(), None);
    let third = task(3);
    let many = futures(16, |_| ledger.put_interaction(&channel, consumer.normalised(), 2, &third)).await;
    assert_eq!(many.iter().filter(|put| matches!(put, Ok(Some(3)))).count(), 1, "{many:?}");
}

/// What nothing was put into for a while is listed, and what is being ended; what has ended is not.
pub async fn idle_interactions_are_listed(fresh: Fresh) {
    let (ledger, channel) = (&fresh.ledger, ChannelName::new("sales"));
    let now = ledger.check().await.unwrap();
    let states = [InteractionState::Open, InteractionState::Ending, InteractionState::Ended];
    for (number, state) in states.into_iter().enumerate() {
        let task = Interaction { state, ..task(1) };
        assert_eq!(ledger.put_interaction(&channel, &number.to_string(), 0, &task).await.unwrap(), Some(1));
    }
    let listed = async |at| {
        let found = ledger.idle_interactions(&channel, at).await.unwrap();
        let mut found: Vec<String> = found.into_iter().map(|kept| kept.consumer.into_inner()).collect();
        found.sort_unstable();
        found
    };
    assert_eq!(listed(now).await, ["1"]);
    fresh.clock.advance(SignedDuration::from_secs(61));
    let later = now.saturating_add(SignedDuration::from_secs(60)).unwrap();
    assert_eq!(listed(later).await, ["0", "1"]);
    ledger.put_interaction(&channel, "0", 1, &task(1)).await.unwrap();
    assert_eq!(listed(later).await, ["1"], "something was put into it");
    assert!(ledger.idle_interactions(&ChannelName::new("other"), later).await.unwrap().is_empty());
}

/// A task is forgotten like other business, and erased with its person.
pub async fn interactions_go_with_their_time_and_their_person(fresh: Fresh) {
    let (ledger, channel) = (&fresh.ledger, ChannelName::new("sales"));
    for person in [consumer(), another()] {
        ledger.put_interaction(&channel, person.normalised(), 0, &task(1)).await.unwrap();
    }
    let person = ledger.person(&consumer()).await.unwrap();
    let [kept] = &person.interactions[..] else { panic!("one task: {person:?}") };
    assert!(kept.interaction.contains("sms-1-1") && kept.channel == channel);
    let Erasure::Erased(erased) = ledger.erase(&consumer()).await.unwrap() else { panic!("nothing is in hand") };
    assert_eq!(erased.interactions, 1);
    assert_eq!(ledger.interaction(&channel, &consumer()).await.unwrap(), None);
    assert!(ledger.interaction(&channel, &another()).await.unwrap().is_some());
    fresh.clock.advance(SignedDuration::from_hours(24 * 400));
    first(ledger.begin(effect("tidies"), CALL).await.unwrap());
    first(ledger.begin(effect("waits for the tidying"), CALL).await.unwrap());
    assert_eq!(ledger.interaction(&channel, &another()).await.unwrap(), None);
}
