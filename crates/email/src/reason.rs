//! What mail servers say, in the codes an agent is told.

use model::{ReasonCode, ReceiptReason};

/// An enhanced status code (RFC 3463): class, subject, detail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Status {
    /// 2 success, 4 for now, 5 for good.
    pub class: u8,
    /// What it is about.
    pub subject: u16,
    /// What about it.
    pub detail: u16,
}

impl Status {
    /// Reads `5.1.1`, with anything behind it.
    pub fn parse(text: &str) -> Option<Self> {
        let word = text.split_whitespace().next()?;
        let mut numbers = word.trim_start_matches('#').splitn(3, '.');
        let class = numbers.next().filter(|class| matches!(*class, "2" | "4" | "5"))?.parse().ok()?;
        let subject = number(numbers.next()?)?;
        let detail = number(numbers.next()?)?;
        Some(Self { class, subject, detail })
    }

    /// The first one anywhere in a text.
    pub fn find(text: &str) -> Option<Self> {
        let separate = |c: char| c.is_whitespace() || "()[]<>,;:#\"'-".contains(c);
        text.split(separate).find_map(|word| word.contains('.').then(|| Self::parse(word)).flatten())
    }
}

fn number(text: &str) -> Option<u16> {
    let (digits, rest) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    // Four numbers are a host's address.
    let goes_on = rest.strip_prefix('.').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    ((1..=3).contains(&digits.len()) && !goes_on).then(|| digits.parse().ok()).flatten()
}

impl std::fmt::Display for Status {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}.{}.{}", self.class, self.subject, self.detail)
    }
}

/// The step of a transaction an answer belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// MAIL FROM: about the sender and the size.
    Sender,
    /// RCPT TO.
    Recipient,
    /// DATA and what follows it: about the content, or about everything.
    Content,
    /// Not known: a bounce tells an answer without it.
    Unknown,
}

/// The code of a final refusal. An enhanced status tells more than the three digits.
pub(crate) fn code(reply: Option<u16>, status: Option<Status>, step: Step) -> ReasonCode {
    status.and_then(by_status).unwrap_or_else(|| by_reply(reply, step))
}

fn by_status(status: Status) -> Option<ReasonCode> {
    Some(match (status.subject, status.detail) {
        // The sender's address, not the recipient's.
        (1, 7 | 8) | (7, _) => ReasonCode::NotAllowed,
        // The time is over: so it says, or it tells a passing trouble as final.
        (4, 7) => ReasonCode::Expired,
        _ if status.class == 4 => ReasonCode::Expired,
        (1, _) | (2, 1) | (4, 4) => ReasonCode::InvalidDestination,
        (2, 3) | (3, 4) | (6, _) => ReasonCode::Unsupported,
        (0, 0) => return None,
        _ => ReasonCode::General,
    })
}

fn by_reply(reply: Option<u16>, step: Step) -> ReasonCode {
    match (reply, step) {
        (Some(550 | 551 | 553), Step::Recipient | Step::Unknown) => ReasonCode::InvalidDestination,
        (Some(550 | 553), Step::Sender) | (Some(550), Step::Content) => ReasonCode::NotAllowed,
        (Some(552), Step::Sender | Step::Content) => ReasonCode::Unsupported,
        (Some(400..=499), _) => ReasonCode::Expired,
        _ => ReasonCode::General,
    }
}

/// A sentence for the agent, made of codes alone: a server's own words may name people.
pub(crate) fn told(code: ReasonCode, reply: Option<u16>, status: Option<Status>) -> ReceiptReason {
    let what = match code {
        ReasonCode::Expired => "The mail could not be delivered in time",
        ReasonCode::RateLimited => "The recipient's mail server takes no more mails for now",
        ReasonCode::NotAllowed => "The recipient's mail server does not allow this mail",
        ReasonCode::Unsupported => "The recipient's mail server does not take a mail of this size or kind",
        ReasonCode::InvalidStructure => "The mail has no content that can be sent",
        ReasonCode::InvalidDestination => "The recipient's address does not exist or takes no mail",
        ReasonCode::UnknownMessage | ReasonCode::General => "The mail was refused by a mail server",
    };
    let numbers: Vec<String> =
        reply.map(|reply| reply.to_string()).into_iter().chain(status.map(|status| status.to_string())).collect();
    let numbers = if numbers.is_empty() { String::new() } else { format!(" (answer {})", numbers.join(" ")) };
    ReceiptReason { code, message: format!("{what}{numbers}.") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_have_the_codes_genesys_knows() {
        for (reply, status, step, expected) in [
            (550, "5.1.1", Step::Recipient, ReasonCode::InvalidDestination),
            (550, "5.1.8", Step::Sender, ReasonCode::NotAllowed),
            (550, "5.7.1", Step::Recipient, ReasonCode::NotAllowed),
            (552, "5.3.4", Step::Sender, ReasonCode::Unsupported),
            (552, "5.2.3", Step::Content, ReasonCode::Unsupported),
            (554, "5.6.0", Step::Content, ReasonCode::Unsupported),
            (552, "5.2.2", Step::Recipient, ReasonCode::General),
            (550, "5.2.1", Step::Recipient, ReasonCode::InvalidDestination),
            (550, "5.3.3", Step::Recipient, ReasonCode::General),
            (450, "4.4.7", Step::Unknown, ReasonCode::Expired),
            (451, "4.3.0", Step::Unknown, ReasonCode::Expired),
            (550, "5.0.0", Step::Recipient, ReasonCode::InvalidDestination),
            (550, "", Step::Recipient, ReasonCode::InvalidDestination),
            (550, "", Step::Content, ReasonCode::NotAllowed),
            (552, "", Step::Content, ReasonCode::Unsupported),
            (552, "", Step::Recipient, ReasonCode::General),
            (554, "", Step::Content, ReasonCode::General),
        ] {
            assert_eq!(code(Some(reply), Status::parse(status), step), expected, "{reply} {status} {step:?}");
        }
    }

    #[test]
    fn statuses_are_found_in_what_servers_write() {
        let found = |text| Status::find(text).map(|status| status.to_string());
        assert_eq!(found("550-5.1.1 The account does not exist").as_deref(), Some("5.1.1"));
        assert_eq!(found("host mx.example[192.0.2.7] said: 550 #5.7.1 no (in reply)").as_deref(), Some("5.7.1"));
        assert_eq!(found("from 5.6.7.8 with 4.4"), None, "a host's address");
        assert_eq!(found("Status: 5.1.1.").as_deref(), Some("5.1.1"));
        assert_eq!(found("550 no such user"), None);
    }
}
