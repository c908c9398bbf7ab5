//! What is kept of one person, and what is left of it.

use jiff::{SignedDuration, Timestamp};
use model::{Address, Arrival, ArrivalPath, Family, Group, PhoneNumber, ReasonCode, ReceiptStatus, SessionId};

use super::{CALL, Fresh, consumer, effect, first, receipt, sent};
use crate::{
    ArrivalVerdict, Begin, Consent, Effect, Erased, Erasure, Ledger, Outcome, ReceiptVerdict, Reopened, Reported,
};

fn somebody_else() -> Address {
    Address::Phone(PhoneNumber::normalise("13125550199", None).expect("it is a number"))
}

fn inbound() -> Effect {
    Effect { family: Family::Inbound, parties: None, ..effect("in") }
}

fn arrival(path: ArrivalPath) -> Arrival {
    Arrival { path, fingerprint: "yes".to_owned(), sent_at: Some(Timestamp::UNIX_EPOCH), beside: Vec::new() }
}

/// A message in, a reply that was sent and told, one that failed; and a reply to somebody else.
async fn live(ledger: &Ledger) {
    let one = inbound();
    ledger.arrive(&one.channel, &one.id, &arrival(ArrivalPath::MessageEvent)).await.unwrap();
    ledger.remember_session(&one.channel, &one.consumer, &SessionId::new("s1")).await.unwrap();
    let other = Effect { consumer: somebody_else(), ..effect("other") };
    for done in [&one, &effect("1"), &other] {
        let attempt = first(ledger.begin(done.clone(), CALL).await.unwrap());
        assert!(ledger.sent(done, &attempt, Some(format!("p-{}", done.id))).await.unwrap().is_empty());
    }
    let attempt = first(ledger.begin(effect("2"), CALL).await.unwrap());
    let outcome = Outcome::Failed { code: ReasonCode::General, reason: "no".to_owned(), dead: None };
    ledger.finish(&effect("2"), &attempt, outcome).await.unwrap();
    let told = receipt("1", ReceiptStatus::Delivered);
    assert_eq!(ledger.receipt(&told).await.unwrap(), ReceiptVerdict::Emit);
    ledger.receipt_emitted(&told).await.unwrap();
}

/// An export holds what is kept of a person, and nothing of anybody else.
pub async fn a_person_is_told_whole(fresh: Fresh) {
    let ledger = fresh.ledger;
    live(&ledger).await;
    let person = ledger.person(&consumer()).await.unwrap();
    let mut ids: Vec<&str> = person.effects.iter().map(|effect| effect.id.as_str()).collect();
    ids.sort_unstable();
    assert_eq!(ids, ["1", "2", "in"]);
    assert_eq!(person.timeline, ledger.timeline(consumer().normalised()).await.unwrap());
    assert!(person.timeline.len() >= 9);
    let told: Vec<_> = person.receipts.iter().map(|receipt| (receipt.state.as_str(), receipt.emitted)).collect();
    assert_eq!(told, [("delivered", true)]);
    assert_eq!((person.arrivals.len(), person.sessions[0].session.as_str()), (1, "s1"));
    let other = ledger.person(&somebody_else()).await.unwrap();
    assert_eq!((other.effects.len(), other.receipts.len(), other.sessions.len()), (1, 0, 0));
}

