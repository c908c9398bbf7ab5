//! What becomes of one mail that came in, by whichever way.

use std::sync::Arc;

use blobs::Store;
use broker::{Broker, PublishError};
use email::listen::StoreError;
use email::read::{Bounce, Cause, Context, Envelope, Kind, Limits, Mail};
use model::{Address, InboundMessage, Private};
use runtime::Clock;
use tokio::sync::Semaphore;

use super::attachments::{self, Attached, NotKept};
use super::carrier::Carrier;
use super::compose;
use super::provider::{MailChannel, MailProvider};
use crate::leave;
use crate::routes::{count_dropped, new_trace};

/// Mails that are read at a time: reading one is work of a processor, and a large one takes some megabytes.
const READERS: usize = 4;

/// The room's doors, for mail of one provider.
#[derive(Clone)]
pub struct MailRoom {
    provider: Arc<MailProvider>,
    broker: Broker,
    store: Store,
    clock: Clock,
    readers: Arc<Semaphore>,
}

impl MailRoom {
    /// A room for one provider.
    pub fn new(provider: Arc<MailProvider>, broker: Broker, store: Store, clock: Clock) -> Self {
        Self { provider, broker, store, clock, readers: Arc::new(Semaphore::new(READERS)) }
    }

    pub(crate) fn provider(&self) -> &MailProvider {
        &self.provider
    }

    pub(crate) const fn broker(&self) -> &Broker {
        &self.broker
    }

