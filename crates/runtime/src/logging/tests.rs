use std::io::Write;
use std::sync::{Arc, Mutex, Once};

use serde_json::Value;

use super::*;

#[derive(Clone, Default)]
struct Captured(Arc<Mutex<Vec<u8>>>);

impl Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// The JSON lines of what runs.
pub(crate) fn capture(filter: &str, run: impl FnOnce()) -> String {
    captured(true, filter, run)
}

fn captured(json: bool, filter: &str, run: impl FnOnce()) -> String {
    // A place in the code is asked once whether anyone listens. Without a listener for all threads, a test beside this one
    // that comes by such a place first would have it silent for good.
    static LISTENER: Once = Once::new();
    LISTENER.call_once(|| registry().init());
    let captured = Captured::default();
    let writer = captured.clone();
    let subscriber = registry().with(layer(move || writer.clone(), json, false, filter).unwrap());
    tracing::subscriber::with_default(subscriber, run);
    String::from_utf8(captured.0.lock().unwrap().clone()).unwrap()
}

fn walk() {
    let span = tracing::info_span!(
        target: "broker",
        "message",
        message.id = "in-1",
        trace.id = "t-1",
        channel = "sales",
        conversation = "c-1"
    );
    let _inside = span.enter();
    tracing::warn!(target: "broker", attempt = 1, "handled");
}

#[test]
fn the_ids_of_a_walk_are_on_each_line_even_when_info_is_not_shown() {
    for filter in ["info", "warn", "error,broker=warn"] {
        let lines = capture(filter, walk);
        let line: Value = serde_json::from_str(&lines).unwrap();
        assert_eq!((&line["message"], &line["attempt"]), (&"handled".into(), &1.into()), "{lines}");
        let span = &line["spans"][0];
        assert_eq!((&span["message.id"], &span["trace.id"]), (&"in-1".into(), &"t-1".into()), "{filter}: {lines}");
        assert_eq!((&span["channel"], &span["conversation"]), (&"sales".into(), &"c-1".into()), "{filter}: {lines}");
    }
}

/// The order of a line's fields, what is escaped, what is recorded twice, and the spans from the outermost on.
#[test]
fn a_line_is_one_json_object() {
    let lines = capture("info", || {
        let outer = tracing::info_span!(target: "broker", "outer", attempt = tracing::field::Empty, queue = %"a \"b\"");
        let _outer = outer.enter();
        let inner = tracing::info_span!(target: "broker", "inner");
        let _inner = inner.enter();
        outer.record("attempt", 1);
        outer.record("attempt", 2);
        tracing::error!(target: "broker", well = false, share = 0.5, less = -1, list = ?["x"], "one\ntwo \u{1}");
    });
    assert_eq!(lines.matches('\n').count(), 1, "{lines}");
    let (time, rest) = lines.split_once(",\"level\"").unwrap();
    let time = time.strip_prefix("{\"timestamp\":\"").and_then(|time| time.strip_suffix('"')).unwrap();
    assert!(time.parse::<jiff::Timestamp>().is_ok(), "{time}");
    let expected = r#":"ERROR","message":"one\ntwo \u0001","well":false,"share":0.5,"less":-1,"list":"[\"x\"]","target":"broker","spans":[{"queue":"a \"b\"","attempt":2,"name":"outer"},{"name":"inner"}]}"#;
    assert_eq!(rest.trim_end(), expected);
    serde_json::from_str::<Value>(&lines).unwrap();
}

#[test]
fn text_is_for_people() {
    let line = captured(false, "info", walk);
    assert!(line.contains(" WARN message{message.id=\"in-1\"") && line.contains("handled attempt=1"), "{line}");
}

#[test]
fn a_filter_is_a_level_or_levels_of_crates() {
    let lines = capture("info,broker::engine=debug,sms=off", || {
        tracing::debug!(target: "broker::engine::lane", "one");
        tracing::debug!(target: "broker", "two");
        tracing::error!(target: "sms", "three");
        tracing::info!(target: "ledger", "four");
    });
    let shown = ["one", "two", "three", "four"].map(|word| lines.contains(word));
    assert_eq!(shown, [true, false, false, true], "{lines}");
    assert!(layer::<registry::Registry, _>(std::io::stderr, true, false, "broker=loud").is_err());
}

fn libraries() {
    tracing::trace!(target: "broker::engine", "ours");
    tracing::info!(target: "hyper::proto", "POST /netsapiens/crexendo/secret");
    tracing::debug!(target: "brokerage", "secret");
    tracing::trace!(target: "lapin::frames", "frame");
    tracing::error!(target: "lapin::channel", "not found");
    tracing::warn!(target: "rustls", "careful");
}

#[test]
fn libraries_are_held_at_warn_even_at_trace() {
    let lines = capture("trace", libraries);
    assert!(lines.contains("ours") && lines.contains("careful"), "{lines}");
    assert!(!lines.contains("secret") && !lines.contains("frame\"") && !lines.contains("not found"), "{lines}");
}

#[test]
fn a_library_that_is_named_is_taken_at_its_word() {
    let lines = capture("info,lapin=trace", libraries);
    assert!(lines.contains("\"frame\"") && !lines.contains("secret") && !lines.contains("ours"), "{lines}");
    assert_eq!(Wanted::read("trace,lapin=trace,broker=trace,hyper=error").unwrap().opened(), ["lapin"]);
    assert!(Wanted::read("trace").unwrap().opened().is_empty());
}
