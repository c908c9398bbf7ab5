//! One part that is no multipart.

use std::io::{self, BufWriter, IntoInnerError, Seek, SeekFrom, Write};

use model::Private;
use tempfile::{SpooledTempFile, spooled_tempfile_in};

use super::decode::{self, Decoder};
use super::head::Head;
use super::limits::Limits;
use super::lines::Line;
use super::names;
use super::note::Note;

/// Where in the tree a leaf stands.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    /// The innermost `multipart/alternative` around it.
    pub(crate) alternative: Option<usize>,
    pub(crate) related: bool,
    pub(crate) report: bool,
    pub(crate) digest: bool,
}

/// What a leaf holds.
pub(crate) enum Content {
    /// `text/plain` or `text/html` that belongs to the body, decoded.
    Text { text: String, html: bool },
    /// A part of a report, or a mail inside the mail, decoded but unread, as far as it is kept.
    Report(Vec<u8>),
    /// Anything else.
    File(SpooledTempFile),
    /// Not taken: there were too many.
    LeftOut,
}

/// One part, read.
pub(crate) struct Leaf {
    pub(crate) media_type: String,
    pub(crate) place: Place,
    pub(crate) name: String,
    pub(crate) inline: bool,
    pub(crate) content_id: Option<Private<String>>,
    pub(crate) content: Content,
    pub(crate) size: u64,
    cut: bool,
}

impl Leaf {
    pub(crate) const fn is_file(&self) -> bool {
        matches!(self.content, Content::File(_))
    }

    pub(crate) const fn is_left_out(&self) -> bool {
        matches!(self.content, Content::LeftOut)
    }

    /// Takes what it holds out of the room there is for the leaves after it.
    pub(crate) fn take_room(&self, room: &mut Room) {
        match &self.content {
            Content::File(_) => room.files = room.files.saturating_sub(self.size),
            Content::Text { text, .. } => room.texts = room.texts.saturating_sub(self.size.max(text.len() as u64)),
            Content::Report(_) => room.reports = room.reports.saturating_sub(self.size),
            Content::LeftOut => {}
        }
    }

    pub(crate) fn note(&self) -> Option<Note> {
        match (&self.content, self.media_type.as_str()) {
            (Content::File(_), _) if self.cut => Some(Note::AttachmentCut),
            (Content::Text { .. }, _) if self.cut => Some(Note::TextCut),
            (_, "application/ms-tnef" | "application/vnd.ms-tnef") => Some(Note::Winmail),
            _ if self.name.eq_ignore_ascii_case("winmail.dat") => Some(Note::Winmail),
            (_, "application/pgp-encrypted" | "application/pkcs7-mime" | "application/x-pkcs7-mime") => {
                Some(Note::Encrypted)
            }
            (_, "text/calendar") => Some(Note::Calendar),
            _ => None,
        }
    }
}

/// How many bytes the leaves of a mail may still hold.
pub(crate) struct Room {
    pub(crate) texts: u64,
    pub(crate) reports: u64,
    pub(crate) files: u64,
}

impl Room {
    pub(crate) const fn of(limits: &Limits) -> Self {
        Self {
            texts: limits.all_text_bytes as u64,
            reports: limits.report_bytes as u64,
            files: limits.attachment_bytes,
        }
    }
}

/// What is kept of a part of a report.
const REPORT_BYTES: usize = 128 * 1024;

/// Attachments come in lines of 57 bytes, and go to their file in pieces of this.
const WRITTEN: usize = 32 * 1024;

enum Sink {
    Text { raw: Vec<u8>, html: bool },
    Report(Vec<u8>),
    File(BufWriter<SpooledTempFile>),
    Nowhere,
}

/// Takes a leaf's lines as they come.
pub(crate) struct LeafSink<'a> {
    head: &'a Head,
    decoder: Decoder,
    sink: Sink,
    leaf: (String, Place),
    most: u64,
    taken: u64,
    cut: bool,
    inline: bool,
}

/// Stops at a limit instead of failing.
struct Bounded<'a, W> {
    out: &'a mut W,
    room: u64,
    taken: u64,
    cut: bool,
}

impl<W: Write> Write for Bounded<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = usize::try_from(self.room - self.taken).unwrap_or(usize::MAX);
        let kept = &bytes[..bytes.len().min(room)];
        self.cut |= kept.len() < bytes.len();
        self.taken += kept.len() as u64;
        self.out.write_all(kept)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

