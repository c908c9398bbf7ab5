//! The header of a mail or of one of its parts.

use mail_parser::{HeaderName, HeaderValue, Message, MessageParser};

use super::decode;
use crate::Mailbox;
use crate::address::mailboxes;

/// A header block, parsed once.
pub(crate) struct Head {
    raw: Vec<u8>,
    message: Option<Message<'static>>,
}

impl Head {
    /// Reads a block without the blank line that ends it.
    pub(crate) fn read(mut raw: Vec<u8>) -> Self {
        raw.extend_from_slice(b"\r\n\r\n");
        // Bytes beyond ASCII do not belong here; where they are, they are UTF-8 today and were Latin-1 before.
        if std::str::from_utf8(&raw).is_err() {
            raw = decode::text(&raw, None).into_bytes();
        }
        let message = MessageParser::default().parse_headers(&raw).map(Message::into_owned);
        Self { raw, message }
    }

    /// The first header of a name. Where one that may stand once stands twice, the first is what most programs show.
    pub(crate) fn value(&self, name: HeaderName<'static>) -> Option<&HeaderValue<'static>> {
        self.message.as_ref()?.headers().iter().find(|header| header.name == name).map(|header| &header.value)
    }

    /// A header as it was written, unfolded; the first of its name.
    pub(crate) fn raw(&self, name: &str) -> Option<String> {
        self.all_raw(name).next()
    }

    /// Every header of a name as it was written, unfolded.
    pub(crate) fn all_raw(&self, name: &str) -> impl Iterator<Item = String> + '_ {
        let wanted = name.to_ascii_lowercase();
        let headers = self.message.iter().flat_map(Message::headers);
        headers.filter(move |header| header.name.as_str().eq_ignore_ascii_case(&wanted)).map(|header| {
            let range = header.offset_start as usize..header.offset_end as usize;
            let bytes = self.raw.get(range).unwrap_or_default();
            let text = String::from_utf8_lossy(bytes);
            text.split(['\r', '\n']).map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ")
        })
    }

    /// An unstructured header, decoded, in one line.
    pub(crate) fn text(&self, name: HeaderName<'static>) -> Option<String> {
        let text = self.value(name)?.as_text()?;
        let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        Some(line.trim().to_owned())
    }

    /// The mailboxes of an address header.
    pub(crate) fn mailboxes(&self, name: HeaderName<'static>, most: usize) -> Vec<Mailbox> {
        self.value(name).and_then(HeaderValue::as_address).map(|list| mailboxes(list, most)).unwrap_or_default()
    }

    /// `type/subtype` in lower case, where one is named.
    pub(crate) fn media_type(&self) -> Option<String> {
        let content = self.value(HeaderName::ContentType)?.as_content_type()?;
        let subtype = content.subtype()?;
        let media_type = format!("{}/{subtype}", content.ctype()).to_ascii_lowercase();
        let known = |c: char| c.is_ascii_alphanumeric() || "/!#$&-^_.+".contains(c);
        (media_type.chars().all(known) && media_type.len() <= 127).then_some(media_type)
    }

    /// A parameter of Content-Type.
    pub(crate) fn parameter(&self, name: &str) -> Option<String> {
        Some(self.value(HeaderName::ContentType)?.as_content_type()?.attribute(name)?.to_owned())
    }

    /// The file name: of Content-Disposition, or of Content-Type.
    pub(crate) fn file_name(&self) -> Option<String> {
        let disposition = self.value(HeaderName::ContentDisposition).and_then(HeaderValue::as_content_type);
        let named = disposition.and_then(|disposition| disposition.attribute("filename"));
        let name = named.map(str::to_owned).or_else(|| self.parameter("name"))?;
        Some(encoded_words(&name))
    }

    /// Whether Content-Disposition says so.
    pub(crate) fn is_attachment(&self) -> bool {
        let disposition = self.value(HeaderName::ContentDisposition).and_then(HeaderValue::as_content_type);
        disposition.is_some_and(|disposition| disposition.ctype().eq_ignore_ascii_case("attachment"))
    }

    pub(crate) fn content_id(&self) -> Option<String> {
        self.text(HeaderName::ContentId).filter(|id| !id.is_empty())
    }

    pub(crate) fn encoding(&self) -> String {
        self.text(HeaderName::ContentTransferEncoding).unwrap_or_default()
    }
}

/// Names in parameters are not to be encoded so, and are by half of the world.
fn encoded_words(name: &str) -> String {
    if !name.contains("=?") {
        return name.to_owned();
    }
    let header = format!("Subject: {name}\r\n\r\n");
    let message = MessageParser::default().parse_headers(&header);
    message.and_then(|message| message.subject().map(str::to_owned)).unwrap_or_else(|| name.to_owned())
}
