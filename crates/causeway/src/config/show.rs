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

#[cfg(test)]
mod tests {
    use crate::config::tests::{SMALL, read};

    #[test]
    fn what_nobody_wrote_is_shown_as_it_is_in_force() {
        let text = SMALL.replace("domain =", "consent = \"off\"\ndomain =");
        let shown = read(&text, &[]).unwrap_or_else(|problems| panic!("{problems}")).shown;
        let all: toml::Table = toml::from_str(&shown).unwrap();
        for (array, key, expected) in [
            ("genesys", "media_signature", "whole_body"),
            ("genesys", "open_media_body", "data"),
            ("provider", "poll", "1m"),
            ("provider", "max_inbound_age", "72h"),
            ("channel", "name", "sales"),
            ("channel", "number", "0123456789"),
            ("channel", "genesys", "main"),
            ("channel", "provider", "crexendo"),
            ("channel", "consent", "off"),
            ("channel", "media", "link"),
            ("channel", "mms", "auto"),
            ("channel", "when_unsure", "park"),
            ("channel", "secret_encoding", "utf8"),
            ("channel", "inbound", "messages"),
        ] {
            let found = all[array][0].get(key).and_then(toml::Value::as_str);
            assert_eq!(found, Some(expected), "{array}.{key} in:\n{shown}");
        }
        let provider = &all["provider"][0];
        assert_eq!(provider["subscribe"].as_bool(), Some(false), "there is no public URL");
        let list = |value: &toml::Value| -> Vec<String> {
            value.as_array().into_iter().flatten().filter_map(toml::Value::as_str).map(str::to_owned).collect()
        };
        assert_eq!(list(&provider["reconcile"]["at"]), ["5s", "20s", "60s"]);
        let channel = &all["channel"][0];
        assert_eq!(list(&channel["help_words"]), ["HELP"]);
        assert!(list(&channel["stop_words"]).contains(&"STOP".to_owned()), "{shown}");
        assert_eq!(list(&channel["mms_types"]), ["image/jpeg", "image/png", "image/gif"]);
        assert!(list(&channel["media_types"]).contains(&"application/pdf".to_owned()), "{shown}");
        let unnamed = read(&SMALL.replace("name = \"sales\"\n", ""), &[]).unwrap().shown;
        assert!(unnamed.contains("name = \"0123456789\""), "{unnamed}");
    }
}
