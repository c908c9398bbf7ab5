//! Receipts of what is not in hand: reports of providers, and what an operator says.

use jiff::SignedDuration;
use model::{NeighbourName, ReasonCode, Receipt, ReceiptStatus, SessionId};

use super::{CALL, Fresh, effect, first, futures, receipt, sent};
use crate::{Begin, Effect, Ledger, Outcome, ReceiptVerdict, Reported};

fn provider() -> NeighbourName {
    NeighbourName::new("crexendo")
}

fn bounced() -> ReceiptStatus {
    ReceiptStatus::failed(ReasonCode::InvalidDestination, "Nobody is there.")
}

async fn send(ledger: &Ledger, effect: &Effect, id: &str) -> Vec<Receipt> {
    let attempt = first(ledger.begin(effect.clone(), CALL).await.unwrap());
    ledger.sent(effect, &attempt, Some(id.to_owned())).await.unwrap()
}

fn matched(receipt: Receipt) -> Reported {
    Reported::Matched(Box::new(receipt))
}

/// A report of what was sent is a receipt, as often as it comes.
pub async fn a_report_finds_its_reply(fresh: Fresh) {
    let ledger = fresh.ledger;
    assert!(send(&ledger, &effect("1"), "p1").await.is_empty());
    assert_eq!(ledger.begin(effect("1"), CALL).await.unwrap(), Begin::Done(sent()));
    for status in [bounced(), bounced(), ReceiptStatus::Removed] {
        let found = ledger.report(&provider(), "p1", status.clone()).await.unwrap();
        assert_eq!(found, matched(receipt("1", status)));
    }
    assert!(ledger.reported(&provider(), "p1").await.unwrap().is_empty(), "nothing of it was held");
    let other = ledger.report(&NeighbourName::new("other"), "p1", bounced()).await.unwrap();
    assert_eq!(other, Reported::Held, "ids are a provider's own");
}

/// A report that overtakes the record of its message waits for it, and is told again after a crash.
pub async fn a_report_that_comes_first_is_held(fresh: Fresh) {
    let (ledger, clock) = (fresh.ledger, fresh.clock);
    for (status, again) in [(bounced(), false), (bounced(), true), (ReceiptStatus::Removed, false)] {
        assert_eq!(ledger.report(&provider(), "p1", status).await.unwrap(), Reported::Held, "again: {again}");
        clock.advance(SignedDuration::from_secs(1));
    }
    assert!(ledger.reported(&provider(), "p1").await.unwrap().is_empty(), "nobody sent it yet");
    assert!(send(&ledger, &effect("2"), "p2").await.is_empty());
    let told = [receipt("1", bounced()), receipt("1", ReceiptStatus::Removed)];
    assert_eq!(send(&ledger, &effect("1"), "p1").await, told);
    assert_eq!(ledger.reported(&provider(), "p1").await.unwrap(), told);
    // Whoever of the two comes first: one of them gives the receipt.
    for number in 0..20 {
        let (id, called) = (format!("race-{number}"), format!("race-p{number}"));
        let attempt = first(ledger.begin(effect(&id), CALL).await.unwrap());
        let both = futures(2, async |side| match side {
            0 => ledger.sent(&effect(&id), &attempt, Some(called.clone())).await.unwrap().len(),
            _ => match ledger.report(&provider(), &called, bounced()).await.unwrap() {
                Reported::Matched(_) => 1,
                Reported::Held => 0,
            },
        });
        assert_eq!(both.await.into_iter().sum::<usize>(), 1);
    }
}

/// A report that nobody sent a message for is not kept for ever.
pub async fn reports_without_a_reply_are_forgotten(fresh: Fresh) {
    let (ledger, clock) = (fresh.ledger, fresh.clock);
    assert_eq!(ledger.report(&provider(), "p1", bounced()).await.unwrap(), Reported::Held);
    clock.advance(SignedDuration::from_hours(23));
    assert_eq!(ledger.report(&provider(), "p2", bounced()).await.unwrap(), Reported::Held);
    clock.advance(SignedDuration::from_hours(2));
    ledger.check().await.unwrap();
    // Any write waits for the tidying that stands before it.
    ledger.remember_session(&effect("1").channel, &effect("1").consumer, &SessionId::new("one")).await.unwrap();
    assert!(send(&ledger, &effect("1"), "p1").await.is_empty());
    assert_eq!(send(&ledger, &effect("2"), "p2").await, [receipt("2", bounced())]);
}

