use anyhow::Context;
use clap::Subcommand;
use jiff::SignedDuration;
use secrecy::ExposeSecret;
use sms::netsapiens::EventSubscription;

use super::{Desk, cell, confirmed, time};
use crate::config::ProviderKind;

/// How long a subscription is asked for where nobody says so.
const DAYS: i64 = 365;

/// `causeway netsapiens subscriptions`
#[derive(Subcommand)]
pub(super) enum Subscriptions {
    /// Those this login may see.
    List,
    /// Have a user's events posted to this bridge.
    Create {
        /// The user (extension).
        #[arg(long)]
        user: Option<String>,
        /// What happens to: message, or messagesession.
        #[arg(long, default_value = "message")]
        model: String,
        /// For so many days.
        #[arg(long, default_value_t = DAYS, value_parser = clap::value_parser!(i64).range(1..=7300))]
        days: i64,
    },
    /// End one.
    Delete {
        /// Its id.
        id: String,
        /// It is meant.
        #[arg(long)]
        yes: bool,
    },
}

impl Subscriptions {
    pub(super) async fn run(self, desk: &Desk<'_>) -> anyhow::Result<()> {
        match self {
            Self::List => {
                let found = desk.account.event_subscriptions().await?;
                desk.list(&found, &["ID", "MODEL", "USER", "STATUS", "EXPIRES", "ERRORS", "POSTED TO"], row)
            }
            Self::Create { user, model, days } => {
                let user = desk.user(user.as_deref())?;
                let url = event_url(desk)?;
                let expires = desk.now.checked_add(SignedDuration::from_hours(24 * days))?;
                let made = desk.account.create_event_subscription(&model, &user, &url, expires).await?;
                desk.done(if made { "created" } else { "there is one like it already" })
            }
            Self::Delete { id, yes } => {
                confirmed(yes, "this ends the subscription, and its events are posted no more")?;
                desk.account.delete_event_subscription(&id).await?;
                desk.done("deleted")
            }
        }
    }
}

/// The URL of this bridge's events; its path is a secret, and is never printed.
fn event_url(desk: &Desk<'_>) -> anyhow::Result<String> {
    let name = desk.account.name();
    let public =
        desk.config.http.public_url.as_deref().context("http.public_url is missing: nobody could post events")?;
    let secret = desk.config.provider(name).and_then(|provider| match &provider.kind {
        ProviderKind::NetSapiens(settings) => settings.webhook_secrets.first(),
        ProviderKind::Email(_) => None,
    });
    let secret = secret.context("webhook_secret_files of the provider holds no secret")?;
    Ok(format!("{public}/netsapiens/{name}/{}", secret.expose_secret()))
}

fn row(one: &EventSubscription) -> Vec<String> {
    vec![
        cell(Some(&one.id)),
        cell(one.model.as_deref()),
        cell(one.user.as_deref()),
        cell(one.status.as_deref()),
        time(one.expires),
        one.errors.map(|errors| errors.to_string()).unwrap_or_default(),
        cell(one.host.as_deref()),
    ]
}
