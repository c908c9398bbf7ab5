use std::fs::Permissions;
use std::future::Future;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use axum::Router;
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinSet;

use super::connection::{Ended, Server};
use super::{Limits, connection};
use crate::Shutdown;

/// Opens a socket file, mode 0600, and gives the task that serves it until the shutdown and removes it.
///
/// # Errors
/// Another process serves there, or the file cannot be made.
pub async fn serve_unix(
    path: PathBuf,
    router: Router,
    shutdown: Shutdown,
) -> anyhow::Result<impl Future<Output = anyhow::Result<()>> + Send> {
    let listener = open(&path).await.with_context(|| format!("the socket {} cannot be opened", path.display()))?;
    Ok(async move {
        let server = Server::new(router, &Limits::default(), shutdown.clone());
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                () = shutdown.stopping() => break,
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) => {
                        let server = server.clone();
                        connections.spawn(async move { server.over(stream).await; Ended });
                    }
                    Err(error) => connection::accept_failed(&error, &shutdown).await,
                },
                Some(ended) = connections.join_next() => Ended::observe(ended),
            }
        }
        server.drain();
        while let Some(ended) = connections.join_next().await {
            Ended::observe(ended);
        }
        tokio::fs::remove_file(&path).await.with_context(|| format!("the socket {} cannot be removed", path.display()))
    })
}

/// A socket file nobody answers on was left by a process that was killed, and may go.
async fn open(path: &Path) -> anyhow::Result<UnixListener> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        tokio::fs::create_dir_all(folder).await?;
    }
    if path.exists() {
        if UnixStream::connect(path).await.is_ok() {
            bail!("another process serves there");
        }
        tokio::fs::remove_file(path).await?;
    }
    let listener = UnixListener::bind(path)?;
    tokio::fs::set_permissions(path, Permissions::from_mode(0o600)).await?;
    Ok(listener)
}
