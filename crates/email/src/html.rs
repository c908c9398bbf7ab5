//! Text out of HTML, for people and for mails that came without a text of their own. One pass, no tree, nothing fetched.

use mail_parser::decoders::html::add_html_token;

/// Tags that begin a line of their own.
const BLOCKS: &[&str] = &[
    "address",
    "article",
    "aside",
    "blockquote",
    "center",
    "dd",
    "div",
    "dl",
    "dt",
    "fieldset",
    "figure",
    "footer",
    "form",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "header",
    "hr",
    "li",
    "main",
    "nav",
    "ol",
    "p",
    "pre",
    "section",
    "table",
    "tr",
    "ul",
];
/// Tags with an empty line before and after.
const PARAGRAPHS: &[&str] = &["blockquote", "h1", "h2", "h3", "h4", "h5", "h6", "ol", "p", "pre", "table", "ul"];
/// Tags whose content nobody is to see.
const HIDDEN: &[&str] = &["head", "script", "style", "template", "title", "noscript", "svg", "object"];
/// Deeper quotes are shown as this deep.
const MOST_QUOTES: usize = 20;
/// A text of this many bytes may be longer than its HTML.
const SMALL: usize = 16 * 1024;

struct Writer {
    out: String,
    line: String,
    quotes: usize,
    space: bool,
    preformatted: usize,
    /// A text that is longer is longer than its HTML.
    plenty: usize,
    /// An empty line that is due before the next one, and how deep in quotes it stands.
    blank: Option<usize>,
}

impl Writer {
    fn end_line(&mut self) {
        let line = std::mem::take(&mut self.line);
        let line = line.trim_end();
        self.space = false;
        if line.trim().is_empty() {
            return;
        }
        if let Some(quotes) = self.blank.take().filter(|_| !self.out.is_empty()) {
            let marks = self.marks(quotes);
            self.out.push_str(marks.trim_end());
            self.out.push('\n');
        }
        let marks = self.marks(self.quotes);
        self.out.push_str(&marks);
        self.out.push_str(line);
        self.out.push('\n');
    }

    /// The marks of a quote, of which there is one where all of them would make much more of a text than came.
    fn marks(&self, quotes: usize) -> String {
        "> ".repeat(if self.out.len() > self.plenty { quotes.min(1) } else { quotes })
    }

    fn empty_line(&mut self) {
        self.end_line();
        self.blank = Some(self.blank.map_or(self.quotes, |quotes| quotes.min(self.quotes)));
    }

    /// A `<br>`: ends a line that is there, and makes an empty one otherwise.
    fn line_break(&mut self) {
        if self.line.trim().is_empty() { self.empty_line() } else { self.end_line() }
    }

    fn text(&mut self, text: &str) {
        let mut rest = text;
        while let Some(at) = rest.find('&') {
            self.plain(&rest[..at]);
            rest = &rest[at..];
            let end = rest.bytes().take(34).position(|byte| byte == b';');
            let entity = end.map_or("&", |end| &rest[..=end]);
            let mut decoded = String::new();
            add_html_token(&mut decoded, entity.as_bytes(), false);
            self.plain(&decoded);
            rest = &rest[entity.len()..];
        }
        self.plain(rest);
    }

    fn plain(&mut self, text: &str) {
        for c in text.chars() {
            match c {
                '\n' if self.preformatted > 0 => self.end_line(),
                // A space that does not break is a space to a reader.
                '\u{a0}' => self.visible(' '),
                ' ' | '\t' if self.preformatted > 0 => self.line.push(' '),
                c if c.is_whitespace() => self.space = true,
                '\u{200b}'..='\u{200d}' | '\u{feff}' | '\u{ad}' => {}
                c if c.is_control() => {}
                c => self.visible(c),
            }
        }
    }

    fn visible(&mut self, c: char) {
        if self.space && !self.line.is_empty() && !self.line.ends_with(' ') {
            self.line.push(' ');
        }
        self.space = false;
        self.line.push(c);
    }
}

