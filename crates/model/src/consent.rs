use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use unicode_normalization::UnicodeNormalization;

use crate::{
    Address, Arrival, ChannelName, ConversationKey, Family, MessageId, NeighbourName, Queued, SessionId, TraceId,
};

/// What a consumer asks for with a single word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Keyword {
    /// No more messages.
    Stop,
    /// Messages again.
    Start,
    /// What this is, and how to end it.
    Help,
}

impl Keyword {
    /// The words that North American carriers ask for, and what each means.
    pub const COMMON: [(&'static str, Self); 12] = [
        ("STOP", Self::Stop),
        ("STOPALL", Self::Stop),
        ("QUIT", Self::Stop),
        ("END", Self::Stop),
        ("REVOKE", Self::Stop),
        ("OPT OUT", Self::Stop),
        ("OPTOUT", Self::Stop),
        ("CANCEL", Self::Stop),
        ("UNSUBSCRIBE", Self::Stop),
        ("START", Self::Start),
        ("UNSTOP", Self::Start),
        ("HELP", Self::Help),
    ];
}

/// The keywords of a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keywords {
    /// By the form in which they are compared. Every message of a channel is looked up in them.
    words: Arc<BTreeMap<String, Keyword>>,
}

/// A word that cannot be one of a list of keywords.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeywordError {
    /// Without its punctuation it is empty.
    #[error("\"{0}\" has no letter or digit")]
    Empty(String),
    /// It means two things.
    #[error("\"{0}\" stands for two different things")]
    Twice(String),
}

/// Longer texts are no keywords, whatever they are made of.
const LONGEST: usize = 1024;

impl Keywords {
    /// The words and what each means.
    ///
    /// # Errors
    /// [`KeywordError`] names the word that cannot be one.
    pub fn new<'a>(all: impl IntoIterator<Item = (&'a str, Keyword)>) -> Result<Self, KeywordError> {
        let mut words = BTreeMap::new();
        for (word, keyword) in all {
            let compared = compared(word);
            if compared.is_empty() {
                return Err(KeywordError::Empty(word.to_owned()));
            }
            if words.insert(compared, keyword).is_some_and(|before| before != keyword) {
                return Err(KeywordError::Twice(word.to_owned()));
            }
        }
        Ok(Self { words: Arc::new(words) })
    }

    /// The keyword that a text is, all of it.
    pub fn find(&self, text: &str) -> Option<Keyword> {
        if text.len() > LONGEST { None } else { self.words.get(&compared(text)).copied() }
    }
}

/// Compatible forms made one (NFKC), cases folded, and nothing but letters, digits and single spaces between them.
fn compared(text: &str) -> String {
    let mut plain = String::new();
    for character in text.chars().filter(|one| !is_pictured(*one)).nfkc().flat_map(char::to_lowercase) {
        if character.is_alphanumeric() {
            plain.push(character);
        } else if character.is_whitespace() && !plain.is_empty() && !plain.ends_with(' ') {
            plain.push(' ');
        }
    }
    plain.truncate(plain.trim_end().len());
    plain
}

/// Pictures that NFKC would turn into letters.
const fn is_pictured(character: char) -> bool {
    matches!(character, '\u{2122}' | '\u{2139}' | '\u{24c2}' | '\u{1f100}'..='\u{1f1ff}')
}

/// A consumer's keyword on its way to where replies are sent from, in the lane of their conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsentChange {
    /// Derived from the message.
    pub id: MessageId,
    /// The channel it came in on.
    pub channel: ChannelName,
    /// The provider account of that channel.
    pub provider: NeighbourName,
    /// The consumer.
    pub from: Address,
    /// What they ask for.
    pub keyword: Keyword,
    /// The message that says so, which walks to Genesys as any other.
    pub message: MessageId,
    /// How that message arrived.
    pub arrival: Arrival,
    /// The provider's session, where an answer belongs.
    pub session: Option<SessionId>,
    /// The trace of the message.
    pub trace: TraceId,
    /// When the house accepted it.
    pub received_at: Timestamp,
}

impl ConsentChange {
    /// The identity of what a message changes.
    pub fn derive_id(message: &MessageId) -> MessageId {
        MessageId::derive("co", &[message.as_str()])
    }
}

