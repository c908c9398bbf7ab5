//! Files of agents, fetched from Genesys and kept before anything is sent: a reply whose file cannot be had is not sent
//! without it.

use std::sync::Arc;
use std::time::Duration;

use blobs::{About, BlobError, BlobId, Check, Links, PutError, Refusal as Unfit, Store};
use broker::Failure;
use genesys::{Directory, Refusal};
use jiff::SignedDuration;
use ledger::{Effect, Entry, What};
use model::{AgentReply, MediaPlace, MediaRef, Private, ReasonCode};
use tokio::sync::watch;

use crate::handler::{Room, ledger_down};
use crate::pictures::store_down;

/// The doors files go through.
#[derive(Clone)]
pub struct Files {
    /// Where agents' files are.
    pub genesys: watch::Receiver<Arc<Directory>>,
    /// Where they are kept.
    pub store: Store,
    /// What makes links to them; none where the bridge has no public address or no key.
    pub links: watch::Receiver<Option<Arc<Links>>>,
}

/// What is taken of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// The media types, as the first bytes tell them.
    pub types: Vec<String>,
    /// The most bytes.
    pub size: u64,
}

impl Limits {
    fn of_store(&self) -> blobs::Limits<'_> {
        blobs::Limits { types: &self.types, size: self.size }
    }
}

/// What came of one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Had {
    /// It is kept, and is what it should be.
    Kept(Kept),
    /// It is on the web, and is not fetched.
    Elsewhere(Private<String>),
}

/// A file that passed its checks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Kept {
    pub(crate) id: BlobId,
    pub(crate) about: About,
}

/// Why a file is not there.
enum Missed {
    /// Not now; at least so long from now, where somebody said so.
    Later(Option<Duration>, String),
    /// There is nowhere to put it now.
    House(BlobError),
    /// As many files as may be are being written.
    Turn,
    /// Never: the word in metrics and the timeline.
    Never(&'static str),
}

/// Genesys does not have it.
const GONE: &str = "gone";
/// How long after a webhook Genesys may not have the file yet that it told of.
const NOT_THERE_YET: SignedDuration = SignedDuration::from_secs(15);
/// The longest wait between two tries, and the shortest.
const WAITS: (SignedDuration, SignedDuration) = (SignedDuration::from_secs(1), SignedDuration::from_secs(60));
/// How soon a turn to write is asked for again.
const TURN_AGAIN: Duration = Duration::from_millis(500);
/// How soon a refused channel is tried again.
const REFUSED_AGAIN: Duration = Duration::from_secs(60);

impl Room {
    /// The files of a reply, all of them, as far as need be fetched now; or what its agent is told. Nothing is sent before, so
    /// a try that fails costs none of the reply's.
    pub(crate) async fn fetch(
        &self,
        reply: &AgentReply,
        files: &[MediaRef],
        limits: &Limits,
    ) -> Result<Result<Vec<Had>, (ReasonCode, String)>, Failure> {
        let mut all = Vec::new();
        for file in files {
            let id = match &file.place {
                MediaPlace::Web(address) => {
                    all.push(Had::Elsewhere(address.clone()));
                    continue;
                }
                MediaPlace::Genesys(id) => id,
            };
            // Recipients of one message share its files.
            let blob = BlobId::derive(&["reply", reply.channel.as_str(), &reply.genesys_message_id, id]);
            match self.fetch_one(reply, &blob, id, file, limits).await {
                Ok(about) => all.push(Had::Kept(Kept { id: blob, about })),
                Err(Missed::Later(after, cause)) => return Err(self.wait(reply, after, &cause)),
                Err(Missed::House(error)) => return Err(store_down(error)),
                Err(Missed::Turn) => return Err(Failure::NotYet { after: TURN_AGAIN }),
                Err(Missed::Never(word)) => {
                    self.note_lost(reply, word).await?;
                    return Ok(Err((ReasonCode::Unsupported, told_of(word))));
                }
            }
        }
        Ok(Ok(all))
    }

    async fn fetch_one(
        &self,
        reply: &AgentReply,
        blob: &BlobId,
        media: &str,
        file: &MediaRef,
        limits: &Limits,
    ) -> Result<About, Missed> {
        let store = &self.deps.files.store;
        if let Some(about) = store.about(blob).await.map_err(Missed::House)? {
            return Ok(about);
        }
        if let Some(word) = store.refused(blob, limits.of_store()).await.map_err(Missed::House)? {
            return Err(Missed::Never(known(&word)));
        }
        let fetched = self.download(reply, blob, media, file, limits).await;
        if let Err(Missed::Never(word)) = &fetched
            && let Err(error) = store.refuse(blob, word, limits.of_store()).await
        {
            tracing::warn!(channel = %reply.channel, %error, "a refused file could not be noted; it may be fetched again");
        }
        fetched
    }

