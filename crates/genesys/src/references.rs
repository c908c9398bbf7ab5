//! The files a message refers to, wherever in it they are named: nobody documented where that is (section 4.5).

use model::{MediaPlace, MediaRef, Private};
use serde_json::{Map, Value};

use crate::media::{SCHEME, media_id};
use crate::reader;

/// What was found.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct References {
    /// Each file once, in the order of the message.
    pub(crate) files: Vec<MediaRef>,
    /// What stands beside them, each once.
    pub(crate) captions: Vec<String>,
    /// A reference that cannot stand in a path was among them.
    pub(crate) broken: bool,
}

/// The most files a message may refer to.
pub(crate) const MOST: usize = 10;
/// What is kept of a file's name, in characters.
const NAME: usize = 255;
/// The longest address on the web that is passed on.
const ADDRESS: usize = 2_000;

const TYPES: &[&str] = &["mimetype", "mime", "mimeType", "contentType"];
const NAMES: &[&str] = &["filename", "fileName", "name"];
const ADDRESSES: &[&str] = &["url", "href", "src"];
const CAPTIONS: &[&str] = &["text", "caption", "title"];

/// Looks through a whole message. What is a reference is one whole text: a sentence that mentions one is a sentence.
pub(crate) fn find(message: &Map<String, Value>) -> References {
    let mut found = References::default();
    found.look_into(message);
    found
}

impl References {
    fn look_into(&mut self, object: &Map<String, Value>) {
        for (key, value) in object {
            self.look_at(value, Some((key, object)));
        }
    }

    fn look_at(&mut self, value: &Value, within: Option<(&str, &Map<String, Value>)>) {
        match value {
            Value::String(text) => self.read(text, within),
            Value::Array(values) => values.iter().for_each(|value| self.look_at(value, within)),
            Value::Object(object) => self.look_into(object),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    fn read(&mut self, text: &str, within: Option<(&str, &Map<String, Value>)>) {
        let object = within.map(|(_, object)| object);
        let place = if text.starts_with(SCHEME) {
            let Some(id) = media_id(text) else {
                self.broken = true;
                return;
            };
            MediaPlace::Genesys(id.to_owned())
        } else if is_address(text) && within.is_some_and(|(key, object)| describes_a_file(key, object)) {
            MediaPlace::Web(Private::new(text.to_owned()))
        } else {
            return;
        };
        if self.files.iter().any(|file| file.place == place) {
            return;
        }
        let told = |keys: &[&str]| object.and_then(|object| keys.iter().find_map(|key| reader::text(object, key)));
        let name: Option<String> = told(NAMES).map(|name| name.chars().take(NAME).collect());
        let media_type = object.and_then(media_type);
        self.files.push(MediaRef { place, name: name.map(Private::new), media_type });
        let caption = told(CAPTIONS).filter(|caption| !caption.starts_with(SCHEME) && !is_address(caption));
        if let Some(caption) = caption.filter(|caption| !caption.trim().is_empty() && !self.captions.contains(caption))
        {
            self.captions.push(caption);
        }
    }
}

fn media_type(object: &Map<String, Value>) -> Option<String> {
    TYPES.iter().find_map(|key| reader::text(object, key).filter(|kind| kind.contains('/') && kind.len() <= NAME))
}

/// An address is a file's only where what stands around it says that it is a file: a button has an address as well, and
/// what has a file at Genesys has addresses of its own inside, such as that of a small picture for the agent's page, which no
/// consumer is to see.
fn describes_a_file(key: &str, object: &Map<String, Value>) -> bool {
    let is_at_genesys = object.values().any(|value| value.as_str().is_some_and(|text| text.starts_with(SCHEME)));
    ADDRESSES.contains(&key) && !is_at_genesys && (media_type(object).is_some() || object.contains_key("mediaType"))
}

fn is_address(text: &str) -> bool {
    text.starts_with("https://")
        && text.len() <= ADDRESS
        && !text.contains(|c: char| c.is_whitespace() || c.is_control())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn found(message: &Value) -> References {
        find(message.as_object().unwrap())
    }

    fn genesys(id: &str) -> MediaRef {
        MediaRef { place: MediaPlace::Genesys(id.to_owned()), name: None, media_type: None }
    }

    #[test]
    fn a_file_four_levels_deep_is_found() {
        let deep = json!({ "a": { "b": [{ "c": { "url": "genesys://nexus/bb4a-1?x=1" } }] } });
        assert_eq!(found(&deep).files, [genesys("bb4a-1")]);
        let bare = json!({ "attachments": ["genesys://nexus/1", "genesys://nexus/2", "genesys://nexus/1"] });
        assert_eq!(found(&bare).files, [genesys("1"), genesys("2")], "each once, in order");
    }

    #[test]
    fn what_stands_around_a_file_describes_it() {
        for (mime, name) in
            [("mimetype", "filename"), ("mime", "fileName"), ("mimeType", "name"), ("contentType", "name")]
        {
            let message = json!({ "content": [
                { "contentType": "Attachment", "attachment":
                    { "mediaType": "Image", "url": "genesys://nexus/1", mime: "image/jpeg", name: "door.jpg", "text": "look" } },
            ] });
            let read = found(&message);
            let file = &read.files[0];
            assert_eq!(
                (file.media_type.as_deref(), read.captions.as_slice()),
                (Some("image/jpeg"), &["look".to_owned()][..])
            );
            assert_eq!(file.name.as_ref().map(|name| name.expose().as_str()), Some("door.jpg"));
        }
        let styled = json!({ "content": [{ "type": "image", "url": "genesys://nexus/1", "contentType": "image" }] });
        assert_eq!(found(&styled).files[0].media_type, None, "that is no media type");
    }

    #[test]
    fn a_reference_that_cannot_stand_in_a_path_is_broken() {
        for broken in ["genesys://nexus/../x", "genesys://nexus/", "genesys://nexus/a b", "genesys://nexus/%2e"] {
            let read = found(&json!({ "url": broken }));
            assert!(read.broken && read.files.is_empty(), "{broken}");
        }
        let sentence = json!({ "text": "see genesys://nexus/1 for more" });
        assert_eq!(found(&sentence), References::default(), "a sentence that mentions one is a sentence");
    }

    #[test]
    fn an_address_on_the_web_is_a_file_where_it_is_described_as_one() {
        let file = json!({ "attachment": { "mime": "image/png", "url": "https://cdn.example/a.png" } });
        let place = MediaPlace::Web("https://cdn.example/a.png".to_owned().into());
        assert_eq!(found(&file).files[0].place, place);
        for other in [
            json!({ "text": "https://shop.example/" }),
            json!({ "contentType": "text/plain", "callbackUrl": "https://inside.example/" }),
            json!({ "button": { "title": "Shop", "url": "https://shop.example/" } }),
            json!({ "mime": "text/html", "text": "https://shop.example/" }),
            json!({ "mime": "image/png", "url": "http://plain.example/" }),
            json!({ "mime": "image/png", "url": "https://a b.example/" }),
        ] {
            assert!(found(&other).files.is_empty(), "{other}");
        }
        let at_genesys =
            json!({ "mime": "image/png", "url": "genesys://nexus/1", "src": "https://inside.example/1.png" });
        assert_eq!(found(&at_genesys).files.len(), 1, "the agent's own small picture is nobody else's");
    }
}
