use crate::Refusal;

/// The store could not be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BlobError {
    /// It cannot be opened as it is configured.
    #[error("blobs.url: {0}")]
    Settings(String),
    /// It did not do what it was asked to; later perhaps.
    #[error("the store of files: {0}")]
    Unavailable(String),
}

/// Why a file was not kept.
#[derive(Debug, thiserror::Error)]
pub enum PutError<E> {
    /// It is none that may be kept.
    #[error("{0}")]
    Refused(Refusal),
    /// It did not come in whole.
    #[error("{0}")]
    Source(E),
    /// There was nowhere to put it.
    #[error(transparent)]
    Store(BlobError),
}

impl From<object_store::Error> for BlobError {
    /// The paths in these errors are ours and name nobody; the causes of HTTP errors have lost their URLs on the way.
    fn from(error: object_store::Error) -> Self {
        Self::Unavailable(error.to_string())
    }
}
