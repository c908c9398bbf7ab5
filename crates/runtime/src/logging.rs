//! Logs: text on a terminal, JSON otherwise.
//!
//! Our own crates never write a text, number, address, token or secret. Libraries below us may: at `debug` and `trace`
//! HTTP, TLS and AMQP libraries print URLs and frames. So the filter counts for our crates, and everything else is held at
//! `warn` whatever it says.

use std::io::IsTerminal;

use anyhow::Context;
use tracing::Subscriber;
use tracing_subscriber::filter::{EnvFilter, FilterExt, Targets};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt, registry};

/// The shape of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Text on a terminal, JSON otherwise.
    Auto,
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// The crates of the house; all others are libraries.
const OURS: [&str; 14] = [
    "broker",
    "causeway",
    "consumer_outbound",
    "email",
    "genesys",
    "genesys_outbound",
    "ingress",
    "ledger",
    "model",
    "receipt_emitter",
    "runtime",
    "sandbox",
    "sms",
    "webhook_ingest",
];

/// Sends logs to standard error. `filter` as in `info,broker=debug`.
///
/// # Errors
/// A filter that cannot be read, or logging was set up before.
pub fn init(format: Format, filter: &str) -> anyhow::Result<()> {
    let colours = std::io::stderr().is_terminal();
    let json = match format {
        Format::Auto => !colours,
        Format::Text => false,
        Format::Json => true,
    };
    let layer = layer(std::io::stderr, json, colours, filter)?;
    registry().with(layer).try_init().context("logging was set up before")
}

/// The layer behind [`init`], for a writer of one's own.
///
/// # Errors
/// A filter that cannot be read.
pub fn layer<S, W>(writer: W, json: bool, colours: bool, filter: &str) -> anyhow::Result<Box<dyn Layer<S> + Send + Sync>>
where
    S: Subscriber + for<'a> LookupSpan<'a> + Send + Sync,
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let wanted = EnvFilter::builder().parse(filter).with_context(|| format!("log.filter {filter:?} cannot be read"))?;
    let ours = OURS.map(|name| (name, tracing::level_filters::LevelFilter::TRACE));
    let held = Targets::new().with_default(tracing::Level::WARN).with_targets(ours);
    let filter = wanted.and(held);
    Ok(if json {
        fmt::layer().json().flatten_event(true).with_current_span(false).with_span_list(true).with_writer(writer).with_filter(filter).boxed()
    } else {
        fmt::layer().with_ansi(colours).with_writer(writer).with_filter(filter).boxed()
    })
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

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

    fn capture(filter: &str, run: impl FnOnce()) -> String {
        let captured = Captured::default();
        let writer = captured.clone();
        let subscriber = registry().with(layer(move || writer.clone(), true, false, filter).unwrap());
        tracing::subscriber::with_default(subscriber, run);
        String::from_utf8(captured.0.lock().unwrap().clone()).unwrap()
    }

    #[test]
    fn spans_walk_along_and_lines_are_json() {
        let lines = capture("info", || {
            let span = tracing::info_span!(target: "broker", "message", message.id = "in-1", trace.id = "t");
            let _inside = span.enter();
            tracing::info!(target: "broker", attempt = 1, "handled");
        });
        let line: serde_json::Value = serde_json::from_str(&lines).unwrap();
        assert_eq!(line["message"], "handled");
        assert_eq!(line["spans"][0]["message.id"], "in-1");
    }

    #[test]
    fn libraries_are_held_at_warn_even_at_trace() {
        let lines = capture("trace", || {
            tracing::debug!(target: "hyper::proto", "POST /netsapiens/crexendo/secret");
            tracing::trace!(target: "broker::engine", "ours");
        });
        assert!(lines.contains("ours") && !lines.contains("secret"), "{lines}");
    }
}
