use crate::address::is_directional;

/// The longest name every file system and Genesys take.
const MOST_BYTES: usize = 150;

/// A file name that is a name and nothing else: no folder, no control or direction characters, no name a system keeps for
/// itself, and an extension where the type gives one.
pub(crate) fn safe(written: Option<&str>, media_type: &str) -> String {
    let last = written.unwrap_or_default().rsplit(['/', '\\']).next().unwrap_or_default();
    let harmless = |c: char| if "<>:\"|?*".contains(c) { '_' } else { c };
    let kept = last.chars().filter(|c| !c.is_control() && !is_directional(*c) && *c != '\u{fffd}').map(harmless);
    let kept: String = kept.collect();
    let kept = kept.trim_matches(|c: char| c.is_whitespace() || c == '.');
    let name = if kept.is_empty() { format!("attachment{}", extension(media_type)) } else { kept.to_owned() };
    let name = if is_reserved(&name) { format!("_{name}") } else { name };
    shortened(name)
}

/// Windows keeps these for devices, whatever follows the dot.
fn is_reserved(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or_default().to_ascii_uppercase();
    let numbered = stem.strip_prefix("COM").or_else(|| stem.strip_prefix("LPT"));
    let numbered = numbered.is_some_and(|rest| rest.len() == 1 && rest.bytes().all(|byte| byte.is_ascii_digit()));
    numbered || matches!(stem.as_str(), "CON" | "PRN" | "AUX" | "NUL")
}

fn shortened(name: String) -> String {
    if name.len() <= MOST_BYTES {
        return name;
    }
    let extension = name.rsplit_once('.').map(|(_, extension)| extension).filter(|extension| extension.len() <= 10);
    let extension = extension.map(|extension| format!(".{extension}")).unwrap_or_default();
    let mut end = MOST_BYTES - extension.len();
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}{extension}", &name[..end])
}

fn extension(media_type: &str) -> &'static str {
    match media_type {
        "message/rfc822" | "message/global" => ".eml",
        "text/calendar" => ".ics",
        "text/html" => ".html",
        "text/plain" => ".txt",
        "text/csv" => ".csv",
        "image/jpeg" => ".jpg",
        "image/png" => ".png",
        "image/gif" => ".gif",
        "image/heic" => ".heic",
        "image/webp" => ".webp",
        "application/pdf" => ".pdf",
        "application/zip" => ".zip",
        "application/pkcs7-mime" | "application/x-pkcs7-mime" => ".p7m",
        "application/ms-tnef" | "application/vnd.ms-tnef" => ".dat",
        _ => ".bin",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_nowhere() {
        for (written, expected) in [
            ("../../x", "x"),
            ("..\\..\\windows\\system.ini", "system.ini"),
            ("/etc/passwd", "passwd"),
            ("..", "attachment.bin"),
            ("../", "attachment.bin"),
            (".htaccess", "htaccess"),
            ("a\r\nb\0.txt", "ab.txt"),
            ("invoice\u{202e}fdp.exe", "invoicefdp.exe"),
            ("con.txt", "_con.txt"),
            ("COM1", "_COM1"),
            ("a<b>|c?.pdf", "a_b__c_.pdf"),
            ("  Rechnung März.pdf. ", "Rechnung März.pdf"),
        ] {
            assert_eq!(safe(Some(written), "application/x-unknown"), expected, "{written:?}");
        }
        assert_eq!(safe(None, "message/rfc822"), "attachment.eml");
    }

    #[test]
    fn long_names_keep_their_extension() {
        let name = safe(Some(&format!("{}.pdf", "ä".repeat(500))), "application/pdf");
        assert!(name.len() <= MOST_BYTES && name.ends_with("ä.pdf"), "{name}");
        assert!(safe(Some(&"x".repeat(500)), "a/b").len() == MOST_BYTES);
    }
}