/// Nothing names the person any more, and all that was done stays done.
pub async fn a_person_is_erased_and_nothing_is_done_twice(fresh: Fresh) {
    let ledger = fresh.ledger;
    live(&ledger).await;
    fresh.clock.advance(SignedDuration::from_secs(60));
    let waits = effect("3");
    let attempt = first(ledger.begin(waits.clone(), CALL).await.unwrap());
    ledger.release(&waits, &attempt, "not reached").await.unwrap();
    let lines = ledger.person(&consumer()).await.unwrap().timeline.len() as u64;
    let Erasure::Erased(erased) = ledger.erase(&consumer()).await.unwrap() else { panic!("nothing is in hand") };
    let expected = Erased {
        effects: 4,
        timeline: lines,
        receipts: 1,
        arrivals: 0,
        interactions: 0,
        sessions: 1,
        reports: erased.reports,
        arrivals_kept: 1,
    };
    assert_eq!(erased, expected);
    assert!(erased.reports >= 1, "the provider's id is gone");
    let person = ledger.person(&consumer()).await.unwrap();
    assert!(person.effects.is_empty() && person.timeline.is_empty() && person.sessions.is_empty());
    for query in ["1", "genesys-1", "trace-1", "13125550142"] {
        assert!(ledger.timeline(query).await.unwrap().is_empty(), "{query}");
    }

    let again = ledger.begin(effect("1"), CALL).await.unwrap();
    assert_eq!(again, Begin::Done(Outcome::Sent { foreign_id: None }));
    assert!(matches!(ledger.begin(effect("2"), CALL).await.unwrap(), Begin::Done(Outcome::Failed { .. })));
    assert_eq!(ledger.reopen(&effect("2"), Some("13125550142")).await.unwrap(), Reopened::Erased);
    let told = receipt("1", ReceiptStatus::Delivered);
    assert_eq!(ledger.receipt(&told).await.unwrap(), ReceiptVerdict::Outdated, "it was told before");
    let late = ledger.report(&effect("1").target, "p-1", ReceiptStatus::Removed).await.unwrap();
    assert_eq!(late, Reported::Held, "nobody knows whose it is");
    let twin = arrival(ArrivalPath::SessionEvent);
    let one = inbound();
    let arrived = ledger.arrive(&one.channel, &model::MessageId::new("twin"), &twin).await.unwrap();
    assert_eq!(arrived, ArrivalVerdict::SameAs(one.id));
    // What had to be tried once more still has to, and is told.
    let attempt = first(ledger.begin(waits.clone(), CALL).await.unwrap());
    ledger.finish(&waits, &attempt, sent()).await.unwrap();
    assert_eq!(ledger.receipt(&receipt("3", ReceiptStatus::Delivered)).await.unwrap(), ReceiptVerdict::Emit);
    let other = ledger.person(&somebody_else()).await.unwrap();
    assert_eq!((other.effects.len(), other.effects[0].id.as_str()), (1, "other"), "others stay");
}

/// While a message is being sent, or looked for, what tells it from others is needed: then nothing is erased.
pub async fn nobody_is_erased_while_in_hand(fresh: Fresh) {
    let ledger = fresh.ledger;
    live(&ledger).await;
    first(ledger.begin(effect("4"), CALL).await.unwrap());
    assert_eq!(ledger.erase(&consumer()).await.unwrap(), Erasure::InHand(1));
    assert_eq!(ledger.person(&consumer()).await.unwrap().effects.len(), 4);
    fresh.clock.advance(SignedDuration::from_hours(24));
    assert_eq!(ledger.erase(&consumer()).await.unwrap(), Erasure::InHand(1), "it may wait for its provider");
    fresh.clock.advance(SignedDuration::from_hours(7 * 24));
    let Erasure::Erased(erased) = ledger.erase(&consumer()).await.unwrap() else { panic!("nobody is at it any more") };
    assert_eq!((erased.arrivals, erased.arrivals_kept), (1, 0), "no message comes by another path so late");
    assert!(
        matches!(ledger.begin(effect("4"), CALL).await.unwrap(), Begin::Interrupted { .. }),
        "it may have been sent"
    );
}

/// What a person wants stays known when the rest is erased, until that is forgotten as well; groups are found by each member.
pub async fn a_stop_survives_an_erasure(fresh: Fresh) {
    let ledger = fresh.ledger;
    live(&ledger).await;
    ledger.set_consent(&effect("stop"), Consent::Out, ("asked", crate::When::Now)).await.unwrap();
    let group = Address::Group(Group::parse("13125550142,13125550199").expect("it is a group"));
    let in_group = Effect { consumer: group.clone(), ..effect("g") };
    let attempt = first(ledger.begin(in_group.clone(), CALL).await.unwrap());
    ledger.finish(&in_group, &attempt, sent()).await.unwrap();
    ledger.remember_session(&in_group.channel, &group, &SessionId::new("sg")).await.unwrap();

    assert_eq!(ledger.groups(&consumer()).await.unwrap(), std::slice::from_ref(&group));
    assert_eq!(ledger.groups(&somebody_else()).await.unwrap(), std::slice::from_ref(&group));
    let stranger = Address::Phone(PhoneNumber::normalise("3125550142", None).expect("it is a number"));
    assert!(ledger.groups(&stranger).await.unwrap().is_empty(), "a part of a number is no member");

    let out = async || ledger.person(&consumer()).await.unwrap().consents;
    assert_eq!(out().await.iter().map(|one| one.consent).collect::<Vec<_>>(), [Consent::Out]);
    for one in [&consumer(), &group] {
        assert!(matches!(ledger.erase(one).await.unwrap(), Erasure::Erased(_)));
    }
    assert!(ledger.groups(&consumer()).await.unwrap().is_empty());
    assert_eq!(out().await.len(), 1, "it is not forgotten with the rest");
    assert_eq!(ledger.forget_consents(&consumer()).await.unwrap(), 1);
    assert_eq!(ledger.forget_consents(&consumer()).await.unwrap(), 0);
    assert!(out().await.is_empty());
    assert_eq!(ledger.consent(&effect("1").channel, &consumer()).await.unwrap(), None);
}
