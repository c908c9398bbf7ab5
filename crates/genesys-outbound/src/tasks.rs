//! Messages of channels whose agents are given tasks (Open Media, `reference/genesys.md` 8.4).
//!
//! A conversation stands in one task, each message under a key of its own. What is known of the task is kept in the ledger; when
//! it is full, or has ended, the next generation takes its place and names it as its parent. A key is derived from its message,
//! so that putting a message twice, after a crash or a time-out, puts it once.

use std::time::Duration;

use anyhow::anyhow;
use broker::Failure;
use genesys::{
    Accepted, Blame, Changes, ChannelAccess, Client, Created, ExternalId, Interaction, InteractionRef, NewInteraction,
    OpenMediaService, Reached, Refusal, StopReason, UserData,
};
use ledger::{InteractionState, KeptInteraction};
use model::{InboundMessage, MessageId};
use tokio::time::timeout;

use crate::files::Had;
use crate::handler::{CALL_TIMEOUT, Room, ledger_down};

/// What all calls for one message may take together: a look, a creation, a look again, a change, and a stop.
pub(crate) const TIME: Duration = Duration::from_secs(6 * CALL_TIMEOUT.as_secs());
/// Bytes of user data a task may hold (section 8.4).
const LIMIT: u64 = 16 << 10;
/// Bytes of one text, so that it fits beside what every task holds.
const PIECE: usize = 12 << 10;
/// Generations that are tried for one message.
const GENERATIONS: u32 = 24;
/// What the keys of messages begin with.
const KEY: &str = "Message_";

/// What a conversation's task is called and shows, whatever its generation.
struct Talk<'a> {
    client: &'a Client,
    service: &'a OpenMediaService,
    access: &'a ChannelAccess,
    message: &'a InboundMessage,
}

/// One text on its way into a task.
struct Piece<'a> {
    /// Tells it from all others.
    mark: String,
    text: &'a str,
}

/// Whether a text is in a task now.
enum Put {
    Done(Option<String>),
    /// The task has ended.
    Gone,
}

/// What is known of the conversation's newest task, and in which version.
#[derive(Clone)]
struct Known {
    task: ledger::Interaction,
    version: u64,
}

impl Room {
    /// Puts a message into the task of its conversation.
    pub(crate) async fn put_into_task(
        &self,
        client: &Client,
        service: &OpenMediaService,
        access: &ChannelAccess,
        message: &InboundMessage,
        files: &[Had],
        unsure: bool,
    ) -> Result<Result<Accepted, Refusal>, Failure> {
        let talk = Talk { client, service, access, message };
        let text = if files.is_empty() { message.text.expose().clone() } else { self.linked(message, files) };
        let put = async {
            let mut last = None;
            for piece in pieces(&message.id, &text) {
                match self.put_piece(&talk, &piece, unsure).await? {
                    Ok(id) => last = id,
                    Err(refusal) => return Ok(Err(refusal)),
                }
            }
            Ok(Ok(Accepted { id: last }))
        };
        timeout(TIME, put).await.unwrap_or_else(|_| {
            let cause = "Genesys did not answer in time".to_owned();
            Ok(Err(Refusal::Later { after: None, blame: Blame::Tenant, maybe_done: true, cause }))
        })
    }

    async fn put_piece(
        &self,
        talk: &Talk<'_>,
        piece: &Piece<'_>,
        mut unsure: bool,
    ) -> Result<Result<Option<String>, Refusal>, Failure> {
        let mut known = self.known(talk).await?;
        let mut step = 1;
        for _ in 0..GENERATIONS {
            if let Some(open) = known.as_mut().filter(|known| known.task.state == InteractionState::Open) {
                if open.task.last.as_deref().is_some_and(|last| last.ends_with(&piece.mark)) {
                    return Ok(Ok(open.task.id.clone()));
                }
                let key = piece.key(open.task.entries);
                if open.task.bytes + piece.size(&key) <= LIMIT {
                    if talk.service.idle.is_some() && !self.keep(talk, open).await? {
                        // Somebody ends it at this moment, or another replica has this conversation now.
                        known = self.known(talk).await?;
                        continue;
                    }
                    match talk.add(&open.task, piece, &key, unsure).await {
                        Ok(Put::Done(id)) => {
                            open.task.holds(piece, key, id);
                            self.keep(talk, open).await?;
                            return Ok(Ok(open.task.id.clone().or_else(|| Some(open.task.external_id.clone()))));
                        }
                        Ok(Put::Gone) => open.task.state = InteractionState::Ended,
                        Err(refusal) => return Ok(Err(refusal)),
                    }
                }
            }
            let before = known.as_ref().map(|known| &known.task);
            if let Some(ending) = before.filter(|task| task.state == InteractionState::Ending)
                && let Err(refusal) = talk.stop(ending).await
            {
                return Ok(Err(refusal));
            }
            let generation = before.map_or(0, |task| task.generation).saturating_add(step);
            let version = known.as_ref().map_or(0, |known| known.version);
            match talk.begin(generation, before, piece, unsure).await {
                Ok((Created::Made(made), task)) => {
                    let mut made = Known { task: ledger::Interaction { id: made.id, ..task }, version };
                    self.keep(talk, &mut made).await?;
                    return Ok(Ok(made.task.id.or(Some(made.task.external_id))));
                }
                Ok((Created::There(there), task)) => {
                    // An earlier try made it, or it was made before the ledger forgot it.
                    let mut there = Known { task: adopted(there, task), version };
                    self.keep(talk, &mut there).await?;
                    (known, unsure) = (Some(there), true);
                }
                Ok((Created::Ended, task)) => {
                    // How many there were may be forgotten; the next number that is free is found in few steps.
                    let ended = ledger::Interaction { state: InteractionState::Ended, id: None, ..task };
                    known = Some(Known { task: ended, version });
                    step = step.saturating_mul(2);
                }
                Err(refusal) => return Ok(Err(refusal)),
            }
        }
        let cause = anyhow!("channel {}: no generation of its conversation's task is free", talk.access.name);
        Err(Failure::Reject { code: "no-generation", cause })
    }

