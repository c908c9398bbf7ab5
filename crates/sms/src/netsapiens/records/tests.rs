use serde_json::json;

use super::*;

fn at(text: &str) -> Option<Timestamp> {
    Some(text.parse().unwrap())
}

fn session(row: Value) -> MessageSession {
    MessageSession::read(&row, &TimeZone::UTC).expect("it has an id")
}

#[test]
fn a_session_is_read_in_both_spellings_of_its_times() {
    for word in ["timestamp", "datetime"] {
        let read = session(json!({
            "user": 2500, "domain": "portal", "messagesession-id": "173ff396f3580f30dfef32be9838e836",
            "messagesession-remote": 17145550353_u64, "messagesession-sms-number": 18585550626_u64,
            format!("messagesession-last-{word}"): "2023-10-05 17:35:15",
            format!("messagesession-start-{word}"): "2023-10-05T17:35:10+00:00",
            "messagesession-last-message": 941173465, "messagesession-last-sender": "2500@portal",
            "messagesession-last-status": "read", "messagesession-muted": "no", "messagesession-last-type": "sms",
            "messagesession-type": "", "messagesession-participants": null,
        }));
        assert_eq!(read.last_at, at("2023-10-05T17:35:15Z"));
        assert_eq!(read.started_at, at("2023-10-05T17:35:10Z"));
        assert_eq!((read.user.as_deref(), read.sms_number.as_deref()), (Some("2500"), Some("18585550626")));
        assert_eq!(read.remote, [Private::new("17145550353".to_owned())]);
        assert_eq!(read.last_text, Some(Private::new("941173465".to_owned())));
        assert_eq!((read.muted, read.kind, read.participants), (Some(false), None, Vec::new()));
    }
}

#[test]
fn an_id_that_looks_like_a_number_keeps_every_digit() {
    let row = serde_json::from_str(r#"{"messagesession-id": 12345678901234567890123456789012}"#).unwrap();
    assert_eq!(session(row).id.as_str(), "12345678901234567890123456789012");
    assert!(MessageSession::read(&json!({ "messagesession-id": "" }), &TimeZone::UTC).is_none());
    assert!(MessageSession::read(&json!("row"), &TimeZone::UTC).is_none());
}

#[test]
fn a_message_is_read_through_every_quirk() {
    let read = StoredMessage::read(
        &json!({
            "id": 20202178326_u64, "timestamp": "2023-10-05 17:35:15", "type": "mms", "direction": "orig",
            "from-number": 17145550353_u64, "from-user-id": "", "text": 5, "status": "",
            "dialed": "18585550626,18585550627", "media-type": "image/png", "media-size": "5596",
            "file-access-url ": "https://core/?auth=1",
        }),
        &TimeZone::UTC,
    );
    assert_eq!(read.id.as_deref(), Some("20202178326"));
    assert_eq!(read.text, Some(Private::new("5".to_owned())));
    assert_eq!((read.direction, read.media_size, read.has_media_url), (Direction::Inbound, Some(5_596), true));
    assert_eq!((read.from_user, read.status, read.to.len()), (None, None, 2));
    let empty = StoredMessage::read(&json!({ "direction": "" }), &TimeZone::UTC);
    assert_eq!((empty.direction, empty.has_media_url), (Direction::Unknown, false));
    let outbound = StoredMessage::read(&json!({ "direction": "term" }), &TimeZone::UTC);
    assert_eq!(outbound.direction, Direction::Outbound);
}

#[test]
fn truth_is_written_in_six_ways() {
    for (value, expected) in [
        (json!("yes"), Some(true)),
        (json!(true), Some(true)),
        (json!(1), Some(true)),
        (json!("no"), Some(false)),
        (json!(false), Some(false)),
        (json!("0"), Some(false)),
        (json!("perhaps"), None),
        (json!(null), None),
    ] {
        let read = SmsNumber::read(&json!({ "number": "1", "mms-capable": value.clone() })).unwrap();
        assert_eq!(read.mms_capable, expected, "{value}");
    }
}

#[test]
fn a_key_is_read_without_itself() {
    let read = ApiKey::read(&json!({
        "key-id": "k1", "apikey": "nsd_secret", "user-scope": "Office Manager", "readonly": "yes",
        "allowed_models": ["message", "event"],
    }));
    assert_eq!((read.id.as_deref(), read.read_only), (Some("k1"), Some(true)));
    assert_eq!(read.models, ["message", "event"]);
    assert!(!serde_json::to_string(&read).unwrap().contains("nsd_secret"));
    assert_eq!(ApiKey::read(&json!({ "allowed-models": "message, event" })).models, ["message", "event"]);
}
