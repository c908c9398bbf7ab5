use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use anyhow::Context;
use clap::Subcommand;
use secrecy::ExposeSecret;

use super::{Desk, cell, confirmed};

/// `causeway netsapiens keys`
#[derive(Subcommand)]
pub(super) enum Keys {
    /// Those this login may see, without the keys themselves.
    List,
    /// Make a key limited to the domain's messages, and write it to a file: it is shown this once.
    Create {
        /// What it is for.
        #[arg(long, default_value = "causeway")]
        description: String,
        /// Limited to this user.
        #[arg(long)]
        user: Option<String>,
        /// The file to write it to; it must not exist.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Delete a key.
    Delete {
        /// Its id.
        id: String,
        /// It is meant.
        #[arg(long)]
        yes: bool,
    },
}

impl Keys {
    pub(super) async fn run(self, desk: &Desk<'_>) -> anyhow::Result<()> {
        match self {
            Self::List => {
                let keys = desk.account.keys().await?;
                desk.list(&keys, &["ID", "DESCRIPTION", "DOMAIN", "USER", "SCOPE", "READ-ONLY", "MODELS"], |one| {
                    let text = |text: &Option<String>| cell(text.as_deref());
                    let read_only = one.read_only.map_or("?", |yes| if yes { "yes" } else { "no" });
                    vec![
                        text(&one.id),
                        text(&one.description),
                        text(&one.domain),
                        text(&one.user),
                        text(&one.scope),
                        read_only.to_owned(),
                        cell(Some(&one.models.join(","))),
                    ]
                })
            }
            Self::Create { description, user, out } => {
                // Before the key is made, for it is shown once.
                let mut file = OpenOptions::new();
                let file = file.write(true).create_new(true).mode(0o600).open(&out);
                let mut file = file.with_context(|| format!("{} cannot be made", out.display()))?;
                let made = desk.account.create_key(&description, user.as_deref()).await;
                let made = match made {
                    Ok(made) => made,
                    Err(error) => {
                        std::fs::remove_file(&out).with_context(|| format!("{} is left empty", out.display()))?;
                        return Err(error.into());
                    }
                };
                let written = file.write_all(made.key.expose_secret().as_bytes()).and_then(|()| file.sync_all());
                written.with_context(|| {
                    format!("the key was made and cannot be written to {}; delete it", out.display())
                })?;
                let id = cell(made.about.id.as_deref());
                desk.done(&format!("made key {id} and wrote it to {}", out.display()))
            }
            Self::Delete { id, yes } => {
                confirmed(yes, "whoever uses this key is locked out")?;
                desk.account.delete_key(&id).await?;
                desk.done("deleted")
            }
        }
    }
}
