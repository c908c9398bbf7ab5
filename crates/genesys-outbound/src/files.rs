//! A consumer's files on their way to the agent: fetched and kept before the agent is told of them. One that cannot be had
//! becomes a sentence that says so; none is lost in silence.

use std::sync::Arc;
use std::time::Duration;

use anyhow::anyhow;
use blobs::{About, BlobError, BlobId, Check, Limits, PutError};
use broker::Failure;
use genesys::{Accepted, Attachment, ChannelAccess, Client, Refusal, Upload};
use jiff::SignedDuration;
use ledger::{Effect, Entry, Standing, What};
use model::{InboundFile, InboundMessage};
use runtime::CallError;
use sms::MediaError;

use crate::handler::{Room, ledger_down};
use crate::media::{Form, MediaChannel};

/// The first tries of a message are also those of its files; after these an agent is told without them.
const TRIES: u32 = 8;
/// How long a message waits for its provider's turn to be tried again. After that its own tries decide.
const HOLDS: SignedDuration = SignedDuration::from_mins(10);
/// How soon a turn to write is asked for again.
const TURN_AGAIN: Duration = Duration::from_millis(500);
/// What our own store is called as the cause of a wait; nobody's breaker is of that name.
pub(crate) const HOUSE_STORE: &str = "blobs";
/// Beside a kept file: its id at Genesys, so that an upload is not repeated.
const UPLOADED: &str = "genesys";

/// What came of one file.
pub(crate) enum Had {
    Kept(BlobId, About),
    /// The word that says why not.
    Lost(String),
}

impl Room {
    /// Whether the next try of a message only fetches its files. It calls nobody but the provider, so that a provider who
    /// cannot give them is no trouble of Genesys, and Genesys none of theirs.
    pub(crate) fn fetches_first(&self, message: &InboundMessage) -> bool {
        message.unread.is_none() && !self.fetched.has(&message.id) && self.source_of(message).is_some()
    }

    /// What that is called among the targets.
    pub(crate) fn fetches_at(&self, message: &InboundMessage) -> Option<String> {
        self.source_of(message).filter(|_| self.is_fresh(message))
    }

    fn is_fresh(&self, message: &InboundMessage) -> bool {
        self.deps.clock.now().duration_since(message.received_at) < HOLDS
    }

    fn source_of(&self, message: &InboundMessage) -> Option<String> {
        if message.files.list.iter().all(|file| file.refused.is_some()) {
            return None;
        }
        let channel = self.deps.media.directory.borrow().find(&message.channel)?;
        channel.source.as_ref().map(|source| format!("{}/media", source.provider.name()))
    }

    /// The files of a message, as they were fetched before, or fetched now.
    pub(crate) async fn files_of(
        &self,
        message: &InboundMessage,
        effect: &Effect,
        attempt: u32,
        only_fetch: bool,
    ) -> Result<Arc<Vec<Had>>, Failure> {
        if let Some(files) = self.fetched.of(&message.id) {
            return Ok(files);
        }
        // Where it is a try of its own it holds up nobody but its conversation.
        let patient = attempt < TRIES && (only_fetch || self.is_fresh(message));
        let files = Arc::new(self.fetch(message, effect, patient).await?);
        if !files.is_empty() {
            self.fetched.put(&message.id, &files);
        }
        Ok(files)
    }

