use std::fmt;
use std::ops::Range;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{empty, iter};
use futures_util::{Stream, StreamExt, TryStreamExt};
use jiff::Timestamp;
use model::Private;
use object_store::{GetOptions, ObjectStore, ObjectStoreExt, PutPayload};
use runtime::{ByteStream, CallError, Clock, HttpClient};
use serde::{Deserialize, Serialize};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::write::Written;
use crate::{BlobError, BlobId, Check, Config, Place, PutError, write};

/// What is known of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// What its first bytes say that it is.
    pub media_type: String,
    /// Its bytes.
    pub size: u64,
    /// What its sender called it.
    pub name: Option<Private<String>>,
    /// When it was stored.
    pub stored_at: Timestamp,
}

/// What an operator may change that a file is refused for.
#[derive(Debug, Clone, Copy)]
pub struct Limits<'a> {
    /// The media types that are taken.
    pub types: &'a [String],
    /// The most bytes of one.
    pub size: u64,
}

impl Limits<'_> {
    /// Tells these limits from others.
    fn mark(&self) -> String {
        let size = self.size.to_string();
        let parts: Vec<&str> = std::iter::once(size.as_str()).chain(self.types.iter().map(String::as_str)).collect();
        BlobId::derive(&parts).to_string()
    }
}

/// Keeps files.
#[derive(Clone)]
pub struct Store {
    pub(crate) inner: Arc<Inner>,
}

/// One of the places of those who write; it ends when it is dropped.
#[derive(Debug)]
pub struct Turn(#[expect(dead_code, reason = "held for its drop alone")] OwnedSemaphorePermit);

pub(crate) struct Inner {
    place: Place,
    http: HttpClient,
    opened: OnceLock<Arc<dyn ObjectStore>>,
    pub(crate) part: usize,
    /// So that memory is bounded however many files come at once.
    pub(crate) writers: Arc<Semaphore>,
    clock: Clock,
}

impl fmt::Debug for Store {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Store")
    }
}

impl Inner {
    pub(crate) fn store(&self) -> Result<&dyn ObjectStore, BlobError> {
        if let Some(store) = self.opened.get() {
            return Ok(store.as_ref());
        }
        let store = self.place.open(&self.http)?;
        Ok(self.opened.get_or_init(|| store).as_ref())
    }
}

/// What is said of a file is written after its bytes: a file is there when this is.
const ABOUT: &str = "about";
/// Beside a file that was refused: why, and under which limits.
const REFUSED: &str = "refused";
/// Of anything said of a file.
const MOST_SAID: u64 = 64 << 10;

/// What a store is asked for at a time. A phone may take longer for a whole file than any one answer may last.
const PIECE: u64 = 4 << 20;

fn pieces(range: Range<u64>) -> impl Iterator<Item = Range<u64>> + Send {
    let end = range.end;
    let step = usize::try_from(PIECE).expect("a few megabytes");
    range.step_by(step).map(move |start| start..end.min(start.saturating_add(PIECE)))
}

impl Store {
    /// Opens a store; one across the network is not called yet.
    ///
    /// # Errors
    /// [`BlobError::Settings`].
    pub fn open(config: &Config, http: &HttpClient, clock: Clock) -> Result<Self, BlobError> {
        let place = config.place.clone();
        let (part, writers) = place.sizes();
        let (http, opened, writers) = (http.clone(), OnceLock::new(), Arc::new(Semaphore::new(writers)));
        let inner = Inner { place, http, opened, part, writers, clock };
        // A folder is made when its first file comes: a bridge that carries none leaves no folder behind.
        if matches!(inner.place, Place::S3(_)) {
            inner.store()?;
        }
        Ok(Self { inner: Arc::new(inner) })
    }

    /// A turn to write, where there is one: so many files are written at a time. Whose source is a connection takes it before that
    /// is opened, or the time of the source would run while it waits.
    pub fn turn(&self) -> Option<Turn> {
        Arc::clone(&self.inner.writers).try_acquire_owned().ok().map(Turn)
    }

    /// As [`Store::put_in`], when it is its turn. For files whose bytes are at hand.
    ///
    /// # Errors
    /// [`PutError`].
    pub async fn put<E>(
        &self,
        id: &BlobId,
        name: Option<Private<String>>,
        check: &Check,
        bytes: impl Stream<Item = Result<Bytes, E>> + Send,
    ) -> Result<About, PutError<E>> {
        let writers = Arc::clone(&self.inner.writers);
        let turn = Turn(writers.acquire_owned().await.expect("the semaphore is never closed"));
        self.put_in(turn, id, name, check, bytes).await
    }

    /// Keeps a file as its bytes come in. What is refused, or breaks off, leaves nothing behind. A file of the same id is
    /// written over, which is the same file for all that its id is derived from.
    ///
    /// # Errors
    /// [`PutError`].
    pub async fn put_in<E>(
        &self,
        turn: Turn,
        id: &BlobId,
        name: Option<Private<String>>,
        check: &Check,
        bytes: impl Stream<Item = Result<Bytes, E>> + Send,
    ) -> Result<About, PutError<E>> {
        let Written { kind, size } = write::checked(&self.inner, &id.data(), check, bytes).await?;
        drop(turn);
        let about = About { media_type: kind.media_type.to_owned(), size, name, stored_at: self.inner.clock.now() };
        let text = serde_json::to_vec(&about).expect("texts and numbers have a JSON form");
        self.say(id, ABOUT, text).await.map_err(PutError::Store)?;
        Ok(about)
    }

