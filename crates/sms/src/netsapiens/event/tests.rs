use std::fs;
use std::path::Path;

use jiff::tz::TimeZone;
use model::NeighbourName;
use proptest::prelude::*;
use secrecy::SecretString;

use super::*;

fn account() -> Config {
    Config {
        name: NeighbourName::new("crexendo"),
        base_url: "https://core1.example.com/ns-api/v2".to_owned(),
        domain: "example.com".to_owned(),
        auth: crate::netsapiens::Auth::ApiKey(SecretString::from("key")),
        webhook_secrets: vec![SecretString::from("hook")],
        time_zone: TimeZone::UTC,
        media_hosts: Vec::new(),
        own_numbers: vec!["13125550100".to_owned()],
    }
}

/// A line a text or a drop: what a reader of the fixtures compares.
fn shown(events: &ReadEvents) -> String {
    let text = |text: &ConsumerText| {
        let id = if text.provider_id.len() == 64 { "(hash)" } else { &text.provider_id };
        let session = text.session.as_ref().map_or("-", SessionId::as_str);
        let at = text.arrival.sent_at.map_or_else(|| "-".to_owned(), |at| at.to_string());
        let others: String = text.others.iter().map(|other| format!(" and {}", other.expose())).collect();
        let user = text.user.as_deref().unwrap_or("-");
        let (from, said) = (text.from.expose(), text.text.expose());
        format!(
            "{:?} {id} from {from} to {}{others} user {user} session {session} at {at}: {said:?}{}\n",
            text.arrival.path,
            text.to_number,
            if text.unread { " (to be read)" } else { "" },
        )
    };
    let trigger = |trigger: &Trigger| {
        let of = |part: &Option<String>| part.clone().unwrap_or_else(|| "-".to_owned());
        format!("read session {} to {} user {}\n", trigger.session, of(&trigger.to_number), of(&trigger.user))
    };
    let texts: String = events.texts.iter().map(text).collect();
    let dropped: String = events.dropped.iter().map(|cause| format!("dropped {cause}\n")).collect();
    let triggers: String = events.triggers.iter().map(trigger).collect();
    texts + &triggers + &dropped
}

/// Adding a case is adding a file and what is expected of it.
#[test]
fn every_fixture_reads_as_expected() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/netsapiens");
    let mut cases = 0;
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "json") {
            let expected = fs::read_to_string(path.with_extension("expected")).unwrap();
            let read = read(&fs::read(&path).unwrap(), &account()).unwrap();
            assert_eq!(shown(&read), expected, "{}", path.display());
            cases += 1;
        }
    }
    assert!(cases >= 15, "the fixtures were found");
}

#[test]
fn twins_have_one_fingerprint() {
    let message = r#"{"object":"message","direction":"orig","type":"sms","from_num":"13125550142","dialed":"13125550100",
        "text":"007","session_id":"s","id":"1","timestamp":"2026-11-20 18:03:11"}"#;
    let session = r#"{"object":"messagesession","remote":13125550142,"smsani":13125550100,"last_sender":13125550142,
        "last_mesg":7,"last_mesg_type":"sms","session_id":"s","last_status":"unread","last_timestamp":"2026-11-20 18:03:12"}"#;
    let arrival = |body: &str| read(body.as_bytes(), &account()).unwrap().texts.remove(0).arrival;
    assert_eq!(arrival(message).fingerprint, arrival(session).fingerprint);
    assert_ne!(arrival(message).path, arrival(session).path);
}

fn picture(kind: &str, size: &str) -> String {
    let event = serde_json::json!({ "object": "message", "direction": "orig", "type": "mms", "from_num": "13125550142",
        "dialed": "13125550100", "session_id": "s", "id": "1", "timestamp": "2026-11-20 18:03:11",
        "media_type": kind, "media_size": size, "text": "" });
    read(event.to_string().as_bytes(), &account()).unwrap().texts.remove(0).arrival.fingerprint
}

#[test]
fn two_pictures_have_two_fingerprints() {
    assert_eq!(picture("image/jpeg", "500"), picture("IMAGE/JPG; name=a", "500"), "however the type is spelled");
    assert_ne!(picture("image/jpeg", "500"), picture("image/jpeg", "501"));
    assert_ne!(picture("image/jpeg", "500"), picture("image/png", "500"));
    assert!(picture("image/jpeg", "").ends_with(" image/jpeg ?"), "what is not told is left open");
}

