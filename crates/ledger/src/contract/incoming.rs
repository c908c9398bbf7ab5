use model::{Arrival, ArrivalPath, Family, MessageId, SessionId};

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
