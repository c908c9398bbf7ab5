//! The layers of a configuration, file under environment, as one tree.

use std::collections::BTreeMap;

use config::{ConfigError, FileFormat, Value as Layer, ValueKind};
use serde_json::{Map, Value};

use super::problems::Problems;

/// Where settings come from; handed in, so that tests never touch the process's environment.
pub struct Source<'a> {
    /// What problems call the file.
    pub file: &'a str,
    /// Its text.
    pub text: &'a str,
    /// Environment variables, all of them; those that begin with `CAUSEWAY__` count.
    pub environment: Vec<(String, String)>,
}

/// The merged tree.
pub(super) struct Tree {
    pub(super) root: Map<String, Value>,
    /// Paths whose value is text from the environment and takes the type of its key, with the variables it came from.
    pub(super) from_environment: BTreeMap<String, String>,
}

impl Tree {
    /// The variables, by what problems call their keys.
    pub(super) fn variables(&self) -> BTreeMap<String, String> {
        let called = |path: &str| {
            let mut parts = path.splitn(3, '.');
            let (array, index, rest) = (parts.next()?, parts.next()?.parse::<usize>().ok()?, parts.next()?);
            let table = self.root.get(array)?.get(index)?.as_object()?;
            Some(format!("{}.{rest}", label(array, index, table)))
        };
        let paths = self.from_environment.iter();
        paths.map(|(path, variable)| (called(path).unwrap_or_else(|| path.clone()), variable.clone())).collect()
    }
}

/// What problems call a table of an array: its name rather than its index.
pub(super) fn label(array: &str, index: usize, table: &Map<String, Value>) -> String {
    let name = table.get("name").or_else(|| table.get("id")).and_then(Value::as_str);
    name.map_or_else(|| format!("{array}[{index}]"), |name| format!("{array} \"{name}\""))
}

/// The variable that a value came from; of a table, one of those that alone made it.
pub(super) fn variable<'v>(
    variables: &'v BTreeMap<String, String>,
    at: &str,
    value: Option<&Value>,
) -> Option<&'v str> {
    let Some(Value::Object(table)) = value else { return variables.get(at).map(String::as_str) };
    let mut found = table.iter().map(|(key, value)| variable(variables, &format!("{at}.{key}"), Some(value)));
    let first = found.next()??;
    found.all(|other| other.is_some()).then_some(first)
}

const PREFIX: &str = "CAUSEWAY__";
/// Arrays of tables, whose tables are named in environment variables.
const NAMED: [&str; 3] = ["genesys", "provider", "channel"];

pub(super) fn read(source: &Source<'_>, problems: &mut Problems) -> Tree {
    let root = match parse(source.text) {
        Ok(root) => root,
        Err(error) => {
            problems.add("", format!("is not TOML: {error}"), "mend the line it names");
            Map::new()
        }
    };
    let mut tree = Tree { root, from_environment: BTreeMap::new() };
    for (variable, value) in &source.environment {
        if let Some(keys) = variable.strip_prefix(PREFIX) {
            overlay(&mut tree, variable, keys, value, problems);
        }
    }
    tree
}

fn parse(text: &str) -> Result<Map<String, Value>, ConfigError> {
    let layers = config::Config::builder().add_source(config::File::from_str(text, FileFormat::Toml)).build()?;
    match plain(layers.cache) {
        Value::Object(root) => Ok(root),
        _ => Ok(Map::new()),
    }
}

fn plain(layer: Layer) -> Value {
    match layer.kind {
        ValueKind::Nil => Value::Null,
        ValueKind::Boolean(value) => value.into(),
        ValueKind::I64(value) => value.into(),
        ValueKind::I128(value) => value.to_string().into(),
        ValueKind::U64(value) => value.into(),
        ValueKind::U128(value) => value.to_string().into(),
        ValueKind::Float(value) => value.into(),
        ValueKind::String(value) => value.into(),
        ValueKind::Table(table) => table.into_iter().map(|(key, value)| (key, plain(value))).collect(),
        ValueKind::Array(values) => values.into_iter().map(plain).collect(),
    }
}

fn overlay(tree: &mut Tree, variable: &str, keys: &str, value: &str, problems: &mut Problems) {
    let keys: Vec<String> = keys.split("__").map(str::to_lowercase).collect();
    if keys.iter().any(String::is_empty) || keys.len() < 2 {
        problems.add(variable, "names no key".to_owned(), "CAUSEWAY__SECTION__KEY, two underscores between");
        return;
    }
    if NAMED.contains(&keys[0].as_str()) {
        overlay_named(tree, variable, &keys, value, problems);
    } else {
        let path = keys.join(".");
        if insert(&mut tree.root, &keys, value) {
            tree.from_environment.insert(path, variable.to_owned());
        } else {
            problems.add(variable, "goes through a key that is no table".to_owned(), "the keys of the reference");
        }
    }
}

fn overlay_named(tree: &mut Tree, variable: &str, keys: &[String], value: &str, problems: &mut Problems) {
    let array = tree.root.get_mut(&keys[0]).and_then(Value::as_array_mut);
    let mut names = Vec::new();
    for (index, entry) in array.into_iter().flatten().enumerate() {
        let Some(table) = entry.as_object_mut() else { continue };
        let name = table.get("name").or_else(|| table.get("id")).and_then(Value::as_str).unwrap_or_default().to_owned();
        if variable_form(&name) == keys[1] && keys.len() > 2 {
            if insert(table, &keys[2..], value) {
                let path = format!("{}.{index}.{}", keys[0], keys[2..].join("."));
                tree.from_environment.insert(path, variable.to_owned());
                return;
            }
            problems.add(variable, "goes through a key that is no table".to_owned(), "the keys of the reference");
            return;
        }
        names.push(variable_form(&name).to_uppercase());
    }
    let known = if names.is_empty() { format!("a [[{}]] table first", keys[0]) } else { names.join(", ") };
    problems.add(variable, format!("names no [[{}]] table with a key in it", keys[0]), &format!("one of: {known}"));
}

/// A name as an environment variable can spell it.
fn variable_form(name: &str) -> String {
    name.to_lowercase().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect()
}

fn insert(table: &mut Map<String, Value>, keys: &[String], value: &str) -> bool {
    match keys {
        [] => false,
        [last] => {
            table.insert(last.clone(), Value::String(value.to_owned()));
            true
        }
        [first, rest @ ..] => {
            let inner = table.entry(first.clone()).or_insert_with(|| Value::Object(Map::new()));
            inner.as_object_mut().is_some_and(|inner| insert(inner, rest, value))
        }
    }
}
