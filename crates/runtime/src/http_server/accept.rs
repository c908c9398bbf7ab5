use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::task::{JoinError, JoinSet};

use super::connection::Server;
use super::{Limits, Tls};
use crate::Shutdown;

/// What a server accepts connections on.
pub(super) enum Door {
    Tcp(TcpListener, Option<Tls>),
    Unix(UnixListener),
}

/// One accepted connection.
pub(super) enum Guest {
    Tcp(TcpStream, Option<Tls>),
    Unix(UnixStream),
}

impl Door {
    async fn accept(&self) -> io::Result<Guest> {
        match self {
            Self::Tcp(listener, tls) => {
                let (stream, _) = listener.accept().await?;
                // A connection that is gone already fails on its first read, where it is seen.
                let _gone = stream.set_nodelay(true);
                Ok(Guest::Tcp(stream, tls.clone()))
            }
            Self::Unix(listener) => Ok(Guest::Unix(listener.accept().await?.0)),
        }
    }
}

/// Accepts and serves until the soft stage plus the lag, and then finishes what is in hand.
pub(super) async fn run(door: Door, router: Router, limits: &Limits, shutdown: &Shutdown) -> anyhow::Result<()> {
    let places = Arc::new(Semaphore::new(limits.connections));
    let server = Server::new(router, limits, shutdown.clone());
    let mut connections = JoinSet::new();
    let closing = closing(shutdown, limits.lag);
    tokio::pin!(closing);
    loop {
        // The place is taken before the connection is accepted, so that what is too much waits outside.
        let place = tokio::select! {
            () = &mut closing => break,
            place = Arc::clone(&places).acquire_owned() => place?,
        };
        let accepted = tokio::select! {
            () = &mut closing => break,
            accepted = door.accept() => accepted,
            Some(ended) = connections.join_next() => { observe(ended); continue }
        };
        match accepted {
            Ok(guest) => {
                let connection = server.clone().over(guest);
                connections.spawn(async move {
                    connection.await;
                    drop(place);
                });
            }
            Err(error) => accept_failed(&error, shutdown).await,
        }
    }
    // New connections are refused from here on instead of waiting for somebody who will not come.
    drop(door);
    server.drain();
    while let Some(ended) = connections.join_next().await {
        observe(ended);
    }
    Ok(())
}

/// The end of accepting: some time after the soft stage, so that load balancers can notice first.
async fn closing(shutdown: &Shutdown, lag: Duration) {
    shutdown.stopping().await;
    tokio::select! {
        () = tokio::time::sleep(lag) => {}
        () = shutdown.forced() => {}
    }
}

fn observe(ended: Result<(), JoinError>) {
    if ended.is_err_and(|error| error.is_panic()) {
        tracing::error!("serving a connection panicked; the connection was closed");
    }
}

/// What any listener does when a connection could not be accepted.
///
/// Out of file descriptors is the one common cause; it passes when connections end, so the listener waits a little.
pub async fn accept_failed(error: &io::Error, shutdown: &Shutdown) {
    let passing = [io::ErrorKind::ConnectionAborted, io::ErrorKind::ConnectionReset, io::ErrorKind::ConnectionRefused];
    if passing.contains(&error.kind()) {
        return;
    }
    tracing::error!(%error, "a connection could not be accepted; if this goes on, raise the limit of open files");
    tokio::select! {
        () = tokio::time::sleep(Duration::from_millis(200)) => {}
        () = shutdown.forced() => {}
    }
}
