//! Several ledgers on one database.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use ledger::contract::{effect, receipt};
use ledger::{ArrivalVerdict, Begin, Ledger, LedgerError, Outcome, ReceiptVerdict, TimeSource};
use model::{Arrival, ArrivalPath, ChannelName, MessageId, ReasonCode, ReceiptStatus};
use runtime::Clock;
use test_support::{postgres_sql, shared_postgres};
use tokio::task::JoinSet;

use super::{CALL, databases, open};

const EFFECTS: usize = 256;
const LANES: usize = 16;

/// Runs something for every number on every ledger at once, each ledger in an order of its own, so that groups of many meet.
async fn everywhere<T, F>(
    ledgers: &[Ledger],
    run: impl Fn(Ledger, usize) -> F + Clone + Send + 'static,
) -> Vec<(usize, T)>
where
    T: Send + 'static,
    F: Future<Output = T> + Send,
{
    let mut running = JoinSet::new();
    for (which, ledger) in ledgers.iter().enumerate() {
        for lane in 0..LANES {
            let (ledger, run) = (ledger.clone(), run.clone());
            running.spawn(async move {
                let mut done = Vec::new();
                for step in (lane..EFFECTS).step_by(LANES) {
                    let number = if which % 2 == 0 { step } else { EFFECTS - 1 - step };
                    done.push((number, run(ledger.clone(), number).await));
                }
                done
            });
        }
    }
    running.join_all().await.into_iter().flatten().collect()
}

async fn three(url: &str) -> Vec<Ledger> {
    vec![open(url).await, open(url).await, open(url).await]
}

fn count<T>(all: &[(usize, T)], is: impl Fn(&T) -> bool) -> BTreeMap<usize, usize> {
    let mut counted = BTreeMap::new();
    for (number, _) in all.iter().filter(|(_, one)| is(one)) {
        *counted.entry(*number).or_default() += 1;
    }
    counted
}

