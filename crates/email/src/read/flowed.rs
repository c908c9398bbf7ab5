/// Joins the lines of a `format=flowed` text (RFC 3676): a space at the end of a line says that the next one goes on.
pub(crate) fn unflow(text: &str, delete_space: bool) -> String {
    let mut out = String::with_capacity(text.len());
    let mut open: Option<usize> = None;
    for (number, line) in text.split('\n').enumerate() {
        let depth = line.bytes().take_while(|byte| *byte == b'>').count();
        let content = &line[depth..];
        let content = content.strip_prefix(' ').unwrap_or(content);
        let signature = content == "-- ";
        let goes_on = open == Some(depth) && !signature;
        if !goes_on {
            if number > 0 {
                out.push('\n');
            }
            out.extend(std::iter::repeat_n('>', depth));
            if depth > 0 && !content.is_empty() {
                out.push(' ');
            }
        }
        let flows = content.ends_with(' ') && !signature;
        out.push_str(if flows && delete_space { &content[..content.len() - 1] } else { content });
        open = flows.then_some(depth);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paragraphs_are_joined_and_quotes_keep_their_depth() {
        assert_eq!(unflow("Hello \nworld.\nNext", false), "Hello world.\nNext");
        assert_eq!(unflow("> a \n> b\nc \n>d", false), "> a b\nc \n> d");
        assert_eq!(unflow(" From space-stuffed", false), "From space-stuffed");
        assert_eq!(unflow("ハロ \nー", true), "ハロー");
        assert_eq!(unflow("text \n-- \nName", false), "text \n-- \nName");
        assert_eq!(unflow("\n\na", false), "\n\na");
    }
}
