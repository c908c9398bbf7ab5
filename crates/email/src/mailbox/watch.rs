use std::sync::Arc;

use async_imap::extensions::idle::IdleResponse;
use jiff::Timestamp;
use runtime::{Clock, Shutdown};
use rustls::ClientConfig;
use tempfile::SpooledTempFile;
use tokio::time::timeout;

use super::config::ImapConfig;
use super::connect::{ImapError, connect};
use super::cursor::{Cursor, Event, Fetched, Handler, Skipped};
use super::fetch::{Mailbox, Selected, Told};
use super::trouble::Trouble;
use crate::listen::StoreError;
use crate::tls;

/// Watches a mailbox until the soft stage of the shutdown, over one connection after the other.
///
/// `cursor` is what the handler kept last. Without one, nothing that is there is brought in, or only what the server took
/// after `since`. Every trouble goes to `told`, and `None` when a connection stands again; it never ends the watch.
///
/// # Errors
/// An authority's certificate that cannot be read.
pub async fn watch(
    config: ImapConfig,
    cursor: Option<Cursor>,
    since: Option<Timestamp>,
    handler: Handler,
    told: impl Fn(Option<&ImapError>) + Send,
    clock: Clock,
    shutdown: Shutdown,
) -> anyhow::Result<()> {
    let tls = tls::client(&config.authorities)?;
    let trouble = Trouble::default();
    let mut watcher =
        Watcher { config: &config, cursor, since, handler, told: &told, clock, trouble, well: None, failures: 0 };
    while !shutdown.is_stopping() {
        let ended = tokio::select! {
            ended = watcher.connection(&tls, &shutdown) => ended,
            () = shutdown.forced() => return Ok(()),
        };
        let Err(error) = ended else { return Ok(()) };
        told(Some(&error));
        watcher.failures = watcher.failures.saturating_add(1);
        let wait = match error {
            // A server locks out whoever keeps trying.
            ImapError::LoginRefused { .. } => config.backoff.cap,
            _ => config.backoff.wait(watcher.failures),
        };
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = shutdown.stopping() => {}
        }
    }
    Ok(())
}

/// Connects, logs in and opens the mailbox, to see whether it can be done.
///
/// # Errors
/// What is wrong, as [`watch`] would tell it.
pub async fn probe(config: &ImapConfig) -> Result<(), ImapError> {
    let tls =
        tls::client(&config.authorities).map_err(|_| config.unavailable("has an authority that cannot be read"))?;
    let session = connect(config, &tls).await?;
    Mailbox::select(session, config).await.map(drop)
}

struct Watcher<'a, T> {
    config: &'a ImapConfig,
    cursor: Option<Cursor>,
    since: Option<Timestamp>,
    handler: Handler,
    told: &'a T,
    clock: Clock,
    trouble: Trouble,
    /// The last mail that came in whole.
    well: Option<u32>,
    failures: u32,
}

/// What came of fetching a mail.
enum Got {
    Nothing,
    TooLarge { received: Option<Timestamp>, size: u64 },
    Mail { received: Option<Timestamp>, size: u64, content: SpooledTempFile },
}