    /// Fetches the files of a message, as far as that was not done before.
    async fn fetch(&self, message: &InboundMessage, effect: &Effect, patient: bool) -> Result<Vec<Had>, Failure> {
        let channel = self.deps.media.directory.borrow().find(&message.channel);
        let mut all = Vec::new();
        for (index, file) in message.files.list.iter().enumerate() {
            let id = blob_of(message, index);
            let had = match (&channel, &file.refused) {
                (_, Some(word)) => Err(Missed::Known(word.clone())),
                (None, None) => Err(Missed::Never("no-provider".to_owned())),
                (Some(channel), None) => self.fetch_one(&id, message, file, channel).await,
            };
            all.push(match had {
                Ok(about) => Had::Kept(id, about),
                Err(Missed::Later(cause)) if patient => {
                    let cause = anyhow!("channel {}: {cause}", message.channel);
                    return Err(Failure::Retry { after: None, cause });
                }
                Err(Missed::Later(cause)) => self.lost(effect, "not-reached", &cause).await?,
                Err(Missed::House(error)) => return Err(house(error)),
                Err(Missed::Turn) => return Err(Failure::NotYet { after: TURN_AGAIN }),
                Err(Missed::Known(word)) => Had::Lost(word),
                Err(Missed::Never(word)) => {
                    let lost = self.lost(effect, &word, &word).await?;
                    let limits = channel.as_deref().map(MediaChannel::limits);
                    let limits = limits.unwrap_or(Limits { types: &[], size: 0 });
                    if let Err(error) = self.deps.media.store.refuse(&id, &word, limits).await {
                        tracing::warn!(channel = %message.channel, %error, "a refused file could not be noted; it may be fetched again");
                    }
                    lost
                }
            });
        }
        Ok(all)
    }

    async fn fetch_one(
        &self,
        id: &BlobId,
        message: &InboundMessage,
        file: &InboundFile,
        channel: &MediaChannel,
    ) -> Result<About, Missed> {
        let store = &self.deps.media.store;
        if let Some(about) = store.about(id).await.map_err(Missed::House)? {
            return Ok(about);
        }
        if let Some(word) = store.refused(id, channel.limits()).await.map_err(Missed::House)? {
            return Err(Missed::Known(word));
        }
        // Before the provider is called: the time of its answer would run while others write.
        let turn = store.turn().ok_or(Missed::Turn)?;
        // What was kept before the message came and is not there any more is nowhere else.
        let source = channel.source.as_ref().ok_or_else(|| Missed::Never("gone".to_owned()))?;
        let opened = source.provider.open_media(&source.user, file, message.session.as_ref()).await;
        let opened = opened.map_err(|error| match error {
            MediaError::Refused { word, cause } => {
                tracing::warn!(channel = %message.channel, cause, "a consumer's file is not fetched");
                Missed::Never(word.to_owned())
            }
            error @ (MediaError::Later { .. } | MediaError::Expired) => Missed::Later(error.to_string()),
        })?;
        if opened.size.is_some_and(|size| size > channel.limit) {
            return Err(Missed::Never(blobs::Refusal::TooLarge.word().to_owned()));
        }
        let check = Check {
            limit: channel.limit,
            allowed: channel.types.clone(),
            declared_type: file.media_type.clone(),
            declared_size: file.size,
        };
        store.put_in(turn, id, None, &check, opened.body).await.map_err(|error| match error {
            PutError::Refused(refusal) => Missed::Never(refusal.word().to_owned()),
            PutError::Source(error) => Missed::Later(error.to_string()),
            PutError::Store(error) => Missed::House(error),
        })
    }

    async fn lost(&self, effect: &Effect, word: &str, cause: &str) -> Result<Had, Failure> {
        tracing::warn!(channel = %effect.channel, cause, "a consumer's file cannot be had; the agent is told");
        count_refused(effect, word);
        let detail = format!("a file of the message was not passed on: {word}");
        let entry = Entry { effect: effect.clone(), what: What::Media, detail };
        self.deps.ledger.note(entry).await.map_err(ledger_down)?;
        Ok(Had::Lost(word.to_owned()))
    }

    /// Gives an agent a message with its files, in the form of the channel. A shape that is refused is tried as a link once.
    pub(crate) async fn send_with_files(
        &self,
        client: &Client,
        access: &ChannelAccess,
        message: &InboundMessage,
        files: &[Had],
    ) -> Result<Accepted, Refusal> {
        let channel = self.deps.media.directory.borrow().find(&message.channel);
        let kept = files.iter().any(|had| matches!(had, Had::Kept(..)));
        if kept && channel.is_some_and(|channel| channel.form == Form::RichMedia) {
            match self.send_rich(client, access, message, files).await {
                Err(Refusal::Never { cause, .. }) => {
                    tracing::warn!(channel = %message.channel, cause, "Genesys refused a file; the agent is given a link to it");
                    self.take_back_refused(client, access, message).await;
                }
                sent => return sent,
            }
        }
        client.send_text(access, message, &self.linked(message, files)).await
    }

