use clap::Subcommand;

use super::{Desk, cell, time};
use crate::cli::output;

/// `causeway netsapiens numbers`
#[derive(Subcommand)]
pub(super) enum Numbers {
    /// The SMS numbers of the domain, or of one user.
    List {
        /// The user (extension).
        #[arg(long)]
        user: Option<String>,
    },
    /// How many there are.
    Count {
        /// The user (extension).
        #[arg(long)]
        user: Option<String>,
    },
}

impl Numbers {
    pub(super) async fn run(self, desk: &Desk<'_>) -> anyhow::Result<()> {
        match self {
            Self::List { user } => {
                let numbers = desk.account.numbers(user.as_deref()).await?;
                desk.list(&numbers, &["NUMBER", "APPLICATION", "OWNER", "MMS", "CARRIER"], |one| {
                    let mms = one.mms_capable.map_or("?", |capable| if capable { "yes" } else { "no" });
                    let text = |text: &Option<String>| cell(text.as_deref());
                    vec![
                        cell(Some(&one.number)),
                        text(&one.application),
                        text(&one.owner),
                        mms.to_owned(),
                        text(&one.carrier),
                    ]
                })
            }
            Self::Count { user } => {
                let total = desk.account.count_numbers(user.as_deref()).await?;
                if desk.json {
                    return output::json(&serde_json::json!({ "total": total }));
                }
                output::line(&total.to_string());
                Ok(())
            }
        }
    }
}

/// `causeway netsapiens version`
pub(super) async fn version(desk: &Desk<'_>) -> anyhow::Result<()> {
    let version = desk.account.version().await?;
    if desk.json {
        return output::json(&version);
    }
    let told = [
        ("API", cell(version.api.as_deref())),
        ("server", cell(version.host.as_deref())),
        ("time", time(version.time)),
    ];
    for (what, value) in told {
        output::line(&format!("{what:<7} {}", if value.is_empty() { "not told" } else { &value }));
    }
    Ok(())
}
