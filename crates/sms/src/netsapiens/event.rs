//! The event reader (sections 5.3 and 5.4): v1 and v2 names, arrays and bare objects, any scalar for any field.

use std::collections::HashMap;

use model::{Arrival, ArrivalPath, InboundFile, InboundFiles, Private, SessionId};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::account::Config;
use super::fields::{Fields, coerced, digits, same_number};
use super::{history, media, session, time};
use crate::inbound::message_id;
use crate::{ConsumerText, ReadEvents, Trigger, Unreadable};

/// What an event tells of one message, whatever its names.
struct Told<'a> {
    path: ArrivalPath,
    id: Option<&'a str>,
    session: Option<&'a str>,
    kind: &'a str,
    from: &'a str,
    ours: Vec<&'a str>,
    everybody: Vec<&'a str>,
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
        let fields = Fields::of(object);
        match read_one(&fields, account) {
            Ok(text) => events.texts.push(text),
            Err(Left::Drop(cause)) => events.dropped.push(cause),
            Err(Left::Read(cause)) => match trigger(&fields, account) {
                Some(trigger) => events.triggers.push(trigger),
                None => events.dropped.push(cause),
            },
        }
    }
    Ok(events)
}

/// Why an event gives no message by itself.
enum Left {
    /// It is about something else.
    Drop(&'static str),
    /// It does not tell enough: the session does, where one is named.
    Read(&'static str),
}

fn read_one(fields: &Fields, account: &Config) -> Result<ConsumerText, Left> {
    let told = match fields.first(&["object", "model"]) {
        Some("messagesession") => session_event(fields)?,
        Some("message") => message_event(fields, account)?,
        Some(_) => return Err(Left::Drop("other-model")),
        None if fields.first(&["last-mesg", "last-sender", "messagesession-last-message"]).is_some() => {
            session_event(fields)?
        }
        None if fields.first(&["direction", "from-num", "from-number"]).is_some() => message_event(fields, account)?,
        None => return Err(Left::Read("not-an-event")),
    };
    let mut text = text_of(told, account)?;
    // A session's event tells of its last message only, and what is not a whole text the provider's own row tells better.
    let whole = text.arrival.path == ArrivalPath::MessageEvent && text.files.is_empty() && told_id(fields);
    text.unread = !whole && text.session.as_ref().is_some_and(session::usable);
    Ok(text)
}

fn told_id(fields: &Fields) -> bool {
    fields.first(&["id"]).is_some()
}

/// What is told of one message as the house sees it.
fn text_of(told: Told<'_>, account: &Config) -> Result<ConsumerText, Left> {
    if !matches!(told.kind, "sms" | "mms") {
        return Err(Left::Drop("not-a-text"));
    }
    if account.own_numbers.iter().any(|own| same_number(own, told.from)) {
        return Err(Left::Drop("own-echo"));
    }
    let text = match (told.text, told.file.is_some()) {
        (None, false) => return Err(Left::Read("no-text")),
        (None, true) => PICTURE.to_owned(),
        (Some(text), true) => format!("{text}\n{PICTURE}"),
        (Some(text), false) => text.to_owned(),
    };
    let to_number = our_number(&told.ours, account).ok_or(Left::Read("no-number"))?;
    let at = told.at.unwrap_or_default();
    let fingerprint = fingerprint(&told);
    let caption = told.text.unwrap_or_default().to_owned().into();
    let content = [told.session.unwrap_or_default(), "orig", told.from, at, &text, told.media_size];
    Ok(ConsumerText {
        provider_id: told.id.map_or_else(|| hash(&content), str::to_owned),
        user: told.user.map(|user| user.split('@').next().unwrap_or(user).to_owned()),
        from: told.from.to_owned().into(),
        text: text.into(),
        others: others(&told, &to_number, account),
        files: InboundFiles { caption, list: told.file.into_iter().collect() },
        session: told.session.map(SessionId::new),
        arrival: Arrival {
            path: told.path,
            fingerprint,
            sent_at: time::parse(at, &account.time_zone),
            beside: Vec::new(),
        },
        to_number,
        unread: false,
    })
}

/// What is equal on every path; behind it what one of them may not tell.
fn fingerprint(told: &Told<'_>) -> String {
    let content = hash(&[
        told.session.unwrap_or_default(),
        "orig",
        &digits(told.from),
        told.kind,
        &coerced(told.text.unwrap_or_default()),
    ]);
    let Some(file) = &told.file else { return content };
    let kind = file.media_type.as_deref().map_or_else(|| "?".to_owned(), media::plain_type);
    let size = file.size.map_or_else(|| "?".to_owned(), |size| size.to_string());
    format!("{content} {kind} {size}")
}

/// What a session is named by, where an event says nothing else that can be used.
fn trigger(fields: &Fields, account: &Config) -> Option<Trigger> {
    let session = SessionId::new(fields.first(SESSION)?);
    let named = numbers(fields, &[OURS, &["smsani", "messagesession-sms-number"]].concat());
    let user = fields.first(&["term-uid", "terminating-user-id", "user", "ses-user"]);
    session::usable(&session).then(|| Trigger {
        session,
        to_number: our_number(&named, account),
        user: user.map(|user| user.split('@').next().unwrap_or(user).to_owned()),
    })
}

/// The rows of one session that consumers wrote, the oldest first. `number` is ours where a row names none (section 4).
pub(super) fn read_rows(rows: &[Value], session: &SessionId, number: &str, account: &Config) -> Vec<ConsumerText> {
    let read = |row: &Value| {
        let fields = Fields::of(row);
        let mut told = message_event(&fields, account).ok()?;
        // The row's own spelling of the id may have lost what a number does not have.
        (told.path, told.session) = (ArrivalPath::StoredRow, Some(session.as_str()));
        if our_number(&told.ours, account).is_none_or(|ours| !same_number(&ours, number)) {
            told.ours.insert(0, number);
        }
        let named = told.id.is_some();
        text_of(told, account).ok().map(|text| (text, named))
    };
    let mut texts: Vec<(ConsumerText, bool)> = rows.iter().filter_map(read).collect();
    // Newest first in every sample. The times are of whole seconds, so that within one the order of the list counts.
    let at = |text: Option<&(ConsumerText, bool)>| text.and_then(|(text, _)| text.arrival.sent_at);
    if at(texts.first()) >= at(texts.last()) {
        texts.reverse();
    }
    texts.sort_by_key(|(text, _)| text.arrival.sent_at);
    set_apart(texts, account)
}

/// Rows that name each other as alike, before and behind each: more of them in two seconds is a flood.
const ALIKE: usize = 32;

/// Each row is a message of its own. Rows without ids are told apart by their order, and those that are alike name each other,
/// so that none is taken for what an event told of another one.
fn set_apart(rows: Vec<(ConsumerText, bool)>, account: &Config) -> Vec<ConsumerText> {
    let mut seen: HashMap<String, usize> = HashMap::new();
    let number = |(mut text, named): (ConsumerText, bool)| {
        if !named {
            let count = seen.entry(text.provider_id.clone()).or_default();
            *count += 1;
            if *count > 1 {
                text.provider_id = hash(&[&text.provider_id, &count.to_string()]);
            }
        }
        text
    };
    let mut texts: Vec<ConsumerText> = rows.into_iter().map(number).collect();
    let all: Vec<_> = texts.iter().map(|text| (message_id(&account.name, text), text.arrival.clone())).collect();
    for (place, text) in texts.iter_mut().enumerate() {
        let (own, arrival) = &all[place];
        let around = &all[place.saturating_sub(ALIKE)..all.len().min(place + ALIKE)];
        let others = around.iter().filter(|(id, other)| id != own && other.may_be(arrival));
        text.arrival.beside = others.map(|(id, _)| id.clone()).collect();
    }
    texts
}

const SESSION: &[&str] = &["session-id", "messagesession-id"];
const OURS: &[&str] = &["dialed", "term-num", "terminating-number", "to-number", "smsani", "messagesession-sms-number"];
const EVERYBODY: &[&str] = &["participants", "messagesession-participants"];

fn message_event<'a>(fields: &'a Fields, account: &Config) -> Result<Told<'a>, Left> {
    let from = fields.first(&["from-number", "from-num"]);
    let own = |number: &&str| account.own_numbers.iter().any(|own| same_number(own, number));
    let agent = fields.first(&["from-user-agent"]).unwrap_or_default();
    if fields.first(&["direction"]) == Some("term") || from.as_ref().is_some_and(own) || history::is_ours(agent) {
        return Err(Left::Drop("own-echo"));
    }
    Ok(Told {
        path: ArrivalPath::MessageEvent,
        id: fields.first(&["id"]),
        session: fields.first(SESSION),
        kind: fields.first(&["type"]).unwrap_or("sms"),
        from: from.ok_or(Left::Read("no-sender"))?,
        ours: numbers(fields, OURS),
        everybody: numbers(fields, EVERYBODY),
        user: fields.first(&["term-uid", "terminating-user-id", "user"]),
        text: fields.first(&["text", "message"]),
        at: fields.first(&["timestamp"]),
        file: media::file_of(fields, &["media-type"], &["media-size"]).or_else(|| unnamed(fields, "type")),
        media_size: fields.first(&["media-size"]).unwrap_or_default(),
    })
}

