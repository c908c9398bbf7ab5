//! The event reader (sections 5.3 and 5.4): v1 and v2 names, arrays and bare objects, any scalar for any field.

use model::{Arrival, ArrivalPath, InboundFile, InboundFiles, SessionId};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::account::Config;
use super::fields::{Fields, coerced, digits, same_number};
use super::{history, media, time};
use crate::{ConsumerText, ReadEvents, Unreadable};

/// What an event tells of one message, whatever its names.
struct Told<'a> {
    path: ArrivalPath,
    id: Option<&'a str>,
    session: Option<&'a str>,
    kind: &'a str,
    from: &'a str,
    ours: Vec<&'a str>,
    user: Option<&'a str>,
    text: Option<&'a str>,
    at: Option<&'a str>,
    file: Option<InboundFile>,
    media_size: &'a str,
}

/// What the agent reads where a picture was.
const PICTURE: &str = "[The consumer sent a picture or file, which this version of the bridge cannot fetch.]";

pub(super) fn read(body: &[u8], account: &Config) -> Result<ReadEvents, Unreadable> {
    let root =
        runtime::lenient_json(body).map_err(|error| Unreadable { line: error.line(), column: error.column() })?;
    let mut events = ReadEvents::default();
    let objects: &[Value] = match &root {
        Value::Array(objects) => objects,
        other => std::slice::from_ref(other),
    };
    for object in objects {
        match read_one(&Fields::of(object), account) {
            Ok(text) => events.texts.push(text),
            Err(cause) => events.dropped.push(cause),
        }
    }
    Ok(events)
}

fn read_one(fields: &Fields, account: &Config) -> Result<ConsumerText, &'static str> {
    let told = match fields.first(&["object", "model"]) {
        Some("messagesession") => session_event(fields)?,
        Some("message") => message_event(fields, account)?,
        Some(_) => return Err("other-model"),
        None if fields.first(&["last-mesg", "last-sender", "messagesession-last-message"]).is_some() => {
            session_event(fields)?
        }
        None if fields.first(&["direction", "from-num", "from-number"]).is_some() => message_event(fields, account)?,
        None => return Err("not-an-event"),
    };
    if !matches!(told.kind, "sms" | "mms") {
        return Err("not-a-text");
    }
    if account.own_numbers.iter().any(|own| same_number(own, told.from)) {
        return Err("own-echo");
    }
    let text = match (told.text, told.file.is_some()) {
        (None, false) => return Err("no-text"),
        (None, true) => PICTURE.to_owned(),
        (Some(text), true) => format!("{text}\n{PICTURE}"),
        (Some(text), false) => text.to_owned(),
    };
    let to_number = our_number(&told.ours, account).ok_or("no-number")?;
    let at = told.at.unwrap_or_default();
    let fingerprint = hash(&[
        told.session.unwrap_or_default(),
        "orig",
        &digits(told.from),
        told.kind,
        &coerced(told.text.unwrap_or_default()),
    ]);
    let caption = told.text.unwrap_or_default().to_owned().into();
    let content = [told.session.unwrap_or_default(), "orig", told.from, at, &text, told.media_size];
    Ok(ConsumerText {
        provider_id: told.id.map_or_else(|| hash(&content), str::to_owned),
        to_number,
        user: told.user.map(|user| user.split('@').next().unwrap_or(user).to_owned()),
        from: told.from.to_owned().into(),
        text: text.into(),
        files: InboundFiles { caption, list: told.file.into_iter().collect() },
        session: told.session.map(SessionId::new),
        arrival: Arrival { path: told.path, fingerprint, sent_at: time::parse(at, &account.time_zone) },
    })
}

