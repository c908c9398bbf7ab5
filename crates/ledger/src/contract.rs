//! What every ledger must do; each store's tests make a test of every function with [`crate::contract_suite`].

#![expect(clippy::unwrap_used, reason = "this is a test suite, and a failure is a panic")]

use std::pin::Pin;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use model::{
    Address, AgentReply, Arrival, ArrivalPath, ChannelName, Family, MessageId, NeighbourName, PhoneNumber, ReasonCode,
    Receipt, ReceiptStatus, ReplyBody, SessionId, TraceId,
};
use runtime::{Clock, ManualClock};

use crate::{ArrivalVerdict, Begin, Config, Effect, Entry, Ledger, Outcome, Parties, ReceiptVerdict, Standing, What};

mod attempts;
mod consents;
mod incoming;
mod interactions;
mod marks;
mod person;
mod pull;
mod reopened;
mod reports;
mod strangers;
mod walks;

pub use attempts::*;
pub use consents::*;
pub use incoming::*;
pub use interactions::*;
pub use marks::*;
pub use person::*;
pub use pull::*;
pub use reopened::*;
pub use reports::*;
pub use strangers::{what_was_claimed_is_told, words_of_strangers_are_taken_as_they_come};
pub use walks::*;

/// A fresh ledger, and the hand of its clock.
pub struct Fresh {
    /// The ledger.
    pub ledger: Ledger,
    /// The hand.
    pub clock: ManualClock,
    /// Opens it once more, as another process would.
    pub another: Another,
}

/// Opens a ledger once more.
pub type Another = Box<dyn Fn() -> Pin<Box<dyn Future<Output = Ledger> + Send>> + Send>;

/// Opens the ledger of `config` again and again, with `clock`.
pub fn another(config: Config, clock: Clock) -> Another {
    Box::new(move || {
        let (config, clock) = (config.clone(), clock.clone());
        Box::pin(async move { Ledger::open(config, clock).await.expect("it is there") })
    })
}

/// One test for each function of the contract. `$fresh` makes a [`Fresh`] and what must outlive it.
#[macro_export]
macro_rules! contract_suite {
    ($fresh:path) => {
        $crate::contract_suite!($fresh:
            an_effect_is_made_once, where_an_effect_stands_is_told, an_open_attempt_is_interrupted,
            consent_is_recorded_once, what_was_said_last_holds, consent_is_kept_for_each_and_does_not_expire, consents_are_listed_in_pages,
            attempts_are_released_or_lapse, an_attempt_that_takes_long_is_extended, attempts_in_doubt_are_counted,
            only_attempts_without_a_verdict_count, an_interruption_is_told_once, one_of_many_is_first,
            arrivals_match_one_to_one, a_row_is_the_message_of_one_event, what_comes_in_is_begun_in_one_go,
            what_is_like_a_row_is_looked_at_first, receipts_move_forward, receipts_by_table, a_late_word_moves_nothing_back,
            sessions_are_remembered, sessions_in_use_are_kept, timelines_are_found,
            what_was_never_begun_is_found_as_well, finished_business_is_forgotten, what_was_claimed_is_told,
            words_of_strangers_are_taken_as_they_come, what_failed_is_opened_again, what_was_sent_stays_so,
            what_is_in_hand_is_left_alone, a_failure_that_is_tried_anew_is_told_once,
            a_report_finds_its_reply, a_report_that_comes_first_is_held, reports_without_a_reply_are_forgotten,
            receipts_of_a_reply_are_made_of_its_ids, only_what_was_merely_accepted_may_still_fail, a_receipt_that_crashes_processes_is_poison,
            a_person_is_told_whole, a_stop_survives_an_erasure, a_person_is_erased_and_nothing_is_done_twice, nobody_is_erased_while_in_hand,
            a_mark_is_put_by_whoever_read_it_last, of_many_that_put_a_mark_one_does, a_lease_is_held_by_one,
            a_lease_is_given_back_by_its_holder, marks_are_never_forgotten, the_installation_is_noted_once,
            what_arrived_is_known, a_crowd_is_counted, an_interaction_is_put_by_whoever_read_it_last, idle_interactions_are_listed,
            interactions_go_with_their_time_and_their_person, a_walk_is_told_in_order, the_newest_lines_are_of_all,
                all_lines_of_a_person_are_told);
    };
    ($fresh:path: $($name:ident),* $(,)?) => {$(
        #[tokio::test]
        async fn $name() {
            let (fresh, _keep) = $fresh().await;
            $crate::contract::$name(fresh).await;
        }
    )*};
}