    async fn known(&self, talk: &Talk<'_>) -> Result<Option<Known>, Failure> {
        let found = self.deps.ledger.interaction(&talk.access.name, &talk.message.from).await.map_err(ledger_down)?;
        Ok(found.map(|KeptInteraction { interaction, version, .. }| Known { task: interaction, version }))
    }

    /// Writes down what is known; `false` where somebody else did so in between, which is left as it is.
    async fn keep(&self, talk: &Talk<'_>, known: &mut Known) -> Result<bool, Failure> {
        let (channel, consumer) = (&talk.access.name, talk.message.from.normalised());
        let put = self.deps.ledger.put_interaction(channel, consumer, known.version, &known.task).await;
        let version = put.map_err(ledger_down)?;
        known.version = version.unwrap_or(known.version);
        Ok(version.is_some())
    }
}

impl Talk<'_> {
    /// Makes the task of a generation, with its first text in it.
    async fn begin(
        &self,
        generation: u32,
        before: Option<&ledger::Interaction>,
        piece: &Piece<'_>,
        unsure: bool,
    ) -> Result<(Created, ledger::Interaction), Refusal> {
        let conversation = MessageId::derive("sms", &[self.access.name.as_str(), self.message.from.normalised()]);
        let external_id = ExternalId::parse(&format!("{conversation}-{generation}"))
            .map_err(|error| Refusal::Never { code: "external-id", cause: error.to_string() })?;
        let parent = match before {
            Some(before) => self.id_of(before).await?,
            None => None,
        };
        let key = piece.key(0);
        let user_data = UserData::default()
            .with("ExternalId", external_id.as_str())
            .with("MediaOrigin", "bridge-sms")
            .with("FromAddress", self.message.from.normalised())
            .with("To", self.access.id.as_str())
            .with(key.clone(), piece.text);
        let task = ledger::Interaction {
            generation,
            external_id: external_id.to_string(),
            id: None,
            bytes: user_data.size() as u64,
            entries: 1,
            last: Some(key),
            state: InteractionState::Open,
            threads: Vec::new(),
        };
        let new = NewInteraction { external_id, parent, received_at: Some(self.message.received_at), user_data };
        Ok((self.client.create_interaction(&self.service.name, &new, unsure).await?, task))
    }

    /// The id Genesys gave a task, for the next one to name as its parent. One that is gone is asked for in vain.
    async fn id_of(&self, task: &ledger::Interaction) -> Result<Option<String>, Refusal> {
        if task.id.is_some() || task.state != InteractionState::Open {
            return Ok(task.id.clone());
        }
        Ok(self.client.interaction(&self.service.name, &at(task)?).await?.and_then(|found| found.id))
    }

    async fn add(
        &self,
        task: &ledger::Interaction,
        piece: &Piece<'_>,
        key: &str,
        unsure: bool,
    ) -> Result<Put, Refusal> {
        let at = at(task)?;
        if unsure && let Some(put) = self.look(&at, piece).await? {
            return Ok(put);
        }
        let data = || UserData::default().with(key, piece.text);
        let added = Changes { added: data(), ..Changes::default() };
        match self.client.update_interaction(&self.service.name, &at, &added).await {
            Ok(Reached::Done) => return Ok(Put::Done(None)),
            Ok(Reached::Gone) => return Ok(Put::Gone),
            Err(Refusal::Never { code: "bad-request", .. }) => {}
            Err(refusal) => return Err(refusal),
        }
        // What has ended may be refused so as well, and what was added before cannot be added.
        if let Some(put) = self.look(&at, piece).await? {
            return Ok(put);
        }
        let changed = Changes { changed: data(), ..Changes::default() };
        Ok(match self.client.update_interaction(&self.service.name, &at, &changed).await? {
            Reached::Done => Put::Done(None),
            Reached::Gone => Put::Gone,
        })
    }

    /// What looking at a task tells of a text: `None` where it is open and does not show it.
    async fn look(&self, at: &InteractionRef, piece: &Piece<'_>) -> Result<Option<Put>, Refusal> {
        let Some(found) = self.client.interaction(&self.service.name, at).await?.filter(|found| !found.ended) else {
            return Ok(Some(Put::Gone));
        };
        let shown = found.user_data().is_some_and(|data| data.keys().any(|key| piece.is_under(key)));
        Ok(shown.then_some(Put::Done(found.id)))
    }

    async fn stop(&self, task: &ledger::Interaction) -> Result<(), Refusal> {
        stop(self.client, self.service, task).await
    }
}

