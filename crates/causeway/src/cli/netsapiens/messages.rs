use std::path::PathBuf;

use anyhow::{Context, ensure};
use bytes::Bytes;
use clap::Args;
use model::{Private, SessionId};
use sms::OutgoingFile;
use sms::netsapiens::{Direction, Outgoing};

use super::{Desk, cell, time};

/// What carriers take of a picture, and then some; the platform's own limit is not told.
const LARGEST: u64 = 5_000_000;

/// `causeway netsapiens messages`
#[derive(Args)]
pub(super) struct Messages {
    /// The id of the conversation.
    session: String,
    /// The user (extension) whose it is.
    #[arg(long)]
    user: Option<String>,
    /// At most so many.
    #[arg(long, default_value_t = 50)]
    limit: usize,
}

/// `causeway netsapiens send`
#[derive(Args)]
pub(super) struct Send {
    /// Whom to: a number, or a user where it is a chat; more than one for a group.
    #[arg(long, required = true)]
    to: Vec<String>,
    /// What to say.
    #[arg(long, default_value = "")]
    text: String,
    /// A chat between users, not a text.
    #[arg(long, conflicts_with = "from")]
    chat: bool,
    /// The user (extension) that sends.
    #[arg(long)]
    user: Option<String>,
    /// The company's number.
    #[arg(long)]
    from: Option<String>,
    /// A picture or file to send.
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Its type, such as image/png; by its name where it is left out.
    #[arg(long, requires = "file")]
    mime_type: Option<String>,
    /// The conversation to send into; otherwise the one of these numbers.
    #[arg(long)]
    session: Option<String>,
}

impl Messages {
    pub(super) async fn run(self, desk: &Desk<'_>) -> anyhow::Result<()> {
        let user = desk.user(self.user.as_deref())?;
        let messages = desk.account.messages(&user, &SessionId::new(self.session), self.limit).await?;
        desk.list(&messages, &["TIME", "", "TYPE", "FROM", "MEDIA", "TEXT"], |one| {
            let way = match one.direction {
                Direction::Inbound => "in",
                Direction::Outbound => "out",
                Direction::Unknown => "",
            };
            let from = one.from_number.as_ref().or(one.from_user.as_ref()).map(|from| from.expose().as_str());
            vec![
                time(one.at),
                way.to_owned(),
                cell(one.kind.as_deref()),
                cell(from),
                cell(one.media_type.as_deref()),
                cell(one.text.as_ref().map(|text| text.expose().as_str())),
            ]
        })
    }
}

impl Send {
    pub(super) async fn run(self, desk: &Desk<'_>) -> anyhow::Result<()> {
        ensure!(!self.text.is_empty() || self.file.is_some(), "there is nothing to send; give --text, --file, or both");
        let user = desk.user(self.user.as_deref())?;
        let from_number = if self.chat { None } else { Some(desk.number_of(&user, self.from.as_deref())?) };
        let attachment = self.attachment()?;
        let message = Outgoing { from_number, to: self.to, text: Private::new(self.text), attachment };
        let session = self.session.map(SessionId::new);
        let sent = desk.account.post_message(&user, session.as_ref(), &message).await?;
        let id = sent.provider_id.map_or_else(String::new, |id| format!(" as {}", cell(Some(&id))));
        desk.done(&format!("accepted{id}, in session {}", cell(Some(sent.session.as_str()))))
    }

    fn attachment(&self) -> anyhow::Result<Option<OutgoingFile>> {
        let Some(file) = &self.file else { return Ok(None) };
        let told = || format!("{} cannot be read", file.display());
        let size = std::fs::metadata(file).with_context(told)?.len();
        ensure!(size > 0, "{} is empty", file.display());
        ensure!(size <= LARGEST, "{} has {size} bytes; at most {LARGEST} can be sent", file.display());
        let data = Private::new(Bytes::from(std::fs::read(file).with_context(told)?));
        let by_name = || match file.extension()?.to_str()?.to_lowercase().as_str() {
            "png" => Some("image/png"),
            "jpg" | "jpeg" => Some("image/jpeg"),
            "gif" => Some("image/gif"),
            _ => None,
        };
        let media_type = self.mime_type.clone().or_else(|| by_name().map(str::to_owned));
        let media_type = media_type.context("the type of the file is not known by its name; give --mime-type")?;
        Ok(Some(OutgoingFile { media_type, data }))
    }
}
