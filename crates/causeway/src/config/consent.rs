//! What consumers may ask for with a keyword, and what they are answered.

use model::text::split;
use model::{Keyword, Keywords};

use super::section::Section;
use super::settings::Consent;

const STOP_TEXT: &str =
    "You have opted out and will get no more messages from this number. Reply START to opt in again.";
const START_TEXT: &str = "You have opted in again to messages from this number. Reply STOP to opt out.";

const SWITCH: [(&str, bool); 2] = [("on", true), ("off", false)];

/// Whether keywords are looked for at all; `default` where nothing is said.
pub(super) fn switch(section: &Section<'_>, default: bool) -> bool {
    section.word_or("consent", if default { "on" } else { "off" }, &SWITCH)
}

/// The keywords of a channel, and the answers to them; `None` where its platform sees to them itself.
pub(super) fn consent(section: &Section<'_>, default: bool, max_characters: usize) -> Option<Consent> {
    let on = switch(section, default);
    let words = [("stop_words", Keyword::Stop), ("start_words", Keyword::Start), ("help_words", Keyword::Help)];
    let words: Vec<(String, Keyword)> = words.iter().flat_map(|(key, keyword)| list(section, key, *keyword)).collect();
    let text = |key: &str, default: &str| {
        let instead = format!("a text of one message, at most {max_characters} characters; \"\" for none");
        let fits = |text: &str| (split(text, max_characters).len() == 1).then(|| text.to_owned());
        Some(section.parsed(key, default, &instead, fits)).filter(|text| !text.trim().is_empty())
    };
    let (stop, start, help) = (text("stop_text", STOP_TEXT), text("start_text", START_TEXT), text("help_text", ""));
    let keywords = Keywords::new(words.iter().map(|(word, keyword)| (word.as_str(), *keyword)));
    let keywords = keywords.map_err(|error| {
        section.problem("stop_words", format!("with start_words and help_words: {error}"), "each word in one list");
    });
    let keywords = keywords.ok()?;
    on.then_some(Consent { keywords, stop, start, help })
}

fn list(section: &Section<'_>, key: &str, keyword: Keyword) -> Vec<(String, Keyword)> {
    if !section.has(key) {
        let common = Keyword::COMMON.iter().filter(|(_, common)| *common == keyword).map(|(word, _)| *word);
        section.record(key, common.clone().collect::<Vec<_>>());
        return common.map(|word| (word.to_owned(), keyword)).collect();
    }
    let words = section.strings(key);
    if words.is_empty() && keyword == Keyword::Stop {
        section.problem(key, "is empty, so nobody could opt out", "at least one word, or consent = \"off\"");
    }
    words.into_iter().map(|word| (word, keyword)).collect()
}
