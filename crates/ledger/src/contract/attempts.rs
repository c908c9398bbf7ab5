//! Attempts that take long, and those of which nobody will ever know the end.

use jiff::{SignedDuration, Timestamp};

use super::{CALL, Fresh, begun, effect, first, sent};
use crate::{Begin, Effect, Ledger};

async fn until(ledger: &Ledger, effect: &Effect) -> Timestamp {
    match ledger.begin(effect.clone(), CALL).await.unwrap() {
        Begin::Interrupted { until, .. } => until,
        other => panic!("expected an interrupted attempt, found {other:?}"),
    }
}

/// Whoever is still at it says so before the deadline, and nobody takes it from them meanwhile.
pub async fn an_attempt_that_takes_long_is_extended(fresh: Fresh) {
    let (ledger, one) = (fresh.ledger, effect("1"));
    let attempt = first(ledger.begin(one.clone(), CALL).await.unwrap());
    let at_first = until(&ledger, &one).await;
    fresh.clock.advance(SignedDuration::from_secs(15));
    ledger.extend(&one, &attempt, CALL).await.unwrap();
    assert_eq!(until(&ledger, &one).await.duration_since(at_first), SignedDuration::from_secs(15));
    fresh.clock.advance(SignedDuration::from_secs(10));
    assert_eq!(ledger.retake(&one, &attempt, CALL).await.unwrap(), None, "its owner is still at it");
    fresh.clock.advance(SignedDuration::from_secs(10));
    let next = ledger.retake(&one, &attempt, CALL).await.unwrap().expect("its owner is gone");
    let of_next = until(&ledger, &one).await;
    fresh.clock.advance(SignedDuration::from_secs(1));
    ledger.extend(&one, &attempt, CALL).await.unwrap();
    assert_eq!(until(&ledger, &one).await, of_next, "it was taken over");
    ledger.finish(&one, &next, sent()).await.unwrap();
    ledger.extend(&one, &next, CALL).await.unwrap();
    assert_eq!(ledger.begin(one, CALL).await.unwrap(), Begin::Done(sent()));
}

/// What nobody can be asked about counts as a crash does, and may be made again at once.
pub async fn attempts_in_doubt_are_counted(fresh: Fresh) {
    let (ledger, one) = (fresh.ledger, effect("1"));
    let attempt = first(ledger.begin(one.clone(), CALL).await.unwrap());
    for _ in 0..2 {
        ledger.doubt(&one, &attempt, "no answer").await.unwrap();
        assert_eq!(begun(&ledger, &one).await, (attempt.clone(), 1));
    }
    ledger.extend(&one, &attempt, CALL).await.unwrap();
    let next = ledger.retake(&one, &attempt, CALL).await.unwrap().expect("its deadline is over, and stays so");
    ledger.release(&one, &next, "not reached").await.unwrap();
    let next = first(ledger.begin(one.clone(), CALL).await.unwrap());
    ledger.doubt(&one, &next, "no answer").await.unwrap();
    assert_eq!(begun(&ledger, &one).await, (next.clone(), 2), "a release between them changes nothing");
    ledger.release(&one, &next, "taken as not made").await.unwrap();
    first(ledger.begin(one.clone(), CALL).await.unwrap());
    assert_eq!(begun(&ledger, &one).await.1, 3);
}
