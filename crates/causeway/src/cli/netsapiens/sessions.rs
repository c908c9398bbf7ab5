use anyhow::Context;
use clap::{Args, Subcommand};
use model::{Private, SessionId};
use sms::netsapiens::{MessageSession, Outgoing};

use super::{Desk, cell, confirmed, time};
use crate::cli::output;

/// `causeway netsapiens sessions`
#[derive(Subcommand)]
pub(super) enum Sessions {
    /// The conversations of a user, or of the whole domain.
    List {
        /// The user (extension).
        #[arg(long)]
        user: Option<String>,
        /// Those of every user; cores before v44 cannot.
        #[arg(long, conflicts_with = "user")]
        all_users: bool,
        /// At most so many.
        #[arg(long, default_value_t = 100)]
        limit: usize,
    },
    /// One conversation.
    Show(One),
    /// Begin a conversation with a text, and let the server name it.
    Start {
        /// The consumer's number; more than one for a group.
        #[arg(long, required = true)]
        to: Vec<String>,
        /// What to say.
        #[arg(long)]
        text: String,
        /// The user (extension).
        #[arg(long)]
        user: Option<String>,
        /// The company's number.
        #[arg(long)]
        from: Option<String>,
    },
    /// Give a chat a name.
    Rename {
        #[command(flatten)]
        one: One,
        /// The name.
        name: String,
    },
    /// Take the user out of a chat.
    Leave(One),
    /// Delete a conversation with its messages, for the user.
    Delete {
        #[command(flatten)]
        one: One,
        /// It is meant.
        #[arg(long)]
        yes: bool,
    },
    /// Set the participants of a chat, the user among them.
    Participants {
        #[command(flatten)]
        one: One,
        /// Everybody, such as 1001@example.com.
        #[arg(required = true)]
        everybody: Vec<String>,
    },
}

/// One conversation.
#[derive(Args)]
pub(super) struct One {
    /// Its id.
    id: String,
    /// The user (extension) whose it is.
    #[arg(long)]
    user: Option<String>,
}

impl Sessions {
    pub(super) async fn run(self, desk: &Desk<'_>) -> anyhow::Result<()> {
        let account = desk.account;
        match self {
            Self::List { user, all_users, limit } => {
                let user = if all_users { None } else { Some(desk.user(user.as_deref())?) };
                let sessions = account.message_sessions(user.as_deref(), limit).await?;
                desk.list(&sessions, &["ID", "USER", "NUMBER", "REMOTE", "LAST", "STATUS"], row)
            }
            Self::Show(one) => {
                let (user, id) = one.read(desk)?;
                let found = account.message_session(&user, &id).await?.context("there is no such session")?;
                if desk.json {
                    return output::json(&found);
                }
                desk.list(&[found], &["ID", "USER", "NUMBER", "REMOTE", "LAST", "STATUS"], row)
            }
            Self::Start { to, text, user, from } => {
                let user = desk.user(user.as_deref())?;
                let from_number = Some(desk.number_of(&user, from.as_deref())?);
                let message = Outgoing { from_number, to, text: Private::new(text), attachment: None };
                match account.start_session(&user, &message).await? {
                    Some(session) => desk.done(&format!("accepted, in session {}", cell(Some(session.as_str())))),
                    None => desk.done("accepted; the server does not say in which session"),
                }
            }
            Self::Rename { one, name } => {
                let (user, id) = one.read(desk)?;
                account.rename_session(&user, &id, &name).await?;
                desk.done("renamed")
            }
            Self::Leave(one) => {
                let (user, id) = one.read(desk)?;
                account.leave_session(&user, &id).await?;
                desk.done("left")
            }
            Self::Delete { one, yes } => {
                confirmed(yes, "this deletes the conversation with its messages")?;
                let (user, id) = one.read(desk)?;
                account.delete_session(&user, &id).await?;
                desk.done("deleted")
            }
            Self::Participants { one, everybody } => {
                let (user, id) = one.read(desk)?;
                account.set_participants(&user, &id, &everybody).await?;
                desk.done("set")
            }
        }
    }
}

impl One {
    fn read(&self, desk: &Desk<'_>) -> anyhow::Result<(String, SessionId)> {
        Ok((desk.user(self.user.as_deref())?, SessionId::new(self.id.as_str())))
    }
}

fn row(one: &MessageSession) -> Vec<String> {
    let remote = one.remote.iter().map(|remote| remote.expose().as_str()).collect::<Vec<_>>().join(",");
    vec![
        cell(Some(one.id.as_str())),
        cell(one.user.as_deref()),
        cell(one.sms_number.as_deref()),
        cell(Some(&remote)),
        time(one.last_at),
        cell(one.last_status.as_deref()),
    ]
}
