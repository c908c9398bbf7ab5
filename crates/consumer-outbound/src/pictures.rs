//! How the files of a reply leave: as pictures, or as links in its text. That is decided once for each reply, and written down
//! before anything of it is sent, so that no change of a setting or of a number sends a part of it twice.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::anyhow;
use blobs::{BlobError, BlobId};
use broker::Failure;
use futures_util::TryStreamExt;
use jiff::{SignedDuration, Timestamp};
use ledger::{AttemptId, Effect, Entry, What};
use model::{Address, AgentReply, ChannelName, PhoneNumber, Private, ReasonCode, ReplyBody, ReplyMedia};
use serde::{Deserialize, Serialize};
use sms::{OutgoingFile, SendError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::directory::{Account, Channel, Mms};
use crate::files::{Had, Kept};
use crate::handler::{Author, Room, Walk, ledger_down};
use crate::parts::{Letter, Part, Place, cut, recipient};

/// How soon a hand is asked for again.
const HAND_AGAIN: Duration = Duration::from_millis(500);

/// What is known of the company's numbers, and how many pictures are in hand.
pub(crate) struct Darkroom {
    numbers: Mutex<HashMap<ChannelName, (Timestamp, sms::Pictures)>>,
    hands: Arc<Semaphore>,
}

/// A picture in memory; so many at a time as there are hands.
pub(crate) struct Loaded {
    pub(crate) file: OutgoingFile,
    _hand: OwnedSemaphorePermit,
}

/// How the files of a reply leave.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Plan {
    /// Of each file, whether it is sent as a picture.
    pictures: Vec<bool>,
    /// In how many parts the reply is sent.
    parts: usize,
    /// Files the provider refused as pictures when something of the reply was sent: each leaves as a link in its place.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    refused: Vec<usize>,
}

impl Plan {
    /// The file that is sent as this part; the pictures are the last ones.
    fn file_of(&self, place: Place) -> Option<usize> {
        let pictures: Vec<usize> = (0..self.pictures.len()).filter(|index| self.pictures[*index]).collect();
        let texts = place.of.checked_sub(pictures.len())?;
        pictures.get(place.number.checked_sub(texts + 1)?).copied()
    }
}

/// A picture of carriers is about a megabyte, and there are two copies of it while it is sent.
const HANDS: usize = 8;
/// How long an answer about a number holds.
const KNOWN: SignedDuration = SignedDuration::from_mins(10);
/// Beside nothing: what was decided about a reply.
const PLAN: &str = "plan";

impl Default for Darkroom {
    fn default() -> Self {
        Self { numbers: Mutex::default(), hands: Arc::new(Semaphore::new(HANDS)) }
    }
}

fn plan_of(reply: &AgentReply) -> BlobId {
    BlobId::derive(&["plan", reply.id.as_str()])
}

/// Our own store is away: its messages wait, and nobody abroad is in trouble for it.
pub(crate) fn store_down(error: BlobError) -> Failure {
    Failure::Unavailable { target: "blobs".to_owned(), after: None, cause: error.into() }
}

impl Room {
    /// A reply as it is sent, its files fetched and kept; or what its agent is told.
    pub(crate) async fn letter(
        &self,
        reply: &AgentReply,
        channel: &Channel,
        account: &Account,
    ) -> Result<Result<Letter, (ReasonCode, String)>, Failure> {
        let ReplyBody::Media(media) = &reply.body else { return Ok(Letter::of(reply, Some(channel))) };
        let to = match recipient(reply, channel.groups) {
            Ok(to) => to,
            Err(told) => return Ok(Err(told)),
        };
        let had = match self.fetch(reply, &media.files, &channel.pictures.limits).await? {
            Ok(had) => had,
            Err(told) => return Ok(Err(told)),
        };
        let before = self.planned(reply).await?;
        let mut plan = match &before {
            Some(plan) => plan.clone(),
            None => Plan { pictures: self.choose(reply, channel, account, &had).await?, ..Plan::default() },
        };
        let letter = match self.compose(reply, media, &had, &plan, (channel, to)) {
            Ok(letter) => letter,
            Err(told) => return Ok(Err(told)),
        };
        plan.parts = letter.parts.len();
        if before.as_ref() != Some(&plan) {
            self.keep(reply, &plan).await?;
        }
        Ok(Ok(letter))
    }

