//! Watches a mailbox. One replica at a time does so, by a lease in the ledger, where the place it has reached is kept as well.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use broker::QueueName;
use email::listen::StoreError;
use email::mailbox::{Cursor, Event, Handler, ImapConfig, ImapError, Skipped, watch};
use jiff::{SignedDuration, Timestamp};
use ledger::{Ledger, LedgerError};
use model::{Family, NeighbourName};
use runtime::{Alarm, Component, Shutdown};
use tokio::time::{Instant, sleep};

use super::accept::MailRoom;
use super::carrier::Carrier;
use crate::routes::{count_dropped, new_trace};
use crate::watch::{AGAIN, LEASE, Post};

/// How one mailbox is watched.
pub struct MailWatch {
    /// The mailbox.
    pub config: ImapConfig,
    /// What the server took longer ago is never given to an agent.
    pub max_age: Duration,
    /// Where the looking begins, instead of the moment of the first installation.
    pub begin: Option<Timestamp>,
    /// Its line in the report.
    pub component: Component,
    /// Raised while the login is refused.
    pub refused: Alarm,
}

/// Watches one mailbox until the shutdown.
///
/// # Errors
/// An authority's certificate that cannot be read.
pub async fn watch_mailbox(plan: MailWatch, room: MailRoom, ledger: Ledger, shutdown: Shutdown) -> anyhow::Result<()> {
    let name = format!("{}/{}", room.provider().name, plan.config.mailbox);
    let started = room.clock().now();
    let post = Arc::new(Post::new(NeighbourName::new(name.clone()), ledger));
    let plan = Arc::new(plan);
    let mut ended = Ok(());
    while !shutdown.is_stopping() && ended.is_ok() {
        match post.hold().await {
            Ok(true) => match Keeper::begin(&name, &plan, &room, &post, started).await {
                Ok((keeper, since)) => ended = keeper.work(since, &shutdown).await,
                Err(error) => plan.component.trouble(error.to_string()),
            },
            // Another replica watches it.
            Ok(false) => plan.component.well(),
            Err(error) => plan.component.trouble(format!("nobody knows who watches the mailbox: {error}")),
        }
        tokio::select! {
            () = shutdown.stopping() => {}
            () = sleep(AGAIN) => {}
        }
    }
    post.leave().await;
    ended
}

/// Whoever watches it now.
struct Keeper {
    name: String,
    plan: Arc<MailWatch>,
    room: MailRoom,
    post: Arc<Post>,
    cursor: Option<Cursor>,
    /// The version of the mark that holds the cursor.
    version: AtomicU64,
}

impl Keeper {
    /// Reads how far the mailbox was read, and from when on what is in it counts.
    async fn begin(
        name: &str,
        plan: &Arc<MailWatch>,
        room: &MailRoom,
        post: &Arc<Post>,
        started: Timestamp,
    ) -> Result<(Arc<Self>, Timestamp), LedgerError> {
        let installed = post.ledger.installed(name, started).await?;
        let kept = post.ledger.mark(&mark(name)).await?;
        let version = kept.as_ref().map_or(0, |mark| mark.version);
        let cursor = kept.and_then(|mark| serde_json::from_str(&mark.value).ok());
        let keeper = Self {
            name: name.to_owned(),
            plan: Arc::clone(plan),
            room: room.clone(),
            post: Arc::clone(post),
            cursor,
            version: AtomicU64::new(version),
        };
        let since = plan.begin.unwrap_or(installed).max(keeper.oldest());
        Ok((Arc::new(keeper), since))
    }

    fn oldest(&self) -> Timestamp {
        let age = SignedDuration::try_from(self.plan.max_age).unwrap_or(SignedDuration::MAX);
        self.room.clock().now().saturating_sub(age).unwrap_or(Timestamp::MIN)
    }

