//! Two roles of one process that call one target: each has gates of its own, and they keep to one pace.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use tokio::task::JoinSet;

use super::super::tests::{call, may_call, paced, paces, targets};
use super::super::{FIRST, Gates, Lamps, Told};
use super::*;
use crate::Paces;

#[tokio::test(start_paused = true)]
async fn two_roles_keep_to_one_pace() {
    let paces = paces("main", "10/s");
    let (messages, receipts) = (paced(paces.clone()), paced(paces));
    let began = Instant::now();
    for number in 0..21 {
        let gates = if number % 3 == 0 { &receipts } else { &messages };
        call(gates, &["sales", "main"], &Told::Well).await;
    }
    assert_eq!(began.elapsed(), Duration::from_secs(2));
}

#[tokio::test(start_paused = true)]
async fn what_waits_in_one_role_does_not_hold_up_the_other() {
    let paces = paces("main", "10/s");
    let (messages, receipts) = (paced(paces.clone()), Arc::new(paced(paces)));
    let mut waiting = JoinSet::new();
    for _ in 0..100 {
        let receipts = Arc::clone(&receipts);
        waiting.spawn(async move { call(&receipts, &["sales", "main"], &Told::Well).await });
    }
    tokio::task::yield_now().await;
    let began = Instant::now();
    for _ in 0..5 {
        call(&messages, &["sales", "main"], &Told::Well).await;
    }
    assert!(began.elapsed() <= Duration::from_secs(1), "every second turn is its own: {:?}", began.elapsed());
    waiting.join_all().await;
    assert!(began.elapsed() >= Duration::from_millis(10_300), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_a_place_leaves_the_turn_to_the_other_role() {
    let paces = paces("main", "10/s");
    let (messages, receipts) = (paced(paces.clone()), paced(paces));
    let names = targets(&["sales", "main"]);
    let mut under_way = Vec::new();
    for _ in 0..16 {
        under_way.push(receipts.pass(&names).await.expect("nothing is refused"));
    }
    tokio::time::advance(Duration::from_secs(1)).await;
    let mut waits = Box::pin(receipts.pass(&names));
    assert!(waits.as_mut().now_or_never().is_none(), "all places of its role are taken");
    assert!(may_call(&messages, &["sales", "main"]), "nobody makes use of the turn");
    assert!(!may_call(&messages, &["sales", "main"]), "that was the turn");
    under_way.pop().expect("one of them").told(&Told::Nothing);
    assert!(waits.as_mut().now_or_never().is_none(), "there is a place, and the turn is the other's");
    let began = Instant::now();
    waits.await.expect("nothing is refused").told(&Told::Well);
    assert!(began.elapsed() <= Duration::from_millis(100), "{:?}", began.elapsed());
}

/// Keeps the one gauge there is.
#[derive(Default)]
struct Shown(Arc<AtomicU64>);

impl Shown {
    fn value(&self) -> f64 {
        f64::from_bits(self.0.load(Ordering::Relaxed))
    }
}

impl Recorder for Shown {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, _: &Key, _: &Metadata<'_>) -> Counter {
        Counter::noop()
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        assert_eq!(key.name(), "causeway_breaker_open");
        Gauge::from_arc(Arc::clone(&self.0))
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}

#[tokio::test(start_paused = true)]
async fn each_role_has_its_breaker_and_the_gauge_tells_the_worse() {
    let (shown, lamps) = (Shown::default(), Lamps::default());
    let role = || Gates::new(Paces::default(), 16, Box::new(|_, _| {}), lamps.clone());
    let (messages, receipts) = (role(), role());
    // On this thread, where the recorder is the local one.
    let told = |gates: &Gates, told: &Told<'_>| {
        metrics::with_local_recorder(&shown, || call(gates, &["crexendo"], told).now_or_never()).expect("no wait");
    };
    let later = || Told::Trouble { target: "crexendo", after: Some(FIRST) };
    told(&receipts, &later());
    assert_eq!(shown.value(), 1.0);
    assert!(!may_call(&receipts, &["crexendo"]));
    told(&messages, &Told::Well);
    assert_eq!(shown.value(), 1.0, "one of the two is open, and holds up no call of the other");
    told(&messages, &later());
    tokio::time::advance(FIRST).await;
    told(&receipts, &Told::Well);
    assert_eq!(shown.value(), 1.0, "the other is open");
    told(&messages, &Told::Well);
    assert_eq!(shown.value(), 0.0);
    told(&receipts, &later());
    drop(receipts);
    assert_eq!(shown.value(), 0.0, "a gate that is gone is not open");
}
