//! How large a picture is when it is opened. A file of a few kilobytes can claim to be a picture that no agent's computer
//! has the memory for.

/// Width and height out of the first bytes of a picture, where they can be found.
pub(crate) fn dimensions(head: &[u8], media_type: &str) -> Option<(u32, u32)> {
    match media_type {
        "image/png" => Some((big(head, 16)?, big(head, 20)?)),
        "image/gif" => Some((little16(head, 6)?, little16(head, 8)?)),
        "image/bmp" => Some((little32(head, 18)?, little32(head, 22)?.cast_signed().unsigned_abs())),
        "image/webp" => webp(head),
        "image/jpeg" => jpeg(head),
        _ => None,
    }
}

fn bytes<const N: usize>(head: &[u8], at: usize) -> Option<[u8; N]> {
    head.get(at..at + N)?.try_into().ok()
}

fn big(head: &[u8], at: usize) -> Option<u32> {
    bytes(head, at).map(u32::from_be_bytes)
}

fn little32(head: &[u8], at: usize) -> Option<u32> {
    bytes(head, at).map(u32::from_le_bytes)
}

fn little16(head: &[u8], at: usize) -> Option<u32> {
    bytes(head, at).map(|pair| u32::from(u16::from_le_bytes(pair)))
}

fn big16(head: &[u8], at: usize) -> Option<u32> {
    bytes(head, at).map(|pair| u32::from(u16::from_be_bytes(pair)))
}

fn webp(head: &[u8]) -> Option<(u32, u32)> {
    match head.get(12..16)? {
        b"VP8X" => {
            let [a, b, c, d, e, f] = bytes::<6>(head, 24)?;
            Some((u32::from_le_bytes([a, b, c, 0]) + 1, u32::from_le_bytes([d, e, f, 0]) + 1))
        }
        b"VP8 " => Some((little16(head, 26)? & 0x3fff, little16(head, 28)? & 0x3fff)),
        b"VP8L" => {
            let packed = little32(head, 21)?;
            Some(((packed & 0x3fff) + 1, ((packed >> 14) & 0x3fff) + 1))
        }
        _ => None,
    }
}

/// Walks the segments up to the frame header.
fn jpeg(head: &[u8]) -> Option<(u32, u32)> {
    let mut at = 2;
    loop {
        while *head.get(at)? == 0xff && *head.get(at + 1)? == 0xff {
            at += 1;
        }
        let [0xff, marker] = bytes::<2>(head, at)? else { return None };
        match marker {
            0xc0..=0xcf if !matches!(marker, 0xc4 | 0xc8 | 0xcc) => {
                return Some((big16(head, at + 7)?, big16(head, at + 5)?));
            }
            0x01 | 0xd0..=0xd8 => at += 2,
            0xd9 | 0xda => return None,
            _ => at += 2 + big16(head, at + 2)? as usize,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dimensions_are_read() {
        let mut png = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR".to_vec();
        png.extend([0, 0, 0x40, 0, 0, 1, 0, 0]);
        assert_eq!(dimensions(&png, "image/png"), Some((16_384, 65_536)));
        assert_eq!(dimensions(b"GIF89a\x10\0\x20\0", "image/gif"), Some((16, 32)));
        let jpeg = b"\xff\xd8\xff\xe0\0\x04ab\xff\xff\xc0\0\x0b\x08\x01\x02\x03\x04\x01";
        assert_eq!(dimensions(jpeg, "image/jpeg"), Some((0x0304, 0x0102)));
        assert_eq!(dimensions(b"\xff\xd8\xff", "image/jpeg"), None);
        assert_eq!(dimensions(b"RIFF\0\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0\x0f\0\0\x1f\0\0", "image/webp"), Some((16, 32)));
    }

    #[test]
    fn no_head_of_a_jpeg_is_walked_forever() {
        for length in 0..200 {
            let head: Vec<u8> = b"\xff\xd8".iter().copied().chain(std::iter::repeat_n(0xff, length)).collect();
            assert_eq!(dimensions(&head, "image/jpeg"), None);
        }
    }
}
