use anyhow::Context;
use tracing::{Level, Metadata};
use tracing_subscriber::filter::{FilterFn, LevelFilter, Targets};

/// The crates of the house; all others are libraries.
const OURS: [&str; 15] = [
    "blobs",
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

/// Libraries whose every error reaches us as a value, and is told with what to do about it; their own lines would only alarm.
const SILENT: [&str; 1] = ["lapin"];

/// What a filter asks for.
pub(super) struct Wanted {
    levels: Targets,
    /// The libraries it names.
    named: Vec<String>,
}

impl Wanted {
    pub(super) fn read(filter: &str) -> anyhow::Result<Self> {
        let levels: Targets = filter.parse().with_context(|| {
            format!(
                "log.filter \"{filter}\" cannot be read; write a level, or levels of crates as in \"info,broker=debug\""
            )
        })?;
        let named = levels.iter().map(|(target, _)| target.to_owned()).filter(|target| !is_ours(target)).collect();
        Ok(Self { levels, named })
    }

    /// The libraries that are let out beyond `warn`.
    pub(super) fn opened(&self) -> Vec<String> {
        let open = |(target, level): &(&str, LevelFilter)| *level > LevelFilter::WARN && !is_ours(target);
        self.levels.iter().filter(open).map(|(target, _)| target.to_owned()).collect()
    }

    pub(super) fn filter(self) -> FilterFn<impl Fn(&Metadata<'_>) -> bool> {
        let general = self.levels.default_level().unwrap_or(LevelFilter::OFF);
        let most = self.levels.iter().map(|(_, level)| level).chain([general, LevelFilter::INFO]).max();
        FilterFn::new(move |line: &Metadata<'_>| self.shows(line))
            .with_max_level_hint(most.unwrap_or(LevelFilter::TRACE))
    }

    fn shows(&self, line: &Metadata<'_>) -> bool {
        let (target, level) = (line.target(), *line.level());
        if is_ours(target) {
            // A span carries the ids of a message's walk, which a warning inside it needs even when `info` is not shown.
            return self.levels.would_enable(target, &level) || (line.is_span() && level <= Level::INFO);
        }
        let silent = SILENT.iter().any(|library| is_within(target, library));
        let held = (level <= Level::WARN && !silent) || self.named.iter().any(|named| is_within(target, named));
        held && self.levels.would_enable(target, &level)
    }
}

fn is_ours(target: &str) -> bool {
    OURS.iter().any(|name| is_within(target, name))
}

/// Whether a target is a module or inside it: `broker::engine` is in `broker`, and `brokerage` is not.
fn is_within(target: &str, module: &str) -> bool {
    target.strip_prefix(module).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}
