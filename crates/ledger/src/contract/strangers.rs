//! What others name, and how.

use jiff::SignedDuration;
use model::{Address, ChannelName, Family, PhoneNumber, ReasonCode, Receipt, ReceiptStatus, SessionId, TraceId};

use super::{CALL, Fresh, consumer, effect, first, receipt};
use crate::{Begin, Effect, Outcome, ReceiptVerdict};

/// What the provider called the replies of one conversation, newest first, and of no other.
pub async fn what_was_claimed_is_told(fresh: Fresh) {
    let ledger = fresh.ledger;
    let claimed = async |since| ledger.claimed(&effect("1").channel, &consumer(), since).await.unwrap();
    let finish = async |effect: Effect, outcome: Outcome| {
        let attempt = first(ledger.begin(effect.clone(), CALL).await.unwrap());
        ledger.finish(&effect, &attempt, outcome).await.unwrap();
        fresh.clock.advance(SignedDuration::from_secs(1));
    };
    let called = |id: &str| Outcome::Sent { foreign_id: Some(id.to_owned()) };
    let start = ledger.check().await.unwrap();
    assert!(claimed(start).await.is_empty());
    finish(effect("1"), called("p1")).await;
    finish(effect("2"), called("p2 \"quoted\"")).await;
    finish(effect("3"), Outcome::Sent { foreign_id: None }).await;
    finish(effect("4"), Outcome::Failed { code: ReasonCode::General, reason: "no".to_owned(), dead: None }).await;
    finish(Effect { family: Family::Inbound, ..effect("5") }, called("p5")).await;
    finish(Effect { channel: ChannelName::new("other"), ..effect("6") }, called("p6")).await;
    let other = PhoneNumber::normalise("13125550199", None).expect("it is a number");
    finish(Effect { consumer: Address::Phone(other), ..effect("7") }, called("p7")).await;
    first(ledger.begin(effect("8"), CALL).await.unwrap());
    assert_eq!(claimed(start).await, ["p2 \"quoted\"", "p1"]);
    assert_eq!(claimed(start + SignedDuration::from_secs(1)).await, ["p2 \"quoted\""]);
    assert!(claimed(start + SignedDuration::from_secs(2)).await.is_empty());
    for number in 0..201 {
        finish(effect(&format!("many-{number}")), called(&format!("m{number}"))).await;
    }
    let newest: Vec<_> = (1..201).rev().map(|number| format!("m{number}")).collect();
    assert_eq!(claimed(start).await, newest);
}

/// What comes from outside has no length and no alphabet that could be relied on, and fails nobody.
pub async fn words_of_strangers_are_taken_as_they_come(fresh: Fresh) {
    let ledger = fresh.ledger;
    // Of many different characters, so that no store makes it short.
    let long: String = (0..20_000u32).filter_map(|number| char::from_u32(number * 7 % 60_000 + 300)).collect();
    for (id, word) in
        [("1", "nul \0 and \u{1f600}"), ("2", long.as_str()), ("3", "'; DROP TABLE effects; --"), ("4", "")]
    {
        let one = Effect { foreign_id: word.to_owned(), trace: TraceId::new(word), ..effect(id) };
        let attempt = first(ledger.begin(one.clone(), CALL).await.unwrap());
        let outcome = Outcome::Sent { foreign_id: Some(word.to_owned()) };
        ledger.finish(&one, &attempt, outcome.clone()).await.unwrap();
        assert_eq!(ledger.begin(one, CALL).await.unwrap(), Begin::Done(outcome));
        let lines = ledger.timeline(word).await.unwrap();
        assert!(lines.iter().any(|line| line.id.as_str() == id), "{id}");
        let told = Receipt { genesys_message_id: word.to_owned(), ..receipt(id, ReceiptStatus::Delivered) };
        assert_eq!(ledger.receipt(&told).await.unwrap(), ReceiptVerdict::Emit);
        ledger.receipt_emitted(&told).await.unwrap();
        assert_eq!(ledger.receipt(&told).await.unwrap(), ReceiptVerdict::Repeat);
        let session = SessionId::new(word.replace('\0', "0"));
        ledger.remember_session(&ChannelName::new("sales"), &consumer(), &session).await.unwrap();
        let found = ledger.session(&ChannelName::new("sales"), &consumer()).await.unwrap();
        assert_eq!(found, Some(session));
    }
}
