//! What every ledger must do; each store's tests call every function with a fresh ledger.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use model::{
    Address, AgentReply, Arrival, ArrivalPath, ChannelName, Family, MessageId, NeighbourName, PhoneNumber, ReasonCode,
    Receipt, ReceiptStatus, ReplyBody, SessionId, TraceId,
};
use runtime::ManualClock;

use crate::{ArrivalVerdict, Begin, Effect, Ledger, Outcome, ReceiptVerdict, What};

/// A fresh ledger, and the hand of its clock.
pub struct Fresh {
    /// The ledger.
    pub ledger: Ledger,
    /// The hand.
    pub clock: ManualClock,
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

/// What was begun and not ended is interrupted, and nobody may touch it before its deadline.
pub async fn an_open_attempt_is_interrupted(fresh: Fresh) {
    let (ledger, one) = (fresh.ledger, effect("1"));
    let attempt = first(ledger.begin(one.clone(), CALL).await.unwrap());
    let Begin::Interrupted { attempt: found, began, until, begun } = ledger.begin(one.clone(), CALL).await.unwrap()
    else {
        panic!("it is interrupted")
    };
    assert_eq!((found.clone(), begun), (attempt.clone(), 1));
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
    Arrival { path, fingerprint: fingerprint.to_owned(), sent_at }
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
    let timeless = Arrival { path: session, fingerprint: "yes".to_owned(), sent_at: None };
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
    assert!(ledger.timeline("genesys-1").await.unwrap().is_empty());
    first(ledger.begin(one, CALL).await.unwrap());
    assert!(matches!(ledger.begin(two, CALL).await.unwrap(), Begin::Interrupted { .. }));
}
