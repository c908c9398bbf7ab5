use proptest::prelude::*;

use super::*;
use crate::outgoing::message_id;
use crate::read::{Cause, Context, Kind, Limits, Mail, read};

fn draft() -> Draft {
    Draft {
        message_id: message_id("ccid", "company.com", "m-1", "ann@consumer.example"),
        domain: "company.com".to_owned(),
        envelope_sender: "bounces+token@company.com".to_owned(),
        from: Mailbox::new("Help Désk", "help@company.com"),
        to: Mailbox::new("Ann", "ann@consumer.example"),
        reply_to: Some(Mailbox::new("", "help+token@company.com")),
        subject: Private::new("Ihre Bestellung 42 – grüße".to_owned()),
        text: None,
        html: Some(Private::new("<p>Hello&nbsp;Ann,</p><p>it is on its way.</p>".to_owned())),
        files: Vec::new(),
        in_reply_to: MessageRef::parse("<q2@consumer.example>"),
        references: ["q1@consumer.example", "q2@consumer.example"].into_iter().filter_map(MessageRef::parse).collect(),
        automatic: false,
        unsubscribe: None,
        date: "2026-11-20T10:15:30Z".parse().unwrap(),
    }
}

fn read_back(composed: &Composed) -> Mail {
    read(composed.bytes(), &Context::default(), &Limits::default()).unwrap()
}

#[test]
fn a_mail_says_what_its_draft_says() {
    let draft = draft();
    let composed = compose(draft.clone(), None).unwrap();
    let mail = read_back(&composed);
    assert_eq!(mail.message_id.unwrap().expose(), draft.message_id.as_str());
    assert_eq!(mail.from, Some(draft.from.clone()));
    assert_eq!((mail.to, mail.reply_to), (vec![draft.to.clone()], vec![draft.reply_to.clone().unwrap()]));
    assert_eq!(mail.subject, draft.subject);
    assert_eq!(mail.text.expose(), "Hello Ann,\n\nit is on its way.", "made from the HTML");
    assert_eq!(mail.html.unwrap().expose().trim_end(), draft.html.clone().unwrap().expose());
    let answers: Vec<_> = mail.thread.answers.iter().map(|id| id.expose().as_str()).collect();
    assert_eq!(answers, ["q2@consumer.example", "q1@consumer.example"]);
    assert_eq!(mail.date, Some(draft.date));
    assert_eq!(compose(draft, None).unwrap().bytes, composed.bytes, "the same each time");
}

#[test]
fn our_own_mail_is_known_when_it_comes_back() {
    let composed = compose(draft(), None).unwrap();
    let context = Context { domains: vec!["Company.com".to_owned()], ..Context::default() };
    let mail = read(composed.bytes(), &context, &Limits::default()).unwrap();
    assert_eq!(mail.kind, Kind::Machine(Cause::OwnMail));
}

#[test]
fn files_travel_with_safe_names() {
    let mut draft = draft();
    draft.text = Some(Private::new("see attached".to_owned()));
    let file = |name: &str, media_type: &str| File {
        name: Private::new(name.to_owned()),
        media_type: media_type.to_owned(),
        content: Private::new(vec![0, 159, 146, 150]),
    };
    draft.files =
        vec![file("../../Rechnung März.pdf", "application/pdf"), file("x\r\nBcc: a@b.example", "a/b\r\nX: y")];
    let mail = read_back(&compose(draft, None).unwrap());
    let names: Vec<_> = mail.attachments.iter().map(|file| file.name.expose().as_str()).collect();
    assert_eq!(names, ["Rechnung März.pdf", "xBcc_ a@b.example"]);
    let types: Vec<_> = mail.attachments.iter().map(|file| (file.media_type.as_str(), file.size)).collect();
    assert_eq!(types, [("application/pdf", 4), ("application/octet-stream", 4)]);
    assert_eq!(mail.text.expose(), "see attached");
}

