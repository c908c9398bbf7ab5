use anyhow::Context;
use clap::Subcommand;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use sms::{Created, EventModel, Subscription, WantedSubscription};

use super::{Desk, cell, confirmed, time};

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
        /// What happens to.
        #[arg(long, default_value = "message", value_parser = model())]
        model: EventModel,
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
                let found: Vec<_> = desk.account.all_subscriptions().await?.iter().map(Shown::of).collect();
                desk.list(&found, &["ID", "MODEL", "USER", "STATUS", "EXPIRES", "ERRORS", "POSTED TO"], row)
            }
            Self::Create { user, model, days } => {
                let user = desk.user(user.as_deref())?;
                let post_url = event_url(desk)?.into();
                let expires = desk.now.checked_add(SignedDuration::from_hours(24 * days))?;
                let wanted = WantedSubscription { model, user, post_url, expires, preferred_server: None };
                desk.done(match desk.account.subscribe(&wanted).await? {
                    Created::Made => "created",
                    Created::WasThere => "there is one like it already",
                })
            }
            Self::Delete { id, yes } => {
                confirmed(yes, "this ends the subscription, and its events are posted no more")?;
                let found = desk.account.all_subscriptions().await?.into_iter().find(|one| one.id == id);
                desk.account.unsubscribe(&found.context("there is no such subscription")?).await?;
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
    let path = desk.account.event_path();
    let path = path.with_context(|| format!("webhook_secret_files of provider {name} holds no secret"))?;
    Ok(format!("{public}{}", path.expose()))
}

fn model() -> impl TypedValueParser<Value = EventModel> {
    PossibleValuesParser::new([EventModel::Messages, EventModel::Sessions].map(EventModel::word))
        .map(|word| if word == EventModel::Sessions.word() { EventModel::Sessions } else { EventModel::Messages })
}

/// A subscription as it may be shown: the path it posts to holds a secret.
#[derive(Serialize)]
struct Shown {
    id: String,
    model: String,
    user: String,
    domain: Option<String>,
    status: String,
    expires: Option<Timestamp>,
    errors: Option<u64>,
    posts: Option<u64>,
    server: Option<String>,
    host: Option<String>,
}

impl Shown {
    fn of(one: &Subscription) -> Self {
        let host = one.post_url.expose().parse::<http::Uri>().ok().and_then(|url| url.host().map(str::to_owned));
        let Subscription { id, model, user, domain, status, expires, errors, posts, server, .. } = one.clone();
        Self { id, model, user, domain, status, expires, errors, posts, server, host }
    }
}

fn row(one: &Shown) -> Vec<String> {
    vec![
        cell(Some(&one.id)),
        cell(Some(&one.model)),
        cell(Some(&one.user)),
        cell(Some(&one.status)),
        time(one.expires),
        one.errors.map(|errors| errors.to_string()).unwrap_or_default(),
        cell(one.host.as_deref()),
    ]
}