/// Ends a task of which nothing is to come any more.
pub(crate) async fn stop(
    client: &Client,
    service: &OpenMediaService,
    task: &ledger::Interaction,
) -> Result<(), Refusal> {
    let reason = StopReason { system_name: None, description: Some("No message for a while".to_owned()) };
    client.stop_interaction(&service.name, &at(task)?, &reason).await.map(drop)
}

fn at(task: &ledger::Interaction) -> Result<InteractionRef, Refusal> {
    let external = ExternalId::parse(&task.external_id);
    external
        .map(InteractionRef::External)
        .map_err(|error| Refusal::Never { code: "external-id", cause: error.to_string() })
}

/// A task that is there already: what it holds is counted where it is shown, and taken for what we would have put there.
fn adopted(there: Interaction, made: ledger::Interaction) -> ledger::Interaction {
    let shown = there.user_data().map(|data| {
        let size = data.iter().map(|(key, value)| key.len() + value.as_str().map_or(0, str::len)).sum::<usize>();
        (size as u64, data.keys().filter(|key| key.starts_with(KEY)).count())
    });
    let (bytes, entries) = shown.unwrap_or((made.bytes, 0));
    let entries = u32::try_from(entries).unwrap_or(u32::MAX);
    ledger::Interaction { id: there.id, bytes, entries, last: None, ..made }
}

trait Holds {
    fn holds(&mut self, piece: &Piece<'_>, key: String, id: Option<String>);
}

impl Holds for ledger::Interaction {
    fn holds(&mut self, piece: &Piece<'_>, key: String, id: Option<String>) {
        self.bytes += piece.size(&key);
        self.entries = self.entries.saturating_add(1);
        self.last = Some(key);
        self.id = self.id.take().or(id);
    }
}

impl Piece<'_> {
    /// In the order of their coming where keys are sorted.
    fn key(&self, entries: u32) -> String {
        format!("{KEY}{:04}{}", entries.saturating_add(1), self.mark)
    }

    fn is_under(&self, key: &str) -> bool {
        key.starts_with(KEY) && key.ends_with(&self.mark)
    }

    fn size(&self, key: &str) -> u64 {
        (key.len() + self.text.len()) as u64
    }
}

/// A message's text, cut where it is too long for one task.
fn pieces<'a>(id: &MessageId, text: &'a str) -> Vec<Piece<'a>> {
    let id = id.as_str().trim_start_matches("in-");
    let id = &id[..id.floor_char_boundary(12)];
    let (mut rest, mut all) = (if text.is_empty() { "[The message has no text.]" } else { text }, Vec::new());
    while !rest.is_empty() {
        let (text, more) = rest.split_at(rest.floor_char_boundary(PIECE));
        let mark = if all.is_empty() { format!("_{id}") } else { format!("_{id}_{}", all.len() + 1) };
        all.push(Piece { mark, text });
        rest = more;
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_where_it_is_too_long_and_every_piece_fits() {
        let text = "ü".repeat(PIECE);
        let pieces = pieces(&MessageId::new("in-0123456789abcdef0123456789abcdef"), &text);
        assert_eq!(pieces.iter().map(|piece| piece.text).collect::<String>(), text);
        let keys: Vec<String> = pieces.iter().map(|piece| piece.key(9)).collect();
        assert_eq!(keys, ["Message_0010_0123456789ab", "Message_0010_0123456789ab_2"]);
        assert!(pieces.iter().all(|piece| piece.size(&piece.key(0)) < LIMIT - 1024));
        assert!(pieces[0].is_under("Message_0001_0123456789ab") && !pieces[0].is_under(&keys[1]));
    }
}
