//! Looks through a provider's sessions for messages whose events were lost (`reference/netsapiens.md` 5.5, 4).

use std::collections::HashMap;

use jiff::{SignedDuration, Timestamp};
use ledger::Ledger;
use model::{MessageId, NeighbourName};
use sms::{ConsumerText, Provider, SessionSummary};

use crate::directory::{Channel, Directory};
use crate::routes::Room;
use crate::watch::{Post, Watch};

/// How far a look reaches back behind the last one: clocks differ, and servers copy from each other.
const OVERLAP: SignedDuration = SignedDuration::from_mins(5);

/// What has to be known between two looks.
pub(crate) struct CatchUp {
    provider: NeighbourName,
    max_age: SignedDuration,
    begin: Option<Timestamp>,
    started: Timestamp,
    /// What was published by the looks that the next one overlaps, and may not have arrived yet.
    published: HashMap<MessageId, Timestamp>,
}

impl CatchUp {
    pub(crate) fn new(plan: &Watch, started: Timestamp) -> Self {
        Self {
            provider: plan.provider.clone(),
            max_age: SignedDuration::try_from(plan.max_age).unwrap_or(SignedDuration::MAX),
            begin: plan.begin,
            started,
            published: HashMap::new(),
        }
    }

    /// One look; whether it was made in full. What it could not read is looked for again by the next.
    pub(crate) async fn run(&mut self, room: &Room, directory: &Directory, post: &Post) -> bool {
        match self.look(room, directory, post).await {
            Ok(found) => {
                tracing::debug!(provider = %self.provider, found, "its sessions were looked through");
                true
            }
            Err(error) => {
                tracing::warn!(provider = %self.provider, error = format!("{error:#}"), "its sessions could not be looked through; they will be again");
                false
            }
        }
    }

    async fn look(&mut self, room: &Room, directory: &Directory, post: &Post) -> anyhow::Result<usize> {
        let Some(provider) = directory.provider(self.provider.as_str()) else { return Ok(0) };
        let began = room.clock.now();
        let name = format!("caught-up/{}", self.provider);
        let since = self.since(&post.ledger, &name, began).await?;
        self.published.retain(|_, at| *at >= since);
        let (mut found, mut failed) = (0, None);
        for user in directory.users(&self.provider) {
            // One user whose sessions cannot be read holds up none of the others.
            match self.look_at(room, directory, provider, &user, since, post).await {
                Ok(some) => found += some,
                Err(error) => failed = Some(error),
            }
        }
        match failed {
            Some(error) => Err(error),
            None => {
                post.put(&name, &began.to_string()).await?;
                Ok(found)
            }
        }
    }

    /// Where this look begins: a little before the last one, and never before anything an agent may have.
    async fn since(&self, ledger: &Ledger, name: &str, now: Timestamp) -> anyhow::Result<Timestamp> {
        let installed = ledger.installed(self.provider.as_str(), self.started).await?;
        let young = now.saturating_sub(self.max_age).unwrap_or(Timestamp::MIN);
        let oldest = self.begin.unwrap_or(installed).max(young);
        let last = ledger.mark(name).await?.and_then(|mark| mark.value.parse::<Timestamp>().ok());
        let last = last.map(|last| last.saturating_sub(OVERLAP).unwrap_or(Timestamp::MIN));
        Ok(last.map_or(oldest, |last| last.max(oldest)))
    }

    async fn look_at(
        &mut self,
        room: &Room,
        directory: &Directory,
        provider: &Provider,
        user: &str,
        since: Timestamp,
        post: &Post,
    ) -> anyhow::Result<usize> {
        let mut sessions = provider.list_sessions(user, since).await?;
        sessions.sort_by_key(|session| session.last_at);
        let mut found = 0;
        for session in &sessions {
            let channel = directory.channel(&self.provider, &session.number).filter(|channel| channel.user == user);
            let Some(channel) = channel else { continue };
            anyhow::ensure!(post.hold().await?, "another replica took over");
            let texts = self.fresh(provider, channel, session, since, &post.ledger).await?;
            for (id, text) in texts {
                room.accept(channel, &text).await?;
                self.published.insert(id, text.arrival.sent_at.unwrap_or(since));
                found += 1;
            }
        }
        Ok(found)
    }

    /// What of a session nobody has seen yet, the oldest first.
    async fn fresh(
        &self,
        provider: &Provider,
        channel: &Channel,
        session: &SessionSummary,
        since: Timestamp,
        ledger: &Ledger,
    ) -> anyhow::Result<Vec<(MessageId, ConsumerText)>> {
        let destination = channel.destination();
        let texts = provider.read_session(&channel.user, &session.id, &channel.number, since).await?;
        let young = texts.into_iter().filter(|text| text.arrival.sent_at.is_some_and(|at| at >= since));
        let named = young.map(|text| (destination.id(&text), text));
        let texts: Vec<_> = named.filter(|(id, _)| !self.published.contains_key(id)).collect();
        if texts.is_empty() {
            return Ok(texts);
        }
        let ids: Vec<MessageId> = texts.iter().map(|(id, _)| id.clone()).collect();
        let known = ledger.arrived(&channel.name, &ids).await?;
        Ok(texts.into_iter().filter(|(id, _)| !known.contains(id)).collect())
    }
}
