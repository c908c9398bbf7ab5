use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::ops::ControlFlow;
use std::time::Duration;

use broker::{Broker, Letter, Sift, Sifted};
use consumer_outbound::MAYBE_SENT;
use jiff::SignedDuration;
use ledger::{Entry as Note, Ledger, LedgerError, Line, Reopened, What};
use model::{ChannelName, Family};
use runtime::Clock;
use tokio::sync::Mutex;

use super::select::{About, Chosen, entry};
use super::{Body, By, Discard, Fate, LOOK, Listing, Replay, Shown, Verdict};
use crate::config::{Config, Expire};

/// Why nothing was done.
pub(in crate::house) enum Wrong {
    /// What was asked for is not there.
    Unknown(String),
    /// This process keeps no ledger.
    NoLedger,
    /// The broker or the ledger does not answer.
    Unavailable(anyhow::Error),
}

impl From<LedgerError> for Wrong {
    fn from(error: LedgerError) -> Self {
        Self::Unavailable(error.into())
    }
}

/// What dead letters are looked at and settled with.
pub(in crate::house) struct DeadLetters {
    pub(super) broker: Broker,
    pub(super) ledger: Option<Ledger>,
    pub(super) clock: Clock,
    pub(super) expire: Expire,
    pub(super) channels: HashSet<ChannelName>,
    /// Whoever walks through the letters hides them from others meanwhile.
    pub(super) walking: Mutex<()>,
}

impl DeadLetters {
    pub(in crate::house) fn new(config: &Config, broker: &Broker, ledger: Option<&Ledger>, clock: &Clock) -> Self {
        let channels = config.channels.iter().map(|channel| channel.name.clone()).collect();
        let (broker, ledger, clock) = (broker.clone(), ledger.cloned(), clock.clone());
        Self { broker, ledger, clock, expire: config.expire.clone(), channels, walking: Mutex::new(()) }
    }

    pub(super) async fn list(&self, family: Option<Family>) -> Result<Listing, Wrong> {
        let _alone = self.walking.lock().await;
        let (mut letters, mut hidden) = (Vec::new(), 0);
        for family in Family::ALL.into_iter().filter(|one| family.is_none_or(|wanted| wanted == *one)) {
            let before = letters.len();
            let see = |letter: &Letter| {
                letters.push(entry(family, letter));
                ControlFlow::Continue(())
            };
            self.broker.letters(family, LOOK, see).await.map_err(Wrong::Unavailable)?;
            let seen = letters.len() - before;
            if seen == LOOK {
                let queues = self.broker.queues().await.map_err(Wrong::Unavailable)?;
                let name = broker::QueueName::Dead(family).to_string();
                let all = queues.iter().find(|queue| queue.queue == name).map_or(0, |queue| queue.ready);
                hidden += all.saturating_sub(seen as u64);
            }
        }
        Ok(Listing { letters, hidden })
    }

    pub(super) async fn show(&self, family: Family, id: &str, body: bool) -> Result<Shown, Wrong> {
        let found = {
            let _alone = self.walking.lock().await;
            let mut found = None;
            let see = |letter: &Letter| {
                if letter.report.id != id {
                    return ControlFlow::Continue(());
                }
                found = Some((entry(family, letter), body.then(|| readable(&letter.body))));
                ControlFlow::Break(())
            };
            self.broker.letters(family, LOOK, see).await.map_err(Wrong::Unavailable)?;
            found
        };
        let (letter, body) = found.ok_or_else(|| Wrong::Unknown(format!("there is no dead letter {id}")))?;
        let timeline = match &self.ledger {
            Some(ledger) => lines(ledger, id).await?,
            None => Vec::new(),
        };
        Ok(Shown { letter, timeline, body })
    }

    pub(super) async fn replay(&self, replay: &Replay) -> Result<Vec<Fate>, Wrong> {
        let _alone = self.walking.lock().await;
        let ledger = self.ledger.as_ref().ok_or(Wrong::NoLedger)?;
        let chosen = self.select(&replay.selector).await?;
        let mut fates = Vec::with_capacity(chosen.len());
        // Conversations of which a letter has to wait: those behind it wait as well.
        let mut held: BTreeSet<&str> = BTreeSet::new();
        for one in &chosen {
            let behind = one.entry.conversation.as_deref().is_some_and(|conversation| held.contains(conversation));
            let stays = match &one.about {
                Err(why) => Some(why.clone()),
                Ok(_) if behind => Some("it comes after one of its conversation that has to wait".to_owned()),
                Ok(about) => match self.refusal(ledger, &one.entry.id, about, &replay.selector.by).await? {
                    None if !replay.dry_run => match reopen(ledger, about).await? {
                        Reopening::Done => None,
                        Reopening::Never(why) => Some(why),
                        Reopening::Later(why) => {
                            held.extend(one.entry.conversation.as_deref());
                            Some(why)
                        }
                    },
                    stays => stays,
                },
            };
            fates.push(fate(one, Verdict::WouldBeReplayed, stays));
        }
        if !replay.dry_run {
            self.settle(&mut fates, Sift::Requeue).await;
        }
        Ok(fates)
    }

