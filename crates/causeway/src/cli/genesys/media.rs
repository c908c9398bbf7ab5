use std::path::PathBuf;

use anyhow::{Context, anyhow};
use bytes::Bytes;
use clap::{Args, Subcommand};
use futures_util::{StreamExt, stream};
use runtime::{ByteStream, CallError};
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::call::{door, find, trace};
use crate::cli::exit::Exit;
use crate::cli::load::load_file;
use crate::cli::{ConfigFile, output};

/// `causeway genesys media`
#[derive(Subcommand)]
pub(in crate::cli) enum Media {
    /// Upload a file, and print how a message refers to it.
    Upload(Upload),
    /// Download a file.
    Download(Download),
    /// Delete a file that was uploaded, and that no message refers to.
    Delete(Delete),
}

/// `causeway genesys media upload`
#[derive(Args)]
pub(in crate::cli) struct Upload {
    #[command(flatten)]
    file: ConfigFile,
    /// The channel, by its name.
    #[arg(long)]
    channel: String,
    /// The file.
    path: PathBuf,
    /// What it is; left out: what its first bytes say.
    #[arg(long, value_name = "TYPE")]
    media_type: Option<String>,
}

/// `causeway genesys media download`
#[derive(Args)]
pub(in crate::cli) struct Download {
    #[command(flatten)]
    file: ConfigFile,
    /// The channel, by its name.
    #[arg(long)]
    channel: String,
    /// Its id, or `genesys://nexus/<id>`.
    media: String,
    /// Where to; must not be there yet.
    #[arg(long, value_name = "FILE")]
    output: PathBuf,
}

/// `causeway genesys media delete`
#[derive(Args)]
pub(in crate::cli) struct Delete {
    #[command(flatten)]
    file: ConfigFile,
    /// The channel, by its name.
    #[arg(long)]
    channel: String,
    /// Its id, or `genesys://nexus/<id>`.
    media: String,
}

impl Media {
    pub(in crate::cli) async fn run(self) -> Result<(), Exit> {
        match self {
            Self::Upload(command) => command.run().await,
            Self::Download(command) => command.run().await,
            Self::Delete(command) => command.run().await,
        }
    }
}

/// The first bytes of a file, which say what it is.
const HEAD: usize = 4096;
const PIECE: usize = 64 << 10;

impl Upload {
    async fn run(self) -> Result<(), Exit> {
        let config = load_file(&self.file.config, true)?.config;
        let (client, access) = door(&config, find(&config, &self.channel)?)?;
        let told = || format!("{} cannot be read", self.path.display());
        let mut file = File::open(&self.path).await.with_context(told)?;
        let size = file.metadata().await.with_context(told)?.len();
        let mut head = vec![0; HEAD];
        let read = file.read(&mut head).await.with_context(told)?;
        let found = blobs::Kind::of(&head[..read]).map_or("application/octet-stream", |kind| kind.media_type);
        let media_type = self.media_type.as_deref().unwrap_or(found);
        let name = self.path.file_name().map_or_else(|| "file".to_owned(), |name| name.to_string_lossy().into_owned());
        let upload = genesys::Upload { name: &name, media_type, size };
        let trace = trace();
        let uploaded = client.upload(&access, &upload, async || open(&self.path).await, &trace).await;
        let uploaded = uploaded.map_err(anyhow::Error::from)?;
        output::line(&format!("uploaded {size} bytes as {media_type}: {}", uploaded.url));
        output::line(&format!("trace id {trace}"));
        Ok(())
    }
}

async fn open(path: &PathBuf) -> Result<ByteStream, CallError> {
    let file = File::open(path).await.map_err(|error| CallError::NotReached(error.to_string()))?;
    let pieces = stream::unfold(Some(file), async |file| {
        let mut file = file?;
        let mut piece = vec![0; PIECE];
        match file.read(&mut piece).await {
            Ok(0) => None,
            Ok(read) => {
                piece.truncate(read);
                Some((Ok(Bytes::from(piece)), Some(file)))
            }
            Err(error) => Some((Err(CallError::NotReached(error.to_string())), None)),
        }
    });
    Ok(Box::pin(pieces))
}

impl Download {
    async fn run(self) -> Result<(), Exit> {
        let config = load_file(&self.file.config, true)?.config;
        let (client, access) = door(&config, find(&config, &self.channel)?)?;
        let mut answer = client.download(&access, id(&self.media)?, &trace()).await.map_err(anyhow::Error::from)?;
        let told = || format!("{} cannot be written", self.output.display());
        let mut file = File::create_new(&self.output).await.with_context(told)?;
        let mut size = 0;
        while let Some(chunk) = answer.body.next().await {
            let chunk = chunk.map_err(anyhow::Error::from).context("the file did not come whole")?;
            size += chunk.len();
            file.write_all(&chunk).await.with_context(told)?;
        }
        file.sync_all().await.with_context(told)?;
        output::line(&format!("downloaded {size} bytes to {}", self.output.display()));
        Ok(())
    }
}

impl Delete {
    async fn run(self) -> Result<(), Exit> {
        let config = load_file(&self.file.config, true)?.config;
        let (client, access) = door(&config, find(&config, &self.channel)?)?;
        client.delete_media(&access, id(&self.media)?, &trace()).await.map_err(anyhow::Error::from)?;
        output::line("deleted, or gone before");
        Ok(())
    }
}

fn id(text: &str) -> anyhow::Result<&str> {
    let id = text.strip_prefix("genesys://nexus/").unwrap_or(text);
    if genesys::is_media_id(id) { Ok(id) } else { Err(anyhow!("{text} is no media id")) }
}