    pub(crate) const fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Stores a mail, or whatever it comes to. `Ok` only when nothing of it can be lost any more.
    pub(crate) async fn accept(&self, carrier: Carrier) -> Result<(), StoreError> {
        let way = carrier.way();
        let (envelope, oldest) = match &carrier {
            Carrier::Smtp(received) => (Some(received.envelope.clone()), None),
            Carrier::Mailbox(_, oldest) => (None, Some(*oldest)),
        };
        let mail = self.read(carrier).await?;
        // A mailbox that was restored may call all its mails new; the last server's own line in them does not.
        if oldest.is_some_and(|oldest| mail.received.is_some_and(|received| received < oldest)) {
            count_dropped(&self.provider.name, "too-old");
            return Ok(());
        }
        if self.leaves(&mail, envelope.as_ref()).await? {
            return Ok(());
        }
        match &mail.kind {
            Kind::Machine(cause) => {
                self.leave(*cause);
                Ok(())
            }
            Kind::Bounce(bounce) => self.report(bounce).await,
            Kind::Message => self.deliver(mail, envelope, way).await,
        }
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "reading a mail takes a processor and a disk for as long as the mail is large; the readers bound it"
    )]
    async fn read(&self, carrier: Carrier) -> Result<Mail, StoreError> {
        let place = Arc::clone(&self.readers).acquire_owned().await.map_err(|_| StoreError::Later)?;
        let context = Context {
            envelope: None,
            domains: self.provider.domains.clone(),
            bounce_address: self.provider.bounce_address.clone(),
        };
        let limits = Limits { spool: self.provider.spool.clone(), ..Limits::default() };
        let read = tokio::task::spawn_blocking(move || {
            let read = carrier.read(context, &limits);
            drop(place);
            read
        });
        match read.await {
            Ok(Ok(mail)) => Ok(mail),
            Ok(Err(error)) => {
                tracing::error!(provider = %self.provider.name, %error, "a mail that came in cannot be read from the spool folder; it comes again. Look at its disk");
                Err(StoreError::Later)
            }
            Err(error) if error.is_panic() => {
                tracing::error!(provider = %self.provider.name, "reading a mail panicked; it is not taken");
                Err(StoreError::Never)
            }
            Err(_) => Err(StoreError::Later),
        }
    }

    /// A machine's mail, or one of ours that came back: counted, and given to nobody.
    fn leave(&self, cause: Cause) {
        count_dropped(&self.provider.name, cause.word());
        if cause.is_loop() {
            let name = &self.provider.name;
            self.provider.looping.raise(format!(
                "mail of provider {name} comes back to us ({}); look at what forwards or answers it: such mail is given to nobody",
                cause.word()
            ));
        } else {
            tracing::debug!(provider = %self.provider.name, cause = cause.word(), "a mail that no person wrote is given to nobody");
        }
    }

    /// Whether the mail says that its sender wants no more of them, which programs write as well as people.
    async fn leaves(&self, mail: &Mail, envelope: Option<&Envelope>) -> Result<bool, StoreError> {
        let from = mail.from.as_ref().and_then(|from| Address::mail(from.address.expose()).ok());
        let Some(from) = from.filter(|_| !matches!(mail.kind, Kind::Bounce(_))) else { return Ok(false) };
        let addressed = envelope.map_or(&mail.addressed, |envelope| &envelope.recipients);
        let left = self.provider.left_by(&from, addressed);
        for channel in &left {
            let named = compose::mail(mail, &Private::default()).derive_id(&channel.name, &from, &[]);
            let about = (&channel.name, &self.provider.name);
            leave::publish(&self.broker, &self.clock, about, from.clone(), named).await.map_err(|error| {
                tracing::error!(channel = %channel.name, %error, "a wish to unsubscribe could not be stored; it comes again");
                StoreError::Later
            })?;
        }
        Ok(!left.is_empty())
    }

    /// A report about a mail of ours, for whoever keeps the ledger that knows which one. What is about none of them, or says
    /// nothing final, is counted.
    async fn report(&self, bounce: &Bounce) -> Result<(), StoreError> {
        let Some(report) = bounce.delivery_report(&self.provider.name, new_trace(), self.clock.now()) else {
            count_dropped(&self.provider.name, "bounce");
            return Ok(());
        };
        self.broker.publish(&report).await.map_err(|error| {
            tracing::error!(provider = %self.provider.name, %error, "a bounce could not be stored; it comes again");
            StoreError::Later
        })
    }

    async fn deliver(&self, mut mail: Mail, envelope: Option<Envelope>, way: &'static str) -> Result<(), StoreError> {
        let Some(from) = mail.from.as_ref().and_then(|from| Address::mail(from.address.expose()).ok()) else {
            self.leave(Cause::NoSender);
            return Ok(());
        };
        let attached = Attached::of(&mut mail);
        let channels = self.channels_of(&mail, envelope.as_ref());
        if channels.is_empty() {
            // Only programs write to where bounces go, and this one says nothing that could be read.
            count_dropped(&self.provider.name, "bounce-address");
            return Ok(());
        }
        for (channel, to) in channels {
            if let Err(error) = self.deliver_to(channel, &to, &mail, &from, &attached, way).await {
                tracing::error!(channel = %channel.name, %error, "a mail could not be stored; it comes again");
                return Err(StoreError::Later);
            }
        }
        Ok(())
    }

    /// Whom it is for: by the envelope where there is one, for the header names also those who get a copy of their own. What
    /// lies in a mailbox of ours is for us, whatever its header says.
    fn channels_of(&self, mail: &Mail, envelope: Option<&Envelope>) -> Vec<(&MailChannel, Private<String>)> {
        if let Some(envelope) = envelope {
            return self.provider.channels_of(&envelope.recipients);
        }
        let found = self.provider.channels_of(&mail.addressed);
        if !found.is_empty() {
            return found;
        }
        let first = self.provider.channels.first();
        let to = mail.to.first().map(|to| to.address.clone());
        first.map(|channel| (channel, to.unwrap_or_else(|| Private::new(channel.domain.clone())))).into_iter().collect()
    }

    async fn deliver_to(
        &self,
        channel: &MailChannel,
        to: &Private<String>,
        mail: &Mail,
        from: &Address,
        attached: &[Attached],
        way: &'static str,
    ) -> Result<(), NotStored> {
        let told = compose::mail(mail, to);
        let named: Vec<_> = attached.iter().map(Attached::named).collect();
        let id = told.derive_id(&channel.name, from, &named);
        let files = attachments::keep(&self.store, channel, &id, attached).await?;
        let message = compose::message(channel, from.clone(), id, told, files, new_trace(), self.clock.now());
        self.broker.publish(&message).await?;
        self.tell(channel, &message, way);
        Ok(())
    }

    fn tell(&self, channel: &MailChannel, message: &InboundMessage, way: &'static str) {
        tracing::info!(message.id = %message.id, trace.id = %message.trace, channel = %channel.name, way, "a consumer's mail was accepted");
        let stamp = message.received_at.as_second() as f64;
        metrics::gauge!("causeway_last_message_timestamp_seconds", "channel" => channel.name.to_string(), "direction" => "in").set(stamp);
    }
}

/// Why a mail was not stored.
#[derive(Debug, thiserror::Error)]
enum NotStored {
    #[error(transparent)]
    Files(#[from] NotKept),
    #[error(transparent)]
    Broker(#[from] PublishError),
}
