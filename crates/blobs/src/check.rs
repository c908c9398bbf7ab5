use crate::kind::{self, Kind};

/// What a file must be to be kept.
#[derive(Debug, Clone)]
pub struct Check {
    /// The most bytes it may have.
    pub limit: u64,
    /// The media types that are taken, by the first bytes.
    pub allowed: Vec<String>,
    /// What was said that it is.
    pub declared_type: Option<String>,
    /// What was said that it has.
    pub declared_size: Option<u64>,
}

/// Why a file is not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It has no bytes.
    #[error("the file is empty")]
    Empty,
    /// It is over the limit.
    #[error("the file is larger than may be passed on")]
    TooLarge,
    /// It is of a type that is not passed on, or that nobody knows.
    #[error("the file is of a type that is not passed on")]
    Type,
    /// It is not what was said.
    #[error("the file is not of the type that was said")]
    TypeMismatch,
    /// It has not the length that was said.
    #[error("the file has not the size that was said")]
    SizeMismatch,
    /// It would be enormous once opened.
    #[error("the picture would be too large to open")]
    Bomb,
    /// It does not say how large it is once opened.
    #[error("the picture does not say how large it opens")]
    Unmeasured,
}

impl Refusal {
    /// The word in metrics and the timeline.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::TooLarge => "too-large",
            Self::Type => "type-not-allowed",
            Self::TypeMismatch => "type-mismatch",
            Self::SizeMismatch => "size-mismatch",
            Self::Bomb => "bomb",
            Self::Unmeasured => "unmeasured",
        }
    }
}

/// Sizes are said of a file, of its base64, or of what the network made of it; a factor of two is no lie.
const SIZE_SLACK: u64 = 4096;

impl Check {
    /// What the beginning of a file says.
    pub(crate) fn head(&self, head: &[u8]) -> Result<Kind, Refusal> {
        if head.is_empty() {
            return Err(Refusal::Empty);
        }
        let found = Kind::of(head);
        let declared = self.declared_type.as_deref().unwrap_or_default();
        if let Some(found) = found
            && !kind::agrees(declared, found.media_type)
        {
            return Err(Refusal::TypeMismatch);
        }
        let found =
            found.filter(|found| self.allowed.iter().any(|allowed| kind::canonical(allowed) == found.media_type));
        found.ok_or(Refusal::Type)
    }

    /// Whether so many bytes are still fine.
    pub(crate) fn so_far(&self, size: u64) -> Result<(), Refusal> {
        if size > self.limit { Err(Refusal::TooLarge) } else { Ok(()) }
    }

    /// Whether the whole is what was said.
    pub(crate) fn whole(&self, size: u64) -> Result<(), Refusal> {
        match self.declared_size.filter(|declared| *declared > 0) {
            Some(declared)
                if size > declared.saturating_mul(2).saturating_add(SIZE_SLACK)
                    || declared > size.saturating_mul(2).saturating_add(SIZE_SLACK) =>
            {
                Err(Refusal::SizeMismatch)
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(declared: &str) -> Check {
        let allowed = ["image/jpeg", "image/png", "text/plain"].map(str::to_owned).to_vec();
        Check { limit: 1000, allowed, declared_type: Some(declared.to_owned()), declared_size: None }
    }

    fn png(width: u32, height: u32) -> Vec<u8> {
        let mut head = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR".to_vec();
        head.extend(width.to_be_bytes());
        head.extend(height.to_be_bytes());
        head
    }

    #[test]
    fn what_lies_or_is_not_wanted_is_refused() {
        assert_eq!(check("image/png").head(&png(100, 100)).map(|kind| kind.media_type), Ok("image/png"));
        assert_eq!(check("image/jpeg").head(&png(100, 100)).map(|kind| kind.media_type), Ok("image/png"));
        assert_eq!(check("image/jpeg").head(b"<html>"), Err(Refusal::TypeMismatch));
        assert_eq!(check("text/html").head(b"<html>"), Err(Refusal::Type));
        assert_eq!(check("image/jpeg").head(b"\0\0\0\0nothing"), Err(Refusal::Type));
        assert_eq!(check("image/png").head(b""), Err(Refusal::Empty));
    }

    #[test]
    fn sizes_are_held_to() {
        assert_eq!(check("").so_far(1000), Ok(()));
        assert_eq!(check("").so_far(1001), Err(Refusal::TooLarge));
        let said = |size| Check { declared_size: Some(size), ..check("") };
        assert_eq!(said(100_000).whole(75_000), Ok(()));
        assert_eq!(said(100_000).whole(10_000), Err(Refusal::SizeMismatch));
        assert_eq!(said(10_000).whole(100_000), Err(Refusal::SizeMismatch));
        assert_eq!(said(0).whole(100_000), Ok(()), "nothing was said");
    }
}