/// The text of an HTML document or piece: lines, lists, quotes as `>`, and where links lead.
pub(crate) fn to_text(html: &str) -> String {
    let mut writer = Writer {
        out: String::new(),
        line: String::new(),
        quotes: 0,
        space: false,
        preformatted: 0,
        plenty: html.len().max(SMALL),
        blank: None,
    };
    let mut rest = html;
    let mut link: Option<(String, usize)> = None;
    while let Some(at) = rest.find('<') {
        writer.text(&rest[..at]);
        rest = &rest[at..];
        if let Some(comment) = rest.strip_prefix("<!--") {
            rest = comment.find("-->").map_or("", |end| &comment[end + 3..]);
            continue;
        }
        let Some(tag) = Tag::read(rest) else {
            writer.plain("<");
            rest = &rest[1..];
            continue;
        };
        rest = &rest[tag.length..];
        if HIDDEN.contains(&tag.name.as_str()) && !tag.closes && !tag.empty {
            rest = after_closing(rest, &tag.name);
            continue;
        }
        apply(&mut writer, &tag, &mut link);
    }
    writer.text(rest);
    writer.end_line();
    writer.out.trim_end().to_owned()
}

fn apply(writer: &mut Writer, tag: &Tag<'_>, link: &mut Option<(String, usize)>) {
    let name = tag.name.as_str();
    match name {
        "br" => return writer.line_break(),
        "td" | "th" if !tag.closes && !writer.line.trim().is_empty() => writer.plain(" "),
        "img" => {
            if let Some(alt) = tag.attribute("alt") {
                writer.text(&alt);
            }
        }
        "a" => return follow(writer, tag, link),
        _ => {}
    }
    if name == "blockquote" && tag.closes {
        writer.end_line();
        writer.quotes = writer.quotes.saturating_sub(1);
    }
    if PARAGRAPHS.contains(&name) {
        writer.empty_line();
    } else if BLOCKS.contains(&name) {
        writer.end_line();
    }
    match (name, tag.closes) {
        ("blockquote", false) => writer.quotes = (writer.quotes + 1).min(MOST_QUOTES),
        ("pre", false) => writer.preformatted += 1,
        ("pre", true) => writer.preformatted = writer.preformatted.saturating_sub(1),
        ("li", false) => writer.line.push_str("- "),
        _ => {}
    }
}

/// A link is told with where it leads, unless its text says so already.
fn follow(writer: &mut Writer, tag: &Tag<'_>, link: &mut Option<(String, usize)>) {
    if !tag.closes {
        let target = tag.attribute("href").unwrap_or_default();
        let shown = ["http://", "https://", "tel:"].iter().any(|scheme| target.starts_with(scheme));
        *link = shown.then(|| (target, writer.out.len() + writer.line.len()));
        return;
    }
    let Some((target, began)) = link.take() else { return };
    let from = began.saturating_sub(writer.out.len());
    let text = writer.line.get(from..).unwrap_or(&writer.line).trim().to_owned();
    let bare = |url: &str| url.split_once(':').map_or(url, |(_, rest)| rest).trim_matches('/').to_owned();
    if text.is_empty() || bare(&text) == bare(&target) || text.contains(&bare(&target)) {
        return;
    }
    writer.plain(" ");
    writer.text(&format!("({target})"));
}

struct Tag<'a> {
    name: String,
    closes: bool,
    empty: bool,
    attributes: &'a str,
    length: usize,
}

impl<'a> Tag<'a> {
    /// Reads a tag at the start of `text`, or none where the `<` is only a character.
    fn read(text: &'a str) -> Option<Self> {
        let inner = &text[1..];
        let closes = inner.starts_with('/');
        let inner = inner.strip_prefix('/').unwrap_or(inner);
        let first = inner.chars().next()?;
        if !first.is_ascii_alphabetic() && !"!?".contains(first) {
            return None;
        }
        let end = end_of_tag(text);
        let inside = &text[..end];
        let inside = inside.trim_start_matches(['<', '/']).trim_end_matches('>');
        let name_end = inside.find(|c: char| c.is_whitespace() || c == '/').unwrap_or(inside.len());
        let name = inside[..name_end].to_ascii_lowercase();
        // Outlook writes `<o:p>`.
        Some(Self { name, closes, empty: inside.ends_with('/'), attributes: &inside[name_end..], length: end })
    }