const CALL: Duration = Duration::from_secs(15);

fn consumer() -> Address {
    Address::Phone(PhoneNumber::normalise("13125550142", None).expect("it is a number"))
}

/// An effect of the family of replies.
pub fn effect(id: &str) -> Effect {
    Effect {
        family: Family::Replies,
        id: MessageId::new(id),
        channel: ChannelName::new("sales"),
        target: NeighbourName::new("crexendo"),
        consumer: consumer(),
        foreign_id: format!("genesys-{id}"),
        trace: TraceId::new(format!("trace-{id}")),
        received_at: Timestamp::UNIX_EPOCH,
        parties: Some(Parties {
            genesys: NeighbourName::new("main"),
            from_id: "0123456789".to_owned().into(),
            to_id: "13125550142".to_owned().into(),
            to: consumer(),
        }),
    }
}

fn sent() -> Outcome {
    Outcome::Sent { foreign_id: Some("p1".to_owned()) }
}

fn first(begun: Begin) -> crate::AttemptId {
    match begun {
        Begin::First(attempt) => attempt,
        other => panic!("expected a first attempt, found {other:?}"),
    }
}

/// An effect is begun once, and once done it stays done.
pub async fn an_effect_is_made_once(fresh: Fresh) {
    let (ledger, one) = (fresh.ledger, effect("1"));
    let attempt = first(ledger.begin(one.clone(), CALL).await.unwrap());
    ledger.finish(&one, &attempt, sent()).await.unwrap();
    ledger.finish(&one, &attempt, Outcome::Sent { foreign_id: None }).await.unwrap();
    assert_eq!(ledger.begin(one, CALL).await.unwrap(), Begin::Done(sent()));
    first(ledger.begin(effect("2"), CALL).await.unwrap());
}

/// Asking where an effect stands begins nothing.
pub async fn where_an_effect_stands_is_told(fresh: Fresh) {
    let (ledger, one) = (fresh.ledger, effect("1"));
    assert_eq!(ledger.standing(&one).await.unwrap(), Standing::Untouched);
    let attempt = first(ledger.begin(one.clone(), CALL).await.unwrap());
    assert_eq!(ledger.standing(&one).await.unwrap(), Standing::Open);
    ledger.release(&one, &attempt, "not reached").await.unwrap();
    assert_eq!(ledger.standing(&one).await.unwrap(), Standing::Untouched);
    let attempt = first(ledger.begin(one.clone(), CALL).await.unwrap());
    ledger.finish(&one, &attempt, sent()).await.unwrap();
    assert_eq!(ledger.standing(&one).await.unwrap(), Standing::Done(sent()));
}

/// What was begun and not ended is interrupted, and nobody may touch it before its deadline.
pub async fn an_open_attempt_is_interrupted(fresh: Fresh) {
    let (ledger, one) = (fresh.ledger, effect("1"));
    let attempt = first(ledger.begin(one.clone(), CALL).await.unwrap());
    fresh.clock.advance(SignedDuration::from_secs(3));
    let Begin::Interrupted { attempt: found, began, until, now, begun } =
        ledger.begin(one.clone(), CALL).await.unwrap()
    else {
        panic!("it is interrupted")
    };
    assert_eq!((found.clone(), begun), (attempt.clone(), 1));
    assert_eq!(now.duration_since(began), SignedDuration::from_secs(3));
    assert_eq!(until.duration_since(began), SignedDuration::from_secs(20));
    fresh.clock.advance(SignedDuration::from_secs(21));
    let next = ledger.retake(&one, &attempt, CALL).await.unwrap().expect("nobody else took it");
    assert_ne!(next, attempt);
    assert_eq!(ledger.retake(&one, &attempt, CALL).await.unwrap(), None, "the second replica comes too late");
    assert!(matches!(ledger.begin(one.clone(), CALL).await.unwrap(), Begin::Interrupted { begun: 2, .. }));
    ledger.finish(&one, &next, sent()).await.unwrap();
    assert_eq!(ledger.begin(one, CALL).await.unwrap(), Begin::Done(sent()));
}

