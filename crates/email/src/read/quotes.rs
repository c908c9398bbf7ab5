//! What the consumer wrote now, apart from what was written before.
//!
//! Nothing is ever lost: both pieces are kept, and where it is not clear what is old, all of it counts as new.

use crate::html;

/// A text in two pieces.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Split {
    pub(crate) new: String,
    pub(crate) quoted: Option<String>,
}

/// Words that begin the lines of a header that mail programs put above a quote.
const FROM: &[&str] = &["from", "von", "de", "da", "van", "från", "fra", "od", "lähettäjä", "expéditeur", "remitente"];
const OTHER: &[&str] = &[
    "sent",
    "date",
    "to",
    "cc",
    "subject",
    "gesendet",
    "datum",
    "an",
    "betreff",
    "envoyé",
    "à",
    "objet",
    "enviado",
    "enviado el",
    "fecha",
    "para",
    "asunto",
    "inviato",
    "data",
    "a",
    "oggetto",
    "verzonden",
    "aan",
    "onderwerp",
    "skickat",
    "till",
    "ämne",
    "sendt",
    "til",
    "emne",
    "assunto",
    "enviada em",
    "reply-to",
    "antwort an",
];
/// Lines between dashes that introduce the message that is answered.
const DIVIDERS: &[&str] = &[
    "original message",
    "ursprüngliche nachricht",
    "originalnachricht",
    "message d'origine",
    "message original",
    "mensaje original",
    "messaggio originale",
    "oorspronkelijk bericht",
    "mensagem original",
    "ursprungligt meddelande",
    "original email",
    "reply message",
    "původní zpráva",
    "oprindelig meddelelse",
];
/// Ends of a line like `On 20 Nov 2026, Ann wrote:`, beside a beginning that fits.
const WROTE: &[(&str, &str)] = &[
    ("on ", "wrote:"),
    ("am ", ":"),
    ("le ", "a écrit :"),
    ("le ", "a écrit\u{a0}:"),
    ("el ", "escribió:"),
    ("il ", "ha scritto:"),
    ("op ", "schreef:"),
    ("op ", ":"),
    ("em ", "escreveu:"),
    ("den ", ":"),
    ("på ", ":"),
    ("dne ", "napsal:"),
    ("w dniu ", ":"),
    ("", "wrote:"),
    ("", "schrieb:"),
    ("", "さんは書きました："),
    ("", "写道："),
];
/// A line `Am 20. November 2026 schrieb Ann:` needs one of these words in it.
const VERBS: &[&str] = &[
    "wrote",
    "schrieb",
    "écrit",
    "escribió",
    "scritto",
    "schreef",
    "escreveu",
    "skrev",
    "napsal",
    "napisał",
    "写道",
    "書きました",
];

/// Separates a plain text.
pub(crate) fn split_text(text: &str) -> Split {
    let lines: Vec<&str> = text.lines().collect();
    let Some((start, end)) = history(&lines) else { return whole(text) };
    let new = joined(&lines[..start], &lines[end..]);
    if new.is_empty() {
        return whole(text);
    }
    Split { new, quoted: Some(lines[start..end].join("\n").trim().to_owned()).filter(|quoted| !quoted.is_empty()) }
}

fn whole(text: &str) -> Split {
    Split { new: text.trim().to_owned(), quoted: None }
}

fn joined(before: &[&str], after: &[&str]) -> String {
    let (before, after) = (before.join("\n"), after.join("\n"));
    let pieces = [before.trim(), after.trim()];
    pieces.into_iter().filter(|piece| !piece.is_empty()).collect::<Vec<_>>().join("\n\n")
}

/// The lines of the history.
fn history(lines: &[&str]) -> Option<(usize, usize)> {
    for at in 0..lines.len() {
        if is_forward(lines[at]) {
            // What is forwarded is what the sender wants to be read.
            return None;
        }
        if is_divider(lines[at]) || is_header(&lines[at..]) {
            let rule = at > 0 && is_rule(lines[at - 1]);
            return Some((if rule { at - 1 } else { at }, lines.len()));
        }
        if let Some(length) = attribution(&lines[at..]) {
            return quote_after(lines, at, at + length);
        }
        if is_quoted(lines[at]) {
            return quote_after(lines, at, at);
        }
    }
    None
}

/// A quote that begins at `from` under its introduction at `start`. Where new text stands between several pieces of the
/// quote, it answers them one by one, and means nothing without them.
fn quote_after(lines: &[&str], start: usize, from: usize) -> Option<(usize, usize)> {
    let first = (from..lines.len()).find(|at| !lines[*at].trim().is_empty())?;
    if !is_quoted(lines[first]) {
        // Some programs introduce a quote and do not mark it.
        return (from > start).then_some((start, lines.len()));
    }
    let end = (first..lines.len()).find(|at| !is_quoted(lines[*at]) && !lines[*at].trim().is_empty());
    let end = end.unwrap_or(lines.len());
    let interleaved = lines[end..].iter().any(|line| is_quoted(line));
    (!interleaved).then_some((start, end))
}

