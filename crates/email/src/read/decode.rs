//! Content-Transfer-Encoding, undone line by line, so that a large attachment never stands in memory.

use std::io::{self, Write};

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use mail_parser::decoders::charsets::map::charset_decoder;

/// What undoes the encoding of one part.
pub(crate) enum Decoder {
    /// 7bit, 8bit, binary, and encodings nobody knows.
    Plain,
    /// The digits that wait for a fourth.
    Base64(Vec<u8>),
    /// Quoted-printable.
    Quoted,
}

impl Decoder {
    pub(crate) fn of(encoding: &str) -> Self {
        let encoding = encoding.trim().to_ascii_lowercase();
        match encoding.as_str() {
            "base64" => Self::Base64(Vec::new()),
            "quoted-printable" => Self::Quoted,
            _ => Self::Plain,
        }
    }

    /// Takes a line without its end, and the end of the line before it: the one before a boundary belongs to the boundary.
    pub(crate) fn line(&mut self, before: &[u8], line: &[u8], out: &mut impl Write) -> io::Result<()> {
        match self {
            Self::Plain => {
                out.write_all(before)?;
                out.write_all(line)
            }
            Self::Base64(waiting) => base64_line(waiting, line, out),
            Self::Quoted => {
                out.write_all(before)?;
                quoted_line(line, out)
            }
        }
    }

    /// Whether a line that ends so is continued by the next one without a break.
    pub(crate) fn continues(&self, line: &[u8]) -> bool {
        matches!(self, Self::Quoted) && trim_end(line).ends_with(b"=")
    }

    pub(crate) fn finish(&mut self, out: &mut impl Write) -> io::Result<()> {
        let Self::Base64(waiting) = self else { return Ok(()) };
        // One digit alone holds six bits of a byte that was cut off.
        if waiting.len() % 4 == 1 {
            waiting.pop();
        }
        // Bits that are left over in the last digit say nothing; they are cleared rather than refused.
        let bits = match waiting.len() % 4 {
            2 => 0x30,
            3 => 0x3c,
            _ => 0x3f,
        };
        if let Some(last) = waiting.last_mut() {
            *last = ALPHABET[digit(*last).unwrap_or_default() & bits];
        }
        let rest = STANDARD_NO_PAD.decode(&*waiting).unwrap_or_default();
        waiting.clear();
        out.write_all(&rest)
    }
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

fn digit(byte: u8) -> Option<usize> {
    ALPHABET.iter().position(|known| *known == byte)
}

fn base64_line(waiting: &mut Vec<u8>, line: &[u8], out: &mut impl Write) -> io::Result<()> {
    for byte in line {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'+' | b'/' => waiting.push(*byte),
            // Several encoded pieces may have been put behind one another.
            b'=' => Decoder::Base64(std::mem::take(waiting)).finish(out)?,
            _ => {}
        }
    }
    let whole = waiting.len() / 4 * 4;
    let decoded = STANDARD_NO_PAD.decode(&waiting[..whole]).map_err(io::Error::other)?;
    waiting.drain(..whole);
    out.write_all(&decoded)
}

fn trim_end(line: &[u8]) -> &[u8] {
    let blank = line.iter().rev().take_while(|byte| b" \t".contains(byte)).count();
    &line[..line.len() - blank]
}

fn quoted_line(line: &[u8], out: &mut impl Write) -> io::Result<()> {
    let line = trim_end(line);
    let line = line.strip_suffix(b"=").unwrap_or(line);
    let mut decoded = Vec::with_capacity(line.len());
    let mut rest = line;
    while let Some((&byte, after)) = rest.split_first() {
        let escaped = (byte == b'=').then(|| after.get(..2)).flatten().and_then(|pair| hex::decode(pair).ok());
        if let Some(bytes) = escaped {
            decoded.extend_from_slice(&bytes);
            rest = &after[2..];
        } else {
            decoded.push(byte);
            rest = after;
        }
    }
    out.write_all(&decoded)
}

/// Bytes to text, by the charset that is named where it can be right, and by what the bytes look like otherwise.
pub(crate) fn text(bytes: &[u8], charset: Option<&str>) -> String {
    let named = charset.map(|name| name.trim().trim_matches('"').to_ascii_lowercase());
    let unicode = matches!(named.as_deref(), None | Some("utf-8" | "utf8" | "us-ascii" | "ascii" | "unknown-8bit"));
    let decoder = named.as_deref().filter(|_| !unicode).and_then(|name| charset_decoder(name.as_bytes()));
    let text = match (decoder, std::str::from_utf8(bytes)) {
        (Some(decode), _) => decode(bytes),
        (None, Ok(text)) => text.to_owned(),
        // Who writes bytes that are no UTF-8 and does not say what they are most often means this one.
        (None, Err(_)) => match charset_decoder(b"windows-1252") {
            Some(decode) if mostly_not_utf8(bytes) => decode(bytes),
            _ => String::from_utf8_lossy(bytes).into_owned(),
        },
    };
    let text = text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text);
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    text.chars().filter(|c| matches!(c, '\n' | '\t') || !c.is_control()).collect()
}

/// UTF-8 with one character cut is still UTF-8; a text of another charset has no whole character beyond ASCII.
fn mostly_not_utf8(bytes: &[u8]) -> bool {
    let lossy = String::from_utf8_lossy(bytes);
    let wrong = lossy.chars().filter(|c| *c == '\u{fffd}').count();
    let right = lossy.chars().filter(|c| !c.is_ascii()).count() - wrong;
    wrong > right
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(encoding: &str, lines: &[&str]) -> String {
        let mut decoder = Decoder::of(encoding);
        let (mut out, mut before) = (Vec::new(), &b""[..]);
        for line in lines {
            decoder.line(before, line.as_bytes(), &mut out).unwrap();
            before = if decoder.continues(line.as_bytes()) { b"" } else { b"\n" };
        }
        decoder.finish(&mut out).unwrap();
        String::from_utf8_lossy(&out).into_owned()
    }

    #[test]
    fn encodings_are_undone_across_lines() {
        assert_eq!(decoded("BASE64", &["SGVs", "bG8gd29y", "bGQ="]), "Hello world");
        assert_eq!(decoded("base64", &["SGVsbG8g!!d29ybGQ"]), "Hello world");
        assert_eq!(decoded("base64", &["SGk=SGk="]), "HiHi", "two pieces behind one another");
        assert_eq!(decoded("base64", &["SGl"]), "Hi", "cut off, with bits left over");
        assert_eq!(decoded("quoted-printable", &["caf=C3=", "=A9  ", "50=% =zz="]), "café\n50=% =zz");
        assert_eq!(decoded("x-unknown", &["as", "is"]), "as\nis");
    }

    #[test]
    fn charsets_are_taken_as_named_where_that_can_be() {
        assert_eq!(text("grüße".as_bytes(), None), "grüße");
        assert_eq!(text(b"gr\xfc\xdfe", Some("iso-8859-1")), "grüße");
        assert_eq!(text(b"gr\xfc\xdfe", Some("utf-8")), "grüße", "a wrong name");
        assert_eq!(text(b"gr\xfc\xdfe", Some("x-nobody-knows")), "grüße");
        assert_eq!(text(b"\x93quoted\x94", None), "\u{201c}quoted\u{201d}");
        assert_eq!(text("grüße, grü\u{c3}".as_bytes().split_last().unwrap().1, None), "grüße, grü\u{fffd}");
        assert_eq!(text(b"\xef\xbb\xbfa\r\nb\rc\0", None), "a\nb\nc");
    }
}
