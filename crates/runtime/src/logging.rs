//! Logs: text on a terminal, JSON otherwise.
//!
//! Our own crates never write a text, number, address, token or secret, at any level. Libraries below us do: at `debug` and
//! `trace`, HTTP, TLS and AMQP libraries print URLs, headers and frames. So the filter's general level counts for our crates,
//! and libraries are held at `warn` whatever it says. A library that is named (`info,lapin=debug`) is taken at its word: that
//! is for a test system, and a warning at the start of the log says so.

mod filter;
mod json;

use std::backtrace::{Backtrace, BacktraceStatus};
use std::io::IsTerminal;
use std::panic::PanicHookInfo;

use anyhow::Context;
use tracing::Subscriber;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt, registry};

use filter::Wanted;
use json::JsonLines;

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

/// Sends logs to standard error, and panics into the logs. `filter` as in `info,broker=debug`.
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
    start(std::io::stderr, json, colours, filter)
}

/// [`init`] for a writer of one's own, such as one that keeps the logs of a whole run; [`Format::Auto`] is JSON.
///
/// # Errors
/// A filter that cannot be read, or logging was set up before.
pub fn init_with_writer<W>(writer: W, format: Format, filter: &str) -> anyhow::Result<()>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    start(writer, format != Format::Text, false, filter)
}

fn start<W>(writer: W, json: bool, colours: bool, filter: &str) -> anyhow::Result<()>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let wanted = Wanted::read(filter)?;
    let opened = wanted.opened();
    registry().with(layer_of(writer, json, colours, wanted)).try_init().context("logging was set up before")?;
    std::panic::set_hook(Box::new(tell_panic));
    if !opened.is_empty() {
        let libraries = opened.join(", ");
        tracing::warn!(
            libraries,
            "log.filter names libraries: they may log numbers, texts and secrets; not for production"
        );
    }
    Ok(())
}

/// Whether [`init`] would take this filter.
pub fn is_filter(filter: &str) -> bool {
    Wanted::read(filter).is_ok()
}

/// The layer behind [`init`], for a subscriber of one's own.
///
/// # Errors
/// A filter that cannot be read.
pub fn layer<S, W>(
    writer: W,
    json: bool,
    colours: bool,
    filter: &str,
) -> anyhow::Result<Box<dyn Layer<S> + Send + Sync>>
where
    S: Subscriber + for<'a> LookupSpan<'a> + Send + Sync,
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    Ok(layer_of(writer, json, colours, Wanted::read(filter)?))
}

fn layer_of<S, W>(writer: W, json: bool, colours: bool, wanted: Wanted) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'a> LookupSpan<'a> + Send + Sync,
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    if json {
        JsonLines::new(writer).with_filter(wanted.filter()).boxed()
    } else {
        fmt::layer().with_writer(writer).with_ansi(colours).with_filter(wanted.filter()).boxed()
    }
}

/// A panic's message may quote what was handled (`expect` prints the error it met), so the place has to be enough.
fn tell_panic(panic: &PanicHookInfo<'_>) {
    let place = panic.location().map(ToString::to_string);
    let thread = std::thread::current();
    let thread = thread.name();
    let trace = Backtrace::capture();
    if trace.status() == BacktraceStatus::Captured {
        tracing::error!(place, thread, %trace, "a panic; its message is withheld");
    } else {
        tracing::error!(place, thread, "a panic; its message is withheld");
    }
}

#[cfg(test)]
mod tests;

#[cfg(test)]
pub(crate) use tests::capture;
