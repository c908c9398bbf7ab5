//! Whatever arrives in whatever order: arrivals of one message are matched one to one, and no others.

mod common;
#[path = "common/databases.rs"]
mod databases;

use jiff::Timestamp;
use ledger::{ArrivalVerdict, Config, Ledger, TimeSource};
use model::{Arrival, ArrivalPath, ChannelName, MessageId};
use proptest::prelude::*;
use runtime::Clock;

fn arrival() -> impl Strategy<Value = Arrival> {
    let path =
        prop_oneof![Just(ArrivalPath::MessageEvent), Just(ArrivalPath::SessionEvent), Just(ArrivalPath::StoredRow)];
    (path, prop_oneof![Just("yes"), Just("no")], proptest::option::weighted(0.9, 0_i64..7)).prop_map(
        |(path, fingerprint, second)| Arrival {
            path,
            fingerprint: fingerprint.to_owned(),
            sent_at: second.map(|second| Timestamp::from_second(1_000 + second).expect("it is in range")),
            beside: Vec::new(),
        },
    )
}

/// What stood before an arrival, and may be the same message.
fn twins(before: &[(Arrival, Option<usize>)], arrival: &Arrival) -> Vec<usize> {
    let close = |other: &Arrival| match (other.sent_at, arrival.sent_at) {
        (Some(one), Some(two)) => (one.as_second() - two.as_second()).abs() <= 2,
        _ => false,
    };
    let taken = |index| before.iter().any(|(other, same_as)| *same_as == Some(index) && other.path == arrival.path);
    let may = |(index, (other, same_as)): (usize, &(Arrival, Option<usize>))| {
        let same = other.path != arrival.path && other.fingerprint == arrival.fingerprint && close(other);
        (same && same_as.is_none() && !taken(index)).then_some(index)
    };
    before.iter().enumerate().filter_map(may).collect()
}

async fn walk(ledger: &Ledger, channel: &ChannelName, arrivals: &[Arrival]) -> Result<(), TestCaseError> {
    let mut before: Vec<(Arrival, Option<usize>)> = Vec::new();
    for (index, arrival) in arrivals.iter().enumerate() {
        let id = MessageId::new(index.to_string());
        let verdict = ledger.arrive(channel, &id, arrival).await.expect("it answers");
        let again = ledger.arrive(channel, &id, arrival).await.expect("it answers");
        prop_assert_eq!(&verdict, &again, "a redelivery finds what the first found");
        let may = twins(&before, arrival);
        let same_as = match verdict {
            ArrivalVerdict::New => None,
            ArrivalVerdict::SameAs(other) => Some(other.as_str().parse::<usize>().expect("it is one of ours")),
        };
        prop_assert_eq!(same_as.is_some(), !may.is_empty(), "{:?} of {:?}", arrival, before);
        prop_assert!(same_as.is_none_or(|one| may.contains(&one)), "{:?} is not among {:?}", same_as, may);
        before.push((arrival.clone(), same_as));
    }
    Ok(())
}

fn all_kinds(cases: u32, config: Config) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let ledger = runtime.block_on(Ledger::open(config, Clock::system())).expect("a ledger");
    let case = std::cell::Cell::new(0);
    proptest!(ProptestConfig::with_cases(cases), |(arrivals in proptest::collection::vec(arrival(), 0..12))| {
        case.set(case.get() + 1);
        let channel = ChannelName::new(format!("case-{}", case.get()));
        runtime.block_on(walk(&ledger, &channel, &arrivals))?;
    });
}

#[test]
fn arrivals_are_matched_one_to_one() {
    let folder = tempfile::tempdir().unwrap();
    all_kinds(200, common::config(&folder.path().join("ledger.db"), true));
}

#[test]
fn arrivals_are_matched_one_to_one_in_a_database() {
    all_kinds(100, databases::config(&test_support::shared_postgres(), TimeSource::Database));
}
