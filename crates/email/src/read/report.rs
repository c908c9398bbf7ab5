//! What a bounce says of the one mail of ours that it is about.

use jiff::Timestamp;
use model::{DeliveryReport, NeighbourName, ReasonCode, ReceiptReason, ReceiptStatus, TraceId};

use super::{Bounce, Outcome};
use crate::outgoing::token_of;

impl Bounce {
    /// The token of the mail it is about: behind the plus of the address it came to, or in the Message-ID it returns.
    pub fn token(&self) -> Option<String> {
        let addressed = self.token.as_ref().map(|token| token.expose().to_ascii_lowercase());
        addressed.or_else(|| token_of(self.message_id.as_ref()?.expose()))
    }

    /// The report for whoever keeps the ledger; `None` where it is about no mail that can be told, or says nothing final. Each of
    /// our mails has one recipient, so what is said of any is said of that one.
    pub fn delivery_report(
        &self,
        provider: &NeighbourName,
        trace: TraceId,
        received_at: Timestamp,
    ) -> Option<DeliveryReport> {
        let foreign_id = self.token()?;
        let status = self.status()?;
        let id = DeliveryReport::derive_id(provider, &foreign_id, &status);
        Some(DeliveryReport { id, provider: provider.clone(), foreign_id, status, trace, received_at })
    }

    fn status(&self) -> Option<ReceiptStatus> {
        let failed = self.recipients.iter().find(|report| report.outcome == Outcome::Failed);
        if let Some(failed) = failed {
            let unsaid = || ReceiptReason {
                code: ReasonCode::General,
                message: "The mail was returned by a mail server.".to_owned(),
            };
            return Some(ReceiptStatus::Failed(failed.reason.clone().unwrap_or_else(unsaid)));
        }
        let delivered = self.recipients.iter().any(|report| report.outcome == Outcome::Delivered);
        delivered.then_some(ReceiptStatus::Delivered)
    }
}

#[cfg(test)]
mod tests {
    use model::Private;

    use super::*;
    use crate::outgoing::{message_id, message_token};
    use crate::read::Report;

    fn bounce(outcomes: &[Outcome]) -> Bounce {
        let report = |outcome: &Outcome| Report {
            recipient: None,
            original: None,
            outcome: *outcome,
            status: None,
            reason: None,
        };
        Bounce { message_id: None, token: None, recipients: outcomes.iter().map(report).collect() }
    }

    fn told(bounce: &Bounce) -> Option<&'static str> {
        let (provider, trace) = (NeighbourName::new("mail"), TraceId::new("t"));
        bounce.delivery_report(&provider, trace, Timestamp::UNIX_EPOCH).map(|report| report.status.word())
    }

    #[test]
    fn either_sign_finds_the_mail() {
        let token = message_token("ccid", "company.com", "1", "a@b.example");
        let id = message_id("ccid", "company.com", "1", "a@b.example");
        let with = |token: Option<&str>, id: Option<&str>| Bounce {
            token: token.map(|token| Private::new(token.to_owned())),
            message_id: id.map(|id| Private::new(id.to_owned())),
            ..bounce(&[Outcome::Failed])
        };
        assert_eq!(with(Some(&token.to_uppercase()), None).token(), Some(token.clone()));
        assert_eq!(with(None, Some(id.as_str())).token(), Some(token));
        assert_eq!(with(None, Some("other@mail.example")).token(), None);
        assert_eq!(told(&with(None, None)), None, "nobody knows what it is about");
    }

    #[test]
    fn only_what_is_final_is_told() {
        let about = |outcomes: &[Outcome]| Bounce { token: Some(Private::new("t".to_owned())), ..bounce(outcomes) };
        assert_eq!(told(&about(&[Outcome::Delivered, Outcome::Failed])), Some("Failed"));
        assert_eq!(told(&about(&[Outcome::Delayed, Outcome::Delivered])), Some("Delivered"));
        assert_eq!(told(&about(&[Outcome::Delayed, Outcome::Relayed])), None);
        assert_eq!(told(&about(&[])), None);
    }
}
