//! Reads one table, key by key, into types, and remembers every problem on the way.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;
use serde_json::{Map, Value};

use super::problems::Problems;

/// What all sections of one configuration share.
pub(super) struct Shared {
    pub(super) problems: RefCell<Problems>,
    pub(super) warnings: RefCell<Vec<String>>,
    pub(super) from_environment: BTreeSet<String>,
    /// Whether secret files are read.
    pub(super) read_secrets: bool,
    /// What is in force, key by key, for `config show`.
    pub(super) effective: RefCell<Vec<(String, Value)>>,
    /// Every file a secret was asked of.
    pub(super) secret_files: RefCell<Vec<PathBuf>>,
}

/// One table.
pub(super) struct Section<'a> {
    path: String,
    /// What errors call it: the name of an array's table rather than its index.
    label: String,
    table: Option<&'a Map<String, Value>>,
    known: RefCell<BTreeSet<String>>,
    pub(super) shared: &'a Shared,
}

impl<'a> Section<'a> {
    pub(super) fn root(table: &'a Map<String, Value>, shared: &'a Shared) -> Self {
        Self { path: String::new(), label: String::new(), table: Some(table), known: RefCell::default(), shared }
    }

    /// The path of a key as errors print it.
    pub(super) fn at(&self, key: &str) -> String {
        join(&self.label, key)
    }

    pub(super) fn problem(&self, key: &str, what: impl Into<String>, instead: &str) {
        self.shared.problems.borrow_mut().add(&self.at(key), what.into(), instead);
    }

    pub(super) fn warn(&self, key: &str, what: &str) {
        self.shared.warnings.borrow_mut().push(format!("{}: {what}", self.at(key)));
    }

    /// Notes what is in force for a key.
    fn record(&self, key: &str, value: impl Into<Value>) {
        self.shared.effective.borrow_mut().push((join(&self.path, key), value.into()));
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.table.is_some_and(|table| table.contains_key(key))
    }

