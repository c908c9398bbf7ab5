//! Reads one table, key by key, into types, and remembers every problem on the way.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Map, Value};

use super::problems::Problems;
use super::tree;
use super::units::{parse_duration, parse_size};

/// What all sections of one configuration share.
pub(super) struct Shared {
    pub(super) problems: RefCell<Problems>,
    pub(super) warnings: RefCell<Vec<String>>,
    /// Paths whose value is text from the environment.
    pub(super) from_environment: BTreeMap<String, String>,
    /// The variables they came from, by what problems call the key.
    pub(super) variables: BTreeMap<String, String>,
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
        let at = self.at(key);
        let value = self.table.and_then(|table| table.get(key));
        let variable = tree::variable(&self.shared.variables, &at, value);
        self.shared.problems.borrow_mut().add(variable.unwrap_or(&at), what.into(), instead);
    }

    pub(super) fn warn(&self, key: &str, what: &str) {
        self.shared.warnings.borrow_mut().push(format!("{}: {what}", self.at(key)));
    }

    /// Notes what is in force for a key.
    pub(super) fn record(&self, key: &str, value: impl Into<Value>) {
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
            let label = tree::label(key, index, table);
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

    /// Text that something else stands in for where it is missing.
    pub(super) fn string_or(&self, key: &str, default: Option<&str>) -> Option<String> {
        let found = self.string(key);
        if let (None, Some(default)) = (&found, default) {
            self.record(key, default);
        }
        found.or_else(|| default.map(str::to_owned))
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
        self.shared.from_environment.contains_key(&join(&self.path, key))
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

    /// One of a closed set of words, `default` among them, which is in force where there is none.
    pub(super) fn word_or<T: Copy>(&self, key: &str, default: &str, words: &[(&str, T)]) -> T {
        let usual = words.iter().find(|(word, _)| *word == default).expect("the default is one of the words");
        if self.value(key).is_none() {
            self.record(key, default);
        }
        self.word(key, words).unwrap_or(usual.1)
    }

    pub(super) fn strings(&self, key: &str) -> Vec<String> {
        let found = self.list(key);
        if self.has(key) {
            self.record(key, found.clone());
        }
        found
    }

    /// A list of texts; one that is missing or empty is `default`.
    pub(super) fn strings_or(&self, key: &str, default: &[&str]) -> Vec<String> {
        let found = self.strings(key);
        if !found.is_empty() {
            return found;
        }
        self.record(key, default.to_vec());
        default.iter().map(|one| (*one).to_owned()).collect()
    }

    pub(super) fn list(&self, key: &str) -> Vec<String> {
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

    /// Lets keys of another kind stand, so that an overridden `kind` needs no other file; whoever wrote them is told.
    pub(super) fn without_effect(&self, keys: &[&str], with: &str) {
        for key in keys.iter().filter(|key| self.value(key).is_some()) {
            self.warn(key, &format!("has no effect with {with}"));
        }
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