    fn attribute(&self, wanted: &str) -> Option<String> {
        let mut rest = self.attributes;
        while let Some(at) = rest.find('=') {
            let name = rest[..at].trim().rsplit(|c: char| c.is_whitespace()).next().unwrap_or_default();
            let value = rest[at + 1..].trim_start();
            let (value, after) = match value.chars().next() {
                Some(quote @ ('"' | '\'')) => value[1..].split_once(quote).unwrap_or((&value[1..], "")),
                _ => value.split_at(value.find(char::is_whitespace).unwrap_or(value.len())),
            };
            if name.eq_ignore_ascii_case(wanted) {
                return Some(value.trim().to_owned());
            }
            rest = after;
        }
        None
    }
}

/// Behind the `>` of a tag; one in quotes does not count. A tag that never ends takes the rest.
fn end_of_tag(text: &str) -> usize {
    let mut quote = None;
    let mut valued = false;
    for (at, byte) in text.bytes().enumerate() {
        match (quote, byte) {
            (None, b'>') => return at + 1,
            (None, b'"' | b'\'') if valued => quote = Some(byte),
            (Some(open), byte) if open == byte => quote = None,
            _ => {}
        }
        valued = byte == b'=' || (valued && byte.is_ascii_whitespace());
    }
    // An open quote would swallow the whole mail; the first `>` is the better guess then.
    text.find('>').map_or(text.len(), |at| at + 1)
}

fn after_closing<'a>(text: &'a str, name: &str) -> &'a str {
    let mut rest = text;
    while let Some(at) = rest.find("</") {
        rest = &rest[at..];
        let found = rest.get(2..2 + name.len()).is_some_and(|found| found.eq_ignore_ascii_case(name));
        if found {
            return rest.find('>').map_or("", |end| &rest[end + 1..]);
        }
        rest = &rest[2..];
    }
    ""
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lines_lists_quotes_and_links_are_kept() {
        let html = "<html><head><title>t</title><style>p{}</style></head><body><p>Hello&nbsp;<b>Ann</b>,</p>\
                    <div>one<br>two</div><ul><li>a</li><li>b</li></ul><!-- no <p> -->\
                    <a href=\"https://shop.example/1\">your order</a> <a href='https://a.example/'>https://a.example</a>\
                    <script>alert('x > y')</script><blockquote>old<br><blockquote>older</blockquote></blockquote></body>";
        let text = "Hello Ann,\n\none\ntwo\n\n- a\n- b\n\nyour order (https://shop.example/1) https://a.example\n\n\
                    > old\n>\n> > older";
        assert_eq!(to_text(html), text);
    }

    #[test]
    fn what_is_no_tag_is_text() {
        assert_eq!(to_text("1 < 2 &amp; 3 &gt; 2 &euro; &nope; & so"), "1 < 2 & 3 > 2 € &nope; & so");
        assert_eq!(to_text("a <img alt=\"cat > dog\" src=x> b"), "a cat > dog b");
        assert_eq!(to_text("<p title=\"never closed>text</p>"), "text");
        assert_eq!(to_text("<pre>a\n  b</pre>c"), "a\n  b\n\nc");
        assert_eq!(to_text("<p>a<o:p></o:p></p>\n<p>b</p>"), "a\n\nb");
        assert_eq!(to_text("<script>x"), "");
    }

    proptest! {
        #[test]
        fn any_text_is_read(html in r#"([<>/="'&;!a-z \n-]|<p>|<a href=|</|<!--|-->|<script>|é){0,60}"#) {
            let _text = to_text(&html);
        }
    }
}