#[test]
fn machines_mails_and_lists_say_so() {
    let mut draft = draft();
    draft.automatic = true;
    draft.unsubscribe = Some(Unsubscribe::Url(Private::new("https://bridge.company.com/unsubscribe/abc".to_owned())));
    let bytes = compose(draft.clone(), None).unwrap().bytes;
    let mail = String::from_utf8(bytes).unwrap().replace("\r\n ", " ");
    for header in [
        "Auto-Submitted: auto-generated\r\n",
        "List-Unsubscribe: <https://bridge.company.com/unsubscribe/abc>\r\n",
        "List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n",
        "X-Causeway-Domain: company.com\r\n",
    ] {
        assert!(mail.contains(header), "{header} is not in\n{mail}");
    }
    draft.unsubscribe = Some(Unsubscribe::Mailto(Private::new("leave+abc@company.com".to_owned())));
    let mail = String::from_utf8(compose(draft.clone(), None).unwrap().bytes).unwrap();
    assert!(mail.contains("List-Unsubscribe: <mailto:leave+abc@company.com?subject=unsubscribe>\r\n"), "{mail}");
    draft.unsubscribe = Some(Unsubscribe::Url(Private::new("https://a.example/>\r\nBcc: x@y.example".to_owned())));
    assert_eq!(compose(draft, None).unwrap_err(), ComposeError::OwnAddress);
}

#[test]
fn what_cannot_be_sent_is_told_with_its_code() {
    let refused = |change: fn(&mut Draft)| {
        let mut draft = draft();
        change(&mut draft);
        let error = compose(draft.clone(), None).unwrap_err();
        (error, error.reason().code.number())
    };
    assert_eq!(
        refused(|draft| draft.from = Mailbox::new("", "help@other.example")),
        (ComposeError::ForeignSender, 350)
    );
    assert_eq!(
        refused(|draft| draft.from = Mailbox::new("", "help@company.com.evil.example")),
        (ComposeError::ForeignSender, 350)
    );
    assert_eq!(refused(|draft| draft.to = Mailbox::new("", "ann")), (ComposeError::Recipient, 530));
    assert_eq!(
        refused(|draft| draft.to = Mailbox::new("", "ann@b.example\r\nRCPT TO:<x@y.example>")),
        (ComposeError::Recipient, 530)
    );
    assert_eq!(refused(|draft| draft.html = None), (ComposeError::Empty, 520));
    assert_eq!(refused(|draft| draft.html = Some(Private::new(" ".to_owned()))), (ComposeError::Empty, 520));
}

proptest! {
    /// Whatever a webhook holds: there are the headers that were meant, and no others.
    #[test]
    fn no_text_begins_a_header(
        subject in "(a|é|\r|\n|\r\n|: |Bcc:x@y\\.z|\0|\t|=\\?utf-8\\?Q\\?=0A\\?=){0,30}",
        name in "(a|é|\r|\n|\r\n|\"|<|>|,|;|Bcc:x@y\\.z|\\\\){0,30}",
        text in "(a|\r|\n|\r\n|\\.|é){0,40}",
    ) {
        let mut draft = draft();
        draft.subject = Private::new(subject.clone());
        draft.from = Mailbox::new(name.clone(), "help@company.com");
        draft.to = Mailbox::new(name.clone(), "ann@consumer.example");
        draft.text = Some(Private::new(format!("{text}x")));
        draft.files = vec![File { name: Private::new(name), media_type: subject, content: Private::new(vec![1]) }];
        let composed = compose(draft, None).unwrap();
        let head = String::from_utf8_lossy(&composed.bytes).into_owned();
        let head = head.split("\r\n\r\n").next().unwrap().to_owned();
        prop_assert!(!head.replace("\r\n", "").contains(['\r', '\n']), "{head}");
        let names: Vec<&str> = head.split("\r\n").filter(|line| !line.starts_with([' ', '\t'])).map(|line| line.split(':').next().unwrap()).collect();
        let known = ["From", "To", "Subject", "Date", "Message-ID", "Reply-To", "In-Reply-To", "References", "X-Causeway-Domain", "MIME-Version", "Content-Type"];
        prop_assert!(names.iter().all(|name| known.contains(name)), "{names:?}");
        let mail = read_back(&composed);
        prop_assert_eq!(mail.to.len(), 1);
        prop_assert_eq!(mail.to[0].address.expose().as_str(), "ann@consumer.example");
        // Lines longer than 998 bytes are refused by servers.
        prop_assert!(composed.bytes.split(|byte| *byte == b'\n').all(|line| line.len() <= 998));
    }
}
