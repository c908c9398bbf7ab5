//! What a file is, by its first bytes: whoever sent it may have called it anything.

/// What the first bytes of a file say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kind {
    /// Its media type.
    pub media_type: &'static str,
    /// What its name should end in.
    pub extension: &'static str,
}

const fn kind(media_type: &'static str, extension: &'static str) -> Kind {
    Kind { media_type, extension }
}

/// Fixed first bytes.
const MAGIC: &[(&[u8], Kind)] = &[
    (b"\xff\xd8\xff", kind("image/jpeg", "jpg")),
    (b"\x89PNG\r\n\x1a\n", kind("image/png", "png")),
    (b"GIF87a", kind("image/gif", "gif")),
    (b"GIF89a", kind("image/gif", "gif")),
    (b"BM", kind("image/bmp", "bmp")),
    (b"II*\0", kind("image/tiff", "tif")),
    (b"MM\0*", kind("image/tiff", "tif")),
    (b"#!AMR", kind("audio/amr", "amr")),
    (b"ID3", kind("audio/mpeg", "mp3")),
    (b"\xff\xfb", kind("audio/mpeg", "mp3")),
    (b"\xff\xf3", kind("audio/mpeg", "mp3")),
    (b"\xff\xf1", kind("audio/aac", "aac")),
    (b"\xff\xf9", kind("audio/aac", "aac")),
    (b"OggS", kind("audio/ogg", "ogg")),
    (b"\x1aE\xdf\xa3", kind("video/webm", "webm")),
    (b"%PDF-", kind("application/pdf", "pdf")),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", kind("application/x-ole-storage", "doc")),
    (b"\x78\x9f\x3e\x22", kind("application/ms-tnef", "dat")),
    (b"\x1f\x8b", kind("application/gzip", "gz")),
    (b"MZ", kind("application/vnd.microsoft.portable-executable", "exe")),
    (b"\x7fELF", kind("application/x-executable", "bin")),
];

impl Kind {
    /// Looks at the first bytes; `None` for what nothing is known of.
    pub fn of(head: &[u8]) -> Option<Self> {
        let fixed = MAGIC.iter().find(|(magic, _)| head.starts_with(magic)).map(|(_, kind)| *kind);
        fixed.or_else(|| zip(head)).or_else(|| boxed(head)).or_else(|| riff(head)).or_else(|| text(head))
    }
}

/// The ISO family (MP4, 3GP, HEIC): a box `ftyp` that names a brand.
fn boxed(head: &[u8]) -> Option<Kind> {
    if head.get(4..8)? != b"ftyp" {
        return None;
    }
    Some(match head.get(8..12)? {
        b"heic" | b"heix" | b"hevc" | b"mif1" | b"msf1" => kind("image/heic", "heic"),
        b"avif" | b"avis" => kind("image/avif", "avif"),
        b"qt  " => kind("video/quicktime", "mov"),
        b"M4A " | b"M4B " => kind("audio/mp4", "m4a"),
        [b'3', b'g', ..] => kind("video/3gpp", "3gp"),
        _ => kind("video/mp4", "mp4"),
    })
}

/// Office documents are archives that name themselves in their first entries.
const OFFICE: &[(&[u8], Kind)] = &[
    (b"mimetypeapplication/vnd.oasis.opendocument.text", kind("application/vnd.oasis.opendocument.text", "odt")),
    (
        b"mimetypeapplication/vnd.oasis.opendocument.spreadsheet",
        kind("application/vnd.oasis.opendocument.spreadsheet", "ods"),
    ),
    (
        b"mimetypeapplication/vnd.oasis.opendocument.presentation",
        kind("application/vnd.oasis.opendocument.presentation", "odp"),
    ),
    (b"word/", kind("application/vnd.openxmlformats-officedocument.wordprocessingml.document", "docx")),
    (b"xl/", kind("application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", "xlsx")),
    (b"ppt/", kind("application/vnd.openxmlformats-officedocument.presentationml.presentation", "pptx")),
];

/// The names of entries stand in an archive as they are, each behind a header of 30 bytes.
fn zip(head: &[u8]) -> Option<Kind> {
    const ENTRY: &[u8] = b"PK\x03\x04";
    if !head.starts_with(ENTRY) {
        return None;
    }
    let entries = || head.windows(ENTRY.len()).enumerate().filter(|(_, bytes)| *bytes == ENTRY);
    let named = |name: &[u8]| entries().any(|(at, _)| head.get(at + 30..).is_some_and(|rest| rest.starts_with(name)));
    let open = named(b"[Content_Types].xml") || named(b"_rels/") || named(b"mimetype");
    let office = OFFICE.iter().find(|(name, _)| open && named(name)).map(|(_, kind)| *kind);
    Some(office.unwrap_or(kind("application/zip", "zip")))
}

fn riff(head: &[u8]) -> Option<Kind> {
    if !head.starts_with(b"RIFF") {
        return None;
    }
    match head.get(8..12)? {
        b"WEBP" => Some(kind("image/webp", "webp")),
        b"WAVE" => Some(kind("audio/wav", "wav")),
        b"AVI " => Some(kind("video/x-msvideo", "avi")),
        _ => None,
    }
}

/// How much of a file is looked at to say that it is text.
const TEXT_HEAD: usize = 4096;

