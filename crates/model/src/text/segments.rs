use super::gsm;

/// What a text is written in on the air.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Alphabet {
    /// GSM 03.38 with its extension table: septets, 160 alone or 153 of a row.
    Gsm,
    /// UCS-2, which carriers take for UTF-16: code units, 70 alone or 67 of a row.
    Ucs2,
}

/// What a text takes on the air, and what is billed for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segments {
    /// What it is written in: one character outside GSM 03.38 is enough for UCS-2.
    pub alphabet: Alphabet,
    /// How many there are.
    pub count: usize,
}

impl Alphabet {
    /// Units of a segment that stands alone, and of one in a row, which begins with six bytes that name the row.
    const fn room(self) -> (usize, usize) {
        match self {
            Self::Gsm => (160, 153),
            Self::Ucs2 => (70, 67),
        }
    }
}

/// Counts the segments of a text. No segment ends inside an escape or a surrogate pair, so the last unit of one may stay empty.
pub fn segments(text: &str) -> Segments {
    let septets: Option<Vec<usize>> = text.chars().map(gsm::septets).collect();
    match septets {
        Some(septets) => counted(Alphabet::Gsm, septets.into_iter()),
        None => counted(Alphabet::Ucs2, text.chars().map(char::len_utf16)),
    }
}

fn counted(alphabet: Alphabet, characters: impl Iterator<Item = usize>) -> Segments {
    let (alone, in_row) = alphabet.room();
    let (mut all, mut count, mut left) = (0, 0, 0);
    for units in characters {
        all += units;
        if left < units {
            count += 1;
            left = in_row;
        }
        left -= units;
    }
    Segments { alphabet, count: if all <= alone { count.min(1) } else { count } }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, alphabet: Alphabet, count: usize) {
        assert_eq!(segments(text), Segments { alphabet, count }, "{} characters", text.chars().count());
    }

    #[test]
    fn segments_hold_what_the_standard_says() {
        use Alphabet::{Gsm, Ucs2};
        check("", Gsm, 0);
        check("a", Gsm, 1);
        check(&"a".repeat(160), Gsm, 1);
        check(&"a".repeat(161), Gsm, 2);
        check(&"a".repeat(306), Gsm, 2);
        check(&"a".repeat(307), Gsm, 3);
        check(&"я".repeat(70), Ucs2, 1);
        check(&"я".repeat(71), Ucs2, 2);
        check(&"я".repeat(134), Ucs2, 2);
        check(&"я".repeat(135), Ucs2, 3);
    }

    #[test]
    fn one_character_of_another_alphabet_changes_all_of_it() {
        check(&format!("{}“", "a".repeat(69)), Alphabet::Ucs2, 1);
        check(&format!("{}“", "a".repeat(70)), Alphabet::Ucs2, 2);
    }

    #[test]
    fn what_takes_two_units_is_not_torn() {
        check(&"€".repeat(80), Alphabet::Gsm, 1);
        check(&"€".repeat(81), Alphabet::Gsm, 2);
        check(&"€".repeat(152), Alphabet::Gsm, 2);
        check(&"€".repeat(153), Alphabet::Gsm, 3);
        check(&"📦".repeat(35), Alphabet::Ucs2, 1);
        check(&"📦".repeat(36), Alphabet::Ucs2, 2);
        check(&"📦".repeat(66), Alphabet::Ucs2, 2);
        check(&"📦".repeat(67), Alphabet::Ucs2, 3);
    }
}