/// A released attempt is over; one that lapsed may be looked into at once.
pub async fn attempts_are_released_or_lapse(fresh: Fresh) {
    let (ledger, one) = (fresh.ledger, effect("1"));
    let attempt = first(ledger.begin(one.clone(), CALL).await.unwrap());
    ledger.release(&one, &attempt, "not reached").await.unwrap();
    let attempt = first(ledger.begin(one.clone(), CALL).await.unwrap());
    ledger.lapse(&one, &attempt, "timed out").await.unwrap();
    let Begin::Interrupted { until, began, .. } = ledger.begin(one.clone(), CALL).await.unwrap() else {
        panic!("it is interrupted")
    };
    assert_eq!(until, began, "the clock stands still, and the deadline is now");
    ledger.release(&one, &crate::AttemptId("another".to_owned()), "not ours").await.unwrap();
    assert!(matches!(ledger.begin(one, CALL).await.unwrap(), Begin::Interrupted { .. }));
}

async fn begun(ledger: &Ledger, effect: &Effect) -> (crate::AttemptId, u32) {
    match ledger.begin(effect.clone(), CALL).await.unwrap() {
        Begin::Interrupted { attempt, begun, .. } => (attempt, begun),
        other => panic!("expected an interrupted attempt, found {other:?}"),
    }
}

/// What tells a poisonous message: attempts that ended in no verdict and no release, and no others.
pub async fn only_attempts_without_a_verdict_count(fresh: Fresh) {
    let (ledger, clock, one) = (fresh.ledger, fresh.clock, effect("1"));
    first(ledger.begin(one.clone(), CALL).await.unwrap());
    for crashes in 1..=3 {
        let (attempt, counted) = begun(&ledger, &one).await;
        assert_eq!(counted, crashes);
        assert_eq!(ledger.retake(&one, &attempt, CALL).await.unwrap(), None, "its owner may still be calling");
        clock.advance(SignedDuration::from_secs(20));
        ledger.retake(&one, &attempt, CALL).await.unwrap().expect("nobody else took it");
    }
    let (attempt, counted) = begun(&ledger, &one).await;
    assert_eq!(counted, 4);
    for _ in 0..2 {
        ledger.lapse(&one, &attempt, "timed out").await.unwrap();
        assert_eq!(begun(&ledger, &one).await.1, 3, "one that lapsed came to a verdict, and counts out once");
    }
    let next = ledger.retake(&one, &attempt, CALL).await.unwrap().expect("its deadline is over");
    assert_eq!(begun(&ledger, &one).await, (next.clone(), 4));
    ledger.release(&one, &next, "handed back").await.unwrap();
    first(ledger.begin(one.clone(), CALL).await.unwrap());
    assert_eq!(begun(&ledger, &one).await.1, 4, "a release does not wash the crashes away, and is none");
}

/// However often an interrupted attempt is looked at, its timeline says so once.
pub async fn an_interruption_is_told_once(fresh: Fresh) {
    let (ledger, one) = (fresh.ledger, effect("1"));
    first(ledger.begin(one.clone(), CALL).await.unwrap());
    begun(&ledger, &one).await;
    fresh.clock.advance(SignedDuration::from_secs(20));
    for _ in 0..3 {
        begun(&ledger, &one).await;
    }
    let told: Vec<What> = ledger.timeline("1").await.unwrap().iter().map(|line| line.what).collect();
    assert_eq!(told, [What::Received, What::Began, What::Interrupted]);
}

