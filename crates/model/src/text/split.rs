use unicode_segmentation::UnicodeSegmentation;

use super::units;

/// What carriers commonly take in one request.
pub const MOST_CHARACTERS: usize = 1600;

/// Cuts a text into parts of at most `most` units (code units of UTF-16; two for what GSM 03.38 writes with an escape), which is
/// never less than they count by any other measure: characters, or septets. It is cut between words, and the white space there
/// is left out; a word that is longer than a part is cut between what people see as characters. A text that fits is one part,
/// as it is.
pub fn split(text: &str, most: usize) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some(end) = cut(rest, most) {
        let (part, next) = rest.split_at(end);
        if !part.trim().is_empty() {
            parts.push(part);
        }
        rest = without_leading_space(next);
    }
    if parts.is_empty() || !rest.trim().is_empty() {
        parts.push(rest);
    }
    parts
}

/// Where the first part ends; `None` where the text is no longer than a part.
fn cut(text: &str, most: usize) -> Option<usize> {
    let (mut used, mut word_end, mut in_word) = (0, None, false);
    for (at, cluster) in text.grapheme_indices(true) {
        if in_word && is_space(cluster) {
            word_end = Some(at);
        }
        in_word = !is_space(cluster);
        used += units(cluster);
        if used > most {
            return Some(word_end.unwrap_or(at)).filter(|end| *end > 0).or_else(|| Some(within(cluster, most)));
        }
    }
    None
}

/// A single cluster that is longer than a part can only be cut between its characters.
fn within(cluster: &str, most: usize) -> usize {
    let first = cluster.chars().next().map_or(0, char::len_utf8);
    let fits = cluster.char_indices().map(|(at, character)| at + character.len_utf8());
    fits.take_while(|end| units(&cluster[..*end]) <= most).last().unwrap_or(first)
}

fn without_leading_space(text: &str) -> &str {
    let next = text.grapheme_indices(true).find(|(_, cluster)| !is_space(cluster));
    next.map_or("", |(at, _)| &text[at..])
}

/// White space where a line may be broken: not the kinds that hold two words together.
fn is_space(cluster: &str) -> bool {
    cluster.chars().all(|one| one.is_whitespace() && !matches!(one, '\u{a0}' | '\u{2007}' | '\u{202f}'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::text::{Alphabet, segments};

    #[test]
    fn words_stay_whole() {
        assert_eq!(split("", 10), [""]);
        assert_eq!(split("one two", 10), ["one two"]);
        assert_eq!(split("one two three", 10), ["one two", "three"]);
        assert_eq!(split("one two   three  ", 6), ["one", "two", "three"]);
        assert_eq!(split("  one two", 5), ["  one", "two"]);
        assert_eq!(split("one\r\n\r\ntwo", 5), ["one", "two"]);
        assert_eq!(split("abcdefghij kl", 4), ["abcd", "efgh", "ij", "kl"]);
        assert_eq!(split("1\u{a0}000 000", 5), ["1\u{a0}000", "000"], "what belongs together stays together");
        assert_eq!(split("          word", 4), ["word"], "an empty text is nothing to send");
    }

    #[test]
    fn what_is_seen_as_one_character_is_not_torn() {
        let family = "👩\u{200d}👩\u{200d}👧";
        assert_eq!(split(&family.repeat(2), 9), [family, family]);
        assert_eq!(split("€€€", 5), ["€€", "€"], "an escape and what follows it");
        assert_eq!(split("📦📦📦", 5), ["📦📦", "📦"], "a surrogate pair");
        assert_eq!(split("e\u{301}e\u{301}", 3), ["e\u{301}", "e\u{301}"]);
        let tower = format!("e{}", "\u{301}".repeat(9));
        assert_eq!(split(&tower, 4).iter().map(|part| part.chars().count()).collect::<Vec<_>>(), [4, 4, 2]);
    }

    /// Texts of words, long words, spaces, escapes, emoji, clusters and line ends.
    fn texts() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            "[a-z]{1,12}",
            "[ \t\r\n\u{a0}\u{2003}]{1,4}",
            "[€\\[\\]{}~]{1,3}",
            Just("👩\u{200d}👩\u{200d}👧".to_owned()),
            Just("📦".to_owned()),
            Just("e\u{301}\u{323}".to_owned()),
            "[a-z]{30,90}",
            ".{0,6}",
        ];
        proptest::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
    }

    fn without_space(text: &str) -> String {
        text.chars().filter(|one| !one.is_whitespace()).collect()
    }

    proptest! {
        #[test]
        fn parts_are_the_text_but_for_the_white_space_at_cuts(text in texts(), most in 2usize..80) {
            let parts = split(&text, most);
            prop_assert_eq!(without_space(&parts.concat()), without_space(&text));
            let mut rest = text.as_str();
            for part in &parts {
                let at = rest.find(part).expect("parts stand in the text, in order");
                prop_assert!(rest[..at].trim().is_empty(), "between two parts is white space at the most");
                rest = &rest[at + part.len()..];
            }
            prop_assert!(rest.trim().is_empty());
        }

        #[test]
        fn parts_are_within_their_limit_and_never_empty(text in texts(), most in 2usize..80) {
            let parts = split(&text, most);
            for part in &parts {
                prop_assert!(part.chars().count() <= most && part.encode_utf16().count() <= most);
                prop_assert!(units(part) <= most);
                prop_assert!(parts.len() == 1 || !part.trim().is_empty());
            }
        }

        #[test]
        fn no_part_ends_inside_what_is_seen_as_one_character(text in texts()) {
            let bounds: Vec<usize> = text.grapheme_indices(true).map(|(at, _)| at).chain([text.len()]).collect();
            for part in split(&text, 40) {
                let start = part.as_ptr() as usize - text.as_ptr() as usize;
                let whole = |at: usize| bounds.contains(&at);
                prop_assert!(whole(start) && whole(start + part.len()));
            }
        }

        #[test]
        fn a_text_that_fits_is_one_part_as_it_is(text in texts()) {
            prop_assert_eq!(split(&text, units(&text).max(2)), [text.as_str()]);
        }

        #[test]
        fn a_part_takes_no_more_segments_than_its_units_say(text in texts(), most in 2usize..400) {
            for part in split(&text, most) {
                let (alone, in_row) = match segments(part).alphabet { Alphabet::Gsm => (160, 152), Alphabet::Ucs2 => (70, 66) };
                let most_segments = if most <= alone { 1 } else { most.div_ceil(in_row) };
                prop_assert!(segments(part).count <= most_segments);
            }
        }
    }
}
