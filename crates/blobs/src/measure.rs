//! How large a picture is when it is opened. A file of a few kilobytes can claim to be a picture that no agent's computer has
//! the memory for, so what cannot be measured is not passed on either.
//!
//! The bytes pass by once. A format says which of them it wants next, and only those are kept: some megabytes of metadata may
//! stand before what says how large a picture is, and a TIFF says it at its end.

use crate::Refusal;
use format::{Format, Next};

mod format;

/// The most a picture may have when it is opened: the largest cameras of telephones take 200 million.
const MOST_PIXELS: u64 = 250_000_000;

/// Measures a file while it passes by.
pub(crate) struct Measure {
    format: Format,
    /// Which bytes are wanted; none when it is known, or when there is nothing to know.
    wanted: Option<Wanted>,
    /// How many bytes have passed.
    position: u64,
    held: Vec<u8>,
}

/// So many bytes from there on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Wanted {
    at: u64,
    count: usize,
}

impl Measure {
    /// For a file of this type; what is no picture is not measured.
    pub(crate) fn new(media_type: &str) -> Self {
        let begun = Format::of(media_type);
        let (format, wanted) = begun.map_or((Format::None, None), |(format, wanted)| (format, Some(wanted)));
        Self { format, wanted, position: 0, held: Vec::new() }
    }

    /// The next bytes of the file.
    pub(crate) fn take(&mut self, mut bytes: &[u8]) -> Result<(), Refusal> {
        while let Some(wanted) = self.wanted {
            let from = wanted.at + self.held.len() as u64;
            let ahead = usize::try_from(from.saturating_sub(self.position)).unwrap_or(usize::MAX);
            if ahead > bytes.len() {
                break;
            }
            let taken = (wanted.count - self.held.len()).min(bytes.len() - ahead);
            self.held.extend_from_slice(&bytes[ahead..ahead + taken]);
            self.position += (ahead + taken) as u64;
            bytes = &bytes[ahead + taken..];
            if self.held.len() < wanted.count {
                return Ok(());
            }
            self.go_on(wanted)?;
        }
        self.position += bytes.len() as u64;
        Ok(())
    }

    /// The file ends here.
    pub(crate) fn end(mut self) -> Result<(), Refusal> {
        match self.wanted {
            None => Ok(()),
            Some(wanted) => {
                // The shortest files of a format may have fewer bytes than are looked at.
                self.go_on(wanted)?;
                if self.wanted.is_none() { Ok(()) } else { Err(Refusal::Unmeasured) }
            }
        }
    }

    fn go_on(&mut self, wanted: Wanted) -> Result<(), Refusal> {
        let held = std::mem::take(&mut self.held);
        match self.format.read(wanted.at, &held) {
            Next::Found { width, height } => {
                self.wanted = None;
                match width.checked_mul(height) {
                    Some(0) => Err(Refusal::Unmeasured),
                    Some(pixels) if pixels <= MOST_PIXELS => Ok(()),
                    Some(_) | None => Err(Refusal::Bomb),
                }
            }
            Next::Wants { at, count } => {
                // Some of it may be among what was just looked at; what has passed by before that is gone.
                let kept = at.checked_sub(wanted.at).and_then(|skipped| held.get(usize::try_from(skipped).ok()?..));
                match kept {
                    // Unless what was looked at was cut off before what has passed by: then some of it is gone as well.
                    Some(kept) if kept.len() < count && wanted.at + held.len() as u64 != self.position => {
                        return Err(Refusal::Unmeasured);
                    }
                    Some(kept) => self.held.extend_from_slice(&kept[..kept.len().min(count)]),
                    None if at >= self.position => {}
                    None => return Err(Refusal::Unmeasured),
                }
                self.wanted = Some(Wanted { at, count });
                Ok(())
            }
            Next::Unknown => Err(Refusal::Unmeasured),
        }
    }
}

#[cfg(test)]
mod tests;
