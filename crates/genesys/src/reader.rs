//! Picks what is needed out of JSON of any shape: absent, null and empty mean the same (section 11, A31).

pub(crate) use runtime::json_scalar as scalar;
use serde_json::{Map, Value};

/// A scalar under a key.
pub(crate) fn text(object: &Map<String, Value>, key: &str) -> Option<String> {
    object.get(key).and_then(scalar)
}

/// The id of an address: `{"id": …}`, or the bare id.
pub(crate) fn address(value: &Value) -> Option<String> {
    match value {
        Value::Object(object) => text(object, "id"),
        other => scalar(other),
    }
}

/// The ids of one or several addresses (A1).
pub(crate) fn addresses(value: &Value) -> Vec<String> {
    match value {
        Value::Array(values) => values.iter().filter_map(address).collect(),
        other => address(other).into_iter().collect(),
    }
}

/// The messages of a webhook: one, `{"messages": […]}`, or an array (A3).
pub(crate) fn messages(root: &Value) -> Vec<&Value> {
    match root {
        Value::Array(messages) => messages.iter().collect(),
        Value::Object(object) => match object.get("messages") {
            Some(Value::Array(messages)) if !object.contains_key("channel") => messages.iter().collect(),
            Some(message @ Value::Object(_)) if !object.contains_key("channel") => vec![message],
            _ => vec![root],
        },
        other => vec![other],
    }
}