#[test]
fn rows_are_told_apart_and_name_those_like_them() {
    let row = |id: &str, text: &str, second: u8| {
        serde_json::json!({ "id": id, "type": "sms", "direction": "orig", "from-number": 13_125_550_142_u64,
            "text": text, "timestamp": format!("2026-11-20 18:03:{second:02}") })
    };
    let rows = [
        row("4", "ok", 9),
        row("3", "no", 3),
        row("2", "ok", 3),
        row("1", "ok", 2),
        row("", "ok", 2),
        row("", "ok", 2),
    ];
    let read = read_rows(&rows, &SessionId::new("s"), "13125550100", &account());
    let ids: Vec<_> = read.iter().map(|text| message_id(&account().name, text)).collect();
    assert_eq!(ids.iter().collect::<std::collections::HashSet<_>>().len(), 6, "rows without an id are two as well");
    let beside: Vec<usize> = read.iter().map(|text| text.arrival.beside.len()).collect();
    assert_eq!(beside, [3, 3, 3, 3, 0, 0]);
    assert!(read.iter().zip(&ids).all(|(text, id)| !text.arrival.beside.contains(id)));
    let again = read_rows(&rows[2..], &SessionId::new("s"), "13125550100", &account());
    assert!(again.iter().all(|text| ids.contains(&message_id(&account().name, text))), "they keep their ids");
}

#[test]
fn what_is_no_json_is_unreadable_and_nesting_is_bounded() {
    assert!(read(b"<xml/>", &account()).is_err());
    assert!(read(b"", &account()).is_err());
    assert!(read("[".repeat(100_000).as_bytes(), &account()).is_err());
}

/// Any JSON, with the names the reader looks for more often than chance would have them.
fn json() -> impl Strategy<Value = Value> {
    let scalar = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        proptest::sample::select(vec!["message", "messagesession", "orig", "sms", "mms", "unread", "13125550142"])
            .prop_map(Value::from),
    ];
    let key = prop_oneof![
        proptest::sample::select(vec![
            "object",
            "model",
            "direction",
            "type",
            "from_num",
            "from-number ",
            "dialed",
            "text",
            "timestamp",
            "remote",
            "last_sender",
            "last_mesg",
            "last_status",
            "smsani",
            "media_type",
            "session_id",
        ])
        .prop_map(str::to_owned),
        any::<String>(),
    ];
    scalar.prop_recursive(4, 60, 12, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..8).prop_map(Value::from),
            proptest::collection::vec((key.clone(), inner), 0..12)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn no_bytes_make_the_reader_panic(body in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _read = read(&body, &account());
    }

    #[test]
    fn no_json_makes_the_reader_panic(root in json()) {
        prop_assert!(read(root.to_string().as_bytes(), &account()).is_ok());
    }

    #[test]
    fn a_number_and_its_text_have_one_fingerprint(number in any::<i64>(), zeros in "0{0,3}", space in " {0,2}") {
        let sign = if number < 0 { "-" } else { "" };
        let written = format!("{space}{sign}{zeros}{}{space}", number.unsigned_abs());
        let fingerprint = |text: Value| {
            let event = serde_json::json!({ "object": "message", "direction": "orig", "type": "sms", "id": "1",
                "session_id": "s", "text": text, "from_num": "13125550142", "dialed": "13125550100" });
            read(event.to_string().as_bytes(), &account()).unwrap().texts.remove(0).arrival.fingerprint
        };
        prop_assert_eq!(fingerprint(number.into()), fingerprint(written.into()));
    }

    #[test]
    fn any_text_that_is_there_reaches_the_agent(text in "[^\\p{Cc}]{1,60}") {
        let body = serde_json::json!([{ "object": "message", "direction": "orig", "type": "sms", "id": "1", "text": text,
            "from_num": "13125550142", "dialed": "13125550100" }]);
        let events = read(body.to_string().as_bytes(), &account()).unwrap();
        prop_assert_eq!(events.texts[0].text.expose(), &text);
    }
}
