//! How the texts of a channel are treated.

use super::section::Section;
use super::settings::Texts;

/// Characters that no request is given more of by default.
const MOST: u64 = model::text::MOST_CHARACTERS as u64;

pub(super) fn texts(section: &Section<'_>) -> Texts {
    let size = |found: u64| usize::try_from(found).unwrap_or(usize::MAX);
    Texts {
        fold: section.boolean("fold", true),
        // The answers to keywords are one request each.
        max_characters: size(section.integer("max_characters", MOST, 160..=10_000)),
        max_segments: size(section.integer("max_segments", 50, 1..=1_000)),
    }
}
