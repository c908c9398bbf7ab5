use std::borrow::Cow;

use serde_json::Value;

/// Reads JSON that a strict parser refuses for the sake of one character: without a byte order mark, with U+FFFD for bytes that are no UTF-8 and for escaped halves of surrogate pairs: a text cut
/// in the middle of an emoji is still somebody's text, and must hide neither its event nor the other rows of its session.
///
/// # Errors
/// It is no JSON for another reason; line and column are those of the body.
pub fn lenient_json(body: &[u8]) -> serde_json::Result<Value> {
    let text = String::from_utf8_lossy(body);
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    serde_json::from_str(&mended(text))
}

/// One pass over the escapes; only lone halves are changed, and nothing moves, so that a fault keeps its line and column.
fn mended(text: &str) -> Cow<'_, str> {
    if !text.contains(r"\ud") && !text.contains(r"\uD") {
        return Cow::Borrowed(text);
    }
    let mut mended = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        mended.push_str(&rest[..at]);
        rest = &rest[at..];
        let taken = match (unit(rest), rest.get(6..).and_then(unit)) {
            (Some(0xD800..=0xDBFF), Some(0xDC00..=0xDFFF)) => 12,
            (Some(0xD800..=0xDFFF), _) => {
                mended.push_str(r"\ufffd");
                rest = &rest[6..];
                continue;
            }
            (Some(_), _) => 6,
            // Any other escape is two characters, of which the second may be a backslash.
            (None, _) => 1 + rest[1..].chars().next().map_or(0, char::len_utf8),
        };
        mended.push_str(&rest[..taken]);
        rest = &rest[taken..];
    }
    mended.push_str(rest);
    Cow::Owned(mended)
}

/// The code unit of a `\uXXXX` at the start.
fn unit(text: &str) -> Option<u16> {
    let digits = text.strip_prefix(r"\u")?.get(..4)?;
    let hexadecimal = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    hexadecimal.then(|| u16::from_str_radix(digits, 16).ok()).flatten()
}

/// A scalar as it was written, of whatever type it came: numbers keep every digit, and an empty text is none.
pub fn json_scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if text.is_empty() => None,
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(value) => Some(value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn halves_are_replaced_and_all_else_is_kept() {
        for (text, expected) in [
            (r#""\ud83d\ude00""#, "\u{1f600}"),
            (r#""a\uD83Db""#, "a\u{fffd}b"),
            (r#""\ude00\ud83d""#, "\u{fffd}\u{fffd}"),
            (r#""\ud83d\ud83d\ude00""#, "\u{fffd}\u{1f600}"),
            (r#""\\ud83d""#, r"\ud83d"),
            ("\u{feff}\"x\"", "x"),
        ] {
            assert_eq!(lenient_json(text.as_bytes()).unwrap(), expected, "{text}");
        }
        assert_eq!(lenient_json(b"\"\xff\"").unwrap(), "\u{fffd}");
        for text in [r#""\ud83"#, r#""\ud8é0""#, r#""\ud83d\"#, r"\"] {
            assert!(lenient_json(text.as_bytes()).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_body_that_is_json_is_read_as_it_is(text in any::<String>()) {
            let body = serde_json::to_string(&text).unwrap();
            prop_assert_eq!(lenient_json(body.as_bytes()).unwrap(), text);
        }

        #[test]
        fn no_escapes_make_it_panic(text in r#"["\\udDe08é]{0,40}"#) {
            let _read = lenient_json(text.as_bytes());
        }
    }
}