    async fn download(
        &self,
        reply: &AgentReply,
        blob: &BlobId,
        media: &str,
        file: &MediaRef,
        limits: &Limits,
    ) -> Result<About, Missed> {
        let directory = Arc::clone(&self.deps.files.genesys.borrow());
        let (channel, client) = directory
            .find(&reply.channel)
            .ok_or_else(|| Missed::Later(None, "the channel has no Genesys tenant here".to_owned()))?;
        // Before Genesys is called: the time of its answer would run while others write.
        let turn = self.deps.files.store.turn().ok_or(Missed::Turn)?;
        let opened = client.download(&channel.access, media, &reply.trace).await.map_err(|refusal| {
            let cause = refusal.to_string();
            match refusal {
                Refusal::Later { after, .. } => Missed::Later(after, cause),
                Refusal::ChannelFault { .. } => {
                    channel.fault.raise(cause.clone());
                    Missed::Later(Some(REFUSED_AGAIN), cause)
                }
                Refusal::Never { .. } if self.age(reply) < NOT_THERE_YET => Missed::Later(None, cause),
                Refusal::Never { .. } => Missed::Never(GONE),
            }
        })?;
        channel.fault.clear();
        let header = |name| opened.headers.get(name).and_then(|value| value.to_str().ok());
        let size = header(http::header::CONTENT_LENGTH).and_then(|length| length.parse::<u64>().ok());
        if size.is_some_and(|size| size > limits.size) {
            return Err(Missed::Never(Unfit::TooLarge.word()));
        }
        let said = header(http::header::CONTENT_TYPE).map(str::to_owned);
        let check = Check {
            limit: limits.size,
            allowed: limits.types.clone(),
            declared_type: file.media_type.clone().or(said),
            declared_size: None,
        };
        let kept = self.deps.files.store.put_in(turn, blob, file.name.clone(), &check, opened.body).await;
        kept.map_err(|error| match error {
            PutError::Refused(refusal) => Missed::Never(refusal.word()),
            PutError::Source(error) => Missed::Later(None, format!("a file broke off: {error}")),
            PutError::Store(error) => Missed::House(error),
        })
    }

    fn age(&self, reply: &AgentReply) -> SignedDuration {
        self.deps.clock.now().duration_since(reply.received_at)
    }

    /// Its conversation waits, the longer the older it is, and nothing else does: that Genesys does not give a file is no
    /// trouble of the provider that stands in this reply's way.
    fn wait(&self, reply: &AgentReply, after: Option<Duration>, cause: &str) -> Failure {
        tracing::warn!(channel = %reply.channel, cause, "an agent's file is not there yet; its reply waits");
        let (shortest, longest) = WAITS;
        let next = (self.age(reply) / 4).clamp(shortest, longest);
        Failure::NotYet { after: after.unwrap_or_else(|| Duration::try_from(next).unwrap_or_default()) }
    }

    async fn note_lost(&self, reply: &AgentReply, word: &'static str) -> Result<(), Failure> {
        metrics::counter!(
            "causeway_media_refused_total",
            "channel" => reply.channel.to_string(), "direction" => "out", "cause" => word
        )
        .increment(1);
        let detail = format!("a file of the reply cannot be sent: {word}");
        let entry = Entry { effect: Effect::from(reply), what: What::Media, detail };
        self.deps.ledger.note(entry).await.map_err(ledger_down)
    }

    /// A link to a file, the same whenever it is made for this reply: its text is what it is looked for by.
    pub(crate) fn link(&self, reply: &AgentReply, file: &Kept) -> Option<Private<String>> {
        let links = self.deps.files.links.borrow().clone()?;
        Some(links.link(&file.id, reply.received_at))
    }
}

/// Why a file is not kept, as it was noted.
fn known(noted: &str) -> &'static str {
    let unfit = [
        Unfit::Empty,
        Unfit::TooLarge,
        Unfit::Type,
        Unfit::TypeMismatch,
        Unfit::SizeMismatch,
        Unfit::Bomb,
        Unfit::Unmeasured,
    ];
    unfit.into_iter().map(Unfit::word).find(|word| *word == noted).unwrap_or(GONE)
}

/// What its agent reads.
fn told_of(word: &str) -> String {
    let why = match word {
        "empty" => "it is empty",
        "too-large" => "it is too large",
        "type-not-allowed" => "files of its type are not passed on",
        "type-mismatch" => "it is not of the type that it is said to be",
        "bomb" => "it would be too large to open",
        "unmeasured" => "it is damaged, or does not say how large it opens",
        GONE => "Genesys does not have it",
        _ => "it could not be fetched",
    };
    format!("The message was not sent: a picture or file of it cannot be passed on, because {why}.")
}
