use super::*;

/// What becomes of a file that comes in pieces of this size.
fn in_pieces(bytes: &[u8], media_type: &str, size: usize) -> Result<(), Refusal> {
    let mut measure = Measure::new(media_type);
    for piece in bytes.chunks(size) {
        measure.take(piece)?;
    }
    measure.end()
}

fn measured(bytes: &[u8], media_type: &str) -> Result<(), Refusal> {
    let whole = in_pieces(bytes, media_type, usize::MAX);
    for size in [1, 2, 3, 7, 64, 1000] {
        assert_eq!(in_pieces(bytes, media_type, size), whole, "in pieces of {size}");
    }
    whole
}

macro_rules! fixtures {
    ($($name:literal $media_type:literal),* $(,)?) => {
        &[$(($name, $media_type, include_bytes!(concat!("../../fixtures/", $name)).as_slice())),*]
    };
}

/// Pictures of 48 by 32 that common libraries wrote.
const FIXTURES: &[(&str, &str, &[u8])] = fixtures!(
    "picture.png" "image/png",
    "picture.gif" "image/gif",
    "picture.bmp" "image/bmp",
    "picture.jpg" "image/jpeg",
    "progressive.jpg" "image/jpeg",
    "lossy.webp" "image/webp",
    "lossless.webp" "image/webp",
    "extended.webp" "image/webp",
    "picture.heic" "image/heic",
    "picture.avif" "image/avif",
    "picture.tif" "image/tiff",
    "pages.tif" "image/tiff",
);

/// What the format of a real file says of its size.
fn size_of(bytes: &[u8], media_type: &str) -> Option<(u64, u64)> {
    let (mut format, mut wanted) = Format::of(media_type)?;
    loop {
        let from = usize::try_from(wanted.at).unwrap();
        let to = (from + wanted.count).min(bytes.len());
        match format.read(wanted.at, bytes.get(from..to)?) {
            Next::Wants { at, count } => wanted = Wanted { at, count },
            Next::Found { width, height } => return Some((width, height)),
            Next::Unknown => return None,
        }
    }
}

#[test]
fn real_files_are_measured() {
    for (name, media_type, bytes) in FIXTURES {
        let expected = match *name {
            "pages.tif" => (640, 480),
            // Coded in whole blocks, of which a decoder shows a part.
            "picture.heic" => (64, 64),
            _ => (48, 32),
        };
        assert_eq!(size_of(bytes, media_type), Some(expected), "{name}");
        assert_eq!(measured(bytes, media_type), Ok(()), "{name}");
        assert_eq!(crate::Kind::of(bytes).map(|kind| kind.media_type), Some(*media_type), "{name}");
    }
}

/// Writes a number over another, so that a real file claims another size.
fn claiming(name: &str, from: &[u8], to: &[u8]) -> (Vec<u8>, &'static str) {
    let (_, media_type, bytes) = FIXTURES.iter().find(|(known, ..)| *known == name).unwrap();
    let places: Vec<usize> =
        bytes.windows(from.len()).enumerate().filter(|(_, at)| *at == from).map(|(at, _)| at).collect();
    assert!(!places.is_empty(), "{name} holds {from:?}");
    let mut changed = bytes.to_vec();
    for place in places {
        changed[place..place + to.len()].copy_from_slice(to);
    }
    (changed, media_type)
}

#[test]
fn a_bomb_of_every_format_is_known() {
    let claims: [(&str, &[u8], &[u8]); 8] = [
        ("picture.png", &[0, 0, 0, 48, 0, 0, 0, 32], &[0, 1, 0, 0, 0, 1, 0, 0]),
        ("picture.gif", &[48, 0, 32, 0], &[255, 255, 255, 255]),
        ("picture.bmp", &[48, 0, 0, 0, 32, 0, 0, 0], &[0, 0, 1, 0, 0, 0, 1, 0]),
        ("picture.jpg", &[0, 32, 0, 48], &[255, 255, 255, 255]),
        ("progressive.jpg", &[0, 32, 0, 48], &[255, 255, 255, 255]),
        ("extended.webp", &[47, 0, 0, 31, 0, 0], &[255, 255, 255, 255, 255, 255]),
        ("picture.heic", &[0, 0, 0, 64, 0, 0, 0, 64], &[0, 1, 0, 0, 0, 1, 0, 0]),
        ("picture.avif", &[0, 0, 0, 48, 0, 0, 0, 32], &[0, 1, 0, 0, 0, 1, 0, 0]),
    ];
    for (name, from, to) in claims {
        let (bytes, media_type) = claiming(name, from, to);
        assert_eq!(measured(&bytes, media_type), Err(Refusal::Bomb), "{name}");
    }
    // Width and height stand in entries of their own: the tag, a short, one of it.
    let (wide, _) = claiming("picture.tif", &[0, 1, 3, 0, 1, 0, 0, 0, 48, 0], &[0, 1, 3, 0, 1, 0, 0, 0, 255, 255]);
    assert_eq!(size_of(&wide, "image/tiff"), Some((65_535, 32)));
    let (pages, media_type) = claiming("pages.tif", &[0x80, 2], &[255, 255]);
    let at = pages.windows(2).rposition(|pair| pair == [0xe0, 1]).unwrap();
    let pages = [&pages[..at], &[255, 255], &pages[at + 2..]].concat();
    assert_eq!(measured(&pages, media_type), Err(Refusal::Bomb), "the second page is the bomb");
}