    async fn send_rich(
        &self,
        client: &Client,
        access: &ChannelAccess,
        message: &InboundMessage,
        files: &[Had],
    ) -> Result<Accepted, Refusal> {
        let attachments = self.upload_all(client, access, message, files).await?;
        let text = lines(message, files.iter().filter_map(told_of_lost));
        client.send_rich_media(access, message, &text, &attachments).await
    }

    pub(crate) async fn upload_all(
        &self,
        client: &Client,
        access: &ChannelAccess,
        message: &InboundMessage,
        files: &[Had],
    ) -> Result<Vec<Attachment>, Refusal> {
        let mut attachments = Vec::new();
        for had in files {
            if let Had::Kept(id, about) = had {
                let url = self.upload(client, access, message, id, about).await?;
                attachments.push(Attachment { url, media_type: about.media_type.clone(), name: about.name.clone() });
            }
        }
        Ok(attachments)
    }

    /// Uploads a file once, however often its message is tried.
    async fn upload(
        &self,
        client: &Client,
        access: &ChannelAccess,
        message: &InboundMessage,
        id: &BlobId,
        about: &About,
    ) -> Result<String, Refusal> {
        let store = &self.deps.media.store;
        if let Some(known) = store.noted(id, UPLOADED).await.map_err(|error| store_down(&error))? {
            return Ok(format!("genesys://nexus/{known}"));
        }
        let extension = about.media_type.split('/').nth(1).unwrap_or("bin");
        let name = about.name.as_ref().map_or_else(|| format!("file.{extension}"), |name| name.expose().clone());
        let upload = Upload { name: &name, media_type: &about.media_type, size: about.size };
        let open =
            async || store.read(id, 0..about.size).await.map_err(|error| CallError::NotReached(error.to_string()));
        let uploaded = client.upload(access, &upload, open, &message.trace).await?;
        // Before the message is posted, so that a crash leaves no upload nobody knows of.
        if let Err(error) = store.note(id, UPLOADED, &uploaded.id).await {
            self.orphans.delete(client, access, &uploaded.id, &message.trace).await;
            return Err(store_down(&error));
        }
        Ok(uploaded.url)
    }

    /// Of a shape that is refused; what cannot be deleted costs no message anything.
    pub(crate) async fn take_back_refused(&self, client: &Client, access: &ChannelAccess, message: &InboundMessage) {
        if let Err(error) = self.take_back(client, access, message).await {
            tracing::warn!(channel = %message.channel, %error, "an upload of a refused message could not be forgotten");
        }
    }

    /// Deletes what was uploaded for a message that Genesys does not take. It is forgotten first, so that a message which is
    /// tried once more never refers to what may be deleted by then.
    pub(crate) async fn take_back(
        &self,
        client: &Client,
        access: &ChannelAccess,
        message: &InboundMessage,
    ) -> Result<(), BlobError> {
        let store = &self.deps.media.store;
        for index in 0..message.files.list.len() {
            let id = blob_of(message, index);
            let Some(known) = store.noted(&id, UPLOADED).await? else { continue };
            store.unnote(&id, UPLOADED).await?;
            self.orphans.delete(client, access, &known, &message.trace).await;
        }
        Ok(())
    }

