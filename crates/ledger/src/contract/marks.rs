//! Marks and leases.

use std::time::Duration;

use jiff::SignedDuration;

use super::{CALL, Fresh, effect, first, futures};
use crate::{Lease, Mark};

const MINUTE: Duration = Duration::from_secs(60);

/// A mark is replaced only in the version that was read.
pub async fn a_mark_is_put_by_whoever_read_it_last(fresh: Fresh) {
    let ledger = fresh.ledger;
    assert_eq!(ledger.mark("cursor").await.unwrap(), None);
    assert_eq!(ledger.put_mark("cursor", 1, "of nothing").await.unwrap(), None, "there is no version 1 yet");
    assert_eq!(ledger.put_mark("cursor", 0, "one").await.unwrap(), Some(1));
    assert_eq!(ledger.put_mark("cursor", 0, "other").await.unwrap(), None);
    assert_eq!(ledger.put_mark("cursor", 1, "two\u{20ac}").await.unwrap(), Some(2));
    assert_eq!(ledger.put_mark("cursor", 1, "late").await.unwrap(), None);
    let found = Mark { value: "two\u{20ac}".to_owned(), version: 2 };
    assert_eq!(ledger.mark("cursor").await.unwrap(), Some(found));
    assert_eq!(ledger.mark("Cursor").await.unwrap(), None, "names are told apart by every letter");
}

/// Of many that read the same version, one puts the next.
pub async fn of_many_that_put_a_mark_one_does(fresh: Fresh) {
    let ledger = &fresh.ledger;
    for version in 0..3 {
        let value = version.to_string();
        let put = futures(16, |_| ledger.put_mark("cursor", version, &value)).await;
        let done = put.iter().filter(|put| matches!(put, Ok(Some(next)) if *next == version + 1)).count();
        assert_eq!(done, 1);
        assert!(put.iter().all(Result::is_ok));
    }
    assert_eq!(ledger.mark("cursor").await.unwrap().unwrap().value, "2");
}

/// One of several holds a lease, as long as it is taken anew; then another one does.
pub async fn a_lease_is_held_by_one(fresh: Fresh) {
    let ledger = fresh.ledger;
    let take = async |owner: &str| ledger.lease("watch", owner, MINUTE).await.unwrap();
    let Lease::Yours { until } = take("one").await else { panic!("nobody holds it") };
    assert_eq!(take("two").await, Lease::Others { until });
    fresh.clock.advance(SignedDuration::from_secs(40));
    let Lease::Yours { until: later } = take("one").await else { panic!("it is taken anew") };
    assert_eq!(later.duration_since(until), SignedDuration::from_secs(40));
    fresh.clock.advance(SignedDuration::from_secs(59));
    assert!(!take("two").await.is_yours(), "it was taken anew");
    fresh.clock.advance(SignedDuration::from_secs(1));
    assert!(take("two").await.is_yours(), "it has ended");
    assert!(!take("one").await.is_yours());
    assert!(ledger.lease("another", "one", MINUTE).await.unwrap().is_yours());
}

/// A lease is given back by whoever holds it, and leaves the mark of its name alone.
pub async fn a_lease_is_given_back_by_its_holder(fresh: Fresh) {
    let ledger = fresh.ledger;
    assert!(ledger.lease("watch", "one", MINUTE).await.unwrap().is_yours());
    assert_eq!(ledger.mark("watch").await.unwrap(), None, "nobody put one");
    assert_eq!(ledger.put_mark("watch", 0, "seen").await.unwrap(), Some(1));
    ledger.release_lease("watch", "two").await.unwrap();
    assert!(!ledger.lease("watch", "two", MINUTE).await.unwrap().is_yours());
    ledger.release_lease("watch", "one").await.unwrap();
    assert!(ledger.lease("watch", "two", MINUTE).await.unwrap().is_yours());
    ledger.release_lease("nothing", "two").await.unwrap();
    assert_eq!(ledger.mark("watch").await.unwrap(), Some(Mark { value: "seen".to_owned(), version: 1 }));
}

/// What replicas share outlives every message.
pub async fn marks_are_never_forgotten(fresh: Fresh) {
    let ledger = fresh.ledger;
    assert_eq!(ledger.put_mark("cursor", 0, "one").await.unwrap(), Some(1));
    fresh.clock.advance(SignedDuration::from_hours(24 * 400));
    first(ledger.begin(effect("tidies"), CALL).await.unwrap());
    first(ledger.begin(effect("waits for the tidying"), CALL).await.unwrap());
    assert_eq!(ledger.mark("cursor").await.unwrap().unwrap().value, "one");
}
