use jiff::{SignedDuration, Timestamp};

use super::*;
use crate::Metrics;

fn health() -> Health {
    Health::new(Clock::system())
}

#[test]
fn only_required_components_make_the_process_unready() {
    let health = health();
    let broker = health.component_of("ingress", "broker", Need::Required);
    let ledger = health.component_of("receipt-emitter", "ledger", Need::Reported);
    assert!(!health.report().ready, "nothing has started yet");
    broker.well();
    ledger.trouble("the disk is full");
    let report = health.report();
    assert!(report.ready && !report.draining);
    assert_eq!(report.components[1].detail.as_deref(), Some("the disk is full"));
    broker.trouble("not connected");
    assert!(!health.report().ready);
}

#[test]
fn draining_is_for_good() {
    let health = health();
    let broker = health.component("broker", Need::Required);
    broker.well();
    assert!(health.report().ready);
    health.draining();
    broker.well();
    let report = health.report();
    assert!(!report.ready && report.draining);
}

#[test]
fn an_alarm_is_one_line_until_it_is_cleared() {
    let start: Timestamp = "2026-11-21T10:00:00Z".parse().unwrap();
    let (clock, hand) = Clock::manual(start);
    let health = Health::new(clock);
    let alarm = health.alarm(AlarmKind::ChannelFault, "sales");
    assert!(health.report().alarms.is_empty());
    alarm.raise("401: check the secret");
    hand.advance(SignedDuration::from_secs(60));
    alarm.raise("403: check the tenant");
    let same = health.alarm(AlarmKind::ChannelFault, "sales");
    let _other = health.alarm(AlarmKind::ChannelFault, "support");
    let alarms = health.report().alarms;
    assert_eq!((alarms.len(), alarms[0].alarm, alarms[0].target.as_str()), (1, "channel-fault", "sales"));
    assert_eq!((alarms[0].since, alarms[0].detail.as_str()), (start, "403: check the tenant"));
    same.clear();
    assert!(health.report().alarms.is_empty());
    alarm.raise("401: check the secret");
    assert_eq!(health.report().alarms[0].since, start + SignedDuration::from_secs(60));
}

/// Whoever raised it may have lost what it is about to another process, which says nothing here.
#[test]
fn an_alarm_that_nobody_raises_again_fades() {
    let (clock, hand) = Clock::manual("2026-11-21T10:00:00Z".parse().unwrap());
    let health = Health::new(clock);
    let (fault, letters) =
        (health.alarm(AlarmKind::ChannelFault, "sales"), health.alarm(AlarmKind::DeadLetters, "broker"));
    let fade = || {
        health.fade(&[AlarmKind::ChannelFault], Duration::from_secs(60));
        health.report().alarms.len()
    };
    fault.raise("401: check the secret");
    letters.raise("look at them");
    hand.advance(SignedDuration::from_secs(50));
    fault.raise("401: check the secret");
    hand.advance(SignedDuration::from_secs(59));
    assert_eq!(fade(), 2, "it was raised again");
    hand.advance(SignedDuration::from_secs(1));
    assert_eq!(fade(), 1);
    assert_eq!(health.report().alarms[0].alarm, "dead-letters", "other kinds stay");
}

#[test]
fn the_report_has_the_shape_of_readyz() {
    let (clock, _) = Clock::manual("2026-11-21T10:00:00Z".parse().unwrap());
    let health = Health::new(clock);
    health.component("topology", Need::Required).well();
    health.component_of("ingress", "broker", Need::Reported).trouble("blocked");
    health.alarm(AlarmKind::Loop, "sales").raise("it answers itself");
    let expected = serde_json::json!({
        "ready": true,
        "draining": false,
        "components": [
            { "name": "topology", "role": null, "ready": true, "required": true, "detail": null },
            { "name": "broker", "role": "ingress", "ready": false, "required": false, "detail": "blocked" },
        ],
        "alarms": [
            { "alarm": "loop", "target": "sales", "detail": "it answers itself", "since": "2026-11-21T10:00:00Z" },
        ],
    });
    assert_eq!(serde_json::to_value(health.report()).unwrap(), expected);
}

#[test]
fn roles_and_alarms_are_gauges() {
    let metrics = Metrics::install();
    let shown = |line: &str| metrics.render().lines().any(|found| found == line);
    let health = health();
    let broker = health.component_of("gauged", "broker", Need::Required);
    let ledger = health.component_of("gauged", "ledger", Need::Reported);
    assert!(shown("causeway_role_ready{role=\"gauged\"} 0"));
    broker.well();
    ledger.well();
    assert!(shown("causeway_role_ready{role=\"gauged\"} 1"));
    health.draining();
    assert!(shown("causeway_role_ready{role=\"gauged\"} 0"));

    let alarm = health.alarm(AlarmKind::DeadLetters, "gauged");
    assert!(shown("causeway_alarm{alarm=\"dead-letters\",target=\"gauged\"} 0"));
    alarm.raise("look at them");
    assert!(shown("causeway_alarm{alarm=\"dead-letters\",target=\"gauged\"} 1"));
    alarm.clear();
    assert!(shown("causeway_alarm{alarm=\"dead-letters\",target=\"gauged\"} 0"));
}

#[test]
fn an_alarm_is_logged_when_it_changes_and_only_then() {
    let lines = crate::logging::capture("info", || {
        let alarm = health().alarm(AlarmKind::NoInbound, "sales");
        alarm.clear();
        alarm.raise("quiet for 4 h");
        alarm.raise("quiet for 5 h");
        alarm.clear();
        alarm.clear();
    });
    let lines: Vec<serde_json::Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let told: Vec<_> =
        lines.iter().map(|line| (line["level"].as_str().unwrap(), line["about"].as_str().unwrap())).collect();
    assert_eq!(told, [("ERROR", "sales"), ("INFO", "sales")]);
    assert_eq!((&lines[0]["alarm"], &lines[0]["detail"]), (&"no-inbound".into(), &"quiet for 4 h".into()));
}
