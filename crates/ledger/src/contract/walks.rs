//! What an effect tells of itself stands among what is written beside it.

use jiff::SignedDuration;
use model::ReasonCode;

use super::{CALL, Fresh, effect, first, sent};
use crate::{Effect, Entry, Ledger, Line, Outcome, What};

async fn note(ledger: &Ledger, effect: &Effect, what: What) {
    ledger.note(Entry { effect: effect.clone(), what, detail: String::new() }).await.unwrap();
}

fn words(lines: &[Line]) -> Vec<What> {
    lines.iter().map(|line| line.what).collect()
}

/// Lines of one moment are told in the order in which things happened, whatever came between, and each names its attempt.
pub async fn a_walk_is_told_in_order(fresh: Fresh) {
    use What::{Began, Dead, Failed, Interrupted, Looked, Media, Receipt, Received, Released, Sent};
    let ledger = &fresh.ledger;
    let [plain, noted, again, lapsed, failed] = ["1", "2", "3", "4", "5"].map(effect);
    let begin = async |effect: &Effect| first(ledger.begin(effect.clone(), CALL).await.unwrap());
    let told = async |effect: &Effect| ledger.timeline(effect.id.as_str()).await.unwrap();

    let attempt = begin(&plain).await;
    assert_eq!(words(&told(&plain).await), [Received, Began]);
    fresh.clock.advance(SignedDuration::from_secs(1));
    ledger.finish(&plain, &attempt, sent()).await.unwrap();
    note(ledger, &plain, Receipt).await;
    let lines = told(&plain).await;
    assert_eq!(words(&lines), [Received, Began, Sent, Receipt]);
    assert_eq!(lines[1].detail, format!("attempt {}", attempt.0));
    assert_eq!(lines[2].detail, format!("attempt {}, called p1 there", attempt.0));
    assert_eq!((lines[2].at - lines[1].at).get_seconds(), 1, "each at its time");

    let attempt = begin(&noted).await;
    note(ledger, &noted, Media).await;
    ledger.finish(&noted, &attempt, sent()).await.unwrap();
    assert_eq!(words(&told(&noted).await), [Received, Began, Media, Sent]);

    let before = begin(&again).await;
    ledger.release(&again, &before, "busy").await.unwrap();
    let attempt = begin(&again).await;
    ledger.finish(&again, &attempt, sent()).await.unwrap();
    let lines = told(&again).await;
    assert_eq!(words(&lines), [Received, Began, Released, Began, Sent]);
    assert!(lines[1].detail.ends_with(&before.0) && lines[3].detail.ends_with(&attempt.0), "{lines:?}");

    let before = begin(&lapsed).await;
    ledger.lapse(&lapsed, &before, "no answer").await.unwrap();
    note(ledger, &lapsed, Looked).await;
    let attempt = ledger.retake(&lapsed, &before, CALL).await.unwrap().expect("it lapsed");
    ledger.finish(&lapsed, &attempt, sent()).await.unwrap();
    assert_eq!(words(&told(&lapsed).await), [Received, Began, Interrupted, Looked, Released, Began, Sent]);

    let attempt = begin(&failed).await;
    let outcome = Outcome::Failed { code: ReasonCode::Expired, reason: "late".to_owned(), dead: None };
    ledger.finish(&failed, &attempt, outcome).await.unwrap();
    note(ledger, &failed, Dead).await;
    assert_eq!(words(&told(&failed).await), [Received, Began, Failed, Dead]);
}

/// The newest lines are those of all effects, whoever tells them.
pub async fn the_newest_lines_are_of_all(fresh: Fresh) {
    let ledger = &fresh.ledger;
    for id in ["1", "2", "3"] {
        fresh.clock.advance(SignedDuration::from_secs(1));
        let attempt = first(ledger.begin(effect(id), CALL).await.unwrap());
        fresh.clock.advance(SignedDuration::from_secs(1));
        ledger.finish(&effect(id), &attempt, sent()).await.unwrap();
    }
    fresh.clock.advance(SignedDuration::from_secs(1));
    note(ledger, &effect("1"), What::Receipt).await;
    let newest = ledger.recent(3).await.unwrap();
    let told: Vec<_> = newest.iter().map(|line| (line.id.as_str(), line.what)).collect();
    assert_eq!(told, [("3", What::Began), ("3", What::Sent), ("1", What::Receipt)]);
}

/// A person is told everything, also where that is more than a look at a message shows.
pub async fn all_lines_of_a_person_are_told(fresh: Fresh) {
    let ledger = &fresh.ledger;
    let many = 501;
    for id in 0..many {
        let effect = effect(&id.to_string());
        let attempt = first(ledger.begin(effect.clone(), CALL).await.unwrap());
        ledger.finish(&effect, &attempt, sent()).await.unwrap();
    }
    let consumer = effect("0").consumer;
    let person = ledger.person(&consumer).await.unwrap();
    assert_eq!(person.timeline.len(), 3 * many);
}
