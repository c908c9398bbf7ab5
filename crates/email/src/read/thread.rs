//! What a mail answers.

use mail_parser::HeaderName;
use model::Private;
use serde::{Deserialize, Serialize};

use super::head::Head;
use super::limits::Limits;
use crate::Mailbox;
use crate::address::{domain_of, plus_parts, same};

/// What tells which conversation a mail belongs to, the best sign first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Thread {
    /// Ids of the messages it says it answers: In-Reply-To, then References from the right. Without angle brackets.
    pub answers: Vec<Private<String>>,
    /// What stood behind the plus in an address of ours it was sent to.
    pub tokens: Vec<Private<String>>,
    /// The subject without `Re:` and its likes, in lower case; with the sender, the last way to find a thread.
    pub subject: Private<String>,
}

/// Prefixes of answers and forwards, in lower case.
const PREFIXES: &[&str] = &[
    "re", "aw", "antw", "antwort", "sv", "vs", "ref", "rif", "r", "odp", "ynt", "res", "rv", "回复", "答复", "回覆",
    "fw", "fwd", "wg", "tr", "wtr", "i", "enc", "doorst", "转发", "轉寄",
];

/// Reads the thread of a mail.
pub(crate) fn read(
    head: &Head,
    addressed: &[String],
    domains: &[String],
    skip: Option<&str>,
    limits: &Limits,
) -> Thread {
    let mut answers: Vec<String> = ids(head, HeaderName::InReplyTo);
    answers.extend(ids(head, HeaderName::References).into_iter().rev());
    let subject = normalised_subject(&head.text(HeaderName::Subject).unwrap_or_default());
    Thread {
        answers: unique(answers, limits.references),
        tokens: unique(tokens(addressed, domains, skip), limits.references),
        subject: Private::new(subject),
    }
}

/// Message ids of a header without their brackets; what cannot be one is left out.
pub(crate) fn ids(head: &Head, name: HeaderName<'static>) -> Vec<String> {
    let raw = head.raw(name.as_str()).unwrap_or_default();
    let usable =
        |id: &str| !id.is_empty() && id.len() <= 998 && !id.chars().any(|c| c.is_whitespace() || c.is_control());
    let bracketed: Vec<String> = raw
        .split('<')
        .skip(1)
        .filter_map(|piece| piece.split('>').next())
        .map(str::trim)
        .filter(|id| usable(id))
        .map(str::to_owned)
        .collect();
    if !bracketed.is_empty() || raw.contains('<') {
        return bracketed;
    }
    // Some programs forget the brackets.
    raw.split_whitespace().filter(|id| id.contains('@') && usable(id)).map(str::to_owned).collect()
}

fn tokens(addressed: &[String], domains: &[String], skip: Option<&str>) -> Vec<String> {
    let ours = |address: &&String| domains.iter().any(|domain| same(domain, domain_of(address)));
    let base_of = |address: &str| plus_parts(address).map(|(base, _, domain)| format!("{base}@{domain}"));
    let skipped = |address: &&String| skip.is_some_and(|skip| base_of(address).is_some_and(|base| same(&base, skip)));
    let found = addressed.iter().filter(ours).filter(|address| !skipped(address));
    found.filter_map(|address| plus_parts(address)).map(|(_, token, _)| token.to_owned()).collect()
}

/// The token behind the plus of one address of ours, where a mail was sent to it.
pub(crate) fn token_of(addressed: &[String], base: &str) -> Option<String> {
    addressed.iter().find_map(|address| {
        let (local, token, domain) = plus_parts(address)?;
        same(&format!("{local}@{domain}"), base).then(|| token.to_owned())
    })
}

fn unique(found: Vec<String>, most: usize) -> Vec<Private<String>> {
    let mut kept: Vec<Private<String>> = Vec::new();
    for value in found {
        let value = Private::new(value);
        if kept.len() < most && !kept.contains(&value) {
            kept.push(value);
        }
    }
    kept
}

/// A subject without what answering and forwarding put before it.
pub fn normalised_subject(subject: &str) -> String {
    let mut rest = subject.trim();
    loop {
        let lower = rest.to_lowercase();
        let Some((word, _)) = lower.split_once([':', '：']) else { break };
        // `Re[2]:` and `AW (2):` count what they answer.
        let word = word.trim_end_matches(|c: char| c.is_ascii_digit() || "[]() ".contains(c));
        if !PREFIXES.contains(&word.trim()) {
            break;
        }
        rest = rest.split_once([':', '：']).map_or("", |(_, after)| after).trim_start();
    }
    let words: Vec<&str> = rest.split_whitespace().collect();
    words.join(" ").to_lowercase()
}

/// Every address of ours a mail may have been sent to: of the envelope, of the header, and what servers noted down.
pub(crate) fn addressed(head: &Head, envelope: &[Private<String>], lists: &[&[Mailbox]]) -> Vec<String> {
    let noted = ["Delivered-To", "X-Original-To", "Envelope-To", "X-Envelope-To"];
    let noted = noted.into_iter().flat_map(|name| head.all_raw(name).take(10).collect::<Vec<_>>());
    let named = lists.iter().flat_map(|list| list.iter()).map(|mailbox| mailbox.address.expose().clone());
    let envelope = envelope.iter().map(|address| address.expose().clone());
    let all = envelope.chain(noted.map(|raw| raw.trim_matches(['<', '>', ' ']).to_owned())).chain(named);
    all.filter(|address| crate::address::is_address(address)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subjects_lose_what_answering_adds() {
        for subject in [
            "Order 42",
            "Re: Order 42",
            "AW: Re: order  42",
            "RE[2]: FWD: Order 42",
            "Antw: SV: Order 42",
            "re：Order 42",
        ] {
            assert_eq!(normalised_subject(subject), "order 42", "{subject}");
        }
        assert_eq!(normalised_subject("Report: 42"), "report: 42");
        assert_eq!(normalised_subject("Re:"), "");
    }

    #[test]
    fn ids_are_read_with_and_without_brackets() {
        let read = |line: &str| ids(&Head::read(format!("References: {line}").into_bytes()), HeaderName::References);
        assert_eq!(read("<a@b.example>\r\n <c@d.example>"), ["a@b.example", "c@d.example"]);
        assert_eq!(read("<a@b.example><c d@e.example>"), ["a@b.example"]);
        assert_eq!(read("a@b.example"), ["a@b.example"]);
        assert_eq!(read("your message of Friday"), Vec::<String>::new());
    }
}
