use std::fs::File;
use std::future::Future;
use std::io::{self, BufRead, BufReader, Cursor, Seek};
use std::net::IpAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;

use tokio::io::AsyncWriteExt;

use crate::read::Envelope;

/// A mail that came in and waits to be stored.
#[derive(Debug)]
pub struct Received {
    /// Who it is from and for.
    pub envelope: Envelope,
    /// The server that brought it.
    pub peer: IpAddr,
    /// Its bytes.
    pub size: u64,
    pub(super) content: Content,
}

/// Small mails wait in memory and large ones in a file that has no name and is gone with its handle.
pub(super) enum Content {
    Memory(Vec<u8>),
    File(File),
}

impl std::fmt::Debug for Content {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("***")
    }
}

impl Received {
    /// The mail from its start, for [`crate::read::read`] or to be copied. Reading it may wait for a disk.
    ///
    /// # Errors
    /// The file cannot be rewound.
    pub fn open(&self) -> io::Result<Box<dyn BufRead + Send + '_>> {
        match &self.content {
            Content::Memory(bytes) => Ok(Box::new(Cursor::new(bytes.as_slice()))),
            Content::File(file) => {
                let mut file = file;
                file.rewind()?;
                Ok(Box::new(BufReader::with_capacity(64 * 1024, file)))
            }
        }
    }
}

/// Why a mail was not stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreError {
    /// Not now: the sender is told 451 and keeps it.
    Later,
    /// Never: the sender is told 554 and tells its author.
    Never,
}

/// What storing a mail came to.
pub type Stored = Pin<Box<dyn Future<Output = Result<(), StoreError>> + Send>>;

/// What stores a mail. It returns `Ok` only when the mail can no longer be lost.
#[derive(Clone)]
pub struct Store(Arc<dyn Fn(Received) -> Stored + Send + Sync>);

impl Store {
    /// A store that is called for each mail.
    pub fn new<F, S>(store: S) -> Self
    where
        S: Fn(Received) -> F + Send + Sync + 'static,
        F: Future<Output = Result<(), StoreError>> + Send + 'static,
    {
        Self(Arc::new(move |received| Box::pin(store(received))))
    }

    pub(super) fn put(&self, received: Received) -> Stored {
        (self.0)(received)
    }
}

/// Takes a content as it comes in.
pub(super) struct Spool {
    folder: PathBuf,
    memory: Vec<u8>,
    most_memory: usize,
    file: Option<tokio::fs::File>,
    most: u64,
    size: u64,
}

impl Spool {
    pub(super) const fn new(folder: PathBuf, most_memory: usize, most: u64) -> Self {
        Self { folder, memory: Vec::new(), most_memory, file: None, most, size: 0 }
    }

    /// Whether there came more than is taken; what is beyond is not kept.
    pub(super) const fn is_over(&self) -> bool {
        self.size > self.most
    }

    pub(super) const fn size(&self) -> u64 {
        self.size
    }

    /// Takes a piece.
    pub(super) async fn write(&mut self, piece: &[u8]) -> io::Result<()> {
        self.size += piece.len() as u64;
        if self.is_over() {
            (self.memory, self.file) = (Vec::new(), None);
            return Ok(());
        }
        if self.file.is_none() && self.memory.len() + piece.len() <= self.most_memory {
            self.memory.extend_from_slice(piece);
            return Ok(());
        }
        if self.file.is_none() {
            let mut file = tokio::fs::File::from_std(tempfile::tempfile_in(&self.folder)?);
            file.write_all(&self.memory).await?;
            self.memory = Vec::new();
            self.file = Some(file);
        }
        match &mut self.file {
            Some(file) => file.write_all(piece).await,
            None => Ok(()),
        }
    }

    pub(super) async fn finish(mut self) -> io::Result<Content> {
        match self.file.take() {
            None => Ok(Content::Memory(self.memory)),
            Some(mut file) => {
                file.flush().await?;
                Ok(Content::File(file.into_std().await))
            }
        }
    }
}
