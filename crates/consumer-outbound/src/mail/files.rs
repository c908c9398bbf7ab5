//! What is attached to an agent's mail: all of it, or the mail is not sent.

use broker::Failure;
use email::outgoing::{Draft, File};
use model::{AgentReply, MailReply, Private, ReasonCode};

use super::directory::MailChannel;
use crate::files::Had;
use crate::handler::Room;

impl Room {
    /// The files of a mail, fetched and kept; or what its agent is told.
    pub(super) async fn attachments(
        &self,
        reply: &AgentReply,
        mail: &MailReply,
        channel: &MailChannel,
    ) -> Result<Result<Vec<Had>, (ReasonCode, String)>, Failure> {
        let had = match self.fetch(reply, &mail.files, &channel.files).await? {
            Ok(had) => had,
            Err(told) => return Ok(Err(told)),
        };
        let size = |file: &Had| match file {
            Had::Kept(kept) => kept.about.size,
            Had::Elsewhere(_) => 0,
        };
        if had.iter().map(size).sum::<u64>() > channel.files.size {
            let told = "The mail was not sent: its files are too large together.";
            return Ok(Err((ReasonCode::Unsupported, told.to_owned())));
        }
        Ok(Ok(had))
    }

    /// Takes the files into memory.
    pub(super) async fn taken(&self, mail: &MailReply, had: Vec<Had>) -> Result<Attachments, Failure> {
        let mut all = Attachments::default();
        for (file, had) in mail.files.iter().zip(had) {
            match had {
                Had::Elsewhere(address) => all.addresses.push(address),
                Had::Kept(kept) => all.files.push(File {
                    name: file.name.clone().unwrap_or_default(),
                    media_type: kept.about.media_type.clone(),
                    content: Private::new(self.bytes(&kept).await?),
                }),
            }
        }
        Ok(all)
    }
}

/// What goes with a mail: files, and addresses of what is on the web.
#[derive(Debug, Default)]
pub(super) struct Attachments {
    files: Vec<File>,
    addresses: Vec<Private<String>>,
}

impl Attachments {
    /// Puts it into the mail; what is on the web is named in its text.
    pub(super) fn attach(self, draft: &mut Draft) {
        draft.files = self.files;
        self.addresses.iter().for_each(|address| name(draft, address.expose()));
    }
}

fn name(draft: &mut Draft, address: &str) {
    if let Some(html) = &mut draft.html {
        let escaped = address.replace('&', "&amp;").replace('"', "&quot;").replace('<', "&lt;");
        let link = format!("{}\n<p><a href=\"{escaped}\">{escaped}</a></p>", html.expose());
        *html = Private::new(link);
    }
    if draft.text.is_some() || draft.html.is_none() {
        let text = draft.text.take().map(Private::into_inner).unwrap_or_default();
        draft.text = Some(Private::new(format!("{text}\n\n{address}").trim_start().to_owned()));
    }
}
