//! Who may be written to.

use jiff::SignedDuration;
use model::{Address, ChannelName, MessageId, PhoneNumber};

use super::{Fresh, consumer, effect};
use crate::{Consent, ConsentRecord, Effect, Said, What, When};

const ASKED: &str = "the consumer sent a keyword";

/// A change is recorded once, names who made it, and stands in the timeline.
pub async fn consent_is_recorded_once(fresh: Fresh) {
    let ledger = fresh.ledger;
    let channel = ChannelName::new("sales");
    assert_eq!(ledger.consent(&channel, &consumer()).await.unwrap(), None);
    let set = async |id: &str, consent, reason: &str| {
        let record = ledger.set_consent(&effect(id), consent, (reason, When::Now)).await.unwrap();
        record.expect("it is recorded")
    };
    assert_eq!(set("0", Consent::In, ASKED).await.by, "", "nobody changed what holds for everybody");
    let first = set("1", Consent::Out, ASKED).await;
    assert_eq!((first.consent, first.by.as_str(), first.reason.as_str()), (Consent::Out, "1", ASKED));
    assert_eq!(first.consumer.expose(), consumer().normalised());
    fresh.clock.advance(SignedDuration::from_secs(1));
    let again = set("2", Consent::Out, "once more").await;
    let shown = |record: &ConsentRecord| (record.consent, record.by.clone(), record.reason.clone(), record.at);
    assert_eq!(shown(&again), shown(&first), "the second changes nothing");
    assert_eq!(shown(&set("1", Consent::Out, ASKED).await), shown(&first));
    assert_eq!(ledger.consent(&channel, &consumer()).await.unwrap().as_ref().map(shown), Some(shown(&first)));
    let back = set("3", Consent::In, "asked for it").await;
    assert_eq!((back.consent, back.by.as_str()), (Consent::In, "3"));
    let told = async |id: &str| {
        let lines = ledger.timeline(id).await.unwrap().into_iter();
        lines.filter(|line| line.what == What::Consent).map(|line| line.detail).collect::<Vec<_>>()
    };
    assert_eq!(told("1").await, [format!("opted out: {ASKED}")]);
    assert_eq!((told("2").await, told("3").await), (Vec::new(), vec!["opted in: asked for it".to_owned()]));
}

/// Whichever is found first, what was said last holds, and of equal times the STOP; an operator counts when they speak.
pub async fn what_was_said_last_holds(fresh: Fresh) {
    let ledger = &fresh.ledger;
    let probe = Effect { channel: ChannelName::new("probe"), ..effect("0") };
    let probe = ledger.set_consent(&probe, Consent::In, (ASKED, When::Now)).await.unwrap();
    let now = probe.expect("it is recorded").at;
    let said = |seconds: i64, live: bool| {
        let received_at =
            if live { now + SignedDuration::from_secs(seconds) } else { now + SignedDuration::from_mins(5) };
        When::Said(Said { sent_at: Some(now + SignedDuration::from_secs(seconds)), received_at, live })
    };
    let set = async |channel: &str, id: &str, consent, when| {
        let asked = Effect { channel: ChannelName::new(channel), ..effect(id) };
        let record = ledger.set_consent(&asked, consent, (ASKED, when)).await.unwrap().expect("it is recorded");
        (record.consent, record.by)
    };
    let (stop, start) = (Consent::Out, Consent::In);
    let by = |id: &str| id.to_owned();
    assert_eq!(set("sales", "1", stop, said(20, true)).await, (stop, by("1")));
    assert_eq!(set("sales", "2", start, said(0, false)).await, (stop, by("1")), "an older START");
    assert_eq!(set("sales", "3", start, said(20, true)).await, (stop, by("1")), "of the same time");
    assert_eq!(set("sales", "4", stop, said(60, true)).await, (stop, by("1")), "said again");
    assert_eq!(set("sales", "5", start, said(40, true)).await, (stop, by("1")), "older than when it was said last");
    assert_eq!(set("sales", "6", start, said(80, true)).await, (start, by("6")));
    assert_eq!(set("sales", "7", stop, said(70, false)).await, (start, by("6")), "an older STOP");
    assert_eq!(set("sales", "8", stop, said(80, false)).await, (stop, by("8")), "of the same time");
    assert_eq!(set("sales", "9", start, When::Now).await, (start, by("9")));
    assert_eq!(set("sales", "10", stop, said(-20, false)).await, (start, by("9")), "older than the operator");
    assert_eq!(set("support", "11", start, said(40, true)).await, (start, by("")), "said, and nothing changed");
    assert_eq!(set("support", "12", stop, said(20, false)).await, (start, by("")), "an older STOP");
    let told = ledger.timeline("2").await.unwrap().into_iter().find(|line| line.what == What::Consent);
    assert!(told.is_some_and(|line| line.detail.ends_with("what was said later holds")));
    assert!(ledger.timeline("4").await.unwrap().is_empty(), "nothing to tell of it");
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
        ledger.set_consent(&asked, Consent::Out, (ASKED, When::Now)).await.unwrap();
    }
    fresh.clock.advance(SignedDuration::from_hours(24 * 400));
    for number in 0..3 {
        // Whoever writes forgets what is old.
        ledger.set_consent(&effect(&format!("later-{number}")), Consent::Out, (ASKED, When::Now)).await.unwrap();
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
        ledger.set_consent(&asked, Consent::Out, (ASKED, When::Now)).await.unwrap();
    }
    let elsewhere = Effect { channel: ChannelName::new("alpha"), ..effect("first") };
    ledger.set_consent(&elsewhere, Consent::Out, (ASKED, When::Now)).await.unwrap();
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
