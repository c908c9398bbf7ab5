use std::borrow::Cow;

use super::{Alphabet, segments};

/// What word processors write where people typed something plainer; `None` for everything else.
const fn plain(character: char) -> Option<&'static str> {
    Some(match character {
        '‘' | '’' | '‚' | '‛' | '′' | '‹' | '›' => "'",
        '“' | '”' | '„' | '‟' | '″' | '«' | '»' => "\"",
        '‐' | '‑' | '‒' | '–' | '—' | '―' | '−' => "-",
        '…' => "...",
        '\t' | '\u{a0}' | '\u{2000}'..='\u{200a}' | '\u{202f}' | '\u{205f}' => " ",
        // Neither seen nor heard.
        '\u{200b}' | '\u{2060}' | '\u{feff}' => "",
        _ => return None,
    })
}

/// Writes smart punctuation plainly where that saves a segment; any other text stays as it is.
pub fn fold(text: &str) -> Cow<'_, str> {
    let before = segments(text);
    if before.alphabet == Alphabet::Gsm || before.count <= 1 {
        return Cow::Borrowed(text);
    }
    let mut folded = String::with_capacity(text.len());
    for character in text.chars() {
        match plain(character) {
            Some(plain) => folded.push_str(plain),
            None => folded.push(character),
        }
    }
    if segments(&folded).count < before.count { Cow::Owned(folded) } else { Cow::Borrowed(text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn punctuation_is_folded_where_that_saves_a_segment() {
        let smart = format!("“Don’t” – {}…", "a".repeat(80));
        assert_eq!(fold(&smart), format!("\"Don't\" - {}...", "a".repeat(80)));
        assert_eq!(segments(&smart).count, 2);
        assert_eq!(segments(&fold(&smart)).count, 1);
    }

    #[test]
    fn what_saves_nothing_stays_as_it_was_written() {
        let short = "It is — come by before 6.";
        assert_eq!(fold(short), short, "one segment either way");
        let emoji = format!("“{}” 📦", "a".repeat(80));
        assert_eq!(fold(&emoji), emoji, "it needs UCS-2 all the same");
        let accents = format!("{} “ő”", "a".repeat(80));
        assert_eq!(fold(&accents), accents, "only punctuation is folded");
    }
}
