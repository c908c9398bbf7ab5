use mail_parser::{Addr, Address as Parsed};
use model::Private;
use serde::{Deserialize, Serialize};

/// A person or a company as a mail names it. `Debug` shows neither.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mailbox {
    /// The display name; empty where there is none.
    pub name: Private<String>,
    /// The address as it was written.
    pub address: Private<String>,
}

impl Mailbox {
    /// A mailbox with a display name, which may be empty.
    pub fn new(name: impl Into<String>, address: impl Into<String>) -> Self {
        Self { name: Private::new(name.into()), address: Private::new(address.into()) }
    }

    /// Its domain, in lower case.
    pub fn domain(&self) -> String {
        domain_of(self.address.expose()).to_lowercase()
    }
}

/// The part behind the last `@`.
pub(crate) fn domain_of(address: &str) -> &str {
    address.rsplit_once('@').map_or("", |(_, domain)| domain)
}

/// Whether two addresses are one mailbox to all who matter here.
pub(crate) fn same(one: &str, other: &str) -> bool {
    one.trim().to_lowercase() == other.trim().to_lowercase()
}

/// `local+token@domain` taken apart.
pub(crate) fn plus_parts(address: &str) -> Option<(&str, &str, &str)> {
    let (local, domain) = address.rsplit_once('@')?;
    let (base, token) = local.split_once('+')?;
    (!base.is_empty() && !token.is_empty()).then_some((base, token, domain))
}

/// What has the shape of an address: something on both sides of one last `@`, and nothing that ends a header or a command.
pub(crate) fn is_address(text: &str) -> bool {
    let Some((local, domain)) = text.rsplit_once('@') else { return false };
    let clean = !text.chars().any(|c| c.is_control() || c.is_whitespace() || "<>,;".contains(c));
    clean && !local.is_empty() && domain.len() > 1 && text.len() <= 320
}

/// Every mailbox of an address header, groups opened, at most `most`.
pub(crate) fn mailboxes(parsed: &Parsed<'_>, most: usize) -> Vec<Mailbox> {
    parsed.iter().filter_map(mailbox).take(most).collect()
}

fn mailbox(addr: &Addr<'_>) -> Option<Mailbox> {
    let address = addr.address()?.trim();
    is_address(address).then(|| Mailbox::new(clean_name(addr.name().unwrap_or_default()), address))
}

/// Names are shown in one line beside others, so what would break or reverse a line is left out.
fn clean_name(name: &str) -> String {
    let name: String = name.chars().filter(|c| !c.is_control() && !is_directional(*c)).take(200).collect();
    name.trim().to_owned()
}

/// Characters that turn the direction of what follows, with which `exe.gpj` is made to read `jpg.exe`.
pub(crate) const fn is_directional(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_what_follows_the_plus() {
        assert_eq!(plus_parts("help+abc@company.example"), Some(("help", "abc", "company.example")));
        assert_eq!(plus_parts("help+a+b@company.example"), Some(("help", "a+b", "company.example")));
        for none in ["help@company.example", "+a@company.example", "help+@company.example", "help+a"] {
            assert_eq!(plus_parts(none), None, "{none}");
        }
    }

    #[test]
    fn addresses_end_no_header() {
        assert!(is_address("a@b.example") && is_address("\"a@b\"@c.example"));
        for bad in ["", "a", "@b.example", "a@", "a@b\r\nBcc: c@d.example", "a b@c.example", "a@b.example>"] {
            assert!(!is_address(bad), "{bad:?}");
        }
    }
}
