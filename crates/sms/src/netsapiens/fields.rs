//! Reads values as NetSapiens writes them: any scalar for any field, keys in two spellings (section 1.1).

use std::collections::BTreeMap;

pub(super) use runtime::json_scalar as scalar;
use serde_json::Value;

/// An object with its keys trimmed, in lower case, and `-` for `_`.
#[derive(Debug, Default)]
pub(super) struct Fields {
    by_key: BTreeMap<String, String>,
}

impl Fields {
    /// Empty, null and absent are one; objects and lists are no scalars and count as absent.
    pub(super) fn of(value: &Value) -> Self {
        let fields = value.as_object().into_iter().flatten();
        let by_key = fields.filter_map(|(key, value)| Some((canonical(key), scalar(value)?)));
        Self { by_key: by_key.collect() }
    }

    /// The first of several names that is there.
    pub(super) fn first(&self, names: &[&str]) -> Option<&str> {
        names.iter().find_map(|name| self.by_key.get(*name)).map(String::as_str)
    }
}

fn canonical(key: &str) -> String {
    key.trim().to_lowercase().replace('_', "-")
}

/// The digits of a number.
pub(super) fn digits(text: &str) -> String {
    text.chars().filter(char::is_ascii_digit).collect()
}

/// Numbers are compared by their digits, with and without the leading 1 (section 10).
pub(super) fn same_number(one: &str, other: &str) -> bool {
    let bare = |text: &str| {
        let digits = digits(text);
        match digits.strip_prefix('1') {
            Some(rest) if rest.len() == 10 => rest.to_owned(),
            _ => digits,
        }
    };
    let one = bare(one);
    !one.is_empty() && one == bare(other)
}

/// A text after the coercion a numeric-looking text may have gone through on one path and not on the other: leading zeros, a
/// plus sign, spaces around and the way a number is written are lost (section 1.1).
pub(super) fn coerced(text: &str) -> String {
    let trimmed = text.trim();
    let numeric = trimmed.bytes().all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte));
    if !numeric || !trimmed.bytes().any(|byte| byte.is_ascii_digit()) {
        return trimmed.to_owned();
    }
    let digits = trimmed.trim_start_matches('+');
    // PHP makes a float of an integer that 64 bits do not hold, which leaves 17 of its digits.
    if let Ok(number) = digits.parse::<i64>() {
        return number.to_string();
    }
    match trimmed.parse::<f64>() {
        // Adding zero takes the sign of a negative one away.
        Ok(number) if number.fract() == 0.0 && number.abs() < 1e15 => format!("{:.0}", number + 0.0),
        Ok(number) => format!("{number:e}"),
        Err(_) => trimmed.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coercion_makes_both_paths_equal() {
        for (one, other) in [
            ("007", "7"),
            (" 5 ", "5"),
            ("+5", "5"),
            ("1e5", "100000.0"),
            ("0", "000"),
            ("1.50", "1.5"),
            ("-007", "-7"),
            ("-0", "0"),
            ("-0.0", "0"),
            ("12345678901234567890123", "1.2345678901234568e+22"),
            ("18446744073709551615", "1.8446744073709552e+19"),
        ] {
            assert_eq!(coerced(one), coerced(other), "{one} and {other}");
        }
        for (one, other) in [("7", "8"), ("yes", "no"), ("1-800", "1800"), ("-", "+")] {
            assert_ne!(coerced(one), coerced(other), "{one} and {other}");
        }
        assert_eq!(coerced("9223372036854775807"), "9223372036854775807", "what 64 bits hold keeps every digit");
    }

    #[test]
    fn keys_are_trimmed_and_spelled_one_way() {
        let fields =
            Fields::of(&serde_json::json!({ "file-access-url ": "u", "From_Num": 17145550353u64, "x": [], "y": "" }));
        assert_eq!(fields.first(&["file-access-url"]), Some("u"));
        assert_eq!(fields.first(&["x", "y", "from-num"]), Some("17145550353"));
    }

    #[test]
    fn numbers_are_equal_with_and_without_the_one() {
        assert!(same_number("+1 (312) 555-0142", "3125550142"));
        assert!(!same_number("", "") && !same_number("13125550142", "13125550143"));
    }
}
