//! The tree of a MIME mail, walked line by line.
//!
//! The library reads headers, words and charsets. The tree is walked here because a mail must cost bounded memory: parts,
//! depth and sizes are counted while they come in, attachments go to a file, and a mail inside a mail is left closed.

use std::io::{self, BufRead};

use super::head::Head;
use super::leaf::{Leaf, LeafSink, Place, Room};
use super::limits::Limits;
use super::lines::{Line, Lines};
use super::note::Note;

/// A mail taken apart.
pub(crate) struct Tree {
    pub(crate) head: Head,
    pub(crate) leaves: Vec<Leaf>,
    pub(crate) notes: Vec<Note>,
    /// Whether the root is a `multipart/report`, and the `report-type` of it.
    pub(crate) report: Option<String>,
}

/// An open multipart.
struct Container {
    boundary: Vec<u8>,
    subtype: String,
    /// Which of all multiparts it is.
    number: usize,
}

/// How a header block, a body or a preamble ended.
enum End {
    /// The mail is over.
    Input,
    /// A boundary of the container at this depth; whether it was its last.
    Boundary { level: usize, last: bool },
    /// The blank line behind a header.
    Blank,
}

struct Walker<'a, R> {
    lines: Lines<R>,
    limits: &'a Limits,
    open: Vec<Container>,
    leaves: Vec<Leaf>,
    notes: Vec<Note>,
    parts: usize,
    room: Room,
}

/// Walks a mail.
pub(crate) fn walk(input: impl BufRead, limits: &Limits) -> io::Result<Tree> {
    let mut walker = Walker {
        lines: Lines::new(input),
        limits,
        open: Vec::new(),
        leaves: Vec::new(),
        notes: Vec::new(),
        parts: 0,
        room: Room::of(limits),
    };
    let (head, end) = walker.header()?;
    let media_type = head.media_type();
    let report = media_type.filter(|media_type| media_type == "multipart/report");
    let report = report.map(|_| head.parameter("report-type").unwrap_or_default().to_ascii_lowercase());
    let blank = matches!(end, End::Blank);
    let mut end = if blank { walker.body(&head)? } else { end };
    while let End::Boundary { level, last } = end {
        walker.close(level, last);
        end = if last { walker.skip()? } else { walker.part()? };
        if walker.parts >= limits.parts {
            walker.note(Note::TooManyParts);
            break;
        }
    }
    Ok(Tree { head, leaves: walker.leaves, notes: walker.notes, report })
}

impl<R: BufRead> Walker<'_, R> {
    fn note(&mut self, note: Note) {
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }

    /// Leaves every multipart that a boundary ends.
    fn close(&mut self, level: usize, last: bool) {
        self.open.truncate(if last { level } else { level + 1 });
    }

    /// A part behind a boundary: its header and its body.
    fn part(&mut self) -> io::Result<End> {
        self.parts += 1;
        let (head, end) = self.header()?;
        match end {
            End::Blank => self.body(&head),
            // A part without a body, or with nothing at all.
            other => Ok(other),
        }
    }

    fn header(&mut self) -> io::Result<(Head, End)> {
        let mut raw = Vec::new();
        let end = loop {
            let Some(line) = self.lines.next()? else { break End::Input };
            if let Some(end) = self.boundary(&line) {
                break end;
            }
            if line.begins && line.bytes.is_empty() {
                break End::Blank;
            }
            if raw.len() + line.bytes.len() > self.limits.header_bytes {
                self.note(Note::HeaderCut);
                continue;
            }
            raw.extend_from_slice(&line.bytes);
            raw.extend_from_slice(line.end);
        };
        Ok((Head::read(raw), end))
    }

    fn body(&mut self, head: &Head) -> io::Result<End> {
        let media_type = head.media_type();
        let multipart = media_type.as_deref().and_then(|media_type| media_type.strip_prefix("multipart/"));
        let boundary = head.parameter("boundary").filter(|boundary| !boundary.trim().is_empty());
        if let (Some(subtype), Some(boundary)) = (multipart, boundary) {
            if self.open.len() < self.limits.depth {
                let boundary = boundary.trim_end().as_bytes().to_vec();
                self.open.push(Container { boundary, subtype: subtype.to_owned(), number: self.parts });
                return self.skip();
            }
            self.note(Note::TooDeep);
        }
        self.leaf(head)
    }

    /// Preambles and epilogues, which nobody is to see.
    fn skip(&mut self) -> io::Result<End> {
        while let Some(line) = self.lines.next()? {
            if let Some(end) = self.boundary(&line) {
                return Ok(end);
            }
        }
        Ok(End::Input)
    }

    fn leaf(&mut self, head: &Head) -> io::Result<End> {
        let place = self.place();
        let attached = self.leaves.iter().filter(|leaf| leaf.is_file()).count();
        let mut sink = LeafSink::open(head, place, self.limits, &self.room, attached >= self.limits.attachments);
        let mut before: &'static [u8] = b"";
        let end = loop {
            let Some(line) = self.lines.next()? else { break End::Input };
            if let Some(end) = self.boundary(&line) {
                break end;
            }
            before = sink.line(before, &line)?;
        };
        let ended_by_line = matches!(end, End::Input) && !before.is_empty();
        let leaf = sink.close(if ended_by_line { before } else { b"" })?;
        leaf.take_room(&mut self.room);
        if let Some(note) = leaf.note() {
            self.note(note);
        }
        if leaf.is_left_out() {
            self.note(Note::TooManyAttachments);
        } else {
            self.leaves.push(leaf);
        }
        Ok(end)
    }

    /// Where in the tree the next leaf stands.
    fn place(&self) -> Place {
        let inner = self.open.last().map(|container| container.subtype.as_str());
        let alternative = self.open.iter().rev().find(|container| container.subtype == "alternative");
        Place {
            alternative: alternative.map(|container| container.number),
            related: self.open.iter().any(|container| container.subtype == "related"),
            report: inner == Some("report"),
            digest: inner == Some("digest"),
        }
    }

    /// Whether a line is a boundary of an open multipart, the innermost first.
    fn boundary(&self, line: &Line) -> Option<End> {
        let text = line.bytes.strip_prefix(b"--").filter(|_| line.begins)?;
        let trimmed = text.trim_ascii_end();
        let found = |(level, container): (usize, &Container)| {
            let rest = trimmed.strip_prefix(container.boundary.as_slice())?;
            match rest {
                b"" => Some(End::Boundary { level, last: false }),
                b"--" => Some(End::Boundary { level, last: true }),
                _ => None,
            }
        };
        self.open.iter().enumerate().rev().find_map(found)
    }
}