    /// In how many parts a reply is sent, as far as that was decided.
    pub(crate) async fn parts_planned(&self, reply: &AgentReply) -> Result<usize, Failure> {
        Ok(self.planned(reply).await?.map_or(1, |plan| plan.parts.max(1)))
    }

    async fn planned(&self, reply: &AgentReply) -> Result<Option<Plan>, Failure> {
        let noted = self.deps.files.store.noted(&plan_of(reply), PLAN).await.map_err(store_down)?;
        Ok(noted.and_then(|text| serde_json::from_str(&text).ok()))
    }

    async fn keep(&self, reply: &AgentReply, plan: &Plan) -> Result<(), Failure> {
        let text = serde_json::to_string(plan).expect("numbers have a JSON form");
        self.deps.files.store.note(&plan_of(reply), PLAN, &text).await.map_err(store_down)
    }

    /// Of each file, whether it can be sent as a picture.
    async fn choose(
        &self,
        reply: &AgentReply,
        channel: &Channel,
        account: &Account,
        had: &[Had],
    ) -> Result<Vec<bool>, Failure> {
        let pictures = &channel.pictures;
        let fits = |file: &Had| match file {
            Had::Kept(Kept { about, .. }) => {
                about.size <= pictures.mms_limit && pictures.mms_types.contains(&about.media_type)
            }
            Had::Elsewhere(_) => false,
        };
        if !had.iter().any(fits) {
            return Ok(vec![false; had.len()]);
        }
        let able = match pictures.mms {
            Mms::Always => true,
            Mms::Never => false,
            Mms::Auto => {
                let able = self.able(channel, account).await?;
                if matches!(reply.to, Address::Group(_)) { able.to_groups } else { able.to_one }
            }
        };
        Ok(had.iter().map(|file| able && fits(file)).collect())
    }

    /// What a number sends, as the provider said lately.
    async fn able(&self, channel: &Channel, account: &Account) -> Result<sms::Pictures, Failure> {
        let now = self.deps.clock.now();
        let known = self.darkroom.numbers.lock().unwrap_or_else(PoisonError::into_inner).get(&channel.name).copied();
        if let Some((_, able)) = known.filter(|(at, _)| now.duration_since(*at) < KNOWN) {
            return Ok(able);
        }
        let able = match account.provider.pictures(&channel.user, &channel.number).await {
            Ok(able) => able,
            Err(SendError::Later { after, cause, .. }) => {
                let cause = anyhow!("channel {}: its number cannot be asked for: {cause}", channel.name);
                return Err(Failure::Unavailable { target: account.provider.name().to_string(), after, cause });
            }
            Err(error) => {
                tracing::warn!(channel = %channel.name, %error, "whether the number sends pictures is not told; links are sent. Write mms = \"always\" where it does");
                // A key that may write messages need not be one that may read numbers; any other trouble may be over soon.
                if !matches!(error, SendError::AccountFault { .. } | SendError::Never { .. }) {
                    return Ok(sms::Pictures::default());
                }
                sms::Pictures::default()
            }
        };
        let mut numbers = self.darkroom.numbers.lock().unwrap_or_else(PoisonError::into_inner);
        numbers.insert(channel.name.clone(), (now, able));
        Ok(able)
    }

