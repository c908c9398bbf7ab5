//! Many mails on their way to one server at a time, and each consumer's in order.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use email::listen::{SmtpLimits, Store, StoreError, serve};
use email::read::{Context, Limits, read};
use runtime::Shutdown;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::mail_in::{HELP, consumers_server, mail_settings};
use crate::neighbours::SOON;
use crate::settings::{MAIL_DOMAIN, Queues};
use crate::world::{World, on_both_brokers};

on_both_brokers!(a_hundred_mails_are_under_way_and_each_consumers_in_order);

/// Connections the bridge may have, fewer than there are consumers.
const ABREAST: usize = 100;
const CONSUMERS: usize = 110;
const EACH: usize = 2;

/// A server that takes mails and holds its answers back until it is told to give them.
struct Slow {
    at: SocketAddr,
    books: Arc<Mutex<Books>>,
    answers: watch::Sender<bool>,
    shutdown: Shutdown,
    _tasks: JoinSet<anyhow::Result<()>>,
}

#[derive(Default)]
struct Books {
    /// Consumers whose mail came and was not answered.
    held: BTreeSet<String>,
    most: usize,
    /// What came for each.
    taken: BTreeMap<String, Vec<String>>,
}

impl Slow {
    async fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let at = listener.local_addr().expect("it is bound");
        let (books, (answers, given)) = (Arc::<Mutex<Books>>::default(), watch::channel(false));
        let kept = Arc::clone(&books);
        let store = Store::new(move |received| {
            let (books, mut given) = (Arc::clone(&kept), given.clone());
            async move {
                let to = received.envelope.recipients.first().map(|to| to.expose().clone()).unwrap_or_default();
                let mail = received.open().map_err(|_| StoreError::Later)?;
                let mail = read(mail, &Context::default(), &Limits::default()).map_err(|_| StoreError::Later)?;
                {
                    let mut books = books.lock().expect("nobody panics over the books");
                    assert!(books.held.insert(to.clone()), "one consumer's mails come one after the other");
                    books.most = books.most.max(books.held.len());
                    books.taken.entry(to.clone()).or_default().push(mail.text.expose().trim().to_owned());
                }
                let answered = given.wait_for(|given| *given).await.map(|_| ()).map_err(|_| StoreError::Later);
                books.lock().expect("nobody panics over the books").held.remove(&to);
                answered
            }
        });
        let config = consumers_server(SmtpLimits { store: SOON, ..SmtpLimits::default() });
        let (shutdown, mut tasks) = (Shutdown::new(), JoinSet::new());
        tasks.spawn(serve(listener, config, store, shutdown.clone()));
        Self { at, books, answers, shutdown, _tasks: tasks }
    }

    fn held(&self) -> usize {
        self.books.lock().expect("nobody panics over the books").held.len()
    }
}

async fn a_hundred_mails_are_under_way_and_each_consumers_in_order(queues: Queues) {
    let server = Slow::open().await;
    let provider = format!(
        "smtp = {{ url = \"smtp://{}\", tls = \"none\", connections = {ABREAST} }}\nbounce_address = \"bounces@{MAIL_DOMAIN}\"",
        server.at
    );
    let world = World::with(mail_settings(queues, &provider, "")).await;
    for text in 0..EACH {
        let write = |consumer| {
            let to = format!("c{consumer}@consumer.example");
            world.genesys.agent_sends_mail(MAIL_DOMAIN, HELP, &to, "Order 42", &text.to_string())
        };
        let ids: Vec<String> = (0..CONSUMERS).map(write).collect();
        // What was accepted before another was sent goes first.
        for id in ids {
            world.webhook_answered(&id).await;
        }
    }
    world.until("as many as may be", async |_| (server.held() == ABREAST).then_some(())).await;
    server.answers.send_replace(true);
    world.receipts_told((CONSUMERS * EACH) as u64).await;
    {
        let books = server.books.lock().expect("nobody panics over the books");
        assert_eq!((books.most, books.taken.len()), (ABREAST, CONSUMERS));
        let in_order: Vec<String> = (0..EACH).map(|text| text.to_string()).collect();
        assert!(books.taken.values().all(|texts| *texts == in_order), "{:?}", books.taken);
    }
    world.end().await;
    server.shutdown.force();
}
