//! Where each format says how large it opens.

use super::Wanted;

/// What follows from some bytes of a file.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// These are to be looked at.
    Wants { at: u64, count: usize },
    /// It opens this large.
    Found { width: u64, height: u64 },
    /// It does not say so in any way that is known.
    Unknown,
}

/// What has been learned of a file so far.
#[derive(Debug)]
pub(super) enum Format {
    /// Nothing to learn.
    None,
    Png,
    Gif,
    Bmp,
    Webp,
    /// Segments, one of which is the frame header.
    Jpeg(Jpeg),
    /// The boxes of HEIC and AVIF.
    Boxes(Boxes),
    /// The directories of a TIFF.
    Tiff(Tiff),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Jpeg {
    Segment,
    Frame,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Boxes {
    Header,
    Meta,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tiff {
    Header,
    /// How many entries a directory has.
    Count {
        little: bool,
        largest: (u64, u64),
    },
    /// The entries, and where the next directory is.
    Entries {
        little: bool,
        largest: (u64, u64),
    },
}

/// Of what says which pictures are in a file; those of telephones have a few kilobytes.
const MOST_META: u64 = 256 << 10;
/// Entries of a directory of a TIFF.
const MOST_ENTRIES: u16 = 1024;

impl Format {
    pub(super) fn of(media_type: &str) -> Option<(Self, Wanted)> {
        let (format, at, count) = match media_type {
            "image/png" => (Self::Png, 16, 8),
            "image/gif" => (Self::Gif, 6, 4),
            "image/bmp" => (Self::Bmp, 14, 12),
            "image/webp" => (Self::Webp, 12, 18),
            "image/jpeg" => (Self::Jpeg(Jpeg::Segment), 2, 4),
            "image/heic" | "image/avif" => (Self::Boxes(Boxes::Header), 0, 16),
            "image/tiff" => (Self::Tiff(Tiff::Header), 0, 8),
            _ => return None,
        };
        Some((format, Wanted { at, count }))
    }

    /// Looks at the bytes that were wanted, or at as many of them as there are.
    pub(super) fn read(&mut self, at: u64, bytes: &[u8]) -> Next {
        let found = match self {
            Self::None => None,
            Self::Png => both(big(bytes, 0), big(bytes, 4)),
            Self::Gif => both(little16(bytes, 0), little16(bytes, 2)),
            Self::Bmp => bmp(bytes),
            Self::Webp => webp(bytes),
            Self::Jpeg(jpeg) => jpeg.read(at, bytes),
            Self::Boxes(boxes) => boxes.read(at, bytes),
            Self::Tiff(tiff) => tiff.read(at, bytes),
        };
        found.unwrap_or(Next::Unknown)
    }
}

fn both(width: Option<u64>, height: Option<u64>) -> Option<Next> {
    Some(Next::Found { width: width?, height: height? })
}

fn fixed<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at.checked_add(N)?)?.try_into().ok()
}

fn big(bytes: &[u8], at: usize) -> Option<u64> {
    fixed(bytes, at).map(|four| u64::from(u32::from_be_bytes(four)))
}

fn big16(bytes: &[u8], at: usize) -> Option<u64> {
    fixed(bytes, at).map(|two| u64::from(u16::from_be_bytes(two)))
}

fn little(bytes: &[u8], at: usize) -> Option<u64> {
    fixed(bytes, at).map(|four| u64::from(u32::from_le_bytes(four)))
}

fn little16(bytes: &[u8], at: usize) -> Option<u64> {
    fixed(bytes, at).map(|two| u64::from(u16::from_le_bytes(two)))
}

/// From the size of its header on; one that stands on its head has a negative height.
fn bmp(bytes: &[u8]) -> Option<Next> {
    if little(bytes, 0)? == 12 {
        return both(little16(bytes, 4), little16(bytes, 6));
    }
    let size = |at| fixed(bytes, at).map(|four| u64::from(i32::from_le_bytes(four).unsigned_abs()));
    both(size(4), size(8))
}

/// From the name of the first chunk on.
fn webp(bytes: &[u8]) -> Option<Next> {
    match bytes.get(..4)? {
        b"VP8X" => {
            let [a, b, c, d, e, f] = fixed::<6>(bytes, 12)?;
            let size = |low, middle, high| Some(u64::from(u32::from_le_bytes([low, middle, high, 0])) + 1);
            both(size(a, b, c), size(d, e, f))
        }
        b"VP8 " => {
            both(little16(bytes, 14).map(|width| width & 0x3fff), little16(bytes, 16).map(|height| height & 0x3fff))
        }
        b"VP8L" => {
            let packed = little(bytes, 9)?;
            both(Some((packed & 0x3fff) + 1), Some(((packed >> 14) & 0x3fff) + 1))
        }
        _ => None,
    }
}

impl Jpeg {
    /// Walks the segments up to the frame header, whatever stands before it.
    fn read(&mut self, at: u64, bytes: &[u8]) -> Option<Next> {
        if *self == Self::Frame {
            return both(big16(bytes, 3), big16(bytes, 1));
        }
        let [0xff, marker] = fixed::<2>(bytes, 0)? else { return None };
        Some(match marker {
            // Any number of these may stand before a marker.
            0xff => Next::Wants { at: at + 1, count: 4 },
            0x01 | 0xd0..=0xd8 => Next::Wants { at: at + 2, count: 4 },
            0xd9 | 0xda => Next::Unknown,
            0xc0..=0xcf if !matches!(marker, 0xc4 | 0xc8 | 0xcc) => {
                *self = Self::Frame;
                Next::Wants { at: at + 4, count: 5 }
            }
            _ => Next::Wants { at: at + 2 + big16(bytes, 2)?.max(2), count: 4 },
        })
    }
}

impl Boxes {
    /// Walks the outermost boxes up to the one that describes the pictures.
    fn read(&mut self, at: u64, bytes: &[u8]) -> Option<Next> {
        if *self == Self::Meta {
            return largest(bytes);
        }
        let header = header(bytes)?;
        if header.kind == *b"meta" {
            *self = Self::Meta;
            let size = header.size?.checked_sub(header.length).filter(|size| *size <= MOST_META)?;
            return Some(Next::Wants { at: at + header.length, count: usize::try_from(size).ok()? });
        }
        Some(Next::Wants { at: at.checked_add(header.size?)?, count: 16 })
    }
}

/// The beginning of a box: its name, its bytes with this beginning (none where it reaches to the end), and those of this.
struct Header {
    kind: [u8; 4],
    size: Option<u64>,
    length: u64,
}

fn header(bytes: &[u8]) -> Option<Header> {
    let kind = fixed(bytes, 4)?;
    let (size, length) = match big(bytes, 0)? {
        0 => (None, 8),
        1 => (Some(u64::from_be_bytes(fixed(bytes, 8)?)), 16),
        size => (Some(size), 8),
    };
    if size.is_some_and(|size| size < length) {
        return None;
    }
    Some(Header { kind, size, length })
}

/// The content of the box of this name among several.
fn inside(mut bytes: &[u8], kind: [u8; 4]) -> Option<&[u8]> {
    loop {
        let (found, content, rest) = first(bytes)?;
        if found == kind {
            return Some(content);
        }
        bytes = rest;
    }
}

/// Name and content of the first of several boxes, and the others.
fn first(bytes: &[u8]) -> Option<([u8; 4], &[u8], &[u8])> {
    let header = header(bytes)?;
    let length = usize::try_from(header.length).ok()?;
    let size = header.size.map_or(Some(bytes.len()), |size| usize::try_from(size).ok())?;
    Some((header.kind, bytes.get(length..size)?, bytes.get(size..)?))
}

/// The largest picture of a file: its tiles and its thumbnail are among them.
fn largest(meta: &[u8]) -> Option<Next> {
    let mut properties = inside(inside(meta.get(4..)?, *b"iprp")?, *b"ipco")?;
    let mut found: Option<(u64, u64)> = None;
    while !properties.is_empty() {
        let (kind, content, rest) = first(properties)?;
        if kind == *b"ispe" {
            let size = (big(content, 4)?, big(content, 8)?);
            found = Some(found.map_or(size, |before| larger(before, size)));
        }
        properties = rest;
    }
    let (width, height) = found?;
    Some(Next::Found { width, height })
}

fn larger(one: (u64, u64), other: (u64, u64)) -> (u64, u64) {
    if other.0.saturating_mul(other.1) > one.0.saturating_mul(one.1) { other } else { one }
}

impl Tiff {
    /// Walks the directories, one for each page. They may stand anywhere, but one before another is not gone back to.
    fn read(&mut self, at: u64, bytes: &[u8]) -> Option<Next> {
        match *self {
            Self::Header => {
                let little = bytes.starts_with(b"II");
                *self = Self::Count { little, largest: (0, 0) };
                Self::directory(Number { little }.four(bytes, 4)?, at)
            }
            Self::Count { little, largest } => {
                let count = Number { little }.two(bytes, 0)?;
                let count = u16::try_from(count).ok().filter(|count| (1..=MOST_ENTRIES).contains(count))?;
                *self = Self::Entries { little, largest };
                Some(Next::Wants { at: at + 2, count: usize::from(count) * 12 + 4 })
            }
            Self::Entries { little, largest } => {
                let number = Number { little };
                let size = (number.entry(bytes, 256)?, number.entry(bytes, 257)?);
                let largest = larger(largest, size);
                match number.four(bytes, bytes.len().checked_sub(4)?)? {
                    0 => both(Some(largest.0), Some(largest.1)),
                    next => {
                        *self = Self::Count { little, largest };
                        Self::directory(next, at)
                    }
                }
            }
        }
    }

    fn directory(next: u64, here: u64) -> Option<Next> {
        (next > here).then_some(Next::Wants { at: next, count: 2 })
    }
}

/// How the numbers of a TIFF are written.
#[derive(Clone, Copy)]
struct Number {
    little: bool,
}

impl Number {
    fn two(self, bytes: &[u8], at: usize) -> Option<u64> {
        if self.little { little16(bytes, at) } else { big16(bytes, at) }
    }

    fn four(self, bytes: &[u8], at: usize) -> Option<u64> {
        if self.little { little(bytes, at) } else { big(bytes, at) }
    }

    /// The value of an entry of a directory, where it is one number.
    fn entry(self, entries: &[u8], tag: u64) -> Option<u64> {
        let (entries, _) = entries.as_chunks::<12>();
        let entry = entries.iter().find(|entry| self.two(*entry, 0) == Some(tag))?;
        match self.two(entry, 2)? {
            3 => self.two(entry, 8),
            4 => self.four(entry, 8),
            _ => None,
        }
    }
}
