use std::io::{self, BufRead, Read};

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
const PIECE: u64 = 16 * 1024;

impl<R: BufRead> Lines<R> {
    pub(crate) const fn new(input: R) -> Self {
        Self { input, begins: true }
    }

    /// The next line or piece.
    pub(crate) fn next(&mut self) -> io::Result<Option<Line>> {
        let mut bytes = Vec::new();
        let begins = self.begins;
        let read = (&mut self.input).take(PIECE).read_until(b'\n', &mut bytes)?;
        if read == 0 {
            return Ok(None);
        }
        self.begins = bytes.last() == Some(&b'\n');
        let end: &[u8] = match bytes.as_slice() {
            [.., b'\r', b'\n'] => b"\r\n",
            [.., b'\n'] => b"\n",
            _ => b"",
        };
        bytes.truncate(read - end.len());
        Ok(Some(Line { bytes, end, begins }))
    }
}