/// Of many that begin one effect at once, one is first.
pub async fn one_of_many_is_first(fresh: Fresh) {
    let ledger = &fresh.ledger;
    let begun = futures(32, |_| ledger.begin(effect("1"), CALL)).await;
    let firsts = begun.iter().filter(|begun| matches!(begun, Ok(Begin::First(_)))).count();
    assert_eq!(firsts, 1);
    assert!(begun.iter().all(|begun| matches!(begun, Ok(Begin::First(_) | Begin::Interrupted { .. }))));
}

async fn futures<F: Future>(count: usize, one: impl Fn(usize) -> F) -> Vec<F::Output> {
    let mut running: Vec<_> = (0..count).map(|number| Box::pin(one(number))).collect();
    let mut done: Vec<Option<F::Output>> = (0..count).map(|_| None).collect();
    std::future::poll_fn(|context| {
        for (slot, future) in done.iter_mut().zip(&mut running) {
            if slot.is_none()
                && let std::task::Poll::Ready(output) = future.as_mut().poll(context)
            {
                *slot = Some(output);
            }
        }
        if done.iter().all(Option::is_some) { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    done.into_iter().flatten().collect()
}

fn arrival(path: ArrivalPath, fingerprint: &str, second: i64) -> Arrival {
    let sent_at = Some(Timestamp::from_second(1_000 + second).expect("it is in range"));
    Arrival { path, fingerprint: fingerprint.to_owned(), sent_at, beside: Vec::new() }
}

/// Two arrivals of one message by different paths are one; two equal messages by one path are two.
pub async fn arrivals_match_one_to_one(fresh: Fresh) {
    let channel = ChannelName::new("sales");
    let arrive =
        async |id: &str, arrival: Arrival| fresh.ledger.arrive(&channel, &MessageId::new(id), &arrival).await.unwrap();
    let same = |id: &str| ArrivalVerdict::SameAs(MessageId::new(id));
    let (event, session) = (ArrivalPath::MessageEvent, ArrivalPath::SessionEvent);
    assert_eq!(arrive("e1", arrival(event, "yes", 0)).await, ArrivalVerdict::New);
    assert_eq!(arrive("e1", arrival(event, "yes", 0)).await, ArrivalVerdict::New, "redelivered");
    assert_eq!(arrive("s1", arrival(session, "yes", 2)).await, same("e1"));
    assert_eq!(arrive("s1", arrival(session, "yes", 2)).await, same("e1"), "redelivered");
    assert_eq!(arrive("e2", arrival(event, "yes", 1)).await, ArrivalVerdict::New, "people say yes twice");
    assert_eq!(arrive("s2", arrival(session, "yes", 1)).await, same("e2"));
    assert_eq!(arrive("s3", arrival(session, "yes", 1)).await, ArrivalVerdict::New, "both events are taken");
    assert_eq!(arrive("s4", arrival(session, "no", 9)).await, ArrivalVerdict::New);
    assert_eq!(arrive("e4", arrival(event, "no", 12)).await, ArrivalVerdict::New, "three seconds apart");
    let timeless = Arrival { path: session, fingerprint: "yes".to_owned(), sent_at: None, beside: Vec::new() };
    assert_eq!(arrive("s5", timeless).await, ArrivalVerdict::New);
}

/// A receipt about the reply of an id.
pub fn receipt(id: &str, status: ReceiptStatus) -> Receipt {
    let reply = AgentReply {
        id: MessageId::new(id),
        channel: ChannelName::new("sales"),
        provider: NeighbourName::new("crexendo"),
        genesys: NeighbourName::new("main"),
        genesys_message_id: format!("genesys-{id}"),
        from_id: "0123456789".to_owned().into(),
        to_id: "13125550142".to_owned().into(),
        to: consumer(),
        body: ReplyBody::Text("hello".to_owned().into()),
        trace: TraceId::new(format!("trace-{id}")),
        received_at: Timestamp::UNIX_EPOCH,
    };
    reply.receipt(status)
}

/// Each receipt is emitted once, and states only move forward.
pub async fn receipts_move_forward(fresh: Fresh) {
    let ledger = fresh.ledger;
    let failed = || ReceiptStatus::failed(ReasonCode::General, "no");
    let ask = async |status| ledger.receipt(&receipt("1", status)).await.unwrap();
    assert_eq!(ask(ReceiptStatus::Delivered).await, ReceiptVerdict::Emit);
    assert_eq!(ask(ReceiptStatus::Delivered).await, ReceiptVerdict::Emit, "it was not emitted yet");
    ledger.receipt_emitted(&receipt("1", ReceiptStatus::Delivered)).await.unwrap();
    assert_eq!(ask(ReceiptStatus::Delivered).await, ReceiptVerdict::Repeat);
    assert_eq!(ask(failed()).await, ReceiptVerdict::Outdated);
    assert_eq!(ask(ReceiptStatus::Removed).await, ReceiptVerdict::Emit);
    ledger.receipt_emitted(&receipt("1", ReceiptStatus::Removed)).await.unwrap();
    assert_eq!(ask(ReceiptStatus::Delivered).await, ReceiptVerdict::Outdated);
}

/// Every state against every other: what Genesys is told, once the state before it was told.
pub async fn receipts_by_table(fresh: Fresh) {
    use ReceiptVerdict::{Emit, Outdated, Repeat};
    let states =
        || [ReceiptStatus::Delivered, ReceiptStatus::failed(ReasonCode::General, "no"), ReceiptStatus::Removed];
    let table: [(&[usize], [ReceiptVerdict; 3]); 4] = [
        (&[], [Emit, Emit, Outdated]),
        (&[0], [Repeat, Outdated, Emit]),
        (&[1], [Outdated, Repeat, Outdated]),
        (&[0, 2], [Outdated, Outdated, Repeat]),
    ];
    for (row, (before, verdicts)) in table.into_iter().enumerate() {
        for (column, (next, expected)) in states().into_iter().zip(verdicts).enumerate() {
            let id = format!("{row}-{column}");
            for told in before {
                let told = receipt(&id, states()[*told].clone());
                assert_eq!(fresh.ledger.receipt(&told).await.unwrap(), Emit);
                fresh.ledger.receipt_emitted(&told).await.unwrap();
            }
            assert_eq!(
                fresh.ledger.receipt(&receipt(&id, next.clone())).await.unwrap(),
                expected,
                "{before:?} {next:?}"
            );
        }
    }
}

/// The success of an emission that comes late, or twice, moves no state back and is told once.
pub async fn a_late_word_moves_nothing_back(fresh: Fresh) {
    let ledger = fresh.ledger;
    let (delivered, removed) = (receipt("1", ReceiptStatus::Delivered), receipt("1", ReceiptStatus::Removed));
    for one in [&delivered, &removed] {
        assert_eq!(ledger.receipt(one).await.unwrap(), ReceiptVerdict::Emit);
    }
    ledger.receipt_emitted(&removed).await.unwrap();
    ledger.receipt_emitted(&delivered).await.unwrap();
    assert_eq!(ledger.receipt(&removed).await.unwrap(), ReceiptVerdict::Repeat);
    let lines = ledger.timeline("1").await.unwrap().len();
    ledger.receipt_emitted(&removed).await.unwrap();
    assert_eq!(ledger.timeline("1").await.unwrap().len(), lines);
}

/// The last session of a conversation is the one a reply belongs in.
pub async fn sessions_are_remembered(fresh: Fresh) {
    let (ledger, channel) = (fresh.ledger, ChannelName::new("sales"));
    let find = async || ledger.session(&channel, &consumer()).await.unwrap();
    assert_eq!(find().await, None);
    for session in ["one", "two"] {
        ledger.remember_session(&channel, &consumer(), &SessionId::new(session)).await.unwrap();
        assert_eq!(find().await, Some(SessionId::new(session)));
    }
    assert_eq!(ledger.session(&ChannelName::new("other"), &consumer()).await.unwrap(), None);
}

/// A conversation that goes on keeps its session, however old that is; one that rests for long does not.
pub async fn sessions_in_use_are_kept(fresh: Fresh) {
    let (ledger, channel) = (fresh.ledger, ChannelName::new("sales"));
    let find = async || ledger.session(&channel, &consumer()).await.unwrap();
    ledger.remember_session(&channel, &consumer(), &SessionId::new("one")).await.unwrap();
    for month in 0..20 {
        fresh.clock.advance(SignedDuration::from_hours(24 * 29));
        first(ledger.begin(effect(&format!("{month}")), CALL).await.unwrap());
        assert_eq!(find().await, Some(SessionId::new("one")));
    }
    fresh.clock.advance(SignedDuration::from_hours(24 * 32));
    first(ledger.begin(effect("tidies"), CALL).await.unwrap());
    first(ledger.begin(effect("waits for the tidying"), CALL).await.unwrap());
    assert_eq!(find().await, None);
}

/// A dead letter and a receipt of what was never begun stand in a timeline that every id finds.
pub async fn what_was_never_begun_is_found_as_well(fresh: Fresh) {
    let (ledger, one) = (fresh.ledger, effect("1"));
    let entry = Entry { effect: one.clone(), what: What::Dead, detail: "expired".to_owned() };
    ledger.note(entry).await.unwrap();
    let early = receipt("2", ReceiptStatus::Delivered);
    ledger.receipt(&early).await.unwrap();
    ledger.receipt_emitted(&early).await.unwrap();
    let told = async |query: &str| -> Vec<What> {
        ledger.timeline(query).await.unwrap().iter().map(|line| line.what).collect()
    };
    for query in ["1", "genesys-1", "trace-1"] {
        assert_eq!(told(query).await, [What::Received, What::Dead], "{query}");
    }
    for query in ["2", "genesys-2", "trace-2"] {
        assert_eq!(told(query).await, [What::Receipt], "{query}");
    }
    assert_eq!(told("+1 312 555 0142").await, [What::Received, What::Dead, What::Receipt]);
    first(ledger.begin(one, CALL).await.unwrap());
    assert_eq!(told("1").await, [What::Received, What::Dead, What::Began], "a replay is received once");
}

/// A timeline is found by every id of its message, and by the consumer's number as people write it.
pub async fn timelines_are_found(fresh: Fresh) {
    let (ledger, one) = (fresh.ledger, effect("1"));
    let attempt = first(ledger.begin(one.clone(), CALL).await.unwrap());
    fresh.clock.advance(SignedDuration::from_secs(1));
    ledger.finish(&one, &attempt, sent()).await.unwrap();
    assert_eq!(ledger.receipt(&receipt("1", ReceiptStatus::Delivered)).await.unwrap(), ReceiptVerdict::Emit);
    ledger.receipt_emitted(&receipt("1", ReceiptStatus::Delivered)).await.unwrap();
    let expected = vec![What::Received, What::Began, What::Sent, What::Receipt];
    for query in ["1", "genesys-1", "trace-1", "13125550142", "+1 (312) 555-0142", "312-555-0142", " 1 "] {
        let lines = ledger.timeline(query).await.unwrap();
        let found: Vec<What> = lines.iter().map(|line| line.what).collect();
        assert_eq!(found, expected, "{query}");
    }
    assert!(ledger.timeline("nobody").await.unwrap().is_empty());
    assert_eq!(ledger.recent(2).await.unwrap().len(), 2);
}

/// Finished business is forgotten after its time; what is open is not.
pub async fn finished_business_is_forgotten(fresh: Fresh) {
    let (ledger, one, two) = (fresh.ledger, effect("1"), effect("2"));
    let attempt = first(ledger.begin(one.clone(), CALL).await.unwrap());
    ledger.finish(&one, &attempt, sent()).await.unwrap();
    first(ledger.begin(two.clone(), CALL).await.unwrap());
    fresh.clock.advance(SignedDuration::from_hours(24 * 31));
    ledger.check().await.unwrap();
    // Any write waits for the tidying that stands before it.
    ledger.remember_session(&one.channel, &one.consumer, &SessionId::new("one")).await.unwrap();
    assert!(ledger.timeline("genesys-1").await.unwrap().is_empty());
    first(ledger.begin(one, CALL).await.unwrap());
    assert!(matches!(ledger.begin(two, CALL).await.unwrap(), Begin::Interrupted { .. }));
}
