//! Consumers' mail on its way to the agent.
//!
//! Whoever writes too often is held back here, and not at the door: here one replica sees all mails of a sender in their order,
//! by whichever way they came, the ledger remembers them over restarts, and what is held can be looked at, given to the agent
//! after all, or thrown away, as any dead letter can.

use std::collections::HashMap;
use std::sync::Arc;

use anyhow::anyhow;
use broker::Failure;
use genesys::{Accepted, ChannelAccess, Client, Email, Refusal};
use jiff::SignedDuration;
use ledger::{Begin, CameIn, Effect, Incoming, Outcome};
use model::{ChannelName, InboundMail, InboundMessage, ReasonCode};
use runtime::Fading;

use crate::files::{Had, told_of_lost};
use crate::handler::{CALL_TIMEOUT, Room, ledger_down};
use crate::media::Form;

/// The shape in which a mail is given to Genesys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MailAs {
    /// Subject and parts, in a shape nobody documented (`reference/genesys.md` 4.1.4).
    Email,
    /// A text.
    Text,
}

/// How mail of one channel is treated.
#[derive(Debug, Clone)]
pub struct MailChannel {
    /// The channel.
    pub name: ChannelName,
    /// Its shape.
    pub mail_as: MailAs,
    /// Mails an hour that one sender may bring before the rest is held; `None` holds nothing.
    pub max_per_sender: Option<u32>,
    /// Raised while somebody's are held.
    pub looping: Fading,
}

/// Channels that bring mail.
#[derive(Debug, Clone, Default)]
pub struct Mails {
    channels: Arc<HashMap<ChannelName, MailChannel>>,
}

impl Mails {
    /// Channels with different names.
    pub fn new(channels: impl IntoIterator<Item = MailChannel>) -> Self {
        let keyed = channels.into_iter().map(|channel| (channel.name.clone(), channel));
        Self { channels: Arc::new(keyed.collect()) }
    }

    pub(crate) fn find(&self, channel: &ChannelName) -> Option<&MailChannel> {
        self.channels.get(channel)
    }
}

/// Why a mail was held, in its record and its dead letter.
const HELD: &str = "held";
/// The time in which mails are counted.
const HOUR: SignedDuration = SignedDuration::from_hours(1);

pub(crate) fn held(channel: &ChannelName) -> Failure {
    let cause = anyhow!(
        "channel {channel}: its sender wrote more mails in an hour than max_per_sender allows; if a person did, replay them"
    );
    Failure::Reject { code: HELD, cause }
}

impl Room {
    /// Whether a mail is one too many of its sender's. One that is known was counted before, or is replayed by an operator.
    pub(crate) async fn is_too_much(&self, message: &InboundMessage, effect: &Effect) -> Result<bool, Failure> {
        let Some(channel) = message.mail.as_ref().and_then(|_| self.deps.mails.find(&message.channel)) else {
            return Ok(false);
        };
        let Some(most) = channel.max_per_sender else { return Ok(false) };
        let since = message.received_at.saturating_sub(HOUR).unwrap_or(message.received_at);
        let before = self.deps.ledger.crowd(effect, since, most).await.map_err(ledger_down)?;
        if before.is_none_or(|before| before < most) {
            return Ok(false);
        }
        channel.looping.raise(format!(
            "a sender wrote more than {most} mails in an hour to channel {}; the rest is held in the dead letters ({HELD}). If a machine answers ours, stop it and discard them; if a person wrote, replay them",
            channel.name
        ));
        Ok(true)
    }

    /// Notes that a mail is held, so that a replay is known to be one.
    pub(crate) async fn hold(&self, incoming: Incoming) -> Result<Failure, Failure> {
        let (ledger, effect) = (&self.deps.ledger, incoming.effect.clone());
        let incoming = Incoming { can_look: false, ..incoming };
        let came = ledger.begin_incoming(incoming, CALL_TIMEOUT).await.map_err(ledger_down)?;
        if let CameIn::Begun(Begin::First(attempt)) = came {
            let outcome =
                Outcome::Failed { code: ReasonCode::RateLimited, reason: HELD.to_owned(), dead: Some(HELD.to_owned()) };
            ledger.finish(&effect, &attempt, outcome).await.map_err(ledger_down)?;
        }
        Ok(held(&effect.channel))
    }

    /// The mail, where its channel gives mail as such.
    pub(crate) fn as_email<'a>(&self, message: &'a InboundMessage) -> Option<&'a InboundMail> {
        let mail = message.mail.as_deref()?;
        self.deps.mails.find(&message.channel).filter(|channel| channel.mail_as == MailAs::Email).map(|_| mail)
    }

    /// Gives an agent a mail as such. A shape that is refused is given as a text once, with links to its files.
    pub(crate) async fn send_email(
        &self,
        client: &Client,
        access: &ChannelAccess,
        message: &InboundMessage,
        mail: &InboundMail,
        files: &[Had],
    ) -> Result<Accepted, Refusal> {
        match self.try_email(client, access, message, mail, files).await {
            Err(Refusal::Never { cause, .. }) => {
                tracing::warn!(channel = %message.channel, cause, "Genesys refused a mail as such; the agent is given a text");
                self.take_back_refused(client, access, message).await;
                client.send_text(access, message, &self.linked(message, files)).await
            }
            sent => sent,
        }
    }

    async fn try_email(
        &self,
        client: &Client,
        access: &ChannelAccess,
        message: &InboundMessage,
        mail: &InboundMail,
        files: &[Had],
    ) -> Result<Accepted, Refusal> {
        let uploads = self.deps.media.directory.borrow().find(&message.channel);
        let uploads = uploads.is_some_and(|channel| channel.form == Form::RichMedia);
        let (attachments, told) = match uploads {
            true => {
                let attachments = self.upload_all(client, access, message, files).await?;
                (attachments, files.iter().filter_map(told_of_lost).collect())
            }
            false => (Vec::new(), self.links(files)),
        };
        let text = [mail.body()].into_iter().chain(told).collect::<Vec<_>>().join("\n");
        let email = Email {
            from_name: mail.from_name.expose(),
            to: mail.to.expose(),
            message_id: mail.message_id.as_ref().map_or(message.id.as_str(), |id| id.expose()),
            subject: mail.subject.expose(),
            text: &text,
            html: mail.html.as_ref().map(|html| html.expose().as_str()),
        };
        client.send_email(access, message, &email, &attachments).await
    }
}
