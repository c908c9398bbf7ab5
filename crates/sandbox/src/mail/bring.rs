//! Brings mail to the company by SMTP, again and again as mail servers do.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use runtime::Shutdown;
use tokio::time::sleep;

use super::state::{OutgoingState, State};
use super::wire::SmtpWire;

/// Between two tries; a real server waits for minutes.
const AGAIN: Duration = Duration::from_secs(2);
const SILENT: Duration = Duration::from_secs(60);

/// A mail on its way.
pub(super) struct Letter {
    pub(super) from: String,
    pub(super) to: String,
    pub(super) message_id: String,
    pub(super) content: String,
}

/// Tries until the mail is taken, or refused for good.
pub(super) async fn bring(letter: Letter, state: Arc<State>, shutdown: Shutdown) {
    while !shutdown.is_stopping() {
        let company = state.room().company;
        let tried = match company {
            Some(company) => hand_over(company, &letter, &state.domain).await,
            None => Err(anyhow::anyhow!("the company takes no mail yet")),
        };
        let ended = match tried {
            Ok(code @ 200..=299) => Some((code, OutgoingState::Accepted)),
            Ok(code @ 500..) => Some((code, OutgoingState::Refused(code))),
            Ok(code) => {
                tracing::debug!(code, "the company takes the mail later");
                None
            }
            Err(error) => {
                tracing::debug!(error = format!("{error:#}"), "the company cannot be reached; the mail waits");
                None
            }
        };
        if let Some((_, ended)) = ended {
            settle(&state, &letter.message_id, ended);
            return;
        }
        tokio::select! {
            () = sleep(AGAIN) => {}
            () = shutdown.stopping() => {}
        }
    }
}

fn settle(state: &State, message_id: &str, ended: OutgoingState) {
    let mut room = state.room();
    if let Some(mail) = room.brought.iter_mut().rev().find(|mail| mail.message_id == message_id) {
        mail.state = ended;
    }
    drop(room);
    state.changed();
}

/// One conversation; the code that ended it.
async fn hand_over(company: SocketAddr, letter: &Letter, domain: &str) -> anyhow::Result<u16> {
    let helo = format!("mail.{domain}");
    let (mut wire, code) = SmtpWire::open(company, &helo, (&letter.from, &letter.to), SILENT).await?;
    if code >= 400 {
        return Ok(code);
    }
    let stuffed = letter.content.replace("\r\n.", "\r\n..");
    wire.say(&format!("{stuffed}{}.\r\n", if stuffed.ends_with("\r\n") { "" } else { "\r\n" })).await?;
    let code = wire.answer().await?;
    wire.say("QUIT\r\n").await?;
    Ok(code)
}