    /// What is known of a file, where it is there.
    ///
    /// # Errors
    /// [`BlobError::Unavailable`].
    pub async fn about(&self, id: &BlobId) -> Result<Option<About>, BlobError> {
        let said = self.said(id, ABOUT).await?;
        Ok(said.and_then(|text| serde_json::from_slice(&text).ok()))
    }

    /// The bytes of a file, or some of them, asked for a piece at a time.
    ///
    /// # Errors
    /// [`BlobError::Unavailable`], also when it is not there; the stream fails by itself later.
    pub async fn read(&self, id: &BlobId, range: Range<u64>) -> Result<ByteStream, BlobError> {
        let mut pieces = pieces(range);
        let Some(first) = pieces.next() else { return Ok(Box::pin(empty())) };
        let first = self.piece(id, first).await?;
        let (store, id) = (self.clone(), *id);
        let later = iter(pieces).then(move |piece| {
            let store = store.clone();
            async move { store.piece(&id, piece).await.map_err(|error| CallError::NoAnswer(error.to_string())) }
        });
        Ok(Box::pin(first.chain(later.try_flatten())))
    }

    async fn piece(&self, id: &BlobId, range: Range<u64>) -> Result<ByteStream, BlobError> {
        let found = self.inner.store()?.get_opts(&id.data(), GetOptions::new().with_range(Some(range))).await?;
        let bytes = found.into_stream().map(|chunk| chunk.map_err(|error| CallError::NoAnswer(error.to_string())));
        Ok(Box::pin(bytes))
    }

    /// Writes something down beside a file, for whoever comes to the same file again.
    ///
    /// # Errors
    /// [`BlobError::Unavailable`].
    pub async fn note(&self, id: &BlobId, what: &'static str, text: &str) -> Result<(), BlobError> {
        self.say(id, what, text.as_bytes().to_vec()).await
    }

    /// What was written down beside a file.
    ///
    /// # Errors
    /// [`BlobError::Unavailable`].
    pub async fn noted(&self, id: &BlobId, what: &'static str) -> Result<Option<String>, BlobError> {
        let said = self.said(id, what).await?;
        Ok(said.and_then(|text| String::from_utf8(text.to_vec()).ok()))
    }

    /// Takes back what was written down beside a file.
    ///
    /// # Errors
    /// [`BlobError::Unavailable`].
    pub async fn unnote(&self, id: &BlobId, what: &'static str) -> Result<(), BlobError> {
        match self.inner.store()?.delete(&id.beside(what)).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Writes down why a file is not kept, so that it is not fetched again while these limits hold.
    ///
    /// # Errors
    /// [`BlobError::Unavailable`].
    pub async fn refuse(&self, id: &BlobId, word: &str, limits: Limits<'_>) -> Result<(), BlobError> {
        self.note(id, REFUSED, &format!("{word} {}", limits.mark())).await
    }

    /// Why a file was not kept, where that was under the same limits.
    ///
    /// # Errors
    /// [`BlobError::Unavailable`].
    pub async fn refused(&self, id: &BlobId, limits: Limits<'_>) -> Result<Option<String>, BlobError> {
        let noted = self.noted(id, REFUSED).await?;
        let same = |noted: String| {
            noted.split_once(' ').filter(|(_, mark)| *mark == limits.mark()).map(|(word, _)| word.to_owned())
        };
        Ok(noted.and_then(same))
    }

    /// Whether files can be put there, tried with a few bytes. Where no file came yet there is nothing to try.
    ///
    /// # Errors
    /// [`BlobError`].
    pub async fn check(&self) -> Result<(), BlobError> {
        if self.is_untouched() {
            return Ok(());
        }
        self.say(&BlobId::derive(&["check"]), "check", Vec::new()).await
    }

    /// Whether files can be looked up there; nothing is written.
    ///
    /// # Errors
    /// [`BlobError`].
    pub async fn look(&self) -> Result<(), BlobError> {
        if self.is_untouched() {
            return Ok(());
        }
        self.said(&BlobId::derive(&["check"]), "check").await.map(|_| ())
    }

    /// Whether it is a folder that is not made yet.
    fn is_untouched(&self) -> bool {
        matches!(&self.inner.place, Place::Folder(path) if !path.exists())
    }

    /// Deletes everything older than this, and says how much there was. Any number of processes may do so at once.
    ///
    /// # Errors
    /// [`BlobError::Unavailable`].
    pub async fn sweep(&self, older_than: Duration) -> Result<u64, BlobError> {
        if self.is_untouched() {
            return Ok(0);
        }
        let before = self.inner.clock.now().saturating_sub(older_than).unwrap_or(Timestamp::MIN).as_second();
        let listed = self.inner.store()?.list(None);
        let old = listed.try_filter(move |object| std::future::ready(object.last_modified.timestamp() < before));
        let mut deleted = self.inner.store()?.delete_stream(old.map_ok(|object| object.location).boxed());
        let mut count = 0;
        while let Some(one) = deleted.next().await {
            match one {
                Ok(_) => count += 1,
                Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(count)
    }

    async fn say(&self, id: &BlobId, what: &str, text: Vec<u8>) -> Result<(), BlobError> {
        self.inner.store()?.put(&id.beside(what), PutPayload::from(text)).await?;
        Ok(())
    }

    async fn said(&self, id: &BlobId, what: &str) -> Result<Option<Bytes>, BlobError> {
        match self.inner.store()?.get(&id.beside(what)).await {
            Ok(found) if found.meta.size > MOST_SAID => Ok(None),
            Ok(found) => Ok(Some(found.bytes().await?)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}
