use serde_json::{Map, Value};

/// What is in force, as TOML. Later notes of a key replace earlier ones.
pub(super) fn toml(effective: Vec<(String, Value)>) -> String {
    let mut root = Value::Object(Map::new());
    for (path, value) in effective {
        let keys: Vec<&str> = path.split('.').collect();
        place(&mut root, &keys, value);
    }
    let shown = translate(root).expect("a table is never null");
    toml::to_string_pretty(&shown).expect("texts, numbers, lists and tables are all TOML")
}

/// By hand, because serde_json keeps numbers as their digits, which TOML would show as a table; nulls are left out.
fn translate(value: Value) -> Option<toml::Value> {
    Some(match value {
        Value::Null => return None,
        Value::Bool(flag) => flag.into(),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(whole), _) => whole.into(),
            (None, Some(fraction)) => fraction.into(),
            (None, None) => number.to_string().into(),
        },
        Value::String(text) => text.into(),
        Value::Array(list) => toml::Value::Array(list.into_iter().filter_map(translate).collect()),
        Value::Object(map) => {
            toml::Value::Table(map.into_iter().filter_map(|(key, value)| Some((key, translate(value)?))).collect())
        }
    })
}

fn place(at: &mut Value, keys: &[&str], value: Value) {
    let Some((first, rest)) = keys.split_first() else {
        *at = value;
        return;
    };
    let inner = match first.parse::<usize>() {
        Ok(index) => element(at, index),
        Err(_) => {
            if !at.is_object() {
                *at = Value::Object(Map::new());
            }
            at.as_object_mut().expect("it was made an object").entry((*first).to_owned()).or_insert(Value::Null)
        }
    };
    place(inner, rest, value);
}

fn element(at: &mut Value, index: usize) -> &mut Value {
    if !at.is_array() {
        *at = Value::Array(Vec::new());
    }
    let list = at.as_array_mut().expect("it was made an array");
    if list.len() <= index {
        list.resize(index + 1, Value::Object(Map::new()));
    }
    &mut list[index]
}
