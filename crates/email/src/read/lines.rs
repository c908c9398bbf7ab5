use std::io::{self, BufRead};

/// One line, or as much of it as a limit allows.
pub(crate) struct Line {
    /// Without the end of the line.
    pub(crate) bytes: Vec<u8>,
    /// The end of the line as it was; empty at the end of the input, and between the pieces of an endless line.
    pub(crate) end: &'static [u8],
    /// Whether it begins a line, or goes on with one.
    pub(crate) begins: bool,
}

/// Reads lines of any length in pieces of a bounded one.
pub(crate) struct Lines<R> {
    input: R,
    begins: bool,
}

/// Longer than any line that means something as a line.
const PIECE: usize = 16 * 1024;

impl<R: BufRead> Lines<R> {
    pub(crate) const fn new(input: R) -> Self {
        Self { input, begins: true }
    }

    /// The next line or piece.
    pub(crate) fn next(&mut self) -> io::Result<Option<Line>> {
        let mut bytes = Vec::new();
        let begins = self.begins;
        loop {
            let chunk = self.input.fill_buf()?;
            if chunk.is_empty() {
                let none = bytes.is_empty();
                return Ok((!none).then_some(Line { bytes, end: b"", begins }));
            }
            let room = PIECE - bytes.len();
            let chunk = &chunk[..chunk.len().min(room)];
            if let Some(at) = chunk.iter().position(|byte| *byte == b'\n') {
                bytes.extend_from_slice(&chunk[..at]);
                self.input.consume(at + 1);
                self.begins = true;
                let end: &[u8] = if bytes.last() == Some(&b'\r') { b"\r\n" } else { b"\n" };
                if end.len() == 2 {
                    bytes.pop();
                }
                return Ok(Some(Line { bytes, end, begins }));
            }
            bytes.extend_from_slice(chunk);
            let taken = chunk.len();
            self.input.consume(taken);
            if bytes.len() == PIECE {
                self.begins = false;
                return Ok(Some(Line { bytes, end: b"", begins }));
            }
        }
    }
}
