//! Who may be written to.

use jiff::SignedDuration;
use model::{Address, ChannelName, MessageId, PhoneNumber};

use super::{Fresh, consumer, effect};
use crate::{Consent, Effect, What};

const ASKED: &str = "the consumer sent a keyword";

/// A change is recorded once, names who made it, and stands in the timeline.
pub async fn consent_is_recorded_once(fresh: Fresh) {
    let ledger = fresh.ledger;
    let channel = ChannelName::new("sales");
    assert_eq!(ledger.consent(&channel, &consumer()).await.unwrap(), None);
    assert_eq!(ledger.set_consent(&effect("0"), Consent::In, ASKED).await.unwrap(), None, "that holds for everybody");
    let first = ledger.set_consent(&effect("1"), Consent::Out, ASKED).await.unwrap().expect("it is recorded");
    assert_eq!((first.consent, first.by.as_str(), first.reason.as_str()), (Consent::Out, "1", ASKED));
    assert_eq!(first.consumer.expose(), consumer().normalised());
    fresh.clock.advance(SignedDuration::from_secs(1));
    let again = ledger.set_consent(&effect("2"), Consent::Out, "once more").await.unwrap();
    assert_eq!(again.as_ref(), Some(&first), "the second changes nothing");
    assert_eq!(ledger.set_consent(&effect("1"), Consent::Out, ASKED).await.unwrap().as_ref(), Some(&first));
    assert_eq!(ledger.consent(&channel, &consumer()).await.unwrap(), Some(first));
    let back = ledger.set_consent(&effect("3"), Consent::In, "asked for it").await.unwrap().expect("it is recorded");
    assert_eq!((back.consent, back.by.as_str()), (Consent::In, "3"));
    let told = async |id: &str| {
        let lines = ledger.timeline(id).await.unwrap().into_iter();
        lines.filter(|line| line.what == What::Consent).map(|line| line.detail).collect::<Vec<_>>()
    };
    assert_eq!(told("1").await, [format!("opted out: {ASKED}")]);
    assert_eq!((told("2").await, told("3").await), (Vec::new(), vec!["opted in: asked for it".to_owned()]));
}

/// What somebody says on one channel holds there, for them, and for good.
pub async fn consent_is_kept_for_each_and_does_not_expire(fresh: Fresh) {
    let ledger = fresh.ledger;
    let (sales, support) = (ChannelName::new("sales"), ChannelName::new("support"));
    let other = Address::Phone(PhoneNumber::normalise("13125550199", None).expect("it is a number"));
    let odd = Address::Invalid(format!("nul \0 {}", "\u{1f600}".repeat(5_000)));
    for (id, channel, consumer) in
        [("1", &sales, consumer()), ("2", &support, other.clone()), ("3", &support, odd.clone())]
    {
        let asked = Effect { channel: channel.clone(), consumer, ..effect(id) };
        ledger.set_consent(&asked, Consent::Out, ASKED).await.unwrap();
    }
    fresh.clock.advance(SignedDuration::from_hours(24 * 400));
    for number in 0..3 {
        // Whoever writes forgets what is old.
        ledger.set_consent(&effect(&format!("later-{number}")), Consent::Out, ASKED).await.unwrap();
        ledger.check().await.unwrap();
    }
    let out = async |channel: &ChannelName, consumer: &Address| {
        let found = ledger.consent(channel, consumer).await.unwrap();
        found.is_some_and(|found| found.consent == Consent::Out)
    };
    assert!(out(&sales, &consumer()).await && out(&support, &other).await && out(&support, &odd).await);
    assert!(!out(&sales, &other).await && !out(&support, &consumer()).await);
}

/// All records come in order, page by page.
pub async fn consents_are_listed_in_pages(fresh: Fresh) {
    let ledger = fresh.ledger;
    let number = |number: u32| Address::Phone(PhoneNumber::normalise(&format!("1312{number:07}"), None).unwrap());
    for one in 0..502 {
        let id = MessageId::new(format!("c{one}"));
        let asked = Effect { id, consumer: number(one), ..effect("any") };
        ledger.set_consent(&asked, Consent::Out, ASKED).await.unwrap();
    }
    let elsewhere = Effect { channel: ChannelName::new("alpha"), ..effect("first") };
    ledger.set_consent(&elsewhere, Consent::Out, ASKED).await.unwrap();
    let (mut after, mut all, mut pages) = ((String::new(), String::new()), Vec::new(), 0);
    loop {
        let page = ledger.consents(after).await.unwrap();
        let Some(last) = page.last() else { break };
        after = (last.channel.to_string(), last.consumer.expose().clone());
        pages += 1;
        all.extend(page.into_iter().map(|record| (record.channel.to_string(), record.consumer.into_inner())));
    }
    assert_eq!((all.len(), pages), (503, 2));
    assert_eq!(all[0], ("alpha".to_owned(), consumer().normalised().to_owned()));
    assert!(all.is_sorted());
}
