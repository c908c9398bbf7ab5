//! The listener of a simulated server, which can be closed and opened again at the same address.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use futures_util::stream;
use runtime::Shutdown;
use runtime::http_server::{Limits, serve};
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::watch;

use crate::crew::Foreman;

/// Body of a request: what the real servers take is unknown; the bridge sends nothing near it.
pub(crate) const BODY_LIMIT: usize = 1 << 20;
/// Of a file.
pub(crate) const FILE_LIMIT: usize = 32 << 20;
/// For a body to come in.
pub(crate) const BODY_READ: Duration = Duration::from_secs(30);

/// The hand on the listener.
pub(crate) struct Door {
    address: SocketAddr,
    wanted_down: watch::Sender<bool>,
    is_down: watch::Receiver<bool>,
}

impl Door {
    /// Serves `router` until the shutdown.
    pub(crate) fn open(listener: TcpListener, router: Router, foreman: &Foreman, shutdown: Shutdown) -> Self {
        let address = listener.local_addr().expect("a bound listener has an address");
        let (wanted_down, wanted) = watch::channel(false);
        let (shown, is_down) = watch::channel(false);
        foreman.spawn(async move {
            if let Err(error) = keep(listener, address, router, wanted, shown, shutdown).await {
                tracing::error!(error = format!("{error:#}"), "a simulated server ended");
            }
        });
        Self { address, wanted_down, is_down }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn is_down(&self) -> bool {
        *self.is_down.borrow()
    }

    /// Closes or opens the listener and returns when connections are really refused, or accepted.
    pub(crate) async fn down(&self, down: bool) {
        self.wanted_down.send_replace(down);
        let mut is_down = self.is_down.clone();
        // An error means that the server has ended, and nobody can connect any more in any case.
        let _ended = is_down.wait_for(|is| *is == down).await;
    }
}

async fn keep(
    mut listener: TcpListener,
    address: SocketAddr,
    router: Router,
    mut wanted: watch::Receiver<bool>,
    shown: watch::Sender<bool>,
    shutdown: Shutdown,
) -> anyhow::Result<()> {
    loop {
        let turn = shutdown.child();
        let limits = Limits { lag: Duration::ZERO, ..Limits::default() };
        let serving = serve(listener, None, router.clone(), limits, turn.clone());
        tokio::pin!(serving);
        tokio::select! {
            ended = &mut serving => return ended,
            down = wanted.wait_for(|down| *down) => { down?; }
        }
        turn.force();
        serving.await?;
        // Bound but not listening: the port stays ours, and the kernel refuses every connection.
        let held = hold(address).await?;
        shown.send_replace(true);
        tokio::select! {
            () = shutdown.stopping() => return Ok(()),
            up = wanted.wait_for(|down| !*down) => { up?; }
        }
        listener = held.listen(1024)?;
        shown.send_replace(false);
    }
}

/// Sockets of the connections just cut may keep the address for a moment.
async fn hold(address: SocketAddr) -> io::Result<TcpSocket> {
    let mut tries = 0;
    loop {
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        socket.set_reuseaddr(true)?;
        match socket.bind(address) {
            Ok(()) => return Ok(socket),
            Err(error) if tries == 100 => return Err(error),
            Err(_) => tries += 1,
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// No answer at all: hyper closes a connection whose body fails before anything of it was written.
pub(crate) fn cut_off() -> Response {
    let broken =
        stream::once(async { Err::<Bytes, _>(io::Error::other("the sandbox drops this connection on purpose")) });
    Response::new(Body::from_stream(broken))
}

/// The head of an answer and half of its body, and then the end of the connection.
pub(crate) async fn cut_short(answer: Response) -> Response {
    let (mut head, body) = answer.into_parts();
    // The answers of the simulated servers are bytes that are there already, a page at most.
    let Ok(whole) = axum::body::to_bytes(body, BODY_LIMIT).await else { return cut_off() };
    head.headers.insert(http::header::CONTENT_LENGTH, http::HeaderValue::from(whole.len()));
    let half = whole.slice(..whole.len() / 2);
    let broken = [Ok(half), Err(io::Error::other("the sandbox ends this answer in the middle on purpose"))];
    Response::from_parts(head, Body::from_stream(stream::iter(broken)))
}
