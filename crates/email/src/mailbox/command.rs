use async_imap::imap_proto::{MailboxDatum, Response, Status};
use tokio::time::timeout;

use super::connect::ImapError;
use super::fetch::Mailbox;

impl Mailbox<'_> {
    /// Runs a command, shows each of its responses to `take`, and fails unless the server says OK in the end.
    ///
    /// The library's own fetches and searches end at the tagged answer whatever it says, so that a refusal would look like a
    /// mailbox in which there is nothing.
    pub(super) async fn command(
        &mut self,
        command: &str,
        mut take: impl FnMut(&Response<'_>) + Send,
    ) -> Result<(), ImapError> {
        let Self { session, config, heard } = self;
        let config = *config;
        let answered = timeout(config.command_timeout, async {
            let broken = || config.unavailable("broke off the conversation");
            let tag = session.run_command(command).await.map_err(|_| broken())?;
            loop {
                let response = session.read_response().await.map_err(|_| broken())?.ok_or_else(broken)?;
                match response.parsed() {
                    Response::Done { tag: ended, status: Status::Ok, .. } if *ended == tag => return Ok(()),
                    Response::Done { tag: ended, .. } if *ended == tag => {
                        return Err(config.unavailable("refused a command; its log may tell why"));
                    }
                    Response::MailboxData(MailboxDatum::Exists(_)) => *heard = true,
                    other => take(other),
                }
            }
        });
        answered.await.unwrap_or_else(|_| Err(config.unavailable("did not answer a command in time")))
    }

    /// The UIDs that a search finds, in order.
    pub(super) async fn search(&mut self, what: &str) -> Result<Vec<u32>, ImapError> {
        let mut found = Vec::new();
        let take = |response: &Response<'_>| {
            if let Response::MailboxData(MailboxDatum::Search(uids)) = response {
                found.extend(uids);
            }
        };
        self.command(&format!("UID SEARCH {what}"), take).await?;
        found.sort_unstable();
        found.dedup();
        Ok(found)
    }
}
