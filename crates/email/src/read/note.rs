use serde::{Deserialize, Serialize};

/// Something about a mail that whoever reads it should know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Note {
    /// A `winmail.dat` (TNEF) is attached, in which Outlook hides formatting and attachments; it is passed on unopened.
    Winmail,
    /// The content is encrypted and passed on as it is.
    Encrypted,
    /// A calendar invitation or an answer to one is attached.
    Calendar,
    /// A header was longer than is read.
    HeaderCut,
    /// A text was longer than is read.
    TextCut,
    /// An attachment was cut off where all of them together became too large.
    AttachmentCut,
    /// There were more attachments than are taken.
    TooManyAttachments,
    /// There were more parts than are read.
    TooManyParts,
    /// Multiparts stood deeper in one another than is read.
    TooDeep,
}
