use jiff::Timestamp;
use model::{Arrival, ArrivalPath, ChannelName, Family, MessageId, SessionId};

use super::{CALL, Fresh, arrival, effect, first, sent};
use crate::{Begin, Effect, Incoming, Outcome, What};

fn incoming(id: &str, arrival: Arrival, session: Option<&str>) -> Incoming {
    let effect = Effect { family: Family::Inbound, ..effect(id) };
    Incoming { effect, arrival, session: session.map(SessionId::new) }
}

/// A consumer's message arrives, its session is remembered and its effect begins, or it is another's twin and is done.
pub async fn what_comes_in_is_begun_in_one_go(fresh: Fresh) {
    let ledger = &fresh.ledger;
    let begin = async |incoming: &Incoming| ledger.begin_incoming(incoming.clone(), CALL).await.unwrap();
    let event = incoming("e1", arrival(ArrivalPath::MessageEvent, "yes", 0), Some("s-1"));
    let attempt = first(begin(&event).await);
    let session = ledger.session(&event.effect.channel, &event.effect.consumer).await.unwrap();
    assert_eq!(session, Some(SessionId::new("s-1")));
    let again = begin(&event).await;
    assert!(matches!(&again, Begin::Interrupted { attempt: open, .. } if *open == attempt), "{again:?}");
    ledger.finish(&event.effect, &attempt, sent()).await.unwrap();
    assert_eq!(begin(&event).await, Begin::Done(sent()));

    let twin = incoming("s1", arrival(ArrivalPath::SessionEvent, "yes", 1), Some("s-2"));
    let same = Outcome::SameAs(MessageId::new("e1"));
    assert_eq!(begin(&twin).await, Begin::Done(same.clone()));
    assert_eq!(begin(&twin).await, Begin::Done(same.clone()), "redelivered");
    assert_eq!(ledger.begin(twin.effect.clone(), CALL).await.unwrap(), Begin::Done(same), "it is finished");
    let session = ledger.session(&event.effect.channel, &event.effect.consumer).await.unwrap();
    assert_eq!(session, Some(SessionId::new("s-1")), "a twin changes nothing");
    let told: Vec<What> = ledger.timeline("e1").await.unwrap().into_iter().map(|line| line.what).collect();
    assert_eq!(told, [What::Received, What::Began, What::Sent]);
}

/// Whoever writes often is counted, in one conversation and up to a moment; what is known already is not counted again.
pub async fn a_crowd_is_counted(fresh: Fresh) {
    let ledger = &fresh.ledger;
    let at = |id: &str, seconds: i64| Effect {
        received_at: Timestamp::from_second(1_795_000_000 + seconds).expect("it is a time"),
        ..effect(id)
    };
    for (id, seconds) in [("1", 0), ("2", 100), ("3", 200)] {
        let begun = ledger.begin(at(id, seconds), CALL).await.unwrap();
        assert!(matches!(begun, Begin::First(_)));
    }
    let elsewhere = Effect { channel: ChannelName::new("other"), ..at("4", 150) };
    ledger.begin(elsewhere, CALL).await.unwrap();
    let since = |seconds: i64| Timestamp::from_second(1_795_000_000 + seconds).expect("it is a time");
    assert_eq!(ledger.crowd(&at("5", 300), since(0), 9).await.unwrap(), Some(2), "after the moment itself");
    assert_eq!(ledger.crowd(&at("5", 300), since(-1), 9).await.unwrap(), Some(3));
    assert_eq!(ledger.crowd(&at("5", 300), since(-1), 2).await.unwrap(), Some(2), "no further than asked");
    assert_eq!(ledger.crowd(&at("5", 120), since(-1), 9).await.unwrap(), Some(2), "not what came later");
    assert_eq!(ledger.crowd(&at("2", 100), since(-1), 9).await.unwrap(), None, "it is one of them");
}
