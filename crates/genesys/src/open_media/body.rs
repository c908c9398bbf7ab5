//! What is written, with no nulls and in a fixed order, and what can be read of an answer nobody documented (section 8.1).

use bytes::Bytes;
use jiff::tz::TimeZone;
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};
use serde_json::{Map, Value};

use super::{BodyWrapper, Changes, Interaction, NewInteraction, StopReason, UserData};
use crate::reader;

#[derive(Serialize)]
struct Wrapped<T> {
    data: T,
}

#[derive(Serialize)]
struct Create<'a> {
    #[serde(rename = "externalId")]
    external_id: &'a str,
    #[serde(rename = "parentInteractionId", skip_serializing_if = "Option::is_none")]
    parent: Option<&'a str>,
    #[serde(rename = "receivedAt", skip_serializing_if = "Option::is_none")]
    received_at: Option<String>,
    #[serde(rename = "userData", skip_serializing_if = "UserData::is_empty")]
    user_data: &'a UserData,
}

#[derive(Serialize)]
struct Stop<'a> {
    #[serde(rename = "reasonSystemName", skip_serializing_if = "Option::is_none")]
    system_name: Option<&'a str>,
    #[serde(rename = "reasonDescription", skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
}

#[derive(Serialize)]
struct Update<'a> {
    #[serde(rename = "changedProperties", skip_serializing_if = "UserData::is_empty")]
    changed: &'a UserData,
    #[serde(rename = "addedProperties", skip_serializing_if = "UserData::is_empty")]
    added: &'a UserData,
    #[serde(rename = "deletedProperties", skip_serializing_if = "<[String]>::is_empty")]
    deleted: &'a [String],
}

impl Serialize for UserData {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.pairs().len()))?;
        for (key, value) in self.pairs() {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

pub(super) fn create(new: &NewInteraction, wrapper: BodyWrapper) -> Bytes {
    // RFC 3339 in UTC with milliseconds: no form is documented, and this is the one most readers take.
    let received_at =
        new.received_at.map(|at| at.to_zoned(TimeZone::UTC).strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string());
    let body = Create {
        external_id: new.external_id.as_str(),
        parent: new.parent.as_deref(),
        received_at,
        user_data: &new.user_data,
    };
    write(body, wrapper)
}

/// Nothing at all where there is no reason to tell: the body is optional.
pub(super) fn stop(reason: &StopReason, wrapper: BodyWrapper) -> Bytes {
    if *reason == StopReason::default() {
        return Bytes::new();
    }
    let body = Stop { system_name: reason.system_name.as_deref(), description: reason.description.as_deref() };
    write(body, wrapper)
}

pub(super) fn update(changes: &Changes, wrapper: BodyWrapper) -> Bytes {
    write(Update { changed: &changes.changed, added: &changes.added, deleted: &changes.deleted }, wrapper)
}

fn write(body: impl Serialize, wrapper: BodyWrapper) -> Bytes {
    let written = match wrapper {
        BodyWrapper::Data => serde_json::to_vec(&Wrapped { data: body }),
        BodyWrapper::Bare => serde_json::to_vec(&body),
    };
    written.expect("texts have a JSON form").into()
}

/// The id is looked for in five places (section 8.1).
pub(super) fn interaction(body: Value) -> Interaction {
    let data = body.get("data").and_then(Value::as_object);
    let inner = data.and_then(|data| data.get("interaction")).and_then(Value::as_object);
    let root = body.as_object();
    let id = [(data, "id"), (data, "interactionId"), (inner, "id"), (root, "id"), (root, "interactionId")]
        .into_iter()
        .find_map(|(object, key)| reader::text(object?, key).filter(|id| !id.is_empty()));
    let ended = [data, inner, root].into_iter().flatten().any(has_ended);
    Interaction { id, ended, body }
}

/// No states are documented; these words mean the same to everybody who uses them.
fn has_ended(object: &Map<String, Value>) -> bool {
    let words = ["stopped", "completed", "closed", "ended", "finished", "done", "archived", "terminated", "deleted"];
    let state = ["state", "status"].into_iter().filter_map(|key| object.get(key)?.as_str());
    let told = state.map(str::to_lowercase).any(|state| words.contains(&state.as_str()));
    told || object.get("stopped").and_then(Value::as_bool) == Some(true)
}

pub(super) fn user_data(body: &Value) -> Option<&Map<String, Value>> {
    let data = body.get("data");
    let inner = data.and_then(|data| data.get("interaction"));
    [data, inner, Some(body)].into_iter().flatten().find_map(|object| object.get("userData")?.as_object())
}
