use std::fs;
use std::path::Path;

use proptest::prelude::*;
use secrecy::SecretString;

use super::*;
use crate::{SecretEncoding, Secrets, sign};

fn read(body: &[u8]) -> Result<Webhook, WebhookError> {
    let secrets = Secrets::new(&[SecretString::from("s")], SecretEncoding::Utf8).unwrap();
    let verified = secrets.verify(Some(&sign(&secrets, body)), body).unwrap();
    Webhook::read(&verified)
}

/// One line a message: what a reader of the fixtures compares.
fn shown(webhook: &Result<Webhook, WebhookError>) -> String {
    let webhook = match webhook {
        Ok(webhook) => webhook,
        Err(error) => return format!("error: {error}\n"),
    };
    let files = |files: &[model::MediaRef]| {
        let file = |file: &model::MediaRef| {
            let name = file.name.as_ref().map_or("-", |name| name.expose());
            format!("{:?} {name} {}", file.place, file.media_type.as_deref().unwrap_or("-"))
        };
        files.iter().map(file).collect::<Vec<_>>().join(", ")
    };
    let line = |message: &WebhookMessage| {
        let to: Vec<&str> = message.to_ids.iter().map(|id| id.expose().as_str()).collect();
        let content = match &message.content {
            WebhookContent::Text(text) => format!("text {:?}", text.expose()),
            WebhookContent::Media(media) => {
                format!("media {:?} [{}]", media.text.expose(), files(&media.files))
            }
            WebhookContent::Mail(mail) => {
                let named = |one: &model::Named| format!("{}<{}>", one.name.expose(), one.id.expose());
                let recipients: Vec<String> = mail.recipients.iter().map(named).collect();
                let part =
                    |part: &Option<Private<String>>| format!("{:?}", part.as_ref().map(|part| part.expose().as_str()));
                format!(
                    "mail from {:?} to {} reply to {} subject {:?} text {} html {} files [{}]",
                    mail.from_name.expose(),
                    recipients.join(" "),
                    mail.reply_to.as_ref().map_or("-".to_owned(), named),
                    mail.subject.expose(),
                    part(&mail.text),
                    part(&mail.html),
                    files(&mail.files)
                )
            }
            WebhookContent::Unsendable(why) => format!("unsendable {} {}", why.code.number(), why.reason),
        };
        let channel = message.channel.as_ref().map_or("-", ChannelId::as_str);
        let id = message.message_id.as_deref().unwrap_or("-");
        format!("channel {channel} from {} to {} id {id}: {content}\n", message.from_id.expose(), to.join(","))
    };
    webhook.messages.iter().map(line).collect()
}

/// Adding a case is adding a file and what is expected of it.
#[test]
fn every_fixture_reads_as_expected() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/webhook");
    let mut cases = 0;
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "json") {
            let expected = fs::read_to_string(path.with_extension("expected")).unwrap();
            assert_eq!(shown(&read(&fs::read(&path).unwrap())), expected, "{}", path.display());
            cases += 1;
        }
    }
    assert!(cases >= 20, "the fixtures were found");
}

#[test]
fn deep_nesting_is_refused_and_bounded() {
    let deep = format!("{{\"channel\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(matches!(read(deep.as_bytes()), Err(WebhookError::NotJson { .. })));
    assert!(matches!(peek_channel(deep.as_bytes()), Err(WebhookError::NotJson { .. })));
}

#[test]
fn hundred_levels_inside_an_unknown_field_are_read() {
    let nested = format!("{}1{}", "[".repeat(100), "]".repeat(100));
    let body = format!(r#"{{"channel":{{"id":"c","to":{{"id":"1"}},"x":{nested}}},"type":"Text","text":"t"}}"#);
    assert!(read(body.as_bytes()).is_ok());
}

#[test]
fn the_channel_is_peeked_in_every_form() {
    for body in [
        r#"{"channel":{"id":"0123456789"}}"#,
        r#"{"messages":[{"channel":{"id":"0123456789"}}]}"#,
        r#"[{"channel":{"id":"0123456789"}}]"#,
    ] {
        assert_eq!(peek_channel(body.as_bytes()), Ok(ChannelId::new("0123456789")), "{body}");
    }
    assert!(matches!(peek_channel(b"{}"), Err(WebhookError::NoChannel { .. })));
}

proptest! {
    #[test]
    fn no_bytes_make_the_reader_panic(body in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _read = read(&body);
        let _peeked = peek_channel(&body);
    }

    #[test]
    fn what_is_written_is_read(text in "[^\\p{Cc}]{1,40}", to in "[0-9]{3,15}", id in "[ -~]{1,30}") {
        let body = serde_json::json!({
            "channel": { "id": "c", "from": { "id": "c" }, "to": { "id": to }, "messageId": id }, "type": "Text", "text": text,
        });
        let webhook = read(body.to_string().as_bytes()).unwrap();
        prop_assert_eq!(webhook.messages[0].to_ids[0].expose(), &to);
        prop_assert_eq!(webhook.messages[0].message_id.as_deref(), Some(id.as_str()));
        if !text.trim().is_empty() && !text.starts_with("genesys://nexus/") {
            prop_assert_eq!(&webhook.messages[0].content, &WebhookContent::Text(text.into()));
        }
    }
}
