use std::fs::{Metadata, Permissions};
use std::future::Future;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use axum::Router;
use tokio::fs;
use tokio::net::{UnixListener, UnixSocket, UnixStream};

use super::Limits;
use super::accept::{self, Door};
use crate::Shutdown;

/// People and their tools connect here, one at a time; more wait.
const BACKLOG: u32 = 128;

/// Opens a socket file, mode 0600, and gives the task that serves it until the shutdown and removes it.
///
/// # Errors
/// Another process serves there, something that is no socket is there, or the file cannot be made.
pub async fn serve_unix(
    path: PathBuf,
    router: Router,
    shutdown: Shutdown,
) -> anyhow::Result<impl Future<Output = anyhow::Result<()>> + Send> {
    let opened = open(&path).await;
    let (listener, own) = opened.with_context(|| format!("the socket {} cannot be opened", path.display()))?;
    Ok(async move {
        let limits = Limits { lag: Duration::ZERO, ..Limits::default() };
        accept::run(Door::Unix(listener), router, &limits, &shutdown).await?;
        // A successor may have put its own socket there, which is not ours to remove.
        match there(&path).await {
            Ok(Some(found)) if (found.dev(), found.ino()) == (own.dev(), own.ino()) => fs::remove_file(&path).await,
            Ok(_) => Ok(()),
            Err(error) => Err(error),
        }
        .with_context(|| format!("the socket {} cannot be removed", path.display()))
    })
}

/// A socket nobody answers on was left by a process that was killed, and may go. Anything else at its path is a slip of the
/// configuration, and is not touched.
async fn open(path: &Path) -> anyhow::Result<(UnixListener, Metadata)> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        fs::create_dir_all(folder).await?;
    }
    if let Some(found) = there(path).await? {
        if !found.file_type().is_socket() {
            bail!("something that is no socket is there; name another path, or move it away");
        }
        match UnixStream::connect(path).await {
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path).await?,
            Err(error) => return Err(error).context("whether another process serves there cannot be seen"),
            Ok(_) => bail!("another process serves there"),
        }
    }
    let socket = UnixSocket::new_stream()?;
    socket.bind(path)?;
    // Nobody can connect until it listens, so there is no moment at which others than the owner could.
    fs::set_permissions(path, Permissions::from_mode(0o600)).await?;
    let own = fs::symlink_metadata(path).await?;
    Ok((socket.listen(BACKLOG)?, own))
}

async fn there(path: &Path) -> io::Result<Option<Metadata>> {
    match fs::symlink_metadata(path).await {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
