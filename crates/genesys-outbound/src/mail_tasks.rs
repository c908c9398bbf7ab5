//! Consumers' mail as tasks of Open Media: one for each mail, which names the one before it in its thread as its parent
//! (`reference/genesys.md` 8.4).

use std::convert::Infallible;

use blobs::{BlobId, Check};
use broker::Failure;
use bytes::Bytes;
use futures_util::stream;
use genesys::{Accepted, Client, Created, ExternalId, NewInteraction, Refusal, UserData};
use ledger::{Interaction, InteractionState};
use model::{InboundMail, InboundMessage, MessageId, Private};
use serde_json::json;

use crate::files::{Had, told_of_lost};
use crate::handler::{Room, ledger_down};

/// Bytes of a mail's text that stand in its task; the rest is behind a link.
const BODY: usize = 4 << 10;
/// Bytes of a line of its head.
const LINE: usize = 1 << 10;
/// Bytes of what is told of its attachments.
const ATTACHMENTS: usize = 5 << 10;
/// Mails of one consumer that are remembered for what answers them.
const REMEMBERED: usize = 40;
/// What a consumer's whole text may have behind its link.
const TEXT_LIMIT: u64 = 25 << 20;

impl Room {
    /// Makes the task of a mail.
    pub(crate) async fn put_mail_into_task(
        &self,
        client: &Client,
        service: &str,
        message: &InboundMessage,
        mail: &InboundMail,
        files: &[Had],
        unsure: bool,
    ) -> Result<Result<Accepted, Refusal>, Failure> {
        let ledger = &self.deps.ledger;
        let known = ledger.interaction(&message.channel, &message.from).await.map_err(ledger_down)?;
        let (version, mut known) = known.map_or((0, None), |kept| (kept.version, Some(kept.interaction)));
        let parent = known.as_ref().and_then(|known| parent(known, mail));
        let body = self.body(message, mail, files).await;
        let create = async {
            // An id that was burnt by a task that has ended is given another one once (section 8.2).
            for suffix in ["", "-r2"] {
                let external_id = external_id(&message.id, suffix)?;
                let new = NewInteraction {
                    user_data: self.user_data(&external_id, mail, message, &body, files),
                    external_id,
                    parent: parent.clone(),
                    received_at: Some(mail.taken_at.unwrap_or(message.received_at)),
                };
                match client.create_interaction(service, &new, unsure).await? {
                    Created::Made(task) | Created::There(task) => return Ok((new.external_id, task.id)),
                    Created::Ended => {}
                }
            }
            let cause = "its external id belongs to a task that has ended, and so does the next one".to_owned();
            Err(Refusal::Never { code: "external-id", cause })
        };
        let (external_id, id) = match create.await {
            Ok(made) => made,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let known = known.get_or_insert_with(|| Interaction {
            generation: 0,
            external_id: String::new(),
            id: None,
            bytes: 0,
            entries: 0,
            last: None,
            // It is not ended by us: it is for whoever answers the mail.
            state: InteractionState::Ended,
            threads: Vec::new(),
        });
        known.generation = known.generation.saturating_add(1);
        (known.external_id, known.id) = (external_id.to_string(), id.clone());
        if let Some(id) = &id {
            remember(known, mail, id);
        }
        // Another replica that was faster knows as much; what is lost is a parent, and no mail.
        ledger
            .put_interaction(&message.channel, message.from.normalised(), version, known)
            .await
            .map_err(ledger_down)?;
        Ok(Ok(Accepted { id: Some(id.unwrap_or_else(|| external_id.to_string())) }))
    }

    /// The text as an agent reads it, with a link to all of it where it does not fit.
    async fn body(&self, message: &InboundMessage, mail: &InboundMail, files: &[Had]) -> Body {
        let lost = files.iter().filter_map(told_of_lost);
        let text = [mail.body()].into_iter().chain(lost).collect::<Vec<_>>().join("\n");
        if text.len() <= BODY {
            return Body { text, url: None, cut: false };
        }
        let id = BlobId::derive(&["mail-text", message.id.as_str()]);
        let check = Check {
            limit: TEXT_LIMIT,
            allowed: vec!["text/plain".to_owned()],
            declared_type: Some("text/plain".to_owned()),
            declared_size: None,
        };
        let bytes = stream::iter([Ok::<_, Infallible>(Bytes::from(text.clone()))]);
        let kept = self.deps.media.store.put(&id, Some(Private::new("mail.txt".to_owned())), &check, bytes).await;
        if let Err(error) = &kept {
            tracing::warn!(channel = %message.channel, %error, "the whole text of a mail could not be kept; its task holds the beginning");
        }
        let links = self.deps.media.links.borrow().clone();
        let url = kept.ok().zip(links).map(|(_, links)| links.link(&id, self.deps.clock.now()).expose().clone());
        Body { text: cut(&text, BODY).to_owned(), url, cut: true }
    }

    fn user_data(
        &self,
        external_id: &ExternalId,
        mail: &InboundMail,
        message: &InboundMessage,
        body: &Body,
        files: &[Had],
    ) -> UserData {
        let joined = |texts: &[Private<String>], with: &str| {
            texts.iter().map(|text| text.expose().as_str()).collect::<Vec<_>>().join(with)
        };
        let bracketed = |id: &Private<String>| format!("<{}>", id.expose());
        let references = mail.answers.iter().rev().map(bracketed).collect::<Vec<_>>().join(" ");
        let mut data = UserData::default()
            .with("ExternalId", external_id.as_str())
            .with("MediaOrigin", "bridge-email")
            .with("Subject", cut(mail.subject.expose(), LINE))
            .with("FromAddress", cut(message.from.normalised(), LINE))
            .with("FromPersonal", cut(mail.from_name.expose(), LINE))
            .with("To", cut(mail.to.expose(), LINE))
            .with("Cc", cut(&joined(&mail.others, ", "), LINE))
            .with("Mailbox", cut(mail.to.expose(), LINE))
            .with("MessageId", cut(&mail.message_id.as_ref().map(bracketed).unwrap_or_default(), LINE))
            .with("InReplyTo", cut(&mail.answers.first().map(bracketed).unwrap_or_default(), LINE))
            .with("References", cut(&references, LINE))
            .with("BodyText", body.text.as_str())
            .with("BodyTruncated", if body.cut { "true" } else { "" })
            .with("BodyUrl", body.url.clone().unwrap_or_default());
        let (attachments, all) = self.attachments(files);
        data.push("AttachmentsJson", attachments);
        data.push("AttachmentsTruncated", if all { "" } else { "true" });
        data
    }

    /// What is attached, and whether that is all of it.
    fn attachments(&self, files: &[Had]) -> (String, bool) {
        let (links, now) = (self.deps.media.links.borrow().clone(), self.deps.clock.now());
        let (mut told, mut all) = (Vec::new(), true);
        for had in files {
            let Had::Kept(id, about) = had else { continue };
            let name = about.name.as_ref().map_or("file", |name| cut(name.expose(), 200));
            let mut one = json!({ "name": name, "mime": about.media_type, "size": about.size });
            if let Some(links) = &links {
                one["url"] = json!(links.link(id, now).expose());
            }
            told.push(one);
            if json!(told).to_string().len() > ATTACHMENTS {
                told.pop();
                all = false;
            }
        }
        (if told.is_empty() { String::new() } else { json!(told).to_string() }, all)
    }
}

struct Body {
    text: String,
    url: Option<String>,
    cut: bool,
}

fn external_id(id: &MessageId, suffix: &str) -> Result<ExternalId, Refusal> {
    let id = id.as_str().strip_prefix("in-").unwrap_or(id.as_str());
    ExternalId::parse(&format!("em-{id}{suffix}"))
        .map_err(|error| Refusal::Never { code: "external-id", cause: error.to_string() })
}

fn cut(text: &str, bytes: usize) -> &str {
    &text[..text.floor_char_boundary(bytes)]
}

/// What a mail is remembered under: neither an address nor a subject stands in the ledger.
fn key(kind: &str, text: &str) -> String {
    let id = MessageId::derive(kind, &[text]);
    cut(id.as_str(), 20).to_owned()
}

/// A subject without the marks of answers and of what was passed on.
fn subject(mail: &InboundMail) -> Option<String> {
    let mut rest = mail.subject.expose().trim();
    while let Some((mark, behind)) = rest.split_once(':')
        && ["re", "aw", "fw", "fwd", "wg", "sv", "antw", "tr", "rv"].contains(&mark.trim().to_lowercase().as_str())
    {
        rest = behind.trim();
    }
    (!rest.is_empty()).then(|| key("s", &rest.to_lowercase()))
}

/// The task of the mail that this one answers, of the same consumer: by what it names, then by the address it was sent to, and
/// then by its subject.
fn parent(known: &Interaction, mail: &InboundMail) -> Option<String> {
    let named = mail.answers.iter().map(|id| key("m", id.expose()));
    let addressed = mail.tokens.iter().map(|token| key("t", &token.expose().to_lowercase()));
    // A first mail of many has the subject of another one by chance; an answer says so.
    let alike = subject(mail).filter(|_| mail.subject.expose().contains(':'));
    let find = |key: String| known.threads.iter().rev().find(|(known, _)| *known == key).map(|(_, id)| id.clone());
    named.chain(addressed).chain(alike).find_map(find)
}

fn remember(known: &mut Interaction, mail: &InboundMail, id: &str) {
    let named = mail.message_id.as_ref().map(|id| key("m", id.expose()));
    let thread = mail.thread_token().map(|token| key("t", &token));
    known.threads.extend(named.into_iter().chain(thread).chain(subject(mail)).map(|key| (key, id.to_owned())));
    let surplus = known.threads.len().saturating_sub(3 * REMEMBERED);
    known.threads.drain(..surplus);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mail(id: &str, subject: &str, answers: &[&str]) -> InboundMail {
        InboundMail {
            message_id: Some(Private::new(id.to_owned())),
            subject: Private::new(subject.to_owned()),
            answers: answers.iter().map(|id| Private::new((*id).to_owned())).collect(),
            ..InboundMail::default()
        }
    }

    #[test]
    fn a_mail_finds_the_one_it_answers() {
        let mut known = Interaction {
            generation: 0,
            external_id: String::new(),
            id: None,
            bytes: 0,
            entries: 0,
            last: None,
            state: InteractionState::Ended,
            threads: Vec::new(),
        };
        remember(&mut known, &mail("1@a", "Order 42", &[]), "one");
        remember(&mut known, &mail("2@a", "Order 43", &[]), "two");
        assert_eq!(parent(&known, &mail("3@a", "Whatever", &["x@b", "1@a"])).as_deref(), Some("one"));
        assert_eq!(parent(&known, &mail("3@a", "AW: Re: order 43", &[])).as_deref(), Some("two"));
        assert_eq!(parent(&known, &mail("3@a", "Order 43", &[])), None, "it answers nothing");
        assert_eq!(parent(&known, &mail("3@a", "Re: Order 44", &["y@b"])), None);
        let token = mail("2@a", "", &[]).thread_token().unwrap();
        let stripped = |token: &str| InboundMail {
            tokens: vec![Private::new(token.to_uppercase())],
            ..mail("4@a", "Something else", &[])
        };
        assert_eq!(parent(&known, &stripped(&token)).as_deref(), Some("two"), "by the address alone");
        assert_eq!(parent(&known, &stripped("another")), None);
        let answer = mail("5@a", "", &["nx.x@company.com", "2@a"]);
        assert_eq!(answer.thread_token().as_deref(), Some(token.as_str()), "one name for the whole thread");
        for number in 0..500 {
            remember(&mut known, &mail(&format!("n{number}"), "", &[]), "later");
        }
        assert_eq!(known.threads.len(), 3 * REMEMBERED);
        assert!(!format!("{:?}", known.threads).contains("Order"));
    }

    #[test]
    fn external_ids_of_mails_can_stand_in_a_path() {
        let id = MessageId::derive("in", &["mail", "a"]);
        for suffix in ["", "-r2"] {
            assert!(external_id(&id, suffix).unwrap().as_str().starts_with("em-"));
        }
    }
}
