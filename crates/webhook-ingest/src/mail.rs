//! A mail to several recipients becomes a mail to each.

use genesys::WebhookMail;
use model::{MailReply, Named, ReasonCode, ReplyBody, Unsendable};

/// The most recipients of one webhook. More of them are told so, each by a receipt.
const MOST: usize = 100;
/// What the mails of one webhook may take together, in bytes: each recipient has a copy of its own in the queue.
const TOGETHER: usize = 64 << 20;

/// The mail of each recipient, in their order.
pub(crate) fn bodies(mail: &WebhookMail) -> Vec<ReplyBody> {
    let size = |part: &Option<model::Private<String>>| part.as_ref().map_or(0, |part| part.expose().len());
    let each = size(&mail.text) + size(&mail.html);
    let count = mail.recipients.len();
    if count > MOST || each.saturating_mul(count) > TOGETHER {
        let reason =
            format!("The mail has too many recipients for its size; at most {MOST} are possible. It was sent to none.");
        let told = ReplyBody::Unsendable(Unsendable { code: ReasonCode::InvalidStructure, reason });
        return vec![told; count];
    }
    mail.recipients.iter().map(|recipient| ReplyBody::Mail(Box::new(one(mail, recipient)))).collect()
}

fn one(mail: &WebhookMail, recipient: &Named) -> MailReply {
    MailReply {
        from_name: mail.from_name.clone(),
        to_name: recipient.name.clone(),
        reply_to: mail.reply_to.clone(),
        subject: Some(mail.subject.clone()),
        text: mail.text.clone(),
        html: mail.html.clone(),
        files: mail.files.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mail(recipients: usize, size: usize) -> WebhookMail {
        let named = |number: usize| Named { id: format!("{number}@mail.com").into(), name: Default::default() };
        WebhookMail {
            from_name: Default::default(),
            recipients: (0..recipients).map(named).collect(),
            reply_to: None,
            subject: Default::default(),
            text: Some("x".repeat(size).into()),
            html: None,
            files: Vec::new(),
        }
    }

    #[test]
    fn everybody_gets_a_mail_or_nobody() {
        let sent = |mail: &WebhookMail| bodies(mail).iter().filter(|body| matches!(body, ReplyBody::Mail(_))).count();
        assert_eq!(sent(&mail(100, 10)), 100);
        assert_eq!((sent(&mail(101, 10)), bodies(&mail(101, 10)).len()), (0, 101));
        assert_eq!(sent(&mail(10, 7 << 20)), 0, "they would be too much together");
    }
}
