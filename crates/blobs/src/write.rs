//! A file is looked at while it is written, one part at a time.

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use object_store::path::Path;
use object_store::{MultipartUpload, ObjectStoreExt, PutPayload};

use crate::kind::Kind;
use crate::measure::Measure;
use crate::store::Inner;
use crate::{BlobError, Check, PutError, Refusal};

/// What was written.
pub(crate) struct Written {
    pub(crate) kind: Kind,
    pub(crate) size: u64,
}

/// Enough of a file to say what it is.
const HEAD: usize = 64 << 10;

/// Writes a file that passes its checks.
pub(crate) async fn checked<E>(
    inner: &Inner,
    path: &Path,
    check: &Check,
    bytes: impl Stream<Item = Result<Bytes, E>> + Send,
) -> Result<Written, PutError<E>> {
    let mut bytes = std::pin::pin!(bytes);
    let mut writer = Writer { inner, path, upload: None, part: Vec::new(), held: 0 };
    let mut head = Vec::new();
    let mut known: Option<(Kind, Measure)> = None;
    let mut size = 0;
    let written = async {
        while let Some(chunk) = bytes.next().await {
            let chunk = chunk.map_err(PutError::Source)?;
            size += chunk.len() as u64;
            check.so_far(size).map_err(PutError::Refused)?;
            let mut rest: &[u8] = &chunk;
            if known.is_none() {
                let (first, behind) = chunk.split_at(chunk.len().min(HEAD - head.len()));
                head.extend_from_slice(first);
                rest = behind;
                if head.len() == HEAD {
                    known = Some(begin(check, &std::mem::take(&mut head)).map_err(PutError::Refused)?);
                }
            }
            if let Some((_, measure)) = &mut known {
                measure.take(rest).map_err(PutError::Refused)?;
            }
            writer.take(chunk).await.map_err(PutError::Store)?;
        }
        let (kind, measure) = match known {
            Some(known) => known,
            None => begin(check, &head).map_err(PutError::Refused)?,
        };
        check.whole(size).map_err(PutError::Refused)?;
        measure.end().map_err(PutError::Refused)?;
        writer.finish().await.map_err(PutError::Store)?;
        Ok(Written { kind, size })
    }
    .await;
    if written.is_err() {
        writer.abandon().await;
    }
    written
}

/// What a file is by its beginning, which is measured.
fn begin(check: &Check, head: &[u8]) -> Result<(Kind, Measure), Refusal> {
    let kind = check.head(head)?;
    let mut measure = Measure::new(kind.media_type);
    measure.take(head)?;
    Ok((kind, measure))
}

/// Holds at most one part, and writes it when it is full; a file of one part is written at once.
struct Writer<'a> {
    inner: &'a Inner,
    path: &'a Path,
    upload: Option<Box<dyn MultipartUpload>>,
    part: Vec<Bytes>,
    held: usize,
}

impl Writer<'_> {
    /// Parts are of one size but for the last, as some stores ask.
    async fn take(&mut self, mut chunk: Bytes) -> Result<(), BlobError> {
        while self.held + chunk.len() >= self.inner.part {
            let rest = chunk.split_off(self.inner.part - self.held);
            self.part.push(std::mem::replace(&mut chunk, rest));
            if self.upload.is_none() {
                self.upload = Some(self.inner.store()?.put_multipart(self.path).await?);
            }
            self.flush().await?;
        }
        self.held += chunk.len();
        self.part.push(chunk);
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), BlobError> {
        let payload: PutPayload = std::mem::take(&mut self.part).into_iter().collect();
        self.held = 0;
        if let Some(upload) = &mut self.upload {
            upload.put_part(payload).await?;
        }
        Ok(())
    }

    async fn finish(&mut self) -> Result<(), BlobError> {
        if self.upload.is_none() {
            let payload: PutPayload = std::mem::take(&mut self.part).into_iter().collect();
            self.inner.store()?.put(self.path, payload).await?;
            return Ok(());
        }
        if self.held > 0 {
            self.flush().await?;
        }
        if let Some(mut upload) = self.upload.take() {
            upload.complete().await?;
        }
        Ok(())
    }

    /// Nobody waits for this, and a store that cannot be reached forgets an unfinished file by its own rules.
    async fn abandon(&mut self) {
        if let Some(mut upload) = self.upload.take()
            && let Err(error) = upload.abort().await
        {
            tracing::debug!(%error, "an unfinished file could not be taken back");
        }
    }
}
