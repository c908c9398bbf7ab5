//! The content after DATA: dots unstuffed, its end found.
//!
//! Only CR LF ends a line. A line feed or a carriage return alone is where two servers can disagree about the end of a mail, so
//! that one of them takes the rest for commands ("SMTP smuggling"); here it ends nothing, and the mail is refused for it.

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    LineStart,
    Inside,
    Cr,
    Dot,
    DotCr,
}

/// Unstuffs a content piece by piece.
pub(super) struct Dots {
    state: State,
    bare: bool,
}

impl Dots {
    pub(super) const fn new() -> Self {
        Self { state: State::LineStart, bare: false }
    }

    /// Whether there was a line feed or carriage return alone.
    pub(super) const fn is_bare(&self) -> bool {
        self.bare
    }

    /// Takes input, appends content, and gives how much was taken and whether the end was found.
    pub(super) fn push(&mut self, input: &[u8], out: &mut Vec<u8>) -> (usize, bool) {
        let mut at = 0;
        while at < input.len() {
            if self.state == State::Inside {
                // Most bytes are neither.
                let run = input[at..].iter().position(|byte| matches!(byte, b'\r' | b'\n')).unwrap_or(input.len() - at);
                out.extend_from_slice(&input[at..at + run]);
                at += run;
                if at == input.len() {
                    break;
                }
            }
            let byte = input[at];
            at += 1;
            if self.step(byte, out) {
                return (at, true);
            }
        }
        (at, false)
    }

    fn step(&mut self, byte: u8, out: &mut Vec<u8>) -> bool {
        self.state = match (self.state, byte) {
            (State::DotCr, b'\n') => return true,
            (State::LineStart, b'.') => State::Dot,
            (State::LineStart | State::Inside, b'\r') => State::Cr,
            (State::Dot, b'\r') => State::DotCr,
            (State::Cr, b'\n') => {
                out.extend_from_slice(b"\r\n");
                State::LineStart
            }
            (State::Cr, byte) => self.alone(b"\r", byte, out),
            (State::DotCr, byte) => self.alone(b".\r", byte, out),
            (_, b'\n') => self.alone(b"", byte, out),
            (_, byte) => {
                out.push(byte);
                State::Inside
            }
        };
        false
    }

    /// What came without its partner is content like any other, and remembered.
    fn alone(&mut self, held: &[u8], byte: u8, out: &mut Vec<u8>) -> State {
        self.bare = true;
        out.extend_from_slice(held);
        if byte == b'\r' {
            return State::Cr;
        }
        out.push(byte);
        State::Inside
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn unstuffed(input: &[u8], piece: usize) -> (Vec<u8>, bool, Option<usize>) {
        let (mut dots, mut out, mut taken) = (Dots::new(), Vec::new(), 0);
        for piece in input.chunks(piece) {
            let (used, ended) = dots.push(piece, &mut out);
            taken += used;
            if ended {
                return (out, dots.is_bare(), Some(taken));
            }
        }
        (out, dots.is_bare(), None)
    }

    #[test]
    fn dots_are_unstuffed_and_the_end_is_found() {
        assert_eq!(unstuffed(b"a\r\n..b\r\n.c\r\n.\r\nQUIT", 3), (b"a\r\n.b\r\nc\r\n".to_vec(), false, Some(15)));
        assert_eq!(unstuffed(b".\r\n", 1), (Vec::new(), false, Some(3)));
    }

    #[test]
    fn only_a_whole_line_end_ends_a_mail() {
        for smuggled in [&b"a\n.\r\n"[..], b"a\r\n.\n", b"a\n.\n", b"a\r.\r", b"a\r.\r\n", b"a\r\n.\r\r\n", b"a\n.\rb"]
        {
            let (_, bare, end) = unstuffed(smuggled, 64);
            assert_eq!((bare, end), (true, None), "{smuggled:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_stuffed_comes_back(lines in proptest::collection::vec("[.a ]{0,4}", 0..20), piece in 1usize..9) {
            let content: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
            let stuffed: String = lines.iter().map(|line| if line.starts_with('.') { format!(".{line}\r\n") } else { format!("{line}\r\n") }).collect();
            let wire = format!("{stuffed}.\r\nNOOP\r\n");
            let (out, bare, end) = unstuffed(wire.as_bytes(), piece);
            prop_assert_eq!((String::from_utf8(out).unwrap(), bare, end), (content, false, Some(wire.len() - 6)));
        }
    }
}
