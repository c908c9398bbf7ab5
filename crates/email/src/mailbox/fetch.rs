use std::io::Write;

use async_imap::imap_proto::{AttributeValue, Response};
use async_imap::types::UnsolicitedResponse;
use jiff::fmt::strtime;
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
    /// Whether the server spoke of new mails while it answered a command.
    pub(super) heard: bool,
}

impl<'a> Mailbox<'a> {
    /// Opens the mailbox to look at it only.
    pub(super) async fn select(session: Open, config: &'a ImapConfig) -> Result<(Self, Selected), ImapError> {
        let mut mailbox = Self { session, config, heard: false };
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
            None => mailbox.search("UID 1:*").await?.last().map_or(1, |last| last.saturating_add(1)),
        };
        Ok((mailbox, Selected { uid_validity, uid_next }))
    }

    /// The UIDs behind a cursor, in order.
    pub(super) async fn after(&mut self, uid: u32) -> Result<Vec<u32>, ImapError> {
        let Some(first) = uid.checked_add(1) else { return Ok(Vec::new()) };
        // `first:*` holds the last mail even where it stands before the first.
        let mut found = self.search(&format!("UID {first}:*")).await?;
        found.retain(|found| *found > uid);
        Ok(found)
    }

    /// The UIDs of what the server took at a moment or after it, the oldest first; only those below `before`.
    ///
    /// Servers tell whole seconds, so that what came within the second of the moment counts: whoever stores the mails knows
    /// those that were there before. A restored mailbox may number its mails in any order, so that theirs is that of their
    /// times, behind which the cursor moves.
    pub(super) async fn since(&mut self, moment: Timestamp, before: u32) -> Result<Vec<u32>, ImapError> {
        // A search knows days only, and those of the server's own time zone.
        let day = moment.checked_sub(SignedDuration::from_hours(24)).unwrap_or(moment);
        let mut found = self.search(&format!("SINCE {}", day.strftime("%-d-%b-%Y"))).await?;
        found.retain(|uid| *uid < before);
        let mut recent = Vec::new();
        for uid in found {
            let told = self.tell(uid).await?;
            if let Some(received) = told.and_then(|told| told.received)
                && received.as_second() >= moment.as_second()
            {
                recent.push((received, uid));
            }
        }
        recent.sort_unstable();
        Ok(recent.into_iter().map(|(_, uid)| uid).collect())
    }

    /// Size and time of a mail; none when it is no longer there.
    pub(super) async fn tell(&mut self, uid: u32) -> Result<Option<Told>, ImapError> {
        let (mut size, mut received) = (None, None);
        let take = |attribute: &AttributeValue<'_>| match attribute {
            AttributeValue::Rfc822Size(bytes) => size = Some(u64::from(*bytes)),
            AttributeValue::InternalDate(date) => received = moment(date),
            _ => {}
        };
        self.fetch(uid, "(UID RFC822.SIZE INTERNALDATE)", take).await?;
        if let Some(size) = size {
            return Ok(Some(Told { size, received }));
        }
        self.make_sure_it_is_gone(uid).await?;
        Ok(None)
    }

    /// Fetches something of a mail, and shows it to `take`.
    async fn fetch(
        &mut self,
        uid: u32,
        what: &str,
        mut take: impl FnMut(&AttributeValue<'_>) + Send,
    ) -> Result<(), ImapError> {
        let take = |response: &Response<'_>| {
            // A server may tell of other mails meanwhile.
            if let Response::Fetch(_, attributes) = response
                && attributes.contains(&AttributeValue::Uid(uid))
            {
                attributes.iter().for_each(&mut take);
            }
        };
        self.command(&format!("UID FETCH {uid} {what}"), take).await
    }

    /// Fails where a mail is still listed: what is passed over is never asked for again.
    async fn make_sure_it_is_gone(&mut self, uid: u32) -> Result<(), ImapError> {
        // Only after a command like this one a server has to admit that a mail was removed.
        self.command("NOOP", |_| {}).await?;
        if self.search(&format!("UID {uid}")).await?.contains(&uid) {
            return Err(self.config.unavailable("does not give a mail that it lists"));
        }
        Ok(())
    }

    /// Whether the server gives mails at all, asked by one that it gave before.
    pub(super) async fn give_again(&mut self, uid: u32) -> Result<(), ImapError> {
        self.fetch(uid, "(UID BODY.PEEK[]<0.1>)", |_| {}).await
    }

    /// Fetches a mail piece by piece, so that a large one never stands in memory; none when it is no longer there.
    pub(super) async fn body(&mut self, uid: u32) -> Result<Option<(SpooledTempFile, u64)>, ImapError> {
        let limits = &self.config.limits;
        let piece = limits.piece_bytes;
        let mut content = tempfile::spooled_tempfile_in(limits.memory_bytes, &self.config.spool);
        let mut size = 0u64;
        loop {
            let mut given: Option<Vec<u8>> = None;
            let take = |attribute: &AttributeValue<'_>| {
                if let AttributeValue::BodySection { section: None, data, .. } = attribute {
                    given = Some(data.as_deref().unwrap_or_default().to_vec());
                }
            };
            self.fetch(uid, &format!("(UID BODY.PEEK[]<{size}.{piece}>)"), take).await?;
            let Some(bytes) = given else {
                if size > 0 {
                    return Err(self.config.unavailable("stopped in the middle of a mail"));
                }
                self.make_sure_it_is_gone(uid).await?;
                return Ok(None);
            };
            let written = content.write_all(&bytes);
            written.map_err(|error| ImapError::Spool { target: self.config.target.clone(), kind: error.kind() })?;
            size += bytes.len() as u64;
            // Sizes that servers tell are not always right, so the end is where there is no more.
            if bytes.len() < piece as usize || size > self.config.limits.mail_bytes {
                return Ok(Some((content, size)));
            }
        }
    }

    /// Whether the server said of new mails while it answered something else.
    pub(super) fn heard_of_new(&mut self) -> bool {
        let mut heard = std::mem::take(&mut self.heard);
        while let Ok(said) = self.session.unsolicited_responses.try_recv() {
            heard |= matches!(said, UnsolicitedResponse::Exists(_));
        }
        heard
    }
}

/// The time of an INTERNALDATE.
fn moment(date: &str) -> Option<Timestamp> {
    let date = strtime::parse("%d-%b-%Y %H:%M:%S %z", date.trim()).ok()?;
    date.to_timestamp().ok()
}

impl Cursor {
    /// The cursor behind a mail.
    pub(super) fn behind(uid_validity: u32, uid: u32, received: Option<Timestamp>, before: Option<Timestamp>) -> Self {
        Self { uid_validity, uid, seen: received.max(before) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_a_server_took_a_mail_is_read() {
        for (date, expected) in [
            ("20-Nov-2026 15:35:30 +0000", Some("2026-11-20T15:35:30Z")),
            (" 1-Nov-2026 00:05:00 +0530", Some("2026-10-31T18:35:00Z")),
            ("1-Nov-2026 00:05:00 -0500", Some("2026-11-01T05:05:00Z")),
            ("yesterday", None),
        ] {
            assert_eq!(moment(date), expected.map(|time| time.parse().unwrap()), "{date}");
        }
    }
}
