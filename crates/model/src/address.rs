use std::collections::BTreeSet;
use std::fmt;

use phonenumber::country;
use serde::{Deserialize, Serialize};

/// The country whose rules turn a number written locally into an international one.
pub type Country = country::Id;

/// A telephone number in E.164 without the plus, or a short code; digits only.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PhoneNumber(String);

/// Why text is no address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// E.164 allows 15 digits, the shortest short codes have 3.
    #[error("a telephone number has 3 to 15 digits")]
    NotANumber,
    /// Not of the form `local@domain`.
    #[error("a mail address has the form local@domain")]
    NotMail,
}

impl PhoneNumber {
    /// Builds the tables of numbering plans, which the first number would otherwise wait for.
    pub fn warm_up() {
        let built = Self::normalise("13125550100", None);
        debug_assert!(built.is_ok(), "it is a number");
    }

    /// Normalises a number as a person or a provider wrote it.
    ///
    /// A number that is valid in `country` is taken as such; otherwise its digits are taken as an international
    /// number with the plus left out, which is how providers write them. Validity is no condition, because numbering
    /// plans change faster than their tables: whether a number exists is the provider's to say.
    ///
    /// # Errors
    /// [`AddressError::NotANumber`] when no 3 to 15 digits are there, or when it holds letters.
    pub fn normalise(raw: &str, country: Option<Country>) -> Result<Self, AddressError> {
        let raw = raw.trim();
        let international = raw.starts_with('+');
        if raw.chars().any(|c| !(c.is_ascii_digit() || "+-.() /\u{a0}".contains(c))) {
            return Err(AddressError::NotANumber);
        }
        let digits: String = raw.chars().filter(char::is_ascii_digit).collect();
        if !(3..=15).contains(&digits.len()) {
            return Err(AddressError::NotANumber);
        }
        let short_code = digits.len() <= 6;
        match country.filter(|country| !international && !short_code && !is_whole(&digits, *country)) {
            Some(country) => Ok(Self(in_country(&digits, country).unwrap_or(digits))),
            None => Ok(Self(digits)),
        }
    }

    /// The digits.
    pub fn digits(&self) -> &str {
        &self.0
    }
}

/// Whether a number is an international one of North America as it stands, valid or not: what nearly every number there is, and
/// the numbering plan, which takes a while to ask, would not change it.
fn is_whole(digits: &str, plan: Country) -> bool {
    matches!(plan, country::US | country::CA) && digits.len() == 11 && digits.starts_with('1')
}

fn in_country(digits: &str, country: Country) -> Option<String> {
    let number = phonenumber::parse(Some(country), digits).ok()?;
    if !number.is_valid() {
        return None;
    }
    let written = number.format().mode(phonenumber::Mode::E164).to_string();
    Some(written.trim_start_matches('+').to_owned())
}

impl fmt::Debug for PhoneNumber {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("***")
    }
}

/// The consumers of a group conversation: two numbers or more, in order and each once, so that a group has one name.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Group(String);

impl Group {
    /// The most members; no carrier carries more.
    const LIMIT: usize = 50;

    /// A group of so many; `None` where they are fewer than two, or too many.
    pub fn new(members: impl IntoIterator<Item = PhoneNumber>) -> Option<Self> {
        let members: BTreeSet<PhoneNumber> = members.into_iter().collect();
        let fits = (2..=Self::LIMIT).contains(&members.len());
        let digits: Vec<&str> = members.iter().map(PhoneNumber::digits).collect();
        fits.then(|| Self(digits.join(",")))
    }

    /// Reads what [`Group::name`] wrote.
    pub fn parse(name: &str) -> Option<Self> {
        let members: Result<Vec<_>, _> = name.split(',').map(|member| PhoneNumber::normalise(member, None)).collect();
        Self::new(members.ok()?)
    }

    /// Its members' digits, in order, with commas between: what Genesys knows it by.
    pub fn name(&self) -> &str {
        &self.0
    }