impl<T: Fn(Option<&ImapError>)> Watcher<'_, T> {
    /// One connection, until it breaks or the shutdown begins.
    async fn connection(&mut self, tls: &Arc<ClientConfig>, shutdown: &Shutdown) -> Result<(), ImapError> {
        let session = connect(self.config, tls).await?;
        let (mut mailbox, selected) = Mailbox::select(session, self.config).await?;
        (self.told)(None);
        let can_idle = timeout(self.config.command_timeout, mailbox.session.capabilities()).await;
        let can_idle = can_idle.is_ok_and(|answer| answer.is_ok_and(|known| known.has_str("IDLE")));
        self.settle(&mut mailbox, &selected).await?;
        loop {
            let cursor = self.cursor.unwrap_or(Cursor { uid_validity: selected.uid_validity, uid: 0, seen: None });
            for uid in mailbox.after(cursor.uid).await? {
                if shutdown.is_stopping() {
                    return Ok(());
                }
                self.take(&mut mailbox, selected.uid_validity, uid).await?;
            }
            self.failures = 0;
            if shutdown.is_stopping() {
                return Ok(());
            }
            // What came while the search was answered is looked for at once: the server will not speak of it again.
            if !mailbox.heard_of_new() {
                mailbox = self.wait(mailbox, can_idle, shutdown).await?;
            }
        }
    }

    /// Finds the place to begin at, where there is none for this life of the mailbox.
    async fn settle(&mut self, mailbox: &mut Mailbox<'_>, selected: &Selected) -> Result<(), ImapError> {
        if self.cursor.is_some_and(|cursor| cursor.uid_validity == selected.uid_validity) {
            return Ok(());
        }
        self.well = None;
        let since = self.cursor.and_then(|cursor| cursor.seen).or(self.since);
        let recent = match since {
            Some(since) => mailbox.since(since, selected.uid_next).await?,
            None => Vec::new(),
        };
        for uid in recent {
            self.bring(mailbox, selected.uid_validity, uid, Some(0)).await?;
        }
        let seen = self.cursor.and_then(|cursor| cursor.seen).or(since);
        let begin = Cursor { uid_validity: selected.uid_validity, uid: selected.uid_next.saturating_sub(1), seen };
        self.store(Event::Begin(begin)).await?.map_err(|()| self.not_stored())?;
        self.cursor = Some(begin);
        Ok(())
    }

    async fn take(&mut self, mailbox: &mut Mailbox<'_>, uid_validity: u32, uid: u32) -> Result<(), ImapError> {
        self.bring(mailbox, uid_validity, uid, None).await
    }

    /// Brings in one mail. `place` is where the cursor stays while mails are brought in out of their order.
    async fn bring(
        &mut self,
        mailbox: &mut Mailbox<'_>,
        uid_validity: u32,
        uid: u32,
        place: Option<u32>,
    ) -> Result<(), ImapError> {
        let before = self.cursor.and_then(|cursor| cursor.seen);
        let at = |received| match place {
            // Until all of them are in, the old life's cursor is the true one; what was brought is known by its time.
            Some(place) => Cursor {
                uid: place,
                ..Cursor::behind(self.cursor.map_or(0, |old| old.uid_validity), place, received, before)
            },
            None => Cursor::behind(uid_validity, uid, received, before),
        };
        if self.trouble.is_hopeless(uid, &self.config.limits) {
            return self.skip(at(None), Skipped::Poison).await;
        }
        // A server that gives no other mail either is down, whatever else it answers, and no try counts.
        if let Some(well) = self.well.filter(|_| self.trouble.is_about(uid)) {
            mailbox.give_again(well).await?;
        }
        let got = Self::fetch(mailbox, uid).await;
        let got = got.inspect_err(|error| {
            self.trouble.failed(uid, error, self.clock.now(), &self.config.limits);
        })?;
        // From here on it is not the mail that breaks.
        self.trouble.is_over();
        let (cursor, fetched) = match got {
            // Somebody removed it.
            Got::Nothing => return Ok(()),
            Got::TooLarge { received, size } => return self.skip(at(received), Skipped::TooLarge { size }).await,
            Got::Mail { received, size, content } => {
                let cursor = at(received);
                (cursor, Fetched { cursor, received, size, content })
            }
        };
        self.well = Some(uid);
        match self.store(Event::Mail(fetched)).await? {
            Ok(()) => {
                self.cursor = Some(cursor);
                Ok(())
            }
            Err(()) => self.skip(cursor, Skipped::Poison).await,
        }
    }

    async fn fetch(mailbox: &mut Mailbox<'_>, uid: u32) -> Result<Got, ImapError> {
        let most = mailbox.config.limits.mail_bytes;
        let Some(Told { size, received }) = mailbox.tell(uid).await? else { return Ok(Got::Nothing) };
        if size > most {
            return Ok(Got::TooLarge { received, size });
        }
        let Some((content, size)) = mailbox.body(uid).await? else { return Ok(Got::Nothing) };
        if size > most {
            return Ok(Got::TooLarge { received, size });
        }
        Ok(Got::Mail { received, size, content })
    }

    async fn skip(&mut self, cursor: Cursor, why: Skipped) -> Result<(), ImapError> {
        self.store(Event::Skipped { cursor, why }).await?.map_err(|()| self.not_stored())?;
        self.trouble.is_over();
        self.cursor = Some(cursor);
        Ok(())
    }

    /// Gives an event to the handler. The inner error is that it will never be taken.
    async fn store(&self, event: Event) -> Result<Result<(), ()>, ImapError> {
        match self.handler.handle(event).await {
            Ok(()) => Ok(Ok(())),
            Err(StoreError::Never) => Ok(Err(())),
            Err(StoreError::Later) => Err(self.not_stored()),
        }
    }

    fn not_stored(&self) -> ImapError {
        ImapError::NotStored { target: self.config.target.clone() }
    }

    /// Waits until the server speaks of something new, or until it is time to look anyway.
    async fn wait<'m>(
        &self,
        mailbox: Mailbox<'m>,
        can_idle: bool,
        shutdown: &Shutdown,
    ) -> Result<Mailbox<'m>, ImapError> {
        let Mailbox { session, config, .. } = mailbox;
        if !can_idle {
            tokio::select! {
                () = tokio::time::sleep(config.every) => {}
                () = shutdown.stopping() => {}
            }
            return Ok(Mailbox { session, config, heard: false });
        }
        let broken = |_| config.unavailable("broke off the conversation");
        let mut idle = session.idle();
        let begun = timeout(config.command_timeout, idle.init()).await;
        begun.map_err(|_| config.unavailable("did not answer a command in time"))?.map_err(broken)?;
        let (waiting, _interrupt) = idle.wait_with_timeout(config.every);
        let heard = tokio::select! {
            heard = waiting => heard.map_err(broken)?,
            () = shutdown.stopping() => IdleResponse::ManualInterrupt,
        };
        drop(heard);
        let ended = timeout(config.command_timeout, idle.done()).await;
        let session = ended.map_err(|_| config.unavailable("did not answer a command in time"))?.map_err(broken)?;
        Ok(Mailbox { session, config, heard: false })
    }
}