    pub(super) fn value(&self, key: &str) -> Option<&'a Value> {
        self.known.borrow_mut().insert(key.to_owned());
        self.table?.get(key).filter(|value| !value.is_null())
    }

    /// A table under this one; absent reads as empty.
    pub(super) fn section(&self, key: &str) -> Section<'a> {
        let table = match self.value(key) {
            Some(Value::Object(table)) => Some(table),
            Some(_) => {
                self.problem(key, "must be a table", &format!("[{}]", self.at(key)));
                None
            }
            None => None,
        };
        Section {
            path: join(&self.path, key),
            label: self.at(key),
            table,
            known: RefCell::default(),
            shared: self.shared,
        }
    }

    /// An array of tables.
    pub(super) fn sections(&self, key: &str) -> Vec<Section<'a>> {
        let Some(value) = self.value(key) else { return Vec::new() };
        let Value::Array(entries) = value else {
            self.problem(key, "must be an array of tables", &format!("[[{key}]]"));
            return Vec::new();
        };
        let section = |(index, entry): (usize, &'a Value)| {
            let Value::Object(table) = entry else {
                self.problem(key, "must be an array of tables", &format!("[[{key}]]"));
                return None;
            };
            let name = table.get("name").or_else(|| table.get("id")).and_then(Value::as_str);
            let label = name.map_or_else(|| format!("{key}[{index}]"), |name| format!("{key} \"{name}\""));
            let path = format!("{}.{index}", join(&self.path, key));
            Some(Section { path, label, table: Some(table), known: RefCell::default(), shared: self.shared })
        };
        entries.iter().enumerate().filter_map(section).collect()
    }

    pub(super) fn string(&self, key: &str) -> Option<String> {
        match self.value(key)? {
            Value::String(text) => {
                self.record(key, text.as_str());
                Some(text.clone())
            }
            _ => {
                self.problem(key, "must be text", "it in quotation marks");
                None
            }
        }
    }

    pub(super) fn required(&self, key: &str, instead: &str) -> Option<String> {
        let found = self.string(key);
        match &found {
            Some(text) if text.trim().is_empty() => self.problem(key, "is empty", instead),
            None if self.value(key).is_none() => self.problem(key, "is missing", instead),
            _ => return found,
        }
        None
    }

    /// Whether the value came from the environment, where everything is text.
    fn as_text(&self, key: &str) -> bool {
        self.shared.from_environment.contains(&join(&self.path, key))
    }

    pub(super) fn boolean(&self, key: &str, default: bool) -> bool {
        let found = self.find_boolean(key, default);
        self.record(key, found);
        found
    }

    fn find_boolean(&self, key: &str, default: bool) -> bool {
        match self.value(key) {
            None => default,
            Some(Value::Bool(value)) => *value,
            Some(Value::String(text)) if self.as_text(key) && matches!(text.as_str(), "true" | "false") => {
                text == "true"
            }
            Some(_) => {
                self.problem(key, "must be true or false", "true or false, without quotation marks");
                default
            }
        }
    }

    pub(super) fn integer(&self, key: &str, default: u64, allowed: std::ops::RangeInclusive<u64>) -> u64 {
        let found = self.find_integer(key, default, &allowed);
        self.record(key, found);
        found
    }

    fn find_integer(&self, key: &str, default: u64, allowed: &std::ops::RangeInclusive<u64>) -> u64 {
        let found = match self.value(key) {
            None => return default,
            Some(Value::Number(number)) => number.as_u64(),
            Some(Value::String(text)) if self.as_text(key) => text.parse().ok(),
            Some(_) => None,
        };
        match found.filter(|found| allowed.contains(found)) {
            Some(found) => found,
            None => {
                let range = format!("a whole number from {} to {}", allowed.start(), allowed.end());
                self.problem(key, format!("must be {range}"), &range);
                default
            }
        }
    }

    /// Text that is read by `parse`; `default` is written the same way, so that `config show` prints it.
    pub(super) fn parsed<T>(&self, key: &str, default: &str, instead: &str, parse: impl Fn(&str) -> Option<T>) -> T {
        let fallback = || parse(default).expect("defaults are written as they are read");
        let found = match self.value(key) {
            None => None,
            Some(value) => {
                let text = value.as_str().filter(|text| parse(text).is_some());
                if text.is_none() {
                    self.problem(key, "cannot be read", instead);
                }
                text
            }
        };
        self.record(key, found.unwrap_or(default));
        found.and_then(&parse).unwrap_or_else(fallback)
    }

    pub(super) fn duration(&self, key: &str, default: &str) -> Duration {
        self.parsed(key, default, "a duration such as \"30s\", \"4h\" or \"30d\"", parse_duration)
    }

    pub(super) fn size(&self, key: &str, default: &str) -> u64 {
        self.parsed(key, default, "a size such as \"1 MiB\"", parse_size)
    }

    /// A file the process will read at its start, which is a problem now when it cannot.
    pub(super) fn file(&self, key: &str, path: &str) -> PathBuf {
        if self.shared.read_secrets
            && let Err(error) = std::fs::File::open(path)
        {
            self.problem(key, format!("names {path}, which cannot be read: {error}"), "a file this process may read");
        }
        PathBuf::from(path)
    }

    pub(super) fn path(&self, key: &str) -> Option<PathBuf> {
        self.string(key).map(PathBuf::from)
    }

    /// One of a closed set of words.
    pub(super) fn word<T: Copy>(&self, key: &str, words: &[(&str, T)]) -> Option<T> {
        let found = self.string(key)?;
        let known = words.iter().find(|(word, _)| *word == found);
        if known.is_none() {
            let all: Vec<String> = words.iter().map(|(word, _)| format!("\"{word}\"")).collect();
            self.problem(key, "is none of the words it may be", &all.join(" or "));
        }
        known.map(|(_, value)| *value)
    }

    pub(super) fn strings(&self, key: &str) -> Vec<String> {
        let found = self.list(key);
        if !found.is_empty() {
            self.record(key, found.clone());
        }
        found
    }

    fn list(&self, key: &str) -> Vec<String> {
        match self.value(key) {
            None => Vec::new(),
            Some(Value::String(text)) if self.as_text(key) => {
                text.split(',').map(|part| part.trim().to_owned()).filter(|part| !part.is_empty()).collect()
            }
            Some(Value::Array(values)) if values.iter().all(Value::is_string) => {
                values.iter().filter_map(Value::as_str).map(str::to_owned).collect()
            }
            Some(_) => {
                self.problem(key, "must be a list of texts", "[\"…\", \"…\"]");
                Vec::new()
            }
        }
    }

    /// A secret given as `key`, or as `key_file`.
    pub(super) fn secret(&self, key: &str) -> Option<SecretString> {
        let file_key = format!("{key}_file");
        match (self.private_string(key), self.path(&file_key)) {
            (Some(_), Some(_)) => {
                self.problem(key, format!("is given twice, also as {file_key}"), "one of the two");
                None
            }
            (Some(secret), None) => self.usable(key, secret),
            (None, Some(path)) => self.secret_file(&file_key, &path),
            (None, None) => None,
        }
    }

    /// Text that is never recorded as it is.
    fn private_string(&self, key: &str) -> Option<String> {
        let value = self.value(key)?;
        self.record(key, "***");
        if !value.is_string() {
            self.problem(key, "must be text", "it in quotation marks");
        }
        value.as_str().map(str::to_owned)
    }

    /// The secret of a command itself, which is read also where no other is. Whoever may not read it is told by the process it asks.
    pub(super) fn own_secret(&self, key: &str) -> Option<SecretString> {
        let given = self.secret(key)?;
        if self.shared.read_secrets {
            return Some(given);
        }
        let read = self.path(&format!("{key}_file")).and_then(|path| std::fs::read_to_string(path).ok());
        Some(read.map_or(given, |text| SecretString::from(text.trim_end_matches(['\r', '\n']).to_owned())))
    }

    pub(super) fn required_secret(&self, key: &str) -> Option<SecretString> {
        if !self.has(key) && !self.has(&format!("{key}_file")) {
            self.problem(key, "is missing", &format!("{key}_file = \"/run/secrets/…\""));
        }
        self.secret(key)
    }

    /// Secrets given as `{stem}s = […]` and `{stem}_files = […]`.
    pub(super) fn secrets(&self, stem: &str) -> Vec<SecretString> {
        let (plain_key, file_key) = (format!("{stem}s"), format!("{stem}_files"));
        let plain = self.list(&plain_key);
        if !plain.is_empty() {
            self.record(&plain_key, vec!["***"; plain.len()]);
        }
        let plain: Vec<SecretString> = plain.into_iter().filter_map(|secret| self.usable(&plain_key, secret)).collect();
        let files = self.strings(&file_key).into_iter().map(PathBuf::from);
        plain.into_iter().chain(files.filter_map(|path| self.secret_file(&file_key, &path))).collect()
    }

    fn secret_file(&self, key: &str, path: &std::path::Path) -> Option<SecretString> {
        self.shared.secret_files.borrow_mut().push(path.to_owned());
        if !self.shared.read_secrets {
            return Some(SecretString::from("not read"));
        }
        match std::fs::read_to_string(path) {
            Ok(text) => {
                let cut = text.strip_suffix('\n').map_or(text.as_str(), |cut| cut.strip_suffix('\r').unwrap_or(cut));
                self.usable(key, cut.to_owned())
            }
            Err(error) => {
                let instead = "the path of a file this process may read (or check with --without-secrets)";
                self.problem(key, format!("{} cannot be read: {error}", path.display()), instead);
                None
            }
        }
    }

    fn usable(&self, key: &str, secret: String) -> Option<SecretString> {
        if secret.is_empty() {
            self.problem(key, "holds an empty secret", "a secret of at least one character");
            return None;
        }
        Some(SecretString::from(secret))
    }

    /// Every key nobody asked for is a problem; the nearest real one is named.
    pub(super) fn finish(self) {
        self.check_keys();
    }

    /// As [`Section::finish`], for the root, whose sections are read one by one.
    pub(super) fn check_keys(&self) {
        let known = self.known.borrow();
        for key in self.table.into_iter().flat_map(Map::keys).filter(|key| !known.contains(*key)) {
            let nearest = known.iter().map(|name| (strsim::damerau_levenshtein(name, key), name)).min();
            let instead = match nearest {
                Some((distance, name)) if distance <= 3 || distance * 2 <= key.len() => format!("`{name}`"),
                _ if known.is_empty() => "nothing: this table has no keys".to_owned(),
                _ => format!("one of: {}", known.iter().cloned().collect::<Vec<_>>().join(", ")),
            };
            self.problem(key, "is not a key of this table", &instead);
        }
    }
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

/// `500ms`, `30s`, `5m`, `4h`, `30d`, and sums of them.
pub(crate) fn parse_duration(text: &str) -> Option<Duration> {
    let span: jiff::Span = text.trim().parse().ok()?;
    let length = span.to_duration(jiff::SpanRelativeTo::days_are_24_hours()).ok()?;
    Duration::try_from(length).ok()
}

/// `512 KiB`, `1 MiB`, `25 MiB`; a bare number is bytes.
fn parse_size(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let factor: u64 = match unit.trim() {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_sizes() {
        assert_eq!(parse_duration("30s"), Some(Duration::from_secs(30)));
        assert_eq!(parse_duration("30d"), Some(Duration::from_secs(30 * 86_400)));
        assert_eq!(parse_duration("1h 30m"), Some(Duration::from_secs(5_400)));
        assert_eq!(parse_duration("-5s"), None);
        assert_eq!(parse_duration("soon"), None);
        assert_eq!(parse_size("1 MiB"), Some(1 << 20));
        assert_eq!(parse_size("10"), Some(10));
        assert_eq!(parse_size("1 MB"), None);
    }
}