impl<'a> LeafSink<'a> {
    pub(crate) fn open(head: &'a Head, place: Place, limits: &Limits, room: &Room, full: bool) -> Self {
        let default = if place.digest { "message/rfc822" } else { "text/plain" };
        let media_type = head.media_type().unwrap_or_else(|| default.to_owned());
        // A multipart that does not say where its parts begin is read as the text that it is.
        let formless = media_type.starts_with("multipart/")
            && head.parameter("boundary").is_none_or(|text| text.trim().is_empty());
        let media_type = if formless { "text/plain".to_owned() } else { media_type };
        let named = head.file_name().is_some_and(|name| !name.trim().is_empty());
        let body = !head.is_attachment() && !named;
        let (sink, most) = match media_type.as_str() {
            "text/plain" | "text/html" if body => {
                let html = media_type == "text/html";
                (Sink::Text { raw: Vec::new(), html }, room.texts.min(limits.text_bytes as u64))
            }
            _ if is_report(&media_type) || place.report => {
                (Sink::Report(Vec::new()), room.reports.min(REPORT_BYTES as u64))
            }
            _ if full => (Sink::Nowhere, 0),
            _ => {
                let file = spooled_tempfile_in(limits.memory_bytes, &limits.spool);
                (Sink::File(BufWriter::with_capacity(WRITTEN, file)), room.files)
            }
        };
        let decoder = Decoder::of(&head.encoding());
        let inline = !head.is_attachment() && (head.content_id().is_some() || place.related);
        Self { head, decoder, sink, leaf: (media_type, place), most, taken: 0, cut: false, inline }
    }

    /// Takes one line; gives the end of it, which belongs to the content only if another line follows.
    pub(crate) fn line(&mut self, before: &'static [u8], line: &Line) -> io::Result<&'static [u8]> {
        self.write(|decoder, mut out| decoder.line(before, &line.bytes, &mut out))?;
        Ok(if self.decoder.continues(&line.bytes) { b"" } else { line.end })
    }

    fn write(&mut self, act: impl FnOnce(&mut Decoder, &mut dyn Write) -> io::Result<()>) -> io::Result<()> {
        let mut nowhere = io::sink();
        let out: &mut dyn Write = match &mut self.sink {
            Sink::Text { raw, .. } | Sink::Report(raw) => raw,
            Sink::File(file) => file,
            Sink::Nowhere => &mut nowhere,
        };
        let mut out = out;
        let mut bounded = Bounded { out: &mut out, room: self.most, taken: self.taken, cut: self.cut };
        act(&mut self.decoder, &mut bounded)?;
        (self.taken, self.cut) = (bounded.taken, bounded.cut);
        Ok(())
    }

    pub(crate) fn close(mut self, rest: &'static [u8]) -> io::Result<Leaf> {
        self.write(|decoder, mut out| {
            decoder.finish(&mut out)?;
            if matches!(decoder, Decoder::Base64(_)) { Ok(()) } else { out.write_all(rest) }
        })?;
        let (media_type, place) = self.leaf;
        let written = self.head.file_name();
        let name = names::safe(written.as_deref(), &media_type);
        let content = match self.sink {
            Sink::Text { raw, html } => {
                let text = decode::text(&raw, self.head.parameter("charset").as_deref());
                let text = if html { text } else { unflowed(self.head, text) };
                Content::Text { text, html }
            }
            Sink::Report(raw) => Content::Report(raw),
            Sink::File(file) => {
                let mut file = file.into_inner().map_err(IntoInnerError::into_error)?;
                file.seek(SeekFrom::Start(0))?;
                Content::File(file)
            }
            Sink::Nowhere => Content::LeftOut,
        };
        let content_id = self.head.content_id().map(Private::new);
        Ok(Leaf { media_type, place, name, inline: self.inline, content_id, content, size: self.taken, cut: self.cut })
    }
}

/// Parts that say what became of a mail, or are a mail, of which the header says which.
fn is_report(media_type: &str) -> bool {
    matches!(
        media_type,
        "message/delivery-status"
            | "message/global-delivery-status"
            | "message/disposition-notification"
            | "message/feedback-report"
            | "text/rfc822-headers"
            | "message/global-headers"
    )
}

fn unflowed(head: &Head, text: String) -> String {
    let parameter = |name| head.parameter(name).unwrap_or_default();
    if parameter("format").eq_ignore_ascii_case("flowed") {
        super::flowed::unflow(&text, parameter("delsp").eq_ignore_ascii_case("yes"))
    } else {
        text
    }
}
