//! Awkward mails, each beside what is read out of it. A snapshot is a statement about its mail that somebody has checked.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use email::read::{Attachment, Context, Kind, Limits, Mail, read};
use serde_json::{Value, json};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus")
}

fn context() -> Context {
    Context {
        envelope: None,
        domains: vec!["company.com".to_owned()],
        bounce_address: Some("bounces@company.com".to_owned()),
    }
}

/// What a mail says, with what says nothing left out.
fn said(mail: Mail) -> Value {
    let kind = match &mail.kind {
        Kind::Message => json!("message"),
        Kind::Machine(cause) => json!({ "machine": cause }),
        Kind::Bounce(bounce) => json!({ "bounce": bounce }),
    };
    let files: Vec<Value> = mail.attachments.into_iter().map(file).collect();
    let mut said = json!({
        "kind": kind,
        "message_id": mail.message_id,
        "from": mail.from,
        "reply_to": mail.reply_to,
        "to": mail.to,
        "cc": mail.cc,
        "addressed": mail.addressed,
        "subject": mail.subject,
        "date": mail.date,
        "received": mail.received,
        "text": mail.text,
        "quoted": mail.quoted,
        "html": mail.html,
        "files": files,
        "thread": mail.thread,
        "notes": mail.notes,
    });
    let empty = |value: &Value| value.is_null() || value == &json!([]) || value == &json!("");
    said.as_object_mut().expect("it was made as one").retain(|_, value| !empty(value));
    said
}

fn file(mut file: Attachment) -> Value {
    let mut content = Vec::new();
    file.content.read_to_end(&mut content).expect("it is at hand");
    assert_eq!(content.len() as u64, file.size);
    let content: String = String::from_utf8_lossy(&content).chars().take(40).collect();
    json!({ "name": file.name, "type": file.media_type, "size": file.size.to_string(), "inline": file.inline, "id": file.content_id, "begins": content })
}

fn mails() -> Vec<(String, Vec<u8>)> {
    let entries =
        fs::read_dir(folder()).expect("it is a folder").map(|entry| entry.expect("a folder can be listed").path());
    let mut mails: Vec<_> = entries
        .filter(|path| path.extension().is_some_and(|extension| extension == "eml"))
        .map(|path| {
            (
                path.file_stem().expect("it has a name").to_string_lossy().into_owned(),
                fs::read(&path).expect("it can be read"),
            )
        })
        .collect();
    mails.sort();
    assert!(mails.len() >= 60, "{} mails", mails.len());
    mails
}

#[test]
fn every_mail_is_read_as_somebody_checked() {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(folder());
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    let mut wrong = Vec::new();
    for (name, raw) in mails() {
        let mail = read(raw.as_slice(), &context(), &Limits::default()).unwrap();
        let said = said(mail);
        // Every mail is compared before the first difference fails the test.
        let compare = || settings.bind(|| insta::assert_json_snapshot!(name.clone(), said));
        let compared = std::panic::catch_unwind(std::panic::AssertUnwindSafe(compare));
        if compared.is_err() {
            wrong.push(name);
        }
    }
    assert!(wrong.is_empty(), "{wrong:?}");
}

/// A connection may break anywhere, and a mailbox may hold half a mail.
#[test]
fn a_mail_that_ends_anywhere_is_read_as_far_as_it_goes() {
    for (_, raw) in mails() {
        for end in (0..raw.len()).step_by(raw.len() / 60 + 1) {
            assert!(read(&raw[..end], &context(), &Limits::default()).is_ok());
        }
    }
}

#[test]
fn nothing_private_is_printed() {
    for (name, raw) in mails() {
        let mail = read(raw.as_slice(), &context(), &Limits::default()).unwrap();
        let printed = format!("{mail:?}");
        for private in ["ann", "@", "nx.abc", "Hello", "order", "t0ken"] {
            assert!(!printed.contains(private), "{name}: {private} in {printed}");
        }
    }
}