fn message_event<'a>(fields: &'a Fields, account: &Config) -> Result<Told<'a>, &'static str> {
    let from = fields.first(&["from-number", "from-num"]);
    let own = |number: &&str| account.own_numbers.iter().any(|own| same_number(own, number));
    let agent = fields.first(&["from-user-agent"]).unwrap_or_default();
    if fields.first(&["direction"]) == Some("term") || from.as_ref().is_some_and(own) || history::is_ours(agent) {
        return Err("own-echo");
    }
    Ok(Told {
        path: ArrivalPath::MessageEvent,
        id: fields.first(&["id"]),
        session: fields.first(&["session-id", "messagesession-id"]),
        kind: fields.first(&["type"]).unwrap_or("sms"),
        from: from.ok_or("no-sender")?,
        ours: numbers(
            fields,
            &["dialed", "term-num", "terminating-number", "to-number", "smsani", "messagesession-sms-number"],
        ),
        user: fields.first(&["term-uid", "terminating-user-id", "user"]),
        text: fields.first(&["text", "message"]),
        at: fields.first(&["timestamp"]),
        file: media::file_of(fields, &["media-type"], &["media-size"]).or_else(|| unnamed(fields, "type")),
        media_size: fields.first(&["media-size"]).unwrap_or_default(),
    })
}

/// A session's event says nothing of direction: inbound is what its remote side said last, and nobody of ours has read.
fn session_event(fields: &Fields) -> Result<Told<'_>, &'static str> {
    let remote = fields.first(&["remote", "messagesession-remote"]).ok_or("no-sender")?;
    let sender = fields.first(&["last-sender", "messagesession-last-sender"]).unwrap_or_default();
    if !same_number(sender, remote) {
        return Err("own-echo");
    }
    if fields.first(&["last-status", "messagesession-last-status"]) != Some("unread") {
        return Err("read-mark");
    }
    Ok(Told {
        path: ArrivalPath::SessionEvent,
        id: None,
        session: fields.first(&["session-id", "messagesession-id"]),
        kind: fields.first(&["last-mesg-type", "messagesession-last-type"]).unwrap_or("sms"),
        from: remote,
        ours: numbers(fields, &["smsani", "messagesession-sms-number"]),
        user: fields.first(&["user", "ses-user"]),
        text: fields.first(&["last-mesg", "messagesession-last-message"]),
        at: fields.first(&[
            "last-timestamp",
            "last-datetime",
            "messagesession-last-timestamp",
            "messagesession-last-datetime",
        ]),
        file: media::file_of(
            fields,
            &["last-media-type", "messagesession-last-media-type"],
            &["last-media-size", "messagesession-last-media-size"],
        )
        .or_else(|| unnamed(fields, "last-mesg-type")),
        media_size: fields.first(&["last-media-size", "messagesession-last-media-size"]).unwrap_or_default(),
    })
}

/// An event may call itself an MMS and tell nothing of a file; the row does.
fn unnamed(fields: &Fields, kind: &str) -> Option<InboundFile> {
    let silent =
        fields.first(&["media-size", "last-media-size"]).is_none() && fields.first(&["text", "last-mesg"]).is_none();
    (silent && fields.first(&[kind]) == Some("mms"))
        .then(|| InboundFile { row: fields.first(&["id"]).map(str::to_owned), ..InboundFile::default() })
}

/// Every number a list of fields names; a group's are separated by commas.
fn numbers<'a>(fields: &'a Fields, names: &[&str]) -> Vec<&'a str> {
    names.iter().filter_map(|name| fields.first(&[name])).flat_map(|list| list.split(',')).map(str::trim).collect()
}

/// The one of ours among them; otherwise the first, for the caller to say that it is nobody's.
fn our_number(named: &[&str], account: &Config) -> Option<String> {
    let own = named.iter().find_map(|number| account.own_numbers.iter().find(|own| same_number(own, number)));
    own.cloned().or_else(|| named.iter().map(|number| digits(number)).find(|number| !number.is_empty()))
}

fn hash(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hex::encode(hash.finalize())
}

#[cfg(test)]
mod tests;
