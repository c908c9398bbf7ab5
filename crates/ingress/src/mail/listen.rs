use std::time::Duration;

use email::listen::{ListenConfig, Store, serve};
use runtime::Shutdown;
use tokio::net::TcpListener;

use super::accept::MailRoom;
use super::carrier::Carrier;

/// How one listener is run.
pub struct Listen {
    /// Its port.
    pub listener: TcpListener,
    /// What it takes, and from whom.
    pub config: ListenConfig,
    /// How long it still takes mail after the soft stage began, so that whoever sends to it can notice first.
    pub lag: Duration,
}

/// Takes mail until the soft stage plus the lag, and finishes what is coming in.
///
/// # Errors
/// The spool folder cannot be written to.
pub async fn listen(listen: Listen, room: MailRoom, shutdown: Shutdown) -> anyhow::Result<()> {
    let store = Store::new(move |received| {
        let room = room.clone();
        async move { room.accept(Carrier::Smtp(received)).await }
    });
    let closing = Shutdown::new();
    let served = serve(listen.listener, listen.config, store, closing.clone());
    tokio::pin!(served);
    tokio::select! {
        ended = &mut served => return ended,
        () = shutdown.stopping() => {}
    }
    tokio::select! {
        ended = &mut served => return ended,
        () = tokio::time::sleep(listen.lag) => closing.begin(),
        () = shutdown.forced() => {}
    }
    tokio::select! {
        ended = &mut served => ended,
        () = shutdown.forced() => {
            closing.force();
            served.await
        }
    }
}