    /// The same for one that is given up, unless its record is open: then Genesys may have it, and its agent be looking at them.
    pub(crate) async fn take_back_of_dead(&self, message: &InboundMessage) -> Result<(), Failure> {
        let channel = self.deps.media.directory.borrow().find(&message.channel);
        if message.files.list.is_empty() || channel.is_none_or(|channel| channel.form != Form::RichMedia) {
            return Ok(());
        }
        let directory = Arc::clone(&self.deps.directory.borrow());
        let Some((channel, client)) = directory.find(&message.channel) else { return Ok(()) };
        let standing = self.deps.ledger.standing(&crate::handler::effect(message)).await.map_err(ledger_down)?;
        if standing == Standing::Open {
            return Ok(());
        }
        self.take_back(client, &channel.access, message).await.map_err(house)
    }

    /// Caption, and a link to each file.
    pub(crate) fn linked(&self, message: &InboundMessage, files: &[Had]) -> String {
        lines(message, self.links(files).into_iter())
    }

    /// A line with a link to each file, or with why there is none.
    pub(crate) fn links(&self, files: &[Had]) -> Vec<String> {
        let links = self.deps.media.links.borrow().clone();
        let now = self.deps.clock.now();
        let told = files.iter().filter_map(|had| match (had, &links) {
            (Had::Kept(id, about), Some(links)) => Some(format!("{}: {}", called(about), links.link(id, now).expose())),
            (Had::Kept(..), None) => {
                Some("[The consumer sent a file; the bridge has no public address to show it at.]".to_owned())
            }
            (lost @ Had::Lost(_), _) => told_of_lost(lost),
        });
        told.collect()
    }
}

/// Why there is no file, as far as fetching it goes.
enum Missed {
    /// The provider does not give it now.
    Later(String),
    /// There is nowhere to put it now.
    House(BlobError),
    /// As many files as may be are being written. That costs no try.
    Turn,
    Never(String),
    /// As before, and that was told then.
    Known(String),
}

/// One more file that was not passed on.
pub(crate) fn count_refused(effect: &Effect, word: &str) {
    metrics::counter!(
        "causeway_media_refused_total",
        "channel" => effect.channel.to_string(), "direction" => "in", "cause" => word.to_owned()
    )
    .increment(1);
}

/// Our own store is away: its messages wait, and nobody abroad is in trouble for it.
pub(crate) fn house(error: BlobError) -> Failure {
    Failure::Unavailable { target: HOUSE_STORE.to_owned(), after: None, cause: anyhow!(error) }
}

fn blob_of(message: &InboundMessage, index: usize) -> BlobId {
    BlobId::derive(&["inbound", message.id.as_str(), &index.to_string()])
}

fn store_down(error: &BlobError) -> Refusal {
    Refusal::Later { after: None, blame: genesys::Blame::Caller, maybe_done: false, cause: error.to_string() }
}

fn lines(message: &InboundMessage, told: impl Iterator<Item = String>) -> String {
    // A mail's text is readable as it is.
    let caption = if message.mail.is_some() { &message.text } else { &message.files.caption };
    let caption = caption.expose().trim();
    let caption = (!caption.is_empty()).then(|| caption.to_owned());
    caption.into_iter().chain(told).collect::<Vec<_>>().join("\n")
}

fn called(about: &About) -> &str {
    if let Some(name) = &about.name {
        return name.expose();
    }
    match about.media_type.split('/').next() {
        Some("image") => "Picture",
        Some("video") => "Video",
        Some("audio") => "Recording",
        _ => "File",
    }
}

/// What an agent reads where a file was.
pub(crate) fn told_of_lost(had: &Had) -> Option<String> {
    let Had::Lost(word) = had else { return None };
    let why = match word.as_str() {
        "empty" => "it was empty",
        "too-large" => "it is too large",
        "type-not-allowed" => "files of its type are not passed on",
        "type-mismatch" | "size-mismatch" => "it is not what it was said to be",
        "bomb" => "it would be too large to open",
        "unmeasured" => "it is damaged, or does not say how large it opens",
        "not-reached" => "the provider could not be reached",
        "gone" => "the provider does not have it any more",
        _ => "it could not be fetched safely",
    };
    Some(format!("[The consumer sent a picture or file that cannot be shown: {why}.]"))
}
