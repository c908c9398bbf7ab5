//! The alphabet of GSM 03.38 (3GPP TS 23.038, 6.2.1) and its extension table.

/// What every handset has: one septet each.
const BASIC: &str = "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?\
    ¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà";
/// What follows an escape: two septets each.
const EXTENSION: &str = "\u{c}^{}\\[~]|€";

/// The septets a character takes; `None` where the alphabet does not have it.
pub(super) fn septets(character: char) -> Option<usize> {
    if character.is_ascii_alphanumeric() || character == ' ' || BASIC.contains(character) {
        Some(1)
    } else {
        EXTENSION.contains(character).then_some(2)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// Perl's table of the same standard, as `perl -MEncode` prints it: another hand's reading of it.
    const OTHER: &str = include_str!("gsm0338.tsv");

    #[test]
    fn the_alphabet_is_the_one_another_hand_read_in_the_standard() {
        let line = |line: &'static str| {
            let (code, bytes) = line.split_once('\t').expect("two columns");
            let code = u32::from_str_radix(code, 16).expect("a code point");
            (char::from_u32(code).expect("a character"), bytes.parse::<usize>().expect("a length"))
        };
        let other: BTreeMap<char, usize> = OTHER.lines().filter(|line| !line.starts_with('#')).map(line).collect();
        let ours: BTreeMap<char, usize> =
            (0..=0x10_ffff).filter_map(char::from_u32).filter_map(|one| Some((one, septets(one)?))).collect();
        assert_eq!(ours, other);
        assert_eq!(
            (BASIC.chars().count(), EXTENSION.chars().count()),
            (127, 10),
            "128 codes, of which one is the escape"
        );
    }
}
