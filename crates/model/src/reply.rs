use serde::{Deserialize, Serialize};

use crate::{MailReply, Private, ReasonCode};

/// Why a reply that was accepted cannot be sent; its agent is told with a `Failed` receipt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unsendable {
    /// The code of the receipt.
    pub code: ReasonCode,
    /// A sentence for the agent.
    pub reason: String,
}

/// Where a file of an agent is.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum MediaPlace {
    /// Genesys keeps it, under this id, which is opaque.
    Genesys(String),
    /// Somewhere on the web. It is never fetched: whoever gets the message is given the address itself.
    Web(Private<String>),
}

/// A file a webhook refers to, which is fetched by whoever sends it on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MediaRef {
    /// Where it is.
    pub place: MediaPlace,
    /// What the webhook calls it.
    pub name: Option<Private<String>>,
    /// What the webhook says that it is.
    pub media_type: Option<String>,
}

/// A text with files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplyMedia {
    /// What the agent wrote beside them; may be empty.
    pub text: Private<String>,
    /// The files, in the agent's order; never empty.
    pub files: Vec<MediaRef>,
}

/// What an agent's reply holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Written", into = "Written")]
pub enum ReplyBody {
    /// Text.
    Text(Private<String>),
    /// Files, perhaps with a text.
    Media(ReplyMedia),
    /// A mail.
    Mail(Box<MailReply>),
    /// Nothing that can be sent.
    Unsendable(Unsendable),
}

/// A body as it stands in a queue. Files and mails stand within what cannot be sent: a program that is older than they, and runs
/// beside this one during an upgrade, tells the agent so.
#[derive(Serialize, Deserialize)]
enum Written {
    Text(Private<String>),
    Unsendable(WrittenUnsendable),
}

#[derive(Serialize, Deserialize)]
struct WrittenUnsendable {
    code: ReasonCode,
    reason: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    media: Option<ReplyMedia>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    mail: Option<Box<MailReply>>,
}

/// What an older program tells the agent.
const UPGRADING: &str = "Pictures, files and mail could not be sent while the bridge was upgraded; send it again.";

impl From<ReplyBody> for Written {
    fn from(body: ReplyBody) -> Self {
        match body {
            ReplyBody::Text(text) => Self::Text(text),
            ReplyBody::Media(media) => {
                let (code, reason) = (ReasonCode::Unsupported, UPGRADING.to_owned());
                Self::Unsendable(WrittenUnsendable { code, reason, media: Some(media), mail: None })
            }
            ReplyBody::Mail(mail) => {
                let (code, reason) = (ReasonCode::Unsupported, UPGRADING.to_owned());
                Self::Unsendable(WrittenUnsendable { code, reason, media: None, mail: Some(mail) })
            }
            ReplyBody::Unsendable(Unsendable { code, reason }) => {
                Self::Unsendable(WrittenUnsendable { code, reason, media: None, mail: None })
            }
        }
    }
}

impl From<Written> for ReplyBody {
    fn from(written: Written) -> Self {
        match written {
            Written::Text(text) => Self::Text(text),
            Written::Unsendable(WrittenUnsendable { media: Some(media), .. }) => Self::Media(media),
            Written::Unsendable(WrittenUnsendable { mail: Some(mail), .. }) => Self::Mail(mail),
            Written::Unsendable(WrittenUnsendable { code, reason, media: None, mail: None }) => {
                Self::Unsendable(Unsendable { code, reason })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn bodies_are_read_as_they_were_written() {
        let file = MediaRef {
            place: MediaPlace::Genesys("4f-1".to_owned()),
            name: Some("door.jpg".to_owned().into()),
            media_type: None,
        };
        let media = ReplyMedia { text: "look".to_owned().into(), files: vec![file] };
        let why = Unsendable { code: ReasonCode::InvalidStructure, reason: "no text".to_owned() };
        let mail = Box::new(MailReply { subject: Some("Order".to_owned().into()), ..MailReply::default() });
        for body in [
            ReplyBody::Mail(mail),
            ReplyBody::Text("hello".to_owned().into()),
            ReplyBody::Media(media),
            ReplyBody::Unsendable(why),
        ] {
            let text = serde_json::to_string(&body).unwrap();
            assert_eq!(serde_json::from_str::<ReplyBody>(&text).unwrap(), body, "{text}");
        }
    }

    #[test]
    fn files_are_something_that_cannot_be_sent_to_a_program_older_than_they() {
        #[derive(Deserialize)]
        enum Older {
            Unsendable(Unsendable),
        }
        let media = ReplyMedia { text: Private::default(), files: Vec::new() };
        let written = serde_json::to_value(ReplyBody::Media(media)).unwrap();
        let Older::Unsendable(why) = serde_json::from_value(written).unwrap();
        assert_eq!((why.code, why.reason.as_str()), (ReasonCode::Unsupported, UPGRADING));
        let older: Value = json!({ "Unsendable": { "code": "Unsupported", "reason": "no" } });
        assert!(matches!(serde_json::from_value::<ReplyBody>(older).unwrap(), ReplyBody::Unsendable(_)));
    }
}
