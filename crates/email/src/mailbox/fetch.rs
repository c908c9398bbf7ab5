use std::io::Write;

use async_imap::types::Fetch;
use futures_util::TryStreamExt;
use jiff::{SignedDuration, Timestamp};
use tempfile::SpooledTempFile;
use tokio::time::timeout;

use super::config::ImapConfig;
use super::connect::{ImapError, Open};
use super::cursor::Cursor;

/// What a mailbox is before any mail is fetched.
pub(super) struct Selected {
    pub(super) uid_validity: u32,
    /// The UID the next mail will have.
    pub(super) uid_next: u32,
}

/// What a server tells of a mail without giving it.
pub(super) struct Told {
    pub(super) size: u64,
    pub(super) received: Option<Timestamp>,
}

/// A session and the limits it is used within.
pub(super) struct Mailbox<'a> {
    pub(super) session: Open,
    pub(super) config: &'a ImapConfig,
}

impl<'a> Mailbox<'a> {
    async fn within<T>(
        config: &ImapConfig,
        call: impl Future<Output = async_imap::error::Result<T>> + Send,
    ) -> Result<T, ImapError> {
        match timeout(config.command_timeout, call).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(_)) => Err(config.unavailable("broke off the conversation")),
            Err(_) => Err(config.unavailable("did not answer a command in time")),
        }
    }

    /// Opens the mailbox to look at it only.
    pub(super) async fn select(session: Open, config: &'a ImapConfig) -> Result<(Self, Selected), ImapError> {
        let mut mailbox = Self { session, config };
        let opened = timeout(config.command_timeout, mailbox.session.examine(&config.mailbox)).await;
        let opened = match opened {
            Ok(Ok(opened)) => opened,
            Ok(Err(async_imap::error::Error::No(_) | async_imap::error::Error::Bad(_))) => {
                return Err(ImapError::NoMailbox { target: config.target.clone() });
            }
            Ok(Err(_)) => return Err(config.unavailable("broke off the conversation")),
            Err(_) => return Err(config.unavailable("did not answer a command in time")),
        };
        let uid_validity =
            opened.uid_validity.ok_or_else(|| config.unavailable("gives its mails no lasting numbers"))?;
        let uid_next = match opened.uid_next {
            Some(next) => next,
            None => mailbox.uids("1:*").await?.last().map_or(1, |last| last.saturating_add(1)),
        };
        Ok((mailbox, Selected { uid_validity, uid_next }))
    }

    /// The UIDs of a search, in order.
    async fn uids(&mut self, what: &str) -> Result<Vec<u32>, ImapError> {
        let found = Self::within(self.config, self.session.uid_search(format!("UID {what}"))).await?;
        let mut found: Vec<u32> = found.into_iter().collect();
        found.sort_unstable();
        Ok(found)
    }

    /// The UIDs behind a cursor, in order.
    pub(super) async fn after(&mut self, uid: u32) -> Result<Vec<u32>, ImapError> {
        let Some(first) = uid.checked_add(1) else { return Ok(Vec::new()) };
        // `first:*` holds the last mail even where it stands before the first.
        let mut found = self.uids(&format!("{first}:*")).await?;
        found.retain(|found| *found > uid);
        Ok(found)
    }

    /// The UIDs of what the server took after a moment, in order; at most those below `before`.
    pub(super) async fn since(&mut self, moment: Timestamp, before: u32) -> Result<Vec<u32>, ImapError> {
        // A search knows days only, and those of the server's own time zone.
        let day = moment.checked_sub(SignedDuration::from_hours(24)).unwrap_or(moment);
        let day = day.strftime("%-d-%b-%Y");
        let found = Self::within(self.config, self.session.uid_search(format!("SINCE {day}"))).await?;
        let mut found: Vec<u32> = found.into_iter().filter(|uid| *uid < before).collect();
        found.sort_unstable();
        let mut recent = Vec::new();
        for uid in found {
            let told = self.tell(uid).await?;
            if told.and_then(|told| told.received).is_some_and(|received| received > moment) {
                recent.push(uid);
            }
        }
        Ok(recent)
    }

    /// Size and time of a mail; none when it is no longer there.
    pub(super) async fn tell(&mut self, uid: u32) -> Result<Option<Told>, ImapError> {
        let fetched = self.fetch(uid, "(UID RFC822.SIZE INTERNALDATE)").await?;
        let told = fetched.iter().find(|fetch| fetch.uid == Some(uid));
        Ok(told.map(|fetch| Told {
            size: u64::from(fetch.size.unwrap_or(0)),
            received: fetch.internal_date().and_then(|date| Timestamp::from_second(date.timestamp()).ok()),
        }))
    }

    async fn fetch(&mut self, uid: u32, what: &str) -> Result<Vec<Fetch>, ImapError> {
        let Self { session, config } = self;
        let fetching = async move { session.uid_fetch(uid.to_string(), what).await?.try_collect::<Vec<_>>().await };
        Self::within(config, fetching).await
    }

    /// Fetches a mail piece by piece, so that a large one never stands in memory; none when it is no longer there.
    pub(super) async fn body(&mut self, uid: u32) -> Result<Option<(SpooledTempFile, u64)>, ImapError> {
        let limits = &self.config.limits;
        let piece = limits.piece_bytes;
        let mut content = tempfile::spooled_tempfile_in(limits.memory_bytes, &self.config.spool);
        let mut size = 0u64;
        loop {
            let fetched = self.fetch(uid, &format!("(UID BODY.PEEK[]<{size}.{piece}>)")).await?;
            let Some(fetch) = fetched.iter().find(|fetch| fetch.uid == Some(uid)) else {
                return Ok((size > 0).then_some((content, size)));
            };
            let bytes = fetch.body().unwrap_or_default();
            let written = content.write_all(bytes);
            written.map_err(|error| ImapError::Spool { target: self.config.target.clone(), kind: error.kind() })?;
            size += bytes.len() as u64;
            // Sizes that servers tell are not always right, so the end is where there is no more.
            if bytes.len() < piece as usize || size > self.config.limits.mail_bytes {
                return Ok(Some((content, size)));
            }
        }
    }

    /// Whether the server said of new mails while it answered something else.
    pub(super) fn heard_of_new(&self) -> bool {
        let mut heard = false;
        while let Ok(said) = self.session.unsolicited_responses.try_recv() {
            heard |= matches!(said, async_imap::types::UnsolicitedResponse::Exists(_));
        }
        heard
    }
}

impl Cursor {
    /// The cursor behind a mail.
    pub(super) fn behind(uid_validity: u32, uid: u32, received: Option<Timestamp>, before: Option<Timestamp>) -> Self {
        Self { uid_validity, uid, seen: received.max(before) }
    }
}