/// A session's event says nothing of direction: inbound is what its remote side said last, and nobody of ours has read.
fn session_event(fields: &Fields) -> Result<Told<'_>, Left> {
    let remotes = numbers(fields, &["remote", "messagesession-remote"]);
    let sender = fields.first(&["last-sender", "messagesession-last-sender"]).unwrap_or_default();
    if remotes.is_empty() {
        return Err(Left::Read("no-sender"));
    }
    // A group's remote side is several numbers, and the sender is one of them.
    let Some(from) = remotes.iter().copied().find(|remote| same_number(sender, remote)) else {
        return Err(Left::Drop("own-echo"));
    };
    if fields.first(&["last-status", "messagesession-last-status"]) != Some("unread") {
        return Err(Left::Drop("read-mark"));
    }
    Ok(Told {
        path: ArrivalPath::SessionEvent,
        id: None,
        session: fields.first(SESSION),
        kind: fields.first(&["last-mesg-type", "messagesession-last-type"]).unwrap_or("sms"),
        from,
        ours: numbers(fields, &["smsani", "messagesession-sms-number"]),
        everybody: [numbers(fields, EVERYBODY), remotes.clone()].concat(),
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

/// Everyone of a group beside us and the sender. Extensions of the platform's own chat are nobody a text reaches.
fn others(told: &Told<'_>, to_number: &str, account: &Config) -> Vec<Private<String>> {
    let named = told.everybody.iter().chain(&told.ours).filter(|number| !number.contains('@'));
    let mut others: Vec<&str> = Vec::new();
    for number in named.copied().filter(|number| digits(number).len() >= SHORTEST) {
        let ours = account.own_numbers.iter().any(|own| same_number(own, number)) || same_number(to_number, number);
        if !ours && !same_number(told.from, number) && !others.iter().any(|other| same_number(other, number)) {
            others.push(number);
        }
    }
    others.into_iter().map(|number| number.to_owned().into()).collect()
}

/// What is shorter is an extension or a short code, and no member of a group.
const SHORTEST: usize = 7;

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
