use futures_util::FutureExt;
use tokio::time::advance;

use super::accounts::ACCOUNT_WINDOW;
use super::*;
use crate::Pace;

fn gates() -> Gates {
    paced(Paces::default())
}

/// The gates of one role of a process, which keep to these paces.
pub(super) fn paced(paces: Paces) -> Gates {
    Gates::new(paces, 16, Box::new(|_, _| {}), Lamps::default())
}

pub(super) fn paces(target: &str, pace: &str) -> Paces {
    Paces::from_iter([(target.to_owned(), Pace::parse(pace).expect("it is a pace"))])
}

pub(super) fn targets(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

pub(super) const DOWN: Told<'_> = Told::Trouble { target: "crexendo", after: None };

pub(super) async fn call(gates: &Gates, names: &[&str], told: &Told<'_>) {
    gates.pass(&targets(names)).await.expect("nothing is refused").told(told);
}

pub(super) fn may_call(gates: &Gates, names: &[&str]) -> bool {
    gates.pass(&targets(names)).now_or_never().is_some()
}

#[tokio::test(start_paused = true)]
async fn five_failures_in_a_row_open_it_and_a_probe_closes_it() {
    let gates = gates();
    for _ in 0..4 {
        call(&gates, &["crexendo"], &DOWN).await;
    }
    call(&gates, &["crexendo"], &Told::Well).await;
    for _ in 0..4 {
        call(&gates, &["crexendo"], &DOWN).await;
        assert!(may_call(&gates, &["crexendo"]), "a success in between starts the count again");
    }
    call(&gates, &["crexendo"], &DOWN).await;
    assert!(!may_call(&gates, &["crexendo"]));
    assert!(may_call(&gates, &["other"]), "others are not concerned");
    advance(FIRST).await;
    let probe = gates.pass(&targets(&["crexendo"])).await.expect("it is due");
    assert!(probe.is_probe() && !may_call(&gates, &["crexendo"]), "one call is enough to find out");
    probe.told(&DOWN);
    advance(FIRST).await;
    assert!(!may_call(&gates, &["crexendo"]), "the second wait is twice as long");
    advance(FIRST).await;
    call(&gates, &["crexendo"], &Told::Well).await;
    assert!(may_call(&gates, &["crexendo"]) && may_call(&gates, &["crexendo"]));
}

#[tokio::test(start_paused = true)]
async fn half_of_twenty_calls_open_it() {
    let gates = gates();
    for number in 0..20 {
        assert!(may_call(&gates, &["crexendo"]), "after {number} calls");
        call(&gates, &["crexendo"], if number % 2 == 0 { &Told::Well } else { &DOWN }).await;
    }
    assert!(!may_call(&gates, &["crexendo"]));
}

#[tokio::test(start_paused = true)]
async fn old_failures_are_forgotten() {
    let gates = gates();
    for number in 0..19 {
        call(&gates, &["crexendo"], if number % 2 == 0 { &Told::Well } else { &DOWN }).await;
    }
    advance(WINDOW + FIRST).await;
    call(&gates, &["crexendo"], &DOWN).await;
    assert!(may_call(&gates, &["crexendo"]));
}

#[tokio::test(start_paused = true)]
async fn a_pause_that_is_asked_for_is_kept_up_to_a_bound() {
    let gates = gates();
    let day = Told::Trouble { target: "crexendo", after: Some(Duration::from_secs(86_400)) };
    call(&gates, &["crexendo"], &day).await;
    advance(LONGEST_ASKED - FIRST).await;
    assert!(!may_call(&gates, &["crexendo"]));
    advance(FIRST).await;
    assert!(may_call(&gates, &["crexendo"]));
}

#[tokio::test(start_paused = true)]
async fn trouble_of_the_narrow_leaves_the_wide_alone() {
    let gates = gates();
    let throttled = Told::Trouble { target: "sales", after: Some(FIRST) };
    call(&gates, &["sales", "crexendo"], &throttled).await;
    assert!(!may_call(&gates, &["sales", "crexendo"]) && may_call(&gates, &["support", "crexendo"]));
    let down = Told::Trouble { target: "crexendo", after: Some(FIRST) };
    call(&gates, &["support", "crexendo"], &down).await;
    assert!(!may_call(&gates, &["support", "crexendo"]) && may_call(&gates, &["support"]));
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_is_given_up_leaves_the_next_one() {
    let gates = gates();
    call(&gates, &["crexendo"], &Told::Trouble { target: "crexendo", after: Some(FIRST) }).await;
    advance(FIRST).await;
    let probe = gates.pass(&targets(&["crexendo"])).await.expect("it is due");
    let names = targets(&["crexendo"]);
    let mut next = Box::pin(gates.pass(&names));
    assert!((&mut next).now_or_never().is_none());
    drop(probe);
    assert!(next.await.expect("it is due").is_probe());
}

#[tokio::test(start_paused = true)]
async fn a_refused_target_holds_a_quarter_and_not_for_long() {
    let gates = gates();
    call(&gates, &["sales"], &Told::Fault { target: "sales" }).await;
    let names = targets(&["sales"]);
    let mut held: Vec<_> = (0..4).map(|_| Box::pin(gates.pass(&names))).collect();
    for one in &mut held {
        assert!(one.as_mut().now_or_never().is_none(), "a quarter of sixteen is held");
    }
    let refused = gates.pass(&names).await.map(|_| ());
    assert_eq!(refused, Err(Faulty { target: "sales".to_owned() }));
    for _ in 0..4 {
        advance(FAULT_PROBE).await;
        let mut probes = 0;
        for one in &mut held {
            if let Some(passed) = one.as_mut().now_or_never() {
                passed.expect("it is a probe").told(&Told::Fault { target: "sales" });
                *one = Box::pin(gates.pass(&names));
                probes += 1;
                assert!(one.as_mut().now_or_never().is_none());
            }
        }
        assert_eq!(probes, 1, "one a minute");
    }
    advance(FAULT_PROBE).await;
    let left = held.iter_mut().filter_map(|one| one.as_mut().now_or_never());
    let (probes, refused): (Vec<_>, Vec<_>) = left.partition(Result::is_ok);
    assert_eq!((probes.len(), refused.len()), (1, 0), "the due probe goes before");
    drop(probes);
}

#[tokio::test(start_paused = true)]
async fn a_pace_spreads_calls() {
    let gates = paced(paces("crexendo", "10/s"));
    let began = Instant::now();
    for _ in 0..21 {
        call(&gates, &["crexendo"], &Told::Well).await;
    }
    assert_eq!(began.elapsed(), Duration::from_secs(2));
    call(&gates, &["other"], &Told::Well).await;
    assert_eq!(began.elapsed(), Duration::from_secs(2), "others have no pace");
}

#[tokio::test(start_paused = true)]
async fn who_gives_up_waiting_spends_no_turn() {
    let gates = paced(paces("number", "1/s"));
    call(&gates, &["number", "crexendo"], &Told::Well).await;
    let began = Instant::now();
    let given_up = (0..1_000).filter(|_| !may_call(&gates, &["number", "crexendo"])).count();
    assert_eq!(given_up, 1_000);
    call(&gates, &["number", "crexendo"], &Told::Well).await;
    assert_eq!(began.elapsed(), Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn what_waited_for_a_breaker_keeps_to_the_pace() {
    let gates = Arc::new(paced(paces("number", "1/s")));
    for _ in 0..5 {
        call(&gates, &["crexendo"], &DOWN).await;
    }
    let mut waiting = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let gates = Arc::clone(&gates);
        waiting.spawn(async move {
            call(&gates, &["number", "crexendo"], &Told::Well).await;
            Instant::now()
        });
    }
    let mut called = waiting.join_all().await;
    called.sort_unstable();
    assert!(called.windows(2).all(|pair| pair[1] - pair[0] >= Duration::from_secs(1)), "{called:?}");
}

/// Gates, and what was told of accounts that pause.
fn told_gates() -> (Gates, Arc<Mutex<Vec<bool>>>) {
    let told = Arc::new(Mutex::new(Vec::new()));
    let ear = Arc::clone(&told);
    let paused = move |account: &str, paused: bool| {
        assert_eq!(account, "main");
        ear.lock().unwrap().push(paused);
    };
    (Gates::new(Paces::default(), 16, Box::new(paused), Lamps::default()), told)
}

async fn refused(gates: &Gates, channel: &str) {
    call(gates, &[channel, "main"], &Told::Fault { target: channel }).await;
}

#[tokio::test(start_paused = true)]
async fn an_account_pauses_when_every_channel_of_it_is_refused() {
    let (gates, told) = told_gates();
    refused(&gates, "sales").await;
    assert!(may_call(&gates, &["support", "main"]) && told.lock().unwrap().is_empty(), "one channel is one channel");
    refused(&gates, "support").await;
    assert_eq!(*told.lock().unwrap(), [true]);
    assert!(!may_call(&gates, &["third", "main"]), "nothing of it is called");
    assert!(may_call(&gates, &["sales", "other"]), "its channels hold nothing back themselves");

    // However long it takes and however many wait, none is given up, and one a minute tries.
    let names = targets(&["sales", "main"]);
    let mut waiting: Vec<_> = (0..16).map(|_| Box::pin(gates.pass(&names))).collect();
    assert!(waiting.iter_mut().all(|one| one.as_mut().now_or_never().is_none()));
    for minute in 1..=10 {
        advance(FAULT_PROBE).await;
        let mut probes = 0;
        for one in &mut waiting {
            if let Some(passed) = one.as_mut().now_or_never() {
                passed.expect("nothing is given up").told(&Told::Fault { target: "sales" });
                *one = Box::pin(gates.pass(&names));
                probes += 1;
                assert!(one.as_mut().now_or_never().is_none());
            }
        }
        assert_eq!(probes, 1, "minute {minute}");
    }
    advance(FAULT_PROBE).await;
    let probe = waiting.iter_mut().find_map(|one| one.as_mut().now_or_never()).expect("one is due");
    probe.expect("nothing is given up").told(&Told::Well);
    assert!(may_call(&gates, &["sales", "main"]) && may_call(&gates, &["support", "main"]));
    assert_eq!(told.lock().unwrap().last(), Some(&false));
}

#[tokio::test(start_paused = true)]
async fn a_channel_that_answers_keeps_its_account_open() {
    let (gates, told) = told_gates();
    call(&gates, &["support", "main"], &Told::Well).await;
    refused(&gates, "sales").await;
    refused(&gates, "third").await;
    assert!(may_call(&gates, &["support", "main"]) && !may_call(&gates, &["sales", "main"]));
    assert!(told.lock().unwrap().is_empty());
    // What was called longer than a minute ago says nothing any more.
    advance(ACCOUNT_WINDOW + FIRST).await;
    refused(&gates, "sales").await;
    assert!(told.lock().unwrap().is_empty(), "it was the only one called in the last minute");
    refused(&gates, "third").await;
    assert_eq!(*told.lock().unwrap(), [true]);
}

/// As many calls as there are places, on one account by way of several channels.
async fn take_all_places(gates: &Gates) -> Vec<Passes> {
    let mut under_way = Vec::new();
    for number in 0..16 {
        let names = targets(&[["sales", "support"][number % 2], "crexendo"]);
        under_way.push(gates.pass(&names).now_or_never().expect("a place").expect("nothing is refused"));
    }
    under_way
}

#[tokio::test(start_paused = true)]
async fn an_account_gets_so_many_calls_at_a_time() {
    let gates = gates();
    let mut under_way = take_all_places(&gates).await;
    assert!(!may_call(&gates, &["marketing", "crexendo"]), "the account's channels share its places");
    assert!(may_call(&gates, &["sales", "other"]), "other accounts have their own");
    under_way.pop().expect("one of them").told(&Told::Nothing);
    assert!(may_call(&gates, &["marketing", "crexendo"]), "a call that ended leaves its place, whatever it told");
}

#[tokio::test(start_paused = true)]
async fn who_waited_for_a_place_looks_at_the_breaker_again() {
    let gates = gates();
    let mut under_way = take_all_places(&gates).await;
    let names = targets(&["sales", "crexendo"]);
    let mut waits = Box::pin(gates.pass(&names));
    assert!(waits.as_mut().now_or_never().is_none());
    let down = Told::Trouble { target: "sales", after: Some(FIRST) };
    under_way.swap_remove(0).told(&down);
    assert!(waits.as_mut().now_or_never().is_none(), "there is a place, but the channel is in trouble by now");
    assert!(may_call(&gates, &["support", "crexendo"]), "and the place is left to others meanwhile");
    advance(FIRST).await;
    assert!(waits.await.expect("its turn").is_probe());
}

#[tokio::test(start_paused = true)]
async fn what_is_away_in_the_house_opens_nobodys_breaker() {
    let gates = gates();
    for _ in 0..30 {
        call(&gates, &["sales", "crexendo"], &Told::Trouble { target: "blobs", after: None }).await;
    }
    assert!(may_call(&gates, &["sales", "crexendo"]));
}

/// A tenant that is to be probed, and beside it a provider that is down for a minute.
async fn tenant_to_probe(gates: &Gates) -> Vec<String> {
    let minute = Some(Duration::from_secs(60));
    let names = ["sales", "main", "crexendo/sessions"];
    call(gates, &["sales", "main"], &Told::Trouble { target: "main", after: Some(FIRST) }).await;
    call(gates, &["other", "else", names[2]], &Told::Trouble { target: names[2], after: minute }).await;
    advance(FIRST).await;
    targets(&names)
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_a_provider_leaves_the_probe_of_the_tenant_to_others() {
    let gates = gates();
    let names = tenant_to_probe(&gates).await;
    let mut waits = Box::pin(gates.pass(&names));
    assert!(waits.as_mut().now_or_never().is_none());
    let probe =
        gates.pass(&targets(&["sales", "main"])).now_or_never().expect("the probe is free").expect("not refused");
    assert!(probe.is_probe());
    probe.told(&Told::Well);
    assert!(may_call(&gates, &["support", "main"]));
    advance(Duration::from_secs(60)).await;
    assert!(waits.now_or_never().expect("the provider is due").expect("not refused").is_probe());
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_a_place_leaves_the_probe_to_others_and_has_it_with_the_place() {
    let gates = gates();
    let mut under_way = take_all_places(&gates).await;
    call(&gates, &["sales"], &Told::Trouble { target: "sales", after: Some(FIRST) }).await;
    advance(FIRST).await;
    let names = targets(&["sales", "crexendo"]);
    let mut waits = Box::pin(gates.pass(&names));
    assert!(waits.as_mut().now_or_never().is_none(), "all places are taken");
    let other = gates.pass(&targets(&["sales", "other"])).now_or_never().expect("the probe is free");
    assert!(other.expect("not refused").is_probe());
    under_way.pop().expect("one of them").told(&Told::Nothing);
    assert!(waits.now_or_never().expect("there is a place").expect("not refused").is_probe());
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_a_breaker_again_leaves_the_probe_of_the_wider_to_others() {
    let gates = gates();
    let mut under_way = take_all_places(&gates).await;
    let names = targets(&["sales", "main", "crexendo"]);
    let mut waits = Box::pin(gates.pass(&names));
    assert!(waits.as_mut().now_or_never().is_none(), "all places are taken");
    call(&gates, &["main"], &Told::Trouble { target: "main", after: Some(FIRST) }).await;
    call(&gates, &["sales"], &Told::Trouble { target: "sales", after: Some(FIRST) }).await;
    advance(FIRST).await;
    let main = gates.pass(&targets(&["main"])).await.expect("it is due");
    under_way.clear();
    assert!(waits.as_mut().now_or_never().is_none(), "the tenant is probed by another");
    let sales = gates.pass(&targets(&["sales"])).now_or_never().expect("the probe is free").expect("not refused");
    assert!(main.is_probe() && sales.is_probe());
    sales.told(&Told::Well);
    main.told(&Told::Well);
    assert!(!waits.now_or_never().expect("all answer").expect("not refused").is_probe());
}

#[tokio::test(start_paused = true)]
async fn channels_that_are_refused_pause_their_tenant_and_not_a_provider_asked_beside_it() {
    let (gates, told) = told_gates();
    for channel in ["sales", "support"] {
        call(&gates, &[channel, "main", "crexendo/sessions"], &Told::Fault { target: channel }).await;
    }
    assert_eq!(*told.lock().unwrap(), [true]);
    assert!(may_call(&gates, &["crexendo/sessions"]) && !may_call(&gates, &["third", "main"]));
}

#[tokio::test(start_paused = true)]
async fn a_refusing_provider_pauses_no_tenant() {
    let (gates, told) = told_gates();
    for channel in ["sales", "support"] {
        let provider = format!("of-{channel}/sessions");
        call(&gates, &[channel, "main", &provider], &Told::Fault { target: &provider }).await;
    }
    assert!(told.lock().unwrap().is_empty() && may_call(&gates, &["sales", "main"]));
    assert!(!may_call(&gates, &["sales", "main", "of-sales/sessions"]));
}
