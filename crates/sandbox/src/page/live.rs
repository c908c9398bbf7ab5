//! Live updates: the whole view again whenever something in it changed.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State as Shared;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::{Stream, stream};
use serde_json::Value;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::PageState;
use super::view::view;

/// The bridge does not tell when something moves inside it, so it is asked this often.
const LOOK: Duration = Duration::from_millis(300);
/// Under load, changes are shown together.
const CALM: Duration = Duration::from_millis(40);

struct Viewer {
    page: Arc<PageState>,
    genesys: watch::Receiver<u64>,
    netsapiens: watch::Receiver<u64>,
    mail: watch::Receiver<u64>,
    last: Value,
}

pub(super) async fn once(Shared(page): Shared<Arc<PageState>>) -> Json<Value> {
    Json(view(&page).await)
}

pub(super) async fn live(
    Shared(page): Shared<Arc<PageState>>,
) -> Sse<impl Stream<Item = Result<Event, Infallible>> + use<>> {
    let (genesys, netsapiens, mail) = (page.genesys.watch(), page.netsapiens.watch(), page.mailbox.server.watch());
    let viewer = Viewer { page, genesys, netsapiens, mail, last: Value::Null };
    Sse::new(stream::unfold(viewer, next)).keep_alive(KeepAlive::default())
}

async fn next(mut viewer: Viewer) -> Option<(Result<Event, Infallible>, Viewer)> {
    loop {
        if viewer.page.shutdown.is_stopping() {
            return None;
        }
        viewer.genesys.borrow_and_update();
        viewer.netsapiens.borrow_and_update();
        viewer.mail.borrow_and_update();
        let seen = view(&viewer.page).await;
        if seen != viewer.last {
            viewer.last = seen;
            let event = Event::default().event("view").data(viewer.last.to_string());
            return Some((Ok(event), viewer));
        }
        let shutdown = viewer.page.shutdown.clone();
        let moved = async {
            tokio::select! {
                _ = viewer.genesys.changed() => {}
                _ = viewer.netsapiens.changed() => {}
                _ = viewer.mail.changed() => {}
                () = shutdown.stopping() => {}
            }
        };
        // Whichever comes first, the next thing is to look.
        let _early = timeout(LOOK, moved).await;
        sleep(CALM).await;
    }
}
