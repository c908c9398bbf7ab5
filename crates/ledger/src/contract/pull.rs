//! What is asked before something is pulled.

use std::collections::HashSet;

use jiff::{SignedDuration, Timestamp};
use model::{Arrival, ArrivalPath, ChannelName, MessageId};

use super::Fresh;

/// The first to ask notes the installation, to the second; whoever asks later is told the same, however long after.
pub async fn the_installation_is_noted_once(fresh: Fresh) {
    let ledger = &fresh.ledger;
    let first: Timestamp = "2026-11-20T18:03:11.9Z".parse().expect("it is a time");
    let noted: Timestamp = "2026-11-20T18:03:11Z".parse().expect("it is a time");
    assert_eq!(ledger.installed("crexendo", first).await.unwrap(), noted);
    fresh.clock.advance(SignedDuration::from_hours(24 * 365));
    let later = first + SignedDuration::from_hours(24 * 365);
    assert_eq!(ledger.installed("crexendo", later).await.unwrap(), noted);
    let another = (fresh.another)().await;
    assert_eq!(another.installed("crexendo", later).await.unwrap(), noted);
    assert!(another.installed("another", later).await.unwrap() > noted, "each provider has its own");
}

/// What arrived is known by its channel and id, whatever became of it.
pub async fn what_arrived_is_known(fresh: Fresh) {
    let ledger = fresh.ledger;
    let (sales, other) = (ChannelName::new("sales"), ChannelName::new("other"));
    let ids = ["in-1", "in-2", "in-3"].map(MessageId::new);
    let arrival =
        |path| Arrival { path, fingerprint: "f".to_owned(), sent_at: Some(Timestamp::UNIX_EPOCH), beside: Vec::new() };
    ledger.arrive(&sales, &ids[0], &arrival(ArrivalPath::MessageEvent)).await.unwrap();
    ledger.arrive(&sales, &ids[1], &arrival(ArrivalPath::StoredRow)).await.unwrap();
    let known = HashSet::from([ids[0].clone(), ids[1].clone()]);
    assert_eq!(ledger.arrived(&sales, &ids).await.unwrap(), known);
    assert_eq!(ledger.arrived(&other, &ids).await.unwrap(), HashSet::new());
    assert_eq!(ledger.arrived(&sales, &[]).await.unwrap(), HashSet::new());
}