fn is_quoted(line: &str) -> bool {
    line.trim_start().starts_with('>')
}

/// A line without its dashes and stars.
fn bare(line: &str) -> String {
    line.trim_matches(|c: char| c.is_whitespace() || "-_=*>".contains(c)).to_lowercase()
}

fn is_divider(line: &str) -> bool {
    line.trim_start().starts_with("--") && DIVIDERS.contains(&bare(line).as_str())
}

fn is_forward(line: &str) -> bool {
    let words = [
        "forwarded message",
        "begin forwarded message:",
        "weitergeleitete nachricht",
        "message transféré",
        "anfang der weitergeleiteten nachricht:",
        "début du message réexpédié :",
        "mensaje reenviado",
        "messaggio inoltrato",
        "doorgestuurd bericht",
    ];
    words.contains(&bare(line).as_str())
}

fn is_rule(line: &str) -> bool {
    let line = line.trim();
    line.len() >= 5 && line.chars().all(|c| "-_".contains(c))
}

/// `From:` and two more of its kind, one under the other.
fn is_header(lines: &[&str]) -> bool {
    let key = |line: &str| {
        let line = line.trim_start().trim_start_matches('*').to_lowercase();
        line.split_once(':').map(|(key, _)| key.trim_matches(|c: char| c.is_whitespace() || c == '*').to_owned())
    };
    let begins = key(lines[0]).is_some_and(|key| FROM.contains(&key.as_str()));
    let following = lines.iter().skip(1).take(6).take_while(|line| !line.trim().is_empty());
    begins && following.filter(|line| key(line).is_some_and(|key| OTHER.contains(&key.as_str()))).count() >= 2
}

/// `On … wrote:`, over up to three lines; gives how many.
fn attribution(lines: &[&str]) -> Option<usize> {
    let first = lines[0].trim();
    if first.is_empty() || is_quoted(first) {
        return None;
    }
    let mut text = String::new();
    for (number, line) in lines.iter().take(3).enumerate() {
        text = format!("{text} {}", line.trim()).trim().to_lowercase();
        if text.len() > 400 || line.trim().is_empty() {
            return None;
        }
        let dated = text.contains(|c: char| c.is_ascii_digit());
        let verb = VERBS.iter().any(|verb| text.contains(verb));
        let form = WROTE.iter().any(|(start, end)| text.starts_with(start) && text.ends_with(end));
        if dated && verb && form {
            return Some(number + 1);
        }
    }
    None
}

/// Marks in HTML behind which mail programs put what is answered.
const MARKS: &[&str] = &[
    "class=\"gmail_quote",
    "class=gmail_quote",
    "id=\"divrplyfwdmsg\"",
    "id=\"appendonsend\"",
    "class=\"moz-cite-prefix\"",
    "type=\"cite\"",
    "type=cite",
    "class=\"yahoo_quoted",
    "id=\"olk_src_body_section\"",
    "class=\"protonmail_quote",
    "name=\"quote\"",
    "id=\"mail-editor-reference-message-container\"",
    "class=\"outlookmessageheader\"",
    "border-top:solid #e1e1e1 1.0pt",
    "border-top:solid #b5c4df 1.0pt",
];

/// Separates an HTML text, and gives both pieces as text.
pub(crate) fn split_html(source: &str) -> Split {
    // Lengths stay as they are, so that places in one are places in the other.
    let lower = source.to_ascii_lowercase();
    let mark = MARKS.iter().filter_map(|mark| lower.find(mark)).min();
    let start = mark.and_then(|at| lower[..at].rfind('<'));
    let forward = is_forwarded(&html::to_text(source));
    let Some(start) = start.filter(|_| !forward) else { return split_text(&html::to_text(source)) };
    let (new, quoted) = (split_text(&html::to_text(&source[..start])), html::to_text(&source[start..]));
    if new.new.is_empty() {
        return split_text(&html::to_text(source));
    }
    let pieces = [new.quoted.unwrap_or_default(), quoted];
    let quoted = pieces.iter().filter(|piece| !piece.is_empty()).map(String::as_str).collect::<Vec<_>>().join("\n");
    Split { new: new.new, quoted: Some(quoted).filter(|quoted| !quoted.is_empty()) }
}

fn is_forwarded(text: &str) -> bool {
    text.lines().any(is_forward)
}

#[cfg(test)]
mod tests;
