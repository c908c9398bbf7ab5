//! What a text is on the air: the segments it takes, how punctuation saves one, and where it is cut.

mod fold;
mod gsm;
mod segments;
mod split;

pub use fold::fold;
pub use segments::{Alphabet, Segments, segments};
pub use split::{MOST_CHARACTERS, split};

/// What a character takes at the most, whichever alphabet its text turns out to need: code units of UTF-16, and two for what
/// GSM 03.38 writes with an escape.
fn units(text: &str) -> usize {
    text.chars().map(|one| one.len_utf16().max(gsm::septets(one).unwrap_or_default())).sum()
}
