use std::path::PathBuf;

/// How much of one mail is looked at. Beyond a limit a mail is read as far as it goes, and says so.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Bytes of the header of the mail, and of each of its parts.
    pub header_bytes: usize,
    /// Bytes of each text, before and after it is decoded.
    pub text_bytes: usize,
    /// Bytes of all texts together, before and after they are decoded; what is beyond is cut off.
    pub all_text_bytes: usize,
    /// Bytes of all parts of reports together; what is beyond is cut off.
    pub report_bytes: usize,
    /// Parts, multiparts included.
    pub parts: usize,
    /// How deep multiparts may stand in one another.
    pub depth: usize,
    /// Attachments; more are counted and left out.
    pub attachments: usize,
    /// Decoded bytes of all attachments together; what is beyond is cut off.
    pub attachment_bytes: u64,
    /// Addresses of each header.
    pub addresses: usize,
    /// Message ids of each header.
    pub references: usize,
    /// Above this, an attachment waits in a file instead of in memory.
    pub memory_bytes: usize,
    /// Where those files are; they have no name, and are gone with the attachment.
    pub spool: PathBuf,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            header_bytes: 256 * 1024,
            text_bytes: 1024 * 1024,
            all_text_bytes: 2 * 1024 * 1024,
            report_bytes: 512 * 1024,
            parts: 500,
            depth: 20,
            attachments: 50,
            attachment_bytes: 64 * 1024 * 1024,
            addresses: 100,
            references: 50,
            memory_bytes: 64 * 1024,
            spool: std::env::temp_dir(),
        }
    }
}