    /// Its members.
    pub fn members(&self) -> impl Iterator<Item = PhoneNumber> + '_ {
        self.0.split(',').map(|digits| PhoneNumber(digits.to_owned()))
    }
}

impl fmt::Debug for Group {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("***")
    }
}

/// Where a consumer is reached.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Address {
    /// By text message.
    Phone(PhoneNumber),
    /// By text message to several at once.
    Group(Group),
    /// By mail; lower-cased, as mailboxes are compared.
    Mail(String),
    /// Somewhere no message can be sent to; kept because its sender is owed an answer in order.
    Invalid(String),
}

impl Address {
    /// A mail address, lower-cased.
    ///
    /// # Errors
    /// [`AddressError::NotMail`] when there is no local part or no domain, or a control character or space.
    pub fn mail(raw: &str) -> Result<Self, AddressError> {
        let raw = raw.trim();
        let (local, domain) = raw.rsplit_once('@').ok_or(AddressError::NotMail)?;
        let clean = !raw.chars().any(|c| c.is_control() || c.is_whitespace());
        if local.is_empty() || domain.is_empty() || !clean {
            return Err(AddressError::NotMail);
        }
        Ok(Self::Mail(raw.to_lowercase()))
    }

    /// The form in which two spellings of one address are equal.
    pub fn normalised(&self) -> &str {
        match self {
            Self::Phone(number) => number.digits(),
            Self::Group(group) => group.name(),
            Self::Mail(address) | Self::Invalid(address) => address,
        }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Phone(_) => formatter.write_str("Phone(***)"),
            Self::Group(_) => formatter.write_str("Group(***)"),
            Self::Mail(_) => formatter.write_str("Mail(***)"),
            Self::Invalid(_) => formatter.write_str("Invalid(***)"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(raw: &str, country: Option<Country>, expected: Result<&str, AddressError>) {
        let found = PhoneNumber::normalise(raw, country);
        assert_eq!(found.as_ref().map(PhoneNumber::digits).map_err(|error| *error), expected, "{raw}");
    }

    #[test]
    fn numbers_are_normalised_as_their_country_writes_them() {
        let us = Some(country::US);
        check("3125550142", us, Ok("13125550142"));
        check("13125550142", us, Ok("13125550142"));
        check("+1 (312) 555-0142", us, Ok("13125550142"));
        check("16504661149", us, Ok("16504661149"));
        check("+447911123456", us, Ok("447911123456"));
        check("07911 123456", Some(country::GB), Ok("447911123456"));
        check("447911123456", Some(country::GB), Ok("447911123456"));
        check("72345", us, Ok("72345"));
        check("3125550142", None, Ok("3125550142"));
    }

    #[test]
    fn what_is_no_number_is_refused() {
        check("", None, Err(AddressError::NotANumber));
        check("12", None, Err(AddressError::NotANumber));
        check("1234567890123456", None, Err(AddressError::NotANumber));
        check("2500@portal", None, Err(AddressError::NotANumber));
        check("call me", None, Err(AddressError::NotANumber));
    }

    #[test]
    fn a_group_has_one_name_whoever_writes() {
        let number = |digits: &str| PhoneNumber::normalise(digits, None).unwrap();
        let one = Group::new(["13125550143", "13125550142", "13125550143"].map(number)).unwrap();
        assert_eq!(one.name(), "13125550142,13125550143");
        assert_eq!(Group::parse(one.name()), Some(one.clone()));
        assert_eq!(one.members().collect::<Vec<_>>(), ["13125550142", "13125550143"].map(number));
        assert_eq!(Group::new([number("13125550142"), number("13125550142")]), None, "one number is no group");
        assert_eq!(Group::parse("13125550142,call me"), None);
    }

    #[test]
    fn debug_shows_nobody() {
        let number = PhoneNumber::normalise("13125550142", None).unwrap();
        let shown = format!("{number:?} {:?} {:?}", Address::Phone(number.clone()), Address::mail("a@b.example"));
        assert!(!shown.contains("312") && !shown.contains("a@b"), "{shown}");
    }
}