/// A camera's JPEG with this much metadata before its frame.
fn with_metadata(segments: usize, height: u16) -> Vec<u8> {
    let (_, _, jpeg) = FIXTURES.iter().find(|(name, ..)| *name == "picture.jpg").unwrap();
    let mut bytes = jpeg[..2].to_vec();
    for _ in 0..segments {
        bytes.extend(b"\xff\xe2\xff\xff");
        bytes.extend(std::iter::repeat_n(7, 0xffff - 2));
    }
    let frame = [0, 32, 0, 48];
    let at = jpeg.windows(4).position(|four| four == frame).unwrap();
    bytes.extend(&jpeg[2..at]);
    bytes.extend(height.to_be_bytes());
    bytes.extend([255, 255]);
    bytes.extend(&jpeg[at + 4..]);
    bytes
}

#[test]
fn metadata_hides_no_bomb() {
    for segments in [0, 1, 2, 40] {
        assert_eq!(in_pieces(&with_metadata(segments, 100), "image/jpeg", 8192), Ok(()), "{segments}");
        assert_eq!(in_pieces(&with_metadata(segments, 65_535), "image/jpeg", 8192), Err(Refusal::Bomb), "{segments}");
    }
}

#[test]
fn what_cannot_be_measured_is_refused() {
    for (bytes, media_type) in [
        (b"\xff\xd8\xff\xe0\0\x04ab\xff\xd9".as_slice(), "image/jpeg"),
        (b"\xff\xd8\xff\xda\0\x04ab", "image/jpeg"),
        (b"\xff\xd8\xff", "image/jpeg"),
        (b"\xff\xd8\xff\xe0\0\x04abnot a marker", "image/jpeg"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0", "image/png"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\0\0\0\0\x01", "image/png"),
        (b"GIF89a\x10", "image/gif"),
        (b"RIFF\0\0\0\0WEBPjunk and more of it to read", "image/webp"),
        (b"\0\0\0\x10ftypheic\0\0\0\0\0\0\0\x08free", "image/heic"),
        (b"\0\0\0\x02ftypheic\0\0\0\0", "image/heic"),
        (b"\0\0\0\x10ftypheic\0\0\0\0\0\0\0\0meta", "image/heic"),
        (b"II*\0\x08\0\0\0\0\0", "image/tiff"),
        (b"II*\0\0\0\0\0", "image/tiff"),
        (b"MM\0*\0\0\0\x08\0\x01\x01\0\0\x03\0\0\0\x01\0\x10\0\0\0\0\0\0", "image/tiff"),
    ] {
        assert_eq!(measured(bytes, media_type), Err(Refusal::Unmeasured), "{bytes:?}");
    }
    let beginning = b"\0\0\0\x10ftypheic\0\0\0\0\x7f\xff\xff\xffmeta".as_slice();
    assert_eq!(measured(beginning, "image/heic"), Err(Refusal::Unmeasured), "nothing is kept that is without measure");
    assert_eq!(measured(b"%PDF-1.7", "application/pdf"), Ok(()), "what is no picture opens as large as it is");
}

#[test]
fn no_file_is_walked_forever() {
    for length in 0..200 {
        let head: Vec<u8> = b"\xff\xd8".iter().copied().chain(std::iter::repeat_n(0xff, length)).collect();
        assert_eq!(measured(&head, "image/jpeg"), Err(Refusal::Unmeasured));
    }
    // A directory that names itself, or one before it, as the next.
    for next in [8_u32, 4, 0xffff_ffff] {
        let mut tiff =
            b"II*\0\x08\0\0\0\x02\0\0\x01\x03\0\x01\0\0\0\x10\0\0\0\x01\x01\x03\0\x01\0\0\0\x10\0\0\0".to_vec();
        tiff.extend(next.to_le_bytes());
        assert_eq!(measured(&tiff, "image/tiff"), Err(Refusal::Unmeasured));
    }
    for (name, media_type, bytes) in FIXTURES {
        for cut in 0..bytes.len().min(700) {
            let _whatever_it_is = measured(&bytes[..cut], media_type);
            let mut broken = bytes.to_vec();
            broken[cut] ^= 0xff;
            let _whatever_it_is = (name, in_pieces(&broken, media_type, 97));
        }
    }
}

/// A directory that begins inside the header has its entries two bytes before where they would be read here.
#[test]
fn a_directory_that_overlaps_is_not_measured() {
    let entry = |tag: u16, value: u32| {
        let mut bytes = tag.to_le_bytes().to_vec();
        bytes.extend([4, 0, 1, 0, 0, 0]);
        bytes.extend(value.to_le_bytes());
        bytes
    };
    let mut tiff = b"II*\0\x04\0\0\0".to_vec();
    for (tag, value) in [(256, 10), (257, 10), (258, 8), (259, 1)] {
        tiff.extend(entry(tag, value));
    }
    tiff.extend([0; 8]);
    assert_eq!(measured(&tiff, "image/tiff"), Err(Refusal::Unmeasured));
}