fn text(head: &[u8]) -> Option<Kind> {
    let head = &head[..head.len().min(TEXT_HEAD)];
    let text = match std::str::from_utf8(head) {
        Ok(text) => text,
        // The last character may have been cut in two.
        Err(error) if error.error_len().is_none() => std::str::from_utf8(&head[..error.valid_up_to()]).ok()?,
        Err(_) => return None,
    };
    if text.chars().any(|character| character.is_control() && !matches!(character, '\n' | '\r' | '\t' | '\x0c')) {
        return None;
    }
    let start = text.trim_start_matches('\u{feff}').trim_start().to_lowercase();
    if start.starts_with("begin:vcard") {
        return Some(kind("text/vcard", "vcf"));
    }
    if start.starts_with("begin:vcalendar") {
        return Some(kind("text/calendar", "ics"));
    }
    if start.starts_with('<') {
        let svg = start.contains("<svg");
        return Some(if svg { kind("image/svg+xml", "svg") } else { kind("text/html", "html") });
    }
    (!start.is_empty()).then(|| kind("text/plain", "txt"))
}

/// Whether a browser may act on a file instead of showing it: such a file is only ever given to be saved.
pub fn is_active(media_type: &str) -> bool {
    let harmless = ["image/", "video/", "audio/"].iter().any(|family| media_type.starts_with(family));
    !(harmless && !media_type.contains("svg") || media_type == "text/plain")
}

/// The media type without its parameters, in lower case, and by the one name it has here.
pub(crate) fn canonical(media_type: &str) -> String {
    let bare = media_type.split(';').next().unwrap_or_default().trim().to_lowercase();
    match bare.as_str() {
        "image/jpg" | "image/pjpeg" => "image/jpeg".to_owned(),
        "text/x-vcard" | "text/directory" => "text/vcard".to_owned(),
        "audio/mp3" => "audio/mpeg".to_owned(),
        _ => bare,
    }
}

/// Whether what was said of a file can be what it is. Containers of sound and of pictures that move are often called by each
/// other's name.
pub(crate) fn agrees(declared: &str, found: &str) -> bool {
    let declared = canonical(declared);
    if declared.is_empty() || matches!(declared.as_str(), "application/octet-stream" | "binary/octet-stream") {
        return true;
    }
    let family = |media_type: &str| match media_type.split('/').next().unwrap_or_default() {
        "audio" | "video" => "moving".to_owned(),
        other => other.to_owned(),
    };
    let bare = |prefix: &str| declared.strip_prefix(prefix);
    let same = match found {
        // The old formats of office programs are one container.
        "application/x-ole-storage" => {
            bare("application/").is_some_and(|kind| kind == "msword" || kind.starts_with("vnd.ms-"))
        }
        "application/ms-tnef" => declared == "application/vnd.ms-tnef",
        // What is text is harmless, whatever reads it.
        "text/plain" => {
            bare("message/").is_some()
                || bare("application/")
                    .is_some_and(|kind| matches!(kind, "rtf" | "json" | "csv") || kind.starts_with("pgp-"))
        }
        _ => false,
    };
    same || declared == found
        || (family(&declared) == family(found) && family(found) != "application" && !is_active(found))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(head: &[u8]) -> &'static str {
        Kind::of(head).map_or("unknown", |kind| kind.media_type)
    }

    #[test]
    fn first_bytes_tell() {
        assert_eq!(of(b"\xff\xd8\xff\xe0\0\x10JFIF"), "image/jpeg");
        assert_eq!(of(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"), "image/png");
        assert_eq!(of(b"\0\0\0\x18ftypmp42"), "video/mp4");
        assert_eq!(of(b"\0\0\0\x18ftypheic"), "image/heic");
        assert_eq!(of(b"RIFF\0\0\0\0WEBPVP8 "), "image/webp");
        assert_eq!(of(b"BEGIN:VCARD\r\nVERSION:3.0"), "text/vcard");
        assert_eq!(of(b"  <!DOCTYPE html><script>"), "text/html");
        assert_eq!(of(b"<?xml version='1.0'?><svg xmlns="), "image/svg+xml");
        assert_eq!(of("Grüße".as_bytes()), "text/plain");
        assert_eq!(of(&"Grüße".as_bytes()[..3]), "text/plain", "a character cut in two is no fault");
        let office = b"PK\x03\x04\x14\0\x06\0\x08\0\0\0!\0............\x13\0\0\0[Content_Types].xml..";
        assert_eq!(of(office), "application/zip", "it names no document yet");
        let document = [&office[..], &office[..30], b"word/document.xml"].concat();
        assert!(of(&document).ends_with("wordprocessingml.document"), "{}", of(&document));
        let open = [&office[..30], b"mimetypeapplication/vnd.oasis.opendocument.spreadsheetPK"].concat();
        assert_eq!(of(&open), "application/vnd.oasis.opendocument.spreadsheet");
        assert_eq!(of(b"\0\x01\x02"), "unknown");
        assert_eq!(of(b""), "unknown");
    }

    #[test]
    fn what_a_browser_acts_on_is_active() {
        for active in ["text/html", "image/svg+xml", "application/pdf", "application/javascript", "text/vcard"] {
            assert!(is_active(active), "{active}");
        }
        for harmless in ["image/jpeg", "video/mp4", "audio/amr", "text/plain"] {
            assert!(!is_active(harmless), "{harmless}");
        }
    }

    #[test]
    fn a_name_of_the_same_family_is_no_lie() {
        assert!(agrees("image/jpg; charset=x", "image/png") && agrees("", "application/pdf"));
        assert!(agrees("audio/3gpp", "video/3gpp") && agrees("text/x-vcard", "text/vcard"));
        assert!(!agrees("image/jpeg", "text/html") && !agrees("image/jpeg", "application/pdf"));
        assert!(agrees("application/msword", "application/x-ole-storage") && agrees("message/rfc822", "text/plain"));
        assert!(!agrees("image/jpeg", "text/plain") && !agrees("application/pdf", "application/x-ole-storage"));
        assert!(!agrees("image/png", "image/svg+xml") && !agrees("application/pdf", "application/zip"));
    }
}
