//! Makes a body readable that a strict parser refuses for the sake of one character.

use std::borrow::Cow;

/// Drops a byte order mark, replaces bytes that are no UTF-8, and replaces escaped halves of surrogate pairs by U+FFFD: a
/// message with half an emoji in it is still somebody's message.
pub(crate) fn readable(body: &[u8]) -> Cow<'_, [u8]> {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    let text = match String::from_utf8_lossy(body) {
        Cow::Borrowed(_) => Cow::Borrowed(body),
        Cow::Owned(text) => Cow::Owned(text.into_bytes()),
    };
    if text.windows(3).any(|window| matches!(window, [b'\\', b'u', b'd' | b'D'])) {
        Cow::Owned(mend(&text))
    } else {
        text
    }
}

/// One pass over the escapes; only lone halves are changed.
fn mend(text: &[u8]) -> Vec<u8> {
    let mut mended = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, tail)) = rest.split_first() {
        if byte != b'\\' {
            mended.push(byte);
            rest = tail;
            continue;
        }
        let taken = match (escape(rest), escape(rest.get(6..).unwrap_or_default())) {
            (Some(0xD800..=0xDBFF), Some(0xDC00..=0xDFFF)) => 12,
            (Some(0xD800..=0xDFFF), _) => {
                mended.extend_from_slice(b"\\ufffd");
                rest = &rest[6..];
                continue;
            }
            (Some(_), _) => 6,
            // Any other escape is two bytes, of which the second may be a backslash.
            (None, _) => 2.min(rest.len()),
        };
        mended.extend_from_slice(&rest[..taken]);
        rest = &rest[taken..];
    }
    mended
}

/// The code unit of a `\uXXXX` at the start.
fn escape(text: &[u8]) -> Option<u16> {
    let digits = text.strip_prefix(b"\\u")?.get(..4)?;
    if !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_are_replaced_and_pairs_kept() {
        let check = |text: &str, expected: &str| assert_eq!(readable(text.as_bytes()).as_ref(), expected.as_bytes());
        check(r#""\ud83d\ude00""#, r#""\ud83d\ude00""#);
        check(r#""a\ud83db""#, r#""a\ufffdb""#);
        check(r#""\ude00\ud83d""#, r#""\ufffd\ufffd""#);
        check(r#""\\ud83d""#, r#""\\ud83d""#);
        check("\u{feff}{}", "{}");
        assert_eq!(readable(b"\"\xff\"").as_ref(), "\"\u{fffd}\"".as_bytes());
    }
}