    /// Watches for as long as the post is ours.
    async fn work(self: Arc<Self>, since: Timestamp, shutdown: &Shutdown) -> anyhow::Result<()> {
        let stop = shutdown.child();
        let keeper = Arc::clone(&self);
        let handler = Handler::new(move |event| {
            let keeper = Arc::clone(&keeper);
            async move { keeper.handle(event).await }
        });
        let told = |error: Option<&ImapError>| self.tell(error);
        let (config, clock) = (self.plan.config.clone(), self.room.clock().clone());
        let watching = watch(config, self.cursor, Some(since), handler, told, clock, stop.clone());
        tokio::pin!(watching);
        let mut ours_until = Instant::now() + LEASE;
        loop {
            tokio::select! {
                ended = &mut watching => return ended,
                () = sleep(AGAIN) => {}
            }
            match self.post.hold().await {
                Ok(true) => ours_until = Instant::now() + LEASE,
                Err(_) if Instant::now() < ours_until => {}
                // What is in hand is not marked as read, so whoever takes over reads it.
                Ok(false) | Err(_) => stop.force(),
            }
        }
    }

    fn tell(&self, error: Option<&ImapError>) {
        let Some(error) = error else {
            self.plan.component.well();
            self.plan.refused.clear();
            return;
        };
        if matches!(error, ImapError::LoginRefused { .. }) {
            self.plan.refused.raise(error.to_string());
        }
        self.plan.component.trouble(error.to_string());
    }

    async fn handle(&self, event: Event) -> Result<(), StoreError> {
        let cursor = match event {
            Event::Begin(cursor) => cursor,
            Event::Mail(mail) => {
                let cursor = mail.cursor;
                let oldest = self.oldest();
                if mail.received.is_some_and(|received| received < oldest) {
                    count_dropped(&self.room.provider().name, "too-old");
                } else {
                    self.room.accept(Carrier::Mailbox(mail, oldest)).await?;
                }
                cursor
            }
            Event::Skipped { cursor, why } => {
                self.quarantine(cursor, why).await?;
                cursor
            }
        };
        self.put(cursor).await
    }

    /// What is left in the mailbox is told where dead letters are, so that a person can look for it there.
    async fn quarantine(&self, cursor: Cursor, why: Skipped) -> Result<(), StoreError> {
        let Cursor { uid_validity, uid, .. } = cursor;
        let provider = self.room.provider();
        count_dropped(&provider.name, why.word());
        let size = match why {
            Skipped::TooLarge { size } => format!(", {size} bytes"),
            Skipped::Poison => String::new(),
        };
        let told = format!(
            "the mail with UID {uid} (UIDVALIDITY {uid_validity}) of mailbox {} was left there: {}{size}",
            self.name,
            why.word()
        );
        let Some(channel) = provider.channels.first() else { return Ok(()) };
        let queue = QueueName::Work { family: Family::Inbound, neighbour: channel.genesys.clone(), partition: 0 };
        let kept = self.room.broker().quarantine(&queue, told.as_bytes(), new_trace()).await;
        kept.map_err(|error| {
            tracing::error!(mailbox = self.name, %error, "a mail that is skipped could not be told of");
            StoreError::Later
        })?;
        tracing::warn!(
            mailbox = self.name,
            uid,
            cause = why.word(),
            "a mail is left in its mailbox; the dead letters tell which"
        );
        Ok(())
    }

    async fn put(&self, cursor: Cursor) -> Result<(), StoreError> {
        match self.try_put(cursor).await {
            Ok(true) => Ok(()),
            Ok(false) => {
                tracing::info!(mailbox = self.name, "another replica watches the mailbox now");
                Err(StoreError::Later)
            }
            Err(error) => {
                tracing::warn!(mailbox = self.name, %error, "how far the mailbox was read could not be noted; its last mail is read again");
                Err(StoreError::Later)
            }
        }
    }

    async fn try_put(&self, cursor: Cursor) -> Result<bool, LedgerError> {
        let (name, ledger) = (mark(&self.name), &self.post.ledger);
        let value = serde_json::to_string(&cursor).expect("numbers and times have a JSON form");
        let mut version = self.version.load(Ordering::Relaxed);
        for _ in 0..2 {
            if let Some(version) = ledger.put_mark(&name, version, &value).await? {
                self.version.store(version, Ordering::Relaxed);
                return Ok(true);
            }
            // A put that failed may have happened all the same; another's is not written over.
            if !self.post.hold().await? {
                return Ok(false);
            }
            version = ledger.mark(&name).await?.map_or(0, |mark| mark.version);
        }
        Ok(false)
    }
}

fn mark(name: &str) -> String {
    format!("mailbox/{name}")
}
