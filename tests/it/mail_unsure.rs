//! Mails of which nobody knows whether they were taken: the server fell silent in the middle of one.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use email::listen::{SmtpLimits, Store, StoreError, serve};
use email::read::{Context, Limits, read};
use model::Family;
use runtime::Shutdown;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::mail::settings;
use crate::mail_in::{ANN, HELP, consumers_server};
use crate::settings::{MAIL_DOMAIN, Queues};
use crate::town::address;
use crate::world::World;

/// A server of ours that takes one mail and says nothing, and then is gone.
struct Silent {
    at: SocketAddr,
    mails: mpsc::Receiver<String>,
    silent: Arc<AtomicBool>,
    shutdown: Shutdown,
    tasks: JoinSet<anyhow::Result<()>>,
    sender: mpsc::Sender<String>,
}

impl Silent {
    async fn open() -> Self {
        let (sender, mails) = mpsc::channel(10);
        let at = address();
        let mut server = Self {
            at,
            mails,
            silent: Arc::new(AtomicBool::new(true)),
            shutdown: Shutdown::new(),
            tasks: JoinSet::new(),
            sender,
        };
        server.listen().await;
        server
    }

    async fn listen(&mut self) {
        let listener = TcpListener::bind(self.at).await.expect("its port is free");
        let (sender, silent) = (self.sender.clone(), Arc::clone(&self.silent));
        let store = Store::new(move |received| {
            let (sender, silent) = (sender.clone(), Arc::clone(&silent));
            async move {
                let mail = received.open().map_err(|_| StoreError::Later)?;
                let mail = read(mail, &Context::default(), &Limits::default()).map_err(|_| StoreError::Later)?;
                let id = mail.message_id.map(|id| id.expose().clone()).unwrap_or_default();
                sender.send(id).await.map_err(|_| StoreError::Later)?;
                if silent.load(Ordering::SeqCst) { std::future::pending().await } else { Ok(()) }
            }
        });
        let config = consumers_server(SmtpLimits::default());
        self.tasks.spawn(serve(listener, config, store, self.shutdown.clone()));
    }

    /// Breaks off what it holds, and answers from now on.
    async fn restart(&mut self) {
        self.shutdown.force();
        while self.tasks.join_next().await.is_some() {}
        (self.shutdown, _) = (Shutdown::new(), self.silent.store(false, Ordering::SeqCst));
        self.listen().await;
    }

    fn keys(&self) -> String {
        format!(
            "smtp = {{ url = \"smtp://127.0.0.1:{}\", tls = \"none\" }}\nbounce_address = \"bounces@{MAIL_DOMAIN}\"",
            self.at.port()
        )
    }
}

async fn writes_to_ann(world: &World, id: &str) {
    let body = json!({
        "channel": { "id": MAIL_DOMAIN, "type": "email", "from": { "id": HELP }, "to": [{ "id": ANN }], "messageId": id },
        "type": "Email", "subject": "Your order", "content": [{ "type": "text", "text": "It is on its way." }],
    });
    assert_eq!(world.genesys.agent_sends_raw(MAIL_DOMAIN, body).await.expect("the bridge answers").status, 200);
}

/// Nobody knows whether it was taken: it is sent again, under the same id, by which a copy can be told.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mail_that_was_interrupted_is_sent_again_under_its_id() {
    let mut server = Silent::open().await;
    let world = World::with(settings(Queues::Embedded, "accepted", &server.keys(), "")).await;
    writes_to_ann(&world, "m-1").await;
    let first = server.mails.recv().await.expect("the mail");
    assert_eq!(world.genesys.receipt_count(), 0);
    server.restart().await;
    let second = server.mails.recv().await.expect("the mail again");
    assert!(first == second && first.starts_with("nx."), "{first} {second}");
    world.receipts_told(1).await;
    assert_eq!(world.receipts("m-1"), [("Delivered".to_owned(), Vec::new())]);
    world.end().await;
}

/// The same where two copies are worse than none.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mail_that_was_interrupted_is_parked() {
    let mut server = Silent::open().await;
    let world = World::with(settings(Queues::Embedded, "accepted", &server.keys(), "when_unsure = \"park\"")).await;
    writes_to_ann(&world, "m-1").await;
    server.mails.recv().await.expect("the mail");
    server.restart().await;
    world.receipts_told(1).await;
    assert_eq!(world.receipts("m-1"), [("Failed".to_owned(), vec![500])]);
    assert!(server.mails.try_recv().is_err(), "it was sent once");
    world.end_with_dead_letters(&[Family::Replies]).await;
}

/// A server that takes each mail and never says so is not asked to take it for ever: the mail is handed over five times, and then its
/// agent is told.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mail_that_is_never_answered_is_sent_five_times() {
    let mut server = Silent::open().await;
    let keys = server.keys().replace("tls = \"none\"", "tls = \"none\", answer_timeout = \"1s\"");
    let world = World::with(settings(Queues::Embedded, "accepted", &keys, "")).await;
    writes_to_ann(&world, "m-1").await;
    let first = server.mails.recv().await.expect("the mail");
    for _ in 1..5 {
        assert_eq!(server.mails.recv().await.expect("the mail again"), first);
    }
    world.receipts_told(1).await;
    assert_eq!(world.receipts("m-1"), [("Failed".to_owned(), vec![500])]);
    assert!(server.mails.try_recv().is_err(), "it was sent five times");
    world.end_with_dead_letters(&[Family::Replies]).await;
}
