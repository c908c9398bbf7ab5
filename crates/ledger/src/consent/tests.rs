use super::*;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_795_000_000 + second).expect("it is a time")
}

/// A word that was sent, by the provider's clock, and received.
fn said(sent: i64, received: i64, live: bool) -> When {
    When::Said(Said { sent_at: Some(at(sent)), received_at: at(received), live })
}

fn asked(consent: Consent, when: When) -> Asked {
    Asked { consent, reason: "asked".to_owned(), when }
}

/// What is recorded after these, one after the other.
fn after(all: &[(Consent, When)]) -> Option<Consent> {
    let mut known: Option<ConsentRecord> = None;
    for (consent, when) in all {
        let weighed = asked(*consent, *when).weigh(known.as_ref(), at(10_000));
        let (Weighed::Again(times) | Weighed::Changed(times)) = weighed else { continue };
        known = Some(ConsentRecord {
            channel: ChannelName::new("sales"),
            consumer: Private::new("13125550142".to_owned()),
            consent: *consent,
            reason: String::new(),
            by: String::new(),
            at: times.heard_at,
            heard_at: Some(times.heard_at),
            said_at: times.said_at,
        });
    }
    known.map(|known| known.consent)
}

const STOP: Consent = Consent::Out;
const START: Consent = Consent::In;
const HOURS: i64 = 3600;

#[test]
fn the_later_word_holds_in_whatever_order_they_are_found() {
    // The clock of the provider is right, ahead and behind.
    for skew in [0, 2, -2, 5 * HOURS, -5 * HOURS] {
        let live = |second: i64| said(second + skew, second + 1, true);
        let found = |second: i64| said(second + skew, 300, false);
        assert_eq!(after(&[(STOP, live(20)), (START, found(0))]), Some(STOP), "an older START, {skew}");
        assert_eq!(after(&[(STOP, live(20)), (START, live(40))]), Some(START), "a newer START, {skew}");
        assert_eq!(after(&[(START, live(20)), (STOP, live(40))]), Some(STOP), "a newer STOP, {skew}");
        assert_eq!(after(&[(STOP, live(0)), (START, live(20)), (STOP, live(40))]), Some(STOP), "{skew}");
        assert_eq!(after(&[(STOP, live(0)), (STOP, live(40)), (START, found(20))]), Some(STOP), "said again, {skew}");
        let expected = if skew > 2 { STOP } else { START };
        assert_eq!(
            after(&[(START, live(20)), (STOP, found(0))]),
            Some(expected),
            "an older STOP, in doubt it holds, {skew}"
        );
    }
    let delayed = said(0, 30, true);
    assert_eq!(after(&[(START, said(20, 21, true)), (STOP, delayed)]), Some(START), "an event that came late");
}

#[test]
fn of_equal_times_the_stop_holds() {
    let (early, late) = (said(20, 21, true), said(20, 22, true));
    assert_eq!(after(&[(STOP, early), (START, late)]), Some(STOP));
    assert_eq!(after(&[(START, early), (STOP, late)]), Some(STOP));
    assert_eq!(after(&[(START, late), (STOP, said(20, 300, false))]), Some(STOP));
}

#[test]
fn a_time_that_lies_ahead_keeps_no_later_stop_out() {
    for ahead in [HOURS, 1_000_000 * HOURS] {
        let crazy = said(ahead, 10, true);
        assert_eq!(
            after(&[(STOP, said(0, 1, true)), (START, crazy), (STOP, said(20, 21, true))]),
            Some(STOP),
            "{ahead}"
        );
        assert_eq!(
            after(&[(START, said(0, 1, true)), (STOP, crazy), (START, said(5, 300, false))]),
            Some(STOP),
            "{ahead}"
        );
    }
}

#[test]
fn a_word_without_a_time_counts_as_of_when_it_came() {
    let timeless = |second: i64| When::Said(Said { sent_at: None, received_at: at(second), live: true });
    assert_eq!(after(&[(STOP, timeless(20)), (START, said(0, 300, false))]), Some(STOP));
    assert_eq!(after(&[(START, said(0, 1, true)), (STOP, timeless(20))]), Some(STOP));
    assert_eq!(after(&[(START, timeless(20)), (STOP, said(0, 300, false))]), Some(START));
}

#[test]
fn an_operator_counts_at_their_own_time() {
    assert_eq!(after(&[(STOP, said(20, 21, true)), (START, When::Now)]), Some(START));
    assert_eq!(after(&[(STOP, When::Now), (START, said(20, 20_000, false))]), Some(STOP), "an older START");
    assert_eq!(after(&[(START, When::Now), (STOP, said(20, 20_000, false))]), Some(START), "an older STOP");
    assert_eq!(after(&[(STOP, When::Now), (START, said(19_999, 20_000, true))]), Some(START));
    assert_eq!(after(&[(START, When::Now), (STOP, said(19_999, 20_000, true))]), Some(STOP));
    // Also where the provider's clock is far behind, or a word of the consumer lay ahead.
    assert_eq!(after(&[(START, When::Now), (STOP, said(20_000 - 5 * HOURS, 20_000, true))]), Some(STOP));
    assert_eq!(after(&[(STOP, said(20_000, 20_001, true)), (START, When::Now)]), Some(START));
}