    /// Caption, links and pictures, in parts. Pictures alone carry the caption themselves, and links stand below it.
    fn compose(
        &self,
        reply: &AgentReply,
        media: &ReplyMedia,
        had: &[Had],
        plan: &Plan,
        (channel, to): (&Channel, PhoneNumber),
    ) -> Result<Letter, (ReasonCode, String)> {
        let (mut links, mut pictured) = (Vec::new(), Vec::new());
        for (index, file) in had.iter().enumerate() {
            match file {
                Had::Elsewhere(address) => links.push(address.clone()),
                Had::Kept(kept) if plan.pictures.get(index) == Some(&true) => pictured.push((index, kept)),
                Had::Kept(kept) => links.push(self.link(reply, kept).ok_or_else(no_link)?),
            }
        }
        let text = media.text.expose().trim();
        let mut caption = Private::default();
        let mut parts = Vec::new();
        if links.is_empty() && text.chars().count() <= channel.texts.max_characters {
            caption = Private::new(text.to_owned());
        } else {
            let lines: Vec<&str> = std::iter::once(text)
                .filter(|text| !text.is_empty())
                .chain(links.iter().map(|link| link.expose().as_str()))
                .collect();
            parts.extend(cut(&Private::new(lines.join("\n")), channel.texts)?.into_iter().map(Part::Text));
        }
        for (index, kept) in pictured {
            let caption = std::mem::take(&mut caption);
            parts.push(match plan.refused.contains(&index) {
                true => Part::Text(self.link(reply, kept).ok_or_else(no_link)?),
                false => Part::Picture { caption, kept: kept.clone() },
            });
        }
        Ok(Letter { to, parts })
    }

    /// Takes a picture into memory.
    pub(crate) async fn load(&self, part: &Part) -> Result<Option<Loaded>, Failure> {
        let Part::Picture { kept, .. } = part else { return Ok(None) };
        // Who waits for a hand holds no place among the account's calls meanwhile, or texts would go at the pace of pictures.
        let hand = Arc::clone(&self.darkroom.hands).try_acquire_owned();
        let hand = hand.map_err(|_| Failure::NotYet { after: HAND_AGAIN })?;
        let data = self.bytes(kept).await?;
        let file = OutgoingFile { media_type: kept.about.media_type.clone(), data: Private::new(data.into()) };
        Ok(Some(Loaded { file, _hand: hand }))
    }

    /// A file that is kept, taken into memory.
    pub(crate) async fn bytes(&self, kept: &Kept) -> Result<Vec<u8>, Failure> {
        let bytes = self.deps.files.store.read(&kept.id, 0..kept.about.size).await.map_err(store_down)?;
        let data = Vec::with_capacity(usize::try_from(kept.about.size).unwrap_or_default());
        let data = bytes.try_fold(data, async |mut data, chunk| {
            data.extend_from_slice(&chunk);
            Ok(data)
        });
        data.await.map_err(|error| Failure::Unavailable {
            target: "blobs".to_owned(),
            after: None,
            cause: anyhow!("{error}"),
        })
    }

    /// A picture the provider does not take leaves as a link: in its own place, and where nothing of its reply was sent yet so do
    /// all of them, below the text. Whether it does.
    pub(crate) async fn links_instead(
        &self,
        walk: &Walk<'_>,
        attempt: &AttemptId,
        code: ReasonCode,
    ) -> Result<bool, Failure> {
        let ReplyBody::Media(media) = &walk.reply.body else { return Ok(false) };
        let unfit = matches!(code, ReasonCode::Unsupported | ReasonCode::General);
        let picture = walk.loaded.is_some() && walk.author == Author::Agent;
        if !unfit || !picture || self.deps.files.links.borrow().is_none() {
            return Ok(false);
        }
        let mut plan = self.planned(walk.reply).await?.unwrap_or_default();
        if walk.place.number == 1 {
            plan = Plan { pictures: vec![false; media.files.len()], ..Plan::default() };
        } else {
            let Some(file) = plan.file_of(walk.place) else { return Ok(false) };
            plan.refused.push(file);
        }
        let detail = "the provider refused the picture; it is sent as a link";
        self.deps.ledger.release(&walk.effect, attempt, detail).await.map_err(ledger_down)?;
        let effect = Effect::from(walk.reply);
        let entry = Entry { effect, what: What::Media, detail: detail.to_owned() };
        self.deps.ledger.note(entry).await.map_err(ledger_down)?;
        self.keep(walk.reply, &plan).await?;
        Ok(true)
    }
}

fn no_link() -> (ReasonCode, String) {
    let reason = "The message was not sent: a picture or file of it can only be sent as a link, and the bridge has no public \
                  address to show it at.";
    (ReasonCode::Unsupported, reason.to_owned())
}