impl Queued for ConsentChange {
    const FAMILY: Family = Family::Replies;
    const TYPE: &'static str = "ConsentChange";
    const VERSION: u32 = 1;

    fn id(&self) -> &MessageId {
        &self.id
    }
    fn neighbour(&self) -> &NeighbourName {
        &self.provider
    }
    fn conversation(&self) -> ConversationKey {
        ConversationKey::new(&self.channel, &self.from)
    }
    fn trace(&self) -> &TraceId {
        &self.trace
    }
    fn received_at(&self) -> Timestamp {
        self.received_at
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn find(text: &str) -> Option<Keyword> {
        Keywords::new(Keyword::COMMON).unwrap().find(text)
    }

    #[test]
    fn a_keyword_is_known_however_it_is_written() {
        for text in [
            "STOP",
            "stop",
            "Stop.",
            " stop \n",
            "STOP!!!",
            "STOP 🛑",
            "🛑stop🛑",
            "ｓｔｏｐ",
            "ＳＴＯＰ！",
            "“Stop”",
            "s.t.o.p",
            "stop\u{200b}",
            "𝐒𝐓𝐎𝐏",
            "Stop ™",
            "STOP 🆘🇺🇸",
            "Opt out",
            "OPT-OUT",
            "opt  out",
            "OptOut",
            "stopall",
            "Quit",
            "END",
            "revoke",
            "cancel",
            "Unsubscribe",
            "UNSUBSCRIBE ✋🏽",
        ] {
            assert_eq!(find(text), Some(Keyword::Stop), "{text}");
        }
        assert_eq!((find("start"), find("Unstop.")), (Some(Keyword::Start), Some(Keyword::Start)));
        assert_eq!((find("HELP"), find("help?")), (Some(Keyword::Help), Some(Keyword::Help)));
    }

    #[test]
    fn a_keyword_is_the_whole_message() {
        for text in [
            "please stop",
            "stop it",
            "don't stop",
            "nonstop",
            "stop stop",
            "the end",
            "I need help",
            "",
            "🛑",
            "...",
            "st op",
        ] {
            assert_eq!(find(text), None, "{text}");
        }
        assert_eq!(find(&format!("stop{}", "!".repeat(LONGEST))), None, "nobody writes that");
    }

    #[test]
    fn a_channel_has_words_of_its_own() {
        let spanish = Keywords::new([("ALTO", Keyword::Stop), ("¡Ayuda!", Keyword::Help)]).unwrap();
        assert_eq!((spanish.find("alto"), spanish.find("AYUDA")), (Some(Keyword::Stop), Some(Keyword::Help)));
        assert_eq!(spanish.find("stop"), None);
        let arrêt = Keywords::new([("ARRÊT", Keyword::Stop)]).unwrap();
        assert_eq!(arrêt.find("arre\u{302}t"), Some(Keyword::Stop), "composed or not");
        assert_eq!(Keywords::new([("!", Keyword::Stop)]), Err(KeywordError::Empty("!".to_owned())));
        let twice = [("stop", Keyword::Stop), ("Stop.", Keyword::Start)];
        assert_eq!(Keywords::new(twice), Err(KeywordError::Twice("Stop.".to_owned())));
    }

    proptest! {
        #[test]
        fn whatever_stands_around_a_keyword_changes_nothing(
            (word, keyword) in proptest::sample::select(Keyword::COMMON.to_vec()),
            before in "[ .,!?*#\"'()🛑✋👎\t\n]{0,8}",
            after in "[ .,!?*#\"'()🛑✋👎\t\n]{0,8}",
            upper in any::<bool>(),
        ) {
            let word = if upper { word.to_owned() } else { word.to_lowercase() };
            prop_assert_eq!(find(&format!("{before}{word}{after}")), Some(keyword));
        }

        #[test]
        fn a_word_more_makes_it_a_message(
            (word, _) in proptest::sample::select(Keyword::COMMON.to_vec()),
            more in "[b-df-hj-np-tv-z]{3,9}",
        ) {
            prop_assert_eq!(find(&format!("{word} {more}")), None);
            prop_assert_eq!(find(&format!("{more} {word}")), None);
        }

        #[test]
        fn any_text_is_compared_without_harm(text in ".{0,200}") {
            let once = compared(&text);
            prop_assert_eq!(compared(&once), once);
        }
    }
}