/// An operator who knows no more than Genesys' id of a reply can have its receipt made, to whom the webhook named.
pub async fn receipts_of_a_reply_are_made_of_its_ids(fresh: Fresh) {
    let ledger = fresh.ledger;
    let about =
        async |message: &str, status| ledger.receipts_about(&effect("1").channel, message, status).await.unwrap();
    assert!(about("genesys-1", ReceiptStatus::Delivered).await.is_empty());
    send(&ledger, &effect("1"), "p1").await;
    let delivered = receipt("1", ReceiptStatus::Delivered);
    assert_eq!(about("genesys-1", ReceiptStatus::Removed).await[0].1, ReceiptVerdict::Outdated);
    let expected = [(delivered.clone(), ReceiptVerdict::Emit)];
    for _ in 0..2 {
        assert_eq!(about("genesys-1", ReceiptStatus::Delivered).await, expected, "a look changes nothing");
    }
    assert_eq!(ledger.receipt(&delivered).await.unwrap(), ReceiptVerdict::Emit);
    ledger.receipt_emitted(&delivered).await.unwrap();
    assert_eq!(about("genesys-1", ReceiptStatus::Delivered).await[0].1, ReceiptVerdict::Repeat);
    let removed = receipt("1", ReceiptStatus::Removed);
    assert_eq!(about("genesys-1", ReceiptStatus::Removed).await, [(removed, ReceiptVerdict::Emit)]);
    let other = model::ChannelName::new("other");
    assert!(ledger.receipts_about(&other, "genesys-1", ReceiptStatus::Delivered).await.unwrap().is_empty());
    let unknown = Effect { parties: None, ..effect("2") };
    let attempt = first(ledger.begin(unknown.clone(), CALL).await.unwrap());
    ledger.finish(&unknown, &attempt, Outcome::Sent { foreign_id: None }).await.unwrap();
    assert!(about("genesys-2", ReceiptStatus::Delivered).await.is_empty(), "an earlier build wrote no addresses");
}

/// What was called delivered because it was accepted may still come back, once; what was reported as delivered may not.
pub async fn only_what_was_merely_accepted_may_still_fail(fresh: Fresh) {
    let ledger = fresh.ledger;
    let tell = async |receipt: Receipt| {
        let verdict = ledger.receipt(&receipt).await.unwrap();
        if verdict == ReceiptVerdict::Emit {
            ledger.receipt_emitted(&receipt).await.unwrap();
        }
        verdict
    };
    let accepted = |id: &str| Receipt { accepted: true, ..receipt(id, ReceiptStatus::Delivered) };
    assert_eq!(tell(accepted("1")).await, ReceiptVerdict::Emit);
    assert_eq!(tell(accepted("1")).await, ReceiptVerdict::Repeat);
    assert_eq!(
        tell(receipt("1", ReceiptStatus::Delivered)).await,
        ReceiptVerdict::Repeat,
        "Genesys knows one Delivered"
    );
    assert_eq!(tell(receipt("1", bounced())).await, ReceiptVerdict::Emit);
    assert_eq!(tell(receipt("1", bounced())).await, ReceiptVerdict::Repeat);
    assert_eq!(tell(accepted("1")).await, ReceiptVerdict::Outdated, "nothing goes back");
    assert_eq!(tell(receipt("2", ReceiptStatus::Delivered)).await, ReceiptVerdict::Emit);
    assert_eq!(tell(receipt("2", bounced())).await, ReceiptVerdict::Outdated);
}

/// One process may ask as often as it likes, for it is alive; a try that came to an end does not count.
pub async fn a_receipt_that_crashes_processes_is_poison(fresh: Fresh) {
    let (ledger, one) = (fresh.ledger, receipt("1", ReceiptStatus::Delivered));
    for _ in 0..10 {
        assert_eq!(ledger.receipt(&one).await.unwrap(), ReceiptVerdict::Emit);
    }
    for crashes in 2..=5 {
        let successor = (fresh.another)().await;
        assert_eq!(successor.receipt(&one).await.unwrap(), ReceiptVerdict::Emit, "{crashes}");
        if crashes == 3 {
            successor.receipt_released(&one).await.unwrap();
            assert_eq!(successor.receipt(&one).await.unwrap(), ReceiptVerdict::Emit);
        }
    }
    assert_eq!((fresh.another)().await.receipt(&one).await.unwrap(), ReceiptVerdict::Poison);
    assert_eq!((fresh.another)().await.receipt(&one).await.unwrap(), ReceiptVerdict::Emit, "a replay begins anew");
}