fn once() -> BTreeMap<usize, usize> {
    (0..EFFECTS).map(|number| (number, 1)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_ledgers_one_is_first_at_each_effect() {
    let url = shared_postgres();
    let ledgers = three(&url).await;
    let begun = everywhere(&ledgers, async |ledger: Ledger, number| {
        ledger.begin(effect(&number.to_string()), CALL).await.expect("it answers")
    });
    let begun = begun.await;
    assert_eq!(count(&begun, |begun| matches!(begun, Begin::First(_))), once());
    assert_eq!(
        count(&begun, |begun| matches!(begun, Begin::Interrupted { begun: 1, .. })).values().sum::<usize>(),
        2 * EFFECTS
    );
    let lines = postgres_sql(&url, "SELECT count(walk) FROM causeway.effects WHERE began_at IS NOT NULL");
    assert_eq!(lines, EFFECTS.to_string(), "what was rolled back left no line");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_ledgers_one_takes_an_interrupted_attempt() {
    let url = shared_postgres();
    let ledgers = three(&url).await;
    let mut attempts = Vec::new();
    for number in 0..EFFECTS {
        let one = effect(&number.to_string());
        let Begin::First(attempt) = ledgers[0].begin(one.clone(), CALL).await.unwrap() else {
            panic!("it is the first")
        };
        ledgers[0].lapse(&one, &attempt, "timed out").await.unwrap();
        attempts.push(attempt);
    }
    let attempts = std::sync::Arc::new(attempts);
    let taken = everywhere(&ledgers, move |ledger, number| {
        let attempts = attempts.clone();
        async move { ledger.retake(&effect(&number.to_string()), &attempts[number], CALL).await.expect("it answers") }
    });
    assert_eq!(count(&taken.await, Option::is_some), once());
}

#[tokio::test(flavor = "multi_thread")]
async fn two_paths_of_one_message_meet_wherever_they_arrive() {
    let url = shared_postgres();
    let ledgers = [open(&url).await, open(&url).await];
    let paths = [ArrivalPath::MessageEvent, ArrivalPath::SessionEvent];
    let mut running = JoinSet::new();
    for (ledger, path) in ledgers.iter().zip(paths) {
        for number in 0..EFFECTS {
            let ledger = ledger.clone();
            running.spawn(async move {
                let id = MessageId::new(format!("{path:?}-{number}"));
                let sent_at = Some(Timestamp::from_second(1_000).expect("it is in range"));
                let arrival = Arrival { path, fingerprint: number.to_string(), sent_at, beside: Vec::new() };
                let verdict = ledger.arrive(&ChannelName::new("sales"), &id, &arrival).await.expect("it answers");
                (number, verdict)
            });
        }
    }
    let verdicts = running.join_all().await;
    assert_eq!(count(&verdicts, |verdict| *verdict == ArrivalVerdict::New), once());
    assert_eq!(count(&verdicts, |verdict| *verdict != ArrivalVerdict::New), once());
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_states_told_at_once_one_is_emitted() {
    let url = shared_postgres();
    let (one, other) = (open(&url).await, open(&url).await);
    for number in 0..64 {
        let id = number.to_string();
        let (delivered, failed) =
            (receipt(&id, ReceiptStatus::Delivered), receipt(&id, ReceiptStatus::failed(ReasonCode::General, "no")));
        let (first, second) = tokio::join!(one.receipt(&delivered), other.receipt(&failed));
        let mut verdicts = [first.unwrap(), second.unwrap()];
        verdicts.sort_by_key(|verdict| *verdict != ReceiptVerdict::Emit);
        assert_eq!(verdicts, [ReceiptVerdict::Emit, ReceiptVerdict::Outdated]);
    }
}

#[tokio::test]
async fn deadlines_are_by_the_clock_of_the_database() {
    let url = shared_postgres();
    // This machine's clock is wrong by years, and nobody notices.
    let (wrong, _hand) = Clock::manual(Timestamp::UNIX_EPOCH);
    let ledger = Ledger::open(databases::config(&url, TimeSource::Database), wrong).await.unwrap();
    let database = || -> i64 {
        postgres_sql(&url, "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::int8").parse().expect("a number")
    };
    let before = database();
    ledger.begin(effect("1"), CALL).await.unwrap();
    let checked = ledger.check().await.unwrap().as_millisecond();
    let Begin::Interrupted { began, until, .. } = ledger.begin(effect("1"), CALL).await.unwrap() else {
        panic!("it was begun")
    };
    let after = database();
    assert!((before..=after).contains(&began.as_millisecond()) && (before..=after).contains(&checked));
    assert_eq!(until.duration_since(began), SignedDuration::from_secs(20));
}

#[tokio::test]
async fn a_row_that_another_holds_is_the_trouble_of_the_one_who_asks() {
    let url = shared_postgres();
    let ledger = open(&url).await;
    ledger.begin(effect("held"), CALL).await.unwrap();
    let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.unwrap();
    let mut driver = JoinSet::new();
    driver.spawn(connection);
    client.batch_execute("BEGIN; SELECT 1 FROM causeway.effects WHERE id = 'held' FOR UPDATE").await.unwrap();
    let mut running = JoinSet::new();
    for number in 0..64 {
        let ledger = ledger.clone();
        let id = if number == 17 { "held".to_owned() } else { number.to_string() };
        running.spawn(async move { (number, ledger.begin(effect(&id), CALL).await) });
    }
    let begun = running.join_all().await;
    for (number, begun) in begun {
        match begun {
            Err(LedgerError::Unavailable(why)) => assert_eq!((number, why.as_str()), (17, "another process holds it")),
            Ok(Begin::First(_)) => assert_ne!(number, 17),
            other => panic!("{number}: {other:?}"),
        }
    }
    client.batch_execute("ROLLBACK").await.unwrap();
    assert!(matches!(ledger.begin(effect("held"), CALL).await.unwrap(), Begin::Interrupted { begun: 1, .. }));
}

#[tokio::test]
async fn a_row_of_a_newer_build_is_the_trouble_of_the_one_who_asks() {
    let url = shared_postgres();
    let ledger = open(&url).await;
    let Begin::First(attempt) = ledger.begin(effect("1"), CALL).await.unwrap() else { panic!("it is the first") };
    ledger.finish(&effect("1"), &attempt, Outcome::Sent { foreign_id: None }).await.unwrap();
    postgres_sql(&url, "UPDATE causeway.effects SET outcome = '\"Recalled\"'");
    let (known, unknown, other) =
        tokio::join!(ledger.begin(effect("2"), CALL), ledger.begin(effect("1"), CALL), ledger.begin(effect("3"), CALL));
    assert!(matches!(unknown, Err(LedgerError::Unavailable(_))), "{unknown:?}");
    assert!(matches!((known.unwrap(), other.unwrap()), (Begin::First(_), Begin::First(_))));
}

#[tokio::test]
async fn what_the_database_cannot_take_fails_nobody_else() {
    let url = shared_postgres();
    let ledger = open(&url).await;
    postgres_sql(&url, "ALTER TABLE causeway.effects ADD CHECK (foreign_id <> 'genesys-bad')");
    let mut running = JoinSet::new();
    for number in 0..64 {
        let ledger = ledger.clone();
        let id = if number == 17 { "bad".to_owned() } else { number.to_string() };
        running.spawn(async move { (number, ledger.begin(effect(&id), CALL).await.is_ok()) });
    }
    let failed: Vec<_> = running.join_all().await.into_iter().filter(|(_, begun)| !begun).collect();
    assert_eq!(failed, [(17, false)]);
    ledger.check().await.unwrap();
}

#[tokio::test]
async fn what_is_old_is_forgotten_by_and_by_and_by_one() {
    let url = shared_postgres();
    let ledgers = three(&url).await;
    let many = "SELECT 'replies', n::text, 'sales', 'crexendo', '1', n::text, n::text, 0, 0, false, 0, 0, CASE WHEN n % 100 = 0 THEN 'open' END FROM generate_series(1, 1800) AS n";
    let columns = "family, id, channel, target, consumer, foreign_id, trace, received_at, begun, told, made_at, touched_at, attempt";
    postgres_sql(&url, &format!("INSERT INTO causeway.effects ({columns}) {many}"));
    let left =
        async || -> usize { postgres_sql(&url, "SELECT count(*) FROM causeway.effects").parse().expect("a number") };
    let mut rounds = 0;
    while left().await > 18 {
        rounds += 1;
        assert!(rounds < 20, "{} are left", left().await);
        for ledger in &ledgers {
            ledger.check().await.unwrap();
            // Any write waits for the tidying that stands before it.
            ledger
                .remember_session(&ChannelName::new("sales"), &effect("1").consumer, &model::SessionId::new("s"))
                .await
                .unwrap();
        }
    }
    assert!(rounds > 1, "it is done a little at a time");
    assert_eq!(left().await, 18, "what is open is no finished business");
}

/// A standby took over that had not heard of the record before a call: what becomes of the call is known all the same.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_standby_never_heard_of_is_written_anew() {
    let url = shared_postgres();
    let ledger = open(&url).await;
    for (id, sent) in [("1", true), ("2", false)] {
        let Begin::First(attempt) = ledger.begin(effect(id), CALL).await.unwrap() else { panic!("it is the first") };
        postgres_sql(&url, "DELETE FROM causeway.effects");
        if sent {
            ledger.sent(&effect(id), &attempt, Some("p1".to_owned())).await.unwrap();
            let Begin::Done(outcome) = ledger.begin(effect(id), CALL).await.unwrap() else { panic!("it was made") };
            assert_eq!(outcome, Outcome::Sent { foreign_id: Some("p1".to_owned()) });
        } else {
            ledger.lapse(&effect(id), &attempt, "no answer").await.unwrap();
            let again = ledger.begin(effect(id), CALL).await.unwrap();
            assert!(
                matches!(again, Begin::Interrupted { attempt: one, .. } if one == attempt),
                "it may have been made"
            );
        }
    }
}
