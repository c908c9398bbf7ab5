use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use runtime::Shutdown;
use runtime::http_server::accept_failed;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::{JoinError, JoinSet};
use tokio::time::timeout;

use super::config::ListenConfig;
use super::session::{Ended, Session};
use super::spool::Store;

/// A handshake that takes longer is none.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// Takes mail until the soft stage of the shutdown: then connections between mails are told to come back, and a mail that is
/// coming in is finished, stored and answered for. The hard stage drops everything; what was not answered for is sent again.
///
/// # Errors
/// The spool folder cannot be written to.
pub async fn serve(
    listener: TcpListener,
    config: ListenConfig,
    store: Store,
    shutdown: Shutdown,
) -> anyhow::Result<()> {
    tempfile::tempfile_in(&config.spool).map_err(|error| {
        anyhow::anyhow!(error).context(format!("mail that comes in cannot be spooled in {}", config.spool.display()))
    })?;
    let places = Arc::new(Semaphore::new(config.limits.connections));
    let config = Arc::new(config);
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            () = shutdown.stopping() => break,
            accepted = listener.accept() => accepted,
            Some(ended) = connections.join_next() => { observe(ended); continue }
        };
        let (stream, peer) = match accepted {
            Ok((stream, peer)) => (stream, peer.ip().to_canonical()),
            Err(error) => {
                accept_failed(&error, &shutdown).await;
                continue;
            }
        };
        if !config.allowed.iter().any(|net| net.contains(&peer)) {
            refuse(&stream, "554 5.7.1 You are not known here");
            config.refusals.host();
            continue;
        }
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            refuse(&stream, "421 4.3.2 Too many connections; come back in a moment");
            continue;
        };
        // A connection that is gone already fails on its first read, where it is seen.
        let _gone = stream.set_nodelay(true);
        let (config, store, shutdown) = (Arc::clone(&config), store.clone(), shutdown.clone());
        connections.spawn(async move {
            tokio::select! {
                ended = converse(stream, peer, &config, &store, &shutdown) => if let Err(error) = ended {
                    tracing::debug!(%error, "an SMTP connection ended early");
                },
                () = shutdown.forced() => {}
            }
            drop(place);
        });
    }
    drop(listener);
    while let Some(ended) = connections.join_next().await {
        observe(ended);
    }
    Ok(())
}

/// Whoever is refused is told without being waited for: a new connection has room for a line, or is not worth one.
fn refuse(stream: &TcpStream, answer: &str) {
    let _told = stream.try_write(format!("{answer}\r\n").as_bytes());
}

/// One conversation, over whatever carries it, TLS included.
///
/// # Errors
/// The connection broke.
pub async fn converse<S>(
    stream: S,
    peer: IpAddr,
    config: &ListenConfig,
    store: &Store,
    shutdown: &Shutdown,
) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let mut session = Session::new(stream, (config, store, shutdown), peer, false);
    let Ended::StartTls = session.run().await? else { return Ok(()) };
    let Some(tls) = &config.tls else { return Ok(()) };
    let greeted = timeout(HANDSHAKE, tls.acceptor.accept(session.into_stream())).await;
    let stream = greeted.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))?;
    Session::new(stream, (config, store, shutdown), peer, true).run().await.map(drop)
}

fn observe(ended: Result<(), JoinError>) {
    if ended.is_err_and(|error| error.is_panic()) {
        tracing::error!("an SMTP conversation panicked; the connection was closed, and its mail is sent again");
    }
}
