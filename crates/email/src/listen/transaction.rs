use model::Private;
use smtp_proto::{MailFrom, RcptTo};

use super::config::ListenConfig;
use crate::address::{domain_of, is_address, plus_parts, same};
use crate::read::Envelope;

/// One mail's envelope while it is being told.
#[derive(Default)]
pub(super) struct Transaction {
    sender: Option<Option<Private<String>>>,
    recipients: Vec<Private<String>>,
}

impl Transaction {
    pub(super) const fn is_begun(&self) -> bool {
        self.sender.is_some()
    }

    pub(super) const fn has_recipients(&self) -> bool {
        !self.recipients.is_empty()
    }

    /// MAIL FROM; gives the answer.
    pub(super) fn mail(&mut self, from: MailFrom<String>, most: u64) -> &'static str {
        if self.is_begun() {
            return "503 5.5.1 One mail at a time";
        }
        if from.size as u64 > most {
            return "552 5.3.4 This mail is too large";
        }
        if from.flags & smtp_proto::MAIL_BODY_BINARYMIME != 0 || from.flags & smtp_proto::MAIL_REQUIRETLS != 0 {
            return "555 5.5.4 This parameter is not taken";
        }
        if !from.address.is_empty() && !is_address(&from.address) {
            return "553 5.1.7 This is no sender's address";
        }
        self.sender = Some(Some(from.address).filter(|address| !address.is_empty()).map(Private::new));
        "250 2.1.0 Sender ok"
    }

    /// RCPT TO; gives the answer.
    pub(super) fn recipient(&mut self, to: RcptTo<String>, config: &ListenConfig) -> &'static str {
        if !self.is_begun() {
            return "503 5.5.1 MAIL comes first";
        }
        if !is_address(&to.address) {
            return "553 5.1.3 This is no recipient's address";
        }
        let domain = domain_of(&to.address);
        let bounces = config.bounce_address.as_deref().is_some_and(|base| is_for(&to.address, base));
        if !bounces && !config.domains.iter().any(|known| same(known, domain)) {
            config.refusals.domain();
            return "550 5.7.1 No mail is taken for this domain";
        }
        if self.recipients.len() >= config.limits.recipients {
            return "452 4.5.3 Too many recipients";
        }
        let address = Private::new(to.address);
        if !self.recipients.contains(&address) {
            self.recipients.push(address);
        }
        "250 2.1.5 Recipient ok"
    }

    /// The envelope, complete.
    pub(super) fn envelope(self) -> Envelope {
        Envelope { sender: self.sender.flatten(), recipients: self.recipients }
    }
}

/// Whether an address is another one, with or without something behind a plus.
fn is_for(address: &str, base: &str) -> bool {
    let plain = plus_parts(address).map(|(local, _, domain)| format!("{local}@{domain}"));
    same(address, base) || plain.is_some_and(|plain| same(&plain, base))
}
