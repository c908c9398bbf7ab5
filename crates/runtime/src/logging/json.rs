//! One JSON object a line. A span's fields are written once, when they are known, and copied into each line within it: two
//! lines for every message are a part of what the message costs.

use std::fmt;
use std::io::Write;

use serde::Serializer;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

/// What a line takes, usually.
const USUAL: usize = 512;

/// Writes a line for each event: when, how grave, its fields, where from, and the spans it is within.
pub(super) struct JsonLines<W> {
    writer: W,
}

impl<W> JsonLines<W> {
    pub(super) const fn new(writer: W) -> Self {
        Self { writer }
    }
}

impl<S, W> Layer<S> for JsonLines<W>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: for<'a> MakeWriter<'a> + 'static,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let mut fields = Fields::default();
        attributes.record(&mut Visitor(|name, value| fields.tell(name, value)));
        span.extensions_mut().insert(fields);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        if let Some(fields) = span.extensions_mut().get_mut::<Fields>() {
            values.record(&mut Visitor(|name, value| fields.tell(name, value)));
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let metadata = event.metadata();
        let mut time = String::new();
        let timed = SystemTime.format_time(&mut Writer::new(&mut time));
        let mut line = Line(Vec::with_capacity(USUAL));
        line.0.push(b'{');
        if timed.is_ok() {
            line.field("timestamp", &json(&time));
        }
        line.field("level", &json(metadata.level().as_str()));
        event.record(&mut Visitor(|name: &'static str, value: Vec<u8>| line.field(name, &value)));
        line.field("target", &json(metadata.target()));
        if let Some(scope) = context.event_scope(event) {
            line.name("spans");
            line.0.push(b'[');
            for span in scope.from_root() {
                line.begin(b'{');
                if let Some(fields) = span.extensions().get::<Fields>() {
                    fields.0.iter().for_each(|(name, value)| line.field(name, value));
                }
                line.field("name", &json(span.name()));
                line.0.push(b'}');
            }
            line.0.push(b']');
        }
        line.0.extend_from_slice(b"}\n");
        // A log that cannot be written has nowhere to say so.
        let _unwritten = self.writer.make_writer_for(metadata).write_all(&line.0);
    }
}

/// A value as JSON.
fn json<T: serde::Serialize + ?Sized>(value: &T) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_else(|_| b"null".to_vec())
}

/// The fields of a span, each with its value as JSON.
#[derive(Default)]
struct Fields(Vec<(&'static str, Vec<u8>)>);

impl Fields {
    /// What is told again takes the place of what was there.
    fn tell(&mut self, name: &'static str, value: Vec<u8>) {
        match self.0.iter_mut().find(|(known, _)| *known == name) {
            Some((_, known)) => *known = value,
            None => self.0.push((name, value)),
        }
    }
}

/// A line in the making.
struct Line(Vec<u8>);

impl Line {
    /// Begins an object or a name, after a comma where something stands before it.
    fn begin(&mut self, with: u8) {
        if !matches!(self.0.last(), Some(b'{' | b'[')) {
            self.0.push(b',');
        }
        self.0.push(with);
    }

    /// Names of fields are words of ours or of a library, in which nothing is to be escaped.
    fn name(&mut self, name: &str) {
        self.begin(b'"');
        self.0.extend_from_slice(name.as_bytes());
        self.0.extend_from_slice(b"\":");
    }

    fn field(&mut self, name: &str, value: &[u8]) {
        self.name(name);
        self.0.extend_from_slice(value);
    }
}

/// Gives each field's name, and its value as JSON.
struct Visitor<F>(F);

impl<F: FnMut(&'static str, Vec<u8>)> Visit for Visitor<F> {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.0(field.name(), json(value));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.0(field.name(), json(&value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.0(field.name(), json(&value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.0(field.name(), json(&value));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.0(field.name(), json(&value));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let mut written = Vec::new();
        // Into memory it is always written, unless the value itself refuses.
        if serde_json::Serializer::new(&mut written).collect_str(&format_args!("{value:?}")).is_err() {
            written = b"null".to_vec();
        }
        self.0(field.name(), written);
    }
}
