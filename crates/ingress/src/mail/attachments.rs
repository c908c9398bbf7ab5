//! Attachments on their way into the store of files, before anybody is told of the mail.

use std::fs::File;
use std::io::{self, Seek};

use blobs::{BlobError, BlobId, Check, PutError, Store};
use bytes::{Bytes, BytesMut};
use email::read::{Attachment, Mail};
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use model::{InboundFile, InboundFiles, MessageId, Private};
use tempfile::SpooledData;
use tokio::io::AsyncReadExt;

use super::provider::MailChannel;

/// What is attached to a mail, to be stored for each of its channels.
pub(crate) struct Attached {
    name: Private<String>,
    media_type: String,
    size: u64,
    content: Content,
}

enum Content {
    Memory(Bytes),
    File(File),
}

impl Attached {
    /// Takes the attachments out of a mail.
    pub(crate) fn of(mail: &mut Mail) -> Vec<Self> {
        mail.attachments.drain(..).map(Self::new).collect()
    }

    fn new(attachment: Attachment) -> Self {
        let Attachment { name, media_type, size, content, .. } = attachment;
        let content = match content.into_inner() {
            SpooledData::InMemory(bytes) => Content::Memory(Bytes::from(bytes.into_inner())),
            SpooledData::OnDisk(file) => Content::File(file),
        };
        Self { name, media_type, size, content }
    }

    /// Its name and its size.
    pub(crate) fn named(&self) -> (&str, u64) {
        (self.name.expose(), self.size)
    }

    /// Its bytes from their start. A file has one position, whoever reads it, so its channels come one after the other.
    fn bytes(&self) -> io::Result<BoxStream<'static, io::Result<Bytes>>> {
        match &self.content {
            Content::Memory(bytes) => Ok(stream::once(std::future::ready(Ok(bytes.clone()))).boxed()),
            Content::File(file) => {
                let mut file = file.try_clone()?;
                file.rewind()?;
                Ok(stream::try_unfold(tokio::fs::File::from_std(file), piece).boxed())
            }
        }
    }
}

/// Read of a file at once.
const PIECE: usize = 64 << 10;

async fn piece(mut file: tokio::fs::File) -> io::Result<Option<(Bytes, tokio::fs::File)>> {
    let mut piece = BytesMut::with_capacity(PIECE);
    let read = file.read_buf(&mut piece).await?;
    Ok((read > 0).then(|| (piece.freeze(), file)))
}

/// Why attachments were not stored; the mail is sent or fetched again.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotKept {
    /// The store did not take one.
    #[error(transparent)]
    Store(#[from] BlobError),
    /// The file it waited in cannot be read.
    #[error("an attachment that waited on disk cannot be read: {0}")]
    Spool(#[from] io::Error),
}

/// Stores the attachments of one message. What may not be passed on stands in the list with the word for why.
pub(crate) async fn keep(
    store: &Store,
    channel: &MailChannel,
    message: &MessageId,
    attached: &[Attached],
) -> Result<InboundFiles, NotKept> {
    let mut list = Vec::new();
    for (index, one) in attached.iter().enumerate() {
        let id = BlobId::derive(&["inbound", message.as_str(), &index.to_string()]);
        let refused = keep_one(store, channel, &id, one).await?.map(str::to_owned);
        let media_type = Some(one.media_type.clone());
        list.push(InboundFile { media_type, size: Some(one.size), refused, ..InboundFile::default() });
    }
    Ok(InboundFiles { caption: Private::default(), list })
}

async fn keep_one(
    store: &Store,
    channel: &MailChannel,
    id: &BlobId,
    attached: &Attached,
) -> Result<Option<&'static str>, NotKept> {
    // What is there is kept: a mail that comes once more, perhaps with another's id, changes no file somebody was given.
    if store.about(id).await?.is_some() {
        return Ok(None);
    }
    let check = Check {
        limit: channel.limit,
        allowed: channel.types.clone(),
        declared_type: Some(attached.media_type.clone()),
        declared_size: None,
    };
    match store.put(id, Some(attached.name.clone()), &check, attached.bytes()?).await {
        Ok(_) => Ok(None),
        Err(PutError::Refused(refusal)) => {
            let word = refusal.word();
            tracing::warn!(channel = %channel.name, cause = word, "an attachment is not passed on; the agent is told");
            metrics::counter!(
                "causeway_media_refused_total",
                "channel" => channel.name.to_string(), "direction" => "in", "cause" => word
            )
            .increment(1);
            Ok(Some(word))
        }
        Err(PutError::Source(error)) => Err(error.into()),
        Err(PutError::Store(error)) => Err(error.into()),
    }
}
