//! What a replay of a dead letter finds.

use jiff::SignedDuration;
use model::{MessageId, ReasonCode, ReceiptStatus};

use super::{CALL, Fresh, effect, first, receipt, sent};
use crate::{Begin, Effect, Ledger, Outcome, ReceiptVerdict, Reopened, What};

/// Whom the receipts of the contract name.
const RECIPIENT: &str = "13125550142";

async fn reopen(ledger: &Ledger, effect: &Effect) -> Reopened {
    ledger.reopen(effect, Some(RECIPIENT)).await.unwrap()
}

async fn fails(ledger: &Ledger, effect: &Effect) {
    let attempt = first(ledger.begin(effect.clone(), CALL).await.unwrap());
    let outcome = Outcome::Failed { code: ReasonCode::Expired, reason: "late".to_owned(), dead: None };
    ledger.finish(effect, &attempt, outcome).await.unwrap();
}

/// A replay of what failed is no duplicate, and its success is told after the failure.
pub async fn what_failed_is_opened_again(fresh: Fresh) {
    let (ledger, one) = (fresh.ledger, effect("1"));
    fails(&ledger, &one).await;
    let failed = receipt("1", ReceiptStatus::failed(ReasonCode::Expired, "late"));
    let delivered = receipt("1", ReceiptStatus::Delivered);
    assert_eq!(ledger.receipt(&failed).await.unwrap(), ReceiptVerdict::Emit);
    ledger.receipt_emitted(&failed).await.unwrap();
    assert_eq!(ledger.receipt(&delivered).await.unwrap(), ReceiptVerdict::Outdated, "as long as nobody replays it");

    assert_eq!(reopen(&ledger, &one).await, Reopened::Fresh);
    assert_eq!(reopen(&ledger, &one).await, Reopened::Fresh, "a replay that was cut short is begun again");
    let attempt = first(ledger.begin(one.clone(), CALL).await.unwrap());
    ledger.finish(&one, &attempt, sent()).await.unwrap();
    assert_eq!(ledger.begin(one.clone(), CALL).await.unwrap(), Begin::Done(sent()));
    assert_eq!(ledger.receipt(&delivered).await.unwrap(), ReceiptVerdict::Emit);
    ledger.receipt_emitted(&delivered).await.unwrap();
    assert_eq!(ledger.receipt(&delivered).await.unwrap(), ReceiptVerdict::Repeat);
    assert_eq!(ledger.receipt(&failed).await.unwrap(), ReceiptVerdict::Outdated);
    let told: Vec<What> = ledger.timeline("1").await.unwrap().iter().map(|line| line.what).collect();
    let expected = [What::Failed, What::Receipt, What::ReceiptDropped, What::Replayed, What::Replayed, What::Began];
    assert_eq!(told[2..8], expected);
}

/// What was made stays made, and what nobody began may be begun.
pub async fn what_was_sent_stays_so(fresh: Fresh) {
    let ledger = fresh.ledger;
    for (id, outcome) in [("1", sent()), ("2", Outcome::SameAs(MessageId::new("other")))] {
        let one = effect(id);
        let attempt = first(ledger.begin(one.clone(), CALL).await.unwrap());
        ledger.finish(&one, &attempt, outcome.clone()).await.unwrap();
        assert_eq!(reopen(&ledger, &one).await, Reopened::AlreadySent);
        assert_eq!(ledger.begin(one, CALL).await.unwrap(), Begin::Done(outcome));
    }
    assert_eq!(ledger.reopen(&effect("3"), None).await.unwrap(), Reopened::Fresh);
    let told: Vec<What> = ledger.timeline("genesys-3").await.unwrap().iter().map(|line| line.what).collect();
    assert_eq!(told, [What::Received, What::Replayed]);
    first(ledger.begin(effect("3"), CALL).await.unwrap());
}

/// An attempt is left alone up to its deadline; the crashes before a replay are forgotten.
pub async fn what_is_in_hand_is_left_alone(fresh: Fresh) {
    let (ledger, one) = (fresh.ledger, effect("1"));
    let attempt = first(ledger.begin(one.clone(), CALL).await.unwrap());
    let Reopened::InHand { until } = reopen(&ledger, &one).await else { panic!("its owner may still be calling") };
    fresh.clock.advance(SignedDuration::from_secs(21));
    let next = ledger.retake(&one, &attempt, CALL).await.unwrap().expect("its deadline is over");
    assert!(matches!(reopen(&ledger, &one).await, Reopened::InHand { until: later } if later > until));
    assert!(matches!(ledger.begin(one.clone(), CALL).await.unwrap(), Begin::Interrupted { begun: 2, .. }));
    fresh.clock.advance(SignedDuration::from_secs(21));
    assert_eq!(reopen(&ledger, &one).await, Reopened::Fresh);
    assert_eq!(ledger.retake(&one, &next, CALL).await.unwrap(), None);
    first(ledger.begin(one.clone(), CALL).await.unwrap());
    assert!(matches!(ledger.begin(one, CALL).await.unwrap(), Begin::Interrupted { begun: 1, .. }));
}

/// The agent hears of a failure once, whenever its receipt was on its way, and of a success after it.
pub async fn a_failure_that_is_tried_anew_is_told_once(fresh: Fresh) {
    let (ledger, one) = (fresh.ledger, effect("1"));
    let failed = receipt("1", ReceiptStatus::failed(ReasonCode::General, "no"));
    let delivered = receipt("1", ReceiptStatus::Delivered);
    fails(&ledger, &one).await;
    assert_eq!(ledger.receipt(&failed).await.unwrap(), ReceiptVerdict::Emit);
    assert_eq!(reopen(&ledger, &one).await, Reopened::Fresh);
    assert_eq!(ledger.receipt(&failed).await.unwrap(), ReceiptVerdict::Emit, "it was not told yet");
    ledger.receipt_emitted(&failed).await.unwrap();
    assert_eq!(ledger.receipt(&failed).await.unwrap(), ReceiptVerdict::Repeat);
    fails(&ledger, &one).await;
    assert_eq!(ledger.receipt(&failed).await.unwrap(), ReceiptVerdict::Repeat, "a second failure is no news");
    let removed = receipt("1", ReceiptStatus::Removed);
    assert_eq!(ledger.receipt(&removed).await.unwrap(), ReceiptVerdict::Outdated);
    assert_eq!(reopen(&ledger, &one).await, Reopened::Fresh);
    assert_eq!(ledger.receipt(&delivered).await.unwrap(), ReceiptVerdict::Emit);
    ledger.receipt_emitted(&delivered).await.unwrap();
    assert_eq!(ledger.receipt(&failed).await.unwrap(), ReceiptVerdict::Outdated);
    assert_eq!(ledger.receipt(&removed).await.unwrap(), ReceiptVerdict::Emit);
}
