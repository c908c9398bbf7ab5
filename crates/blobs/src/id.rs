use std::fmt;

use object_store::path::Path;
use sha2::{Digest, Sha256};

/// Names a file. It is derived from what the file belongs to, so that a message handled again finds what it stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct BlobId([u8; 16]);

impl BlobId {
    /// From parts that name the file; each is framed by its length.
    pub fn derive(parts: &[&str]) -> Self {
        let mut hash = Sha256::new();
        for part in parts {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        let mut id = [0; 16];
        id.copy_from_slice(&hash.finalize()[..16]);
        Self(id)
    }

    pub(crate) const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    pub(crate) const fn bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// Where its bytes are. Two characters are a folder, so that no folder grows without bound.
    pub(crate) fn data(&self) -> Path {
        let name = self.to_string();
        Path::from_iter([&name[..2], name.as_str()])
    }

    /// Where something said of it is.
    pub(crate) fn beside(&self, what: &str) -> Path {
        let name = self.to_string();
        Path::from_iter([&name[..2], format!("{name}.{what}").as_str()])
    }
}

impl fmt::Display for BlobId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&hex::encode(self.0))
    }
}
