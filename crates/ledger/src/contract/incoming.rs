use jiff::Timestamp;
use model::{Arrival, ArrivalPath, ChannelName, Family, MessageId, SessionId};

use super::{CALL, Fresh, arrival, effect, first, sent};
use crate::{ArrivalVerdict, Begin, CameIn, Effect, Incoming, Outcome, What};

fn incoming(id: &str, arrival: Arrival, session: Option<&str>) -> Incoming {
    let effect = Effect { family: Family::Inbound, ..effect(id) };
    Incoming { effect, arrival, session: session.map(SessionId::new), can_look: false }
}

/// A consumer's message arrives, its session is remembered and its effect begins, or it is another's twin and is done.
pub async fn what_comes_in_is_begun_in_one_go(fresh: Fresh) {
    let ledger = &fresh.ledger;
    let begin = async |incoming: &Incoming| match ledger.begin_incoming(incoming.clone(), CALL).await.unwrap() {
        CameIn::Begun(begun) => begun,
        CameIn::Like(row) => panic!("nothing has to be looked at, also not {row}"),
    };
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

/// A row stands for one event of a path, whichever way that was known, and is taken for no other message.
pub async fn a_row_is_the_message_of_one_event(fresh: Fresh) {
    let (ledger, channel) = (&fresh.ledger, ChannelName::new("sales"));
    let (event, session, stored) = (ArrivalPath::MessageEvent, ArrivalPath::SessionEvent, ArrivalPath::StoredRow);
    let id = |id: &str| MessageId::new(id);
    let arrive = async |one: &str, arrival: Arrival| ledger.arrive(&channel, &id(one), &arrival).await.unwrap();
    let row = |one: &str, second| (id(one), arrival(stored, "ok", second));
    let sight = async |one: &str, path, rows: &[_]| ledger.sight(&channel, (&id(one), path), rows).await.unwrap();
    let rows = [row("r1", 0), row("r2", 1)];
    assert_eq!(arrive("r1", rows[0].1.clone()).await, ArrivalVerdict::New);
    assert!(sight("e1", event, &rows[..1]).await && sight("e1", event, &rows[..1]).await, "redelivered");
    assert!(!sight("e2", event, &rows[..1]).await, "its row is still to come");
    assert!(sight("s1", session, &rows[..1]).await, "another path tells of it as well");
    assert_eq!(arrive("e9", arrival(event, "ok", 0)).await, ArrivalVerdict::New, "nor is an event taken for it");
    assert_eq!(arrive("e1", arrival(event, "ok", 0)).await, ArrivalVerdict::SameAs(id("r1")), "told in full again");
    let beside = Arrival { beside: vec![id("e9")], ..rows[1].1.clone() };
    assert_eq!(arrive("r2", beside).await, ArrivalVerdict::New, "the provider has a row of that id");
    assert!(sight("e2", event, &rows).await);
    assert!(!sight("e3", event, &rows).await, "both are taken");

    // What an event told in full stands for its row, and so does what came under one id by both ways.
    assert_eq!(arrive("e4", arrival(event, "yes", 0)).await, ArrivalVerdict::New);
    let row = (id("r4"), arrival(stored, "yes", 0));
    assert_eq!(arrive("r4", row.1.clone()).await, ArrivalVerdict::SameAs(id("e4")));
    assert!(!sight("e5", event, std::slice::from_ref(&row)).await && sight("e4", event, &[row]).await);
    assert_eq!(arrive("both", arrival(event, "no", 0)).await, ArrivalVerdict::New);
    assert_eq!(arrive("both", arrival(stored, "no", 0)).await, ArrivalVerdict::New);
    assert_eq!(arrive("r6", arrival(stored, "no", 1)).await, ArrivalVerdict::New, "the event has its row");
}

/// What is like a row that was read is not decided upon where the provider can be asked; what is known by its id is.
pub async fn what_is_like_a_row_is_looked_at_first(fresh: Fresh) {
    let ledger = &fresh.ledger;
    let begin = async |incoming: &Incoming| ledger.begin_incoming(incoming.clone(), CALL).await.unwrap();
    let looks = |id: &str, path, second| Incoming { can_look: true, ..incoming(id, arrival(path, "ok", second), None) };
    let row = looks("r1", ArrivalPath::StoredRow, 0);
    assert!(matches!(begin(&row).await, CameIn::Begun(Begin::First(_))));
    let event = looks("e2", ArrivalPath::MessageEvent, 1);
    assert_eq!(begin(&event).await, CameIn::Like(MessageId::new("r1")));
    assert_eq!(begin(&event).await, CameIn::Like(MessageId::new("r1")), "nothing was recorded");
    assert!(ledger.timeline("e2").await.unwrap().is_empty());
    let own = looks("r1", ArrivalPath::MessageEvent, 0);
    assert!(matches!(begin(&own).await, CameIn::Begun(Begin::Interrupted { .. })), "that is no doubt");
    assert!(matches!(begin(&event).await, CameIn::Begun(Begin::First(_))), "the row has its event already");
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