    pub(super) async fn discard(&self, discard: &Discard) -> Result<Vec<Fate>, Wrong> {
        let _alone = self.walking.lock().await;
        let ledger = self.ledger.as_ref().ok_or(Wrong::NoLedger)?;
        let chosen = self.select(&discard.selector).await?;
        for About { effect, .. } in chosen.iter().filter_map(|one| one.about.as_ref().ok()) {
            let note = Note { effect: effect.clone(), what: What::Discarded, detail: discard.reason.clone() };
            ledger.note(note).await?;
        }
        let mut fates: Vec<Fate> = chosen.iter().map(|one| fate(one, Verdict::Discarded, None)).collect();
        self.settle(&mut fates, Sift::Discard).await;
        for fate in fates.iter().filter(|fate| fate.verdict == Verdict::Discarded) {
            let (family, reason) = (fate.family.word(), &discard.reason);
            tracing::warn!(message.id = fate.id, family, cause = fate.cause, reason, "a dead letter was discarded");
        }
        Ok(fates)
    }

    /// Why a letter is not replayed. Consent and duplicates are looked at again where it is consumed.
    async fn refusal(&self, ledger: &Ledger, id: &str, about: &About, by: &By) -> Result<Option<String>, Wrong> {
        let effect = &about.effect;
        if !self.channels.contains(&effect.channel) {
            return Ok(Some(format!("channel {} is not configured here any more", effect.channel)));
        }
        let expire = self.expire_of(effect.family);
        let age = self.clock.now().duration_since(effect.received_at);
        if about.expires && age >= SignedDuration::try_from(expire).unwrap_or(SignedDuration::MAX) {
            let (family, hours) = (effect.family.word(), expire.as_secs_f64() / 3600.0);
            return Ok(Some(format!("expired: it is older than expire.{family} ({hours:.1} h)")));
        }
        let mut lines = lines(ledger, id).await?;
        lines.retain(|line| line.family == effect.family);
        if lines.iter().any(|line| told(about, line)) {
            return Ok(Some("already sent, as the ledger says".to_owned()));
        }
        // Nobody is texted twice unless a person says so of this very message.
        let in_doubt = |line: &Line| line.what == What::Failed && line.detail.ends_with(MAYBE_SENT);
        if !matches!(by, By::Ids(_)) && lines.iter().any(in_doubt) {
            return Ok(Some("it may have been delivered; replay it by its id to send it once more".to_owned()));
        }
        Ok(None)
    }

    const fn expire_of(&self, family: Family) -> Duration {
        match family {
            Family::Inbound => self.expire.inbound,
            Family::Replies => self.expire.replies,
            Family::Receipts => self.expire.receipts,
        }
    }

    /// Does to the letters what was decided, and tells what became of each.
    async fn settle(&self, fates: &mut [Fate], sift: Sift) {
        let mut decided: BTreeMap<Family, HashMap<String, Sift>> = BTreeMap::new();
        for fate in fates.iter().filter(|fate| fate.verdict != Verdict::Stays) {
            decided.entry(fate.family).or_default().insert(fate.id.clone(), sift);
        }
        let mut stopped = None;
        for (family, decisions) in decided {
            let mut settled = HashMap::new();
            if stopped.is_none() {
                match self.broker.sift(family, LOOK, &decisions).await {
                    Ok(sifting) => {
                        settled.extend(sifting.settled);
                        stopped = sifting.stopped;
                    }
                    Err(error) => stopped = Some(format!("{error:#}")),
                }
            }
            for fate in fates.iter_mut().filter(|fate| fate.family == family && fate.verdict != Verdict::Stays) {
                (fate.verdict, fate.why) = match settled.get(&fate.id) {
                    Some(Sifted::Requeued(queue)) => {
                        tracing::info!(message.id = fate.id, queue, cause = fate.cause, "a dead letter was replayed");
                        (Verdict::Replayed, String::new())
                    }
                    Some(Sifted::Discarded) => (Verdict::Discarded, String::new()),
                    Some(Sifted::Refused(why)) => (Verdict::Stays, why.clone()),
                    None => (Verdict::Stays, stopped.clone().unwrap_or_else(|| "it was gone meanwhile".to_owned())),
                };
            }
        }
    }
}

enum Reopening {
    Done,
    Never(String),
    Later(String),
}

async fn reopen(ledger: &Ledger, about: &About) -> Result<Reopening, Wrong> {
    Ok(match ledger.reopen(&about.effect, about.recipient.as_deref()).await? {
        Reopened::Fresh => Reopening::Done,
        Reopened::AlreadySent => Reopening::Never("already sent, as the ledger says".to_owned()),
        Reopened::Erased => Reopening::Never("its consumer was erased; discard it".to_owned()),
        Reopened::InHand { until } => Reopening::Later(format!("somebody may be sending it until {until:.0}")),
    })
}

fn fate(chosen: &Chosen, verdict: Verdict, stays: Option<String>) -> Fate {
    let entry = &chosen.entry;
    let verdict = if stays.is_some() { Verdict::Stays } else { verdict };
    let (family, id, cause) = (entry.family, entry.id.clone(), entry.cause.clone());
    Fate { family, id, cause, verdict, why: stays.unwrap_or_default() }
}

/// The lines of one message, without those of others that its id finds.
async fn lines(ledger: &Ledger, id: &str) -> Result<Vec<Line>, Wrong> {
    let lines = ledger.timeline(id).await?;
    Ok(lines.into_iter().filter(|line| line.id.as_str() == id).collect())
}

/// Whether a line says that the effect of a letter was made.
fn told(about: &About, line: &Line) -> bool {
    match about.status {
        Some(status) => line.what == What::Receipt && line.detail.starts_with(status),
        None => line.what == What::Sent,
    }
}

fn readable(bytes: &[u8]) -> Body {
    match std::str::from_utf8(bytes) {
        Ok(text) => Body::Text(text.to_owned()),
        Err(_) => Body::Hex(bytes.iter().map(|byte| format!("{byte:02x}")).collect()),
    }
}
