//! Consumers' mail, out of mailboxes that are watched.

use std::net::SocketAddr;

use jiff::SignedDuration;
use runtime::Clock;
use serde_json::json;
use test_support::{Dovecot, IMAP_PASSWORD};
use tokio::task::block_in_place;

use crate::mail_in::{ANN, HELP, fixture, mail_settings, plain};
use crate::settings::{Queues, Settings};
use crate::smtp_client::hand_over;
use crate::town::address;
use crate::world::{World, on_both_brokers};

on_both_brokers!(a_mailbox_is_read_from_now_on_and_across_restarts, a_mail_by_both_ways_arrives_once);

/// The user whose mailbox is the company's.
const USER: &str = "help";

pub(crate) fn dovecot() -> Dovecot {
    block_in_place(|| Dovecot::start(&fixture("server.pem"), &fixture("server.key")))
}

pub(crate) fn settings(queues: Queues, dovecot: &Dovecot, listen: Option<SocketAddr>) -> Settings {
    let listen = listen.map(|at| format!("listen = \"{at}\"")).unwrap_or_default();
    let provider = format!(
        "imap = {{ url = \"imap://{USER}@localhost:{}\", password = \"{IMAP_PASSWORD}\", every = \"29m\" }}\n\
         domains = [\"company.com\"]\nca_files = [\"{}\"]\nspool = \"{}\"\nmax_per_sender = 0\n{listen}",
        dovecot.port(),
        fixture("authority.pem").display(),
        std::env::temp_dir().display()
    );
    mail_settings(queues, &provider, "")
}

pub(crate) fn put(dovecot: &Dovecot, id: &str) {
    let mail = plain(id, "out of a mailbox").replace('\n', "\r\n");
    block_in_place(|| dovecot.put(USER, mail.as_bytes()));
}

pub(crate) fn put_old(dovecot: &Dovecot, count: usize) {
    let then = Clock::system().now() - SignedDuration::from_hours(24 * 30);
    let mail = plain("old", "long ago").replace('\n', "\r\n");
    let then = u64::try_from(then.as_second()).expect("it is after 1970");
    block_in_place(|| dovecot.put_many(USER, mail.as_bytes(), count, then));
}

impl World {
    /// Waits until the watch over the mailbox is well, or not.
    async fn mailbox(&self, ready: bool) {
        self.until("the state of the mailbox", async |world| {
            let (status, body) = world.readyz().await;
            assert_eq!(status, 200, "whatever a mailbox does, what comes in can be stored");
            let line =
                body["components"].as_array()?.iter().find(|line| line["name"] == json!("mailbox mail/INBOX"))?;
            (line["ready"] == json!(ready)).then_some(())
        })
        .await;
    }

    async fn ids(&self, count: u64) -> Vec<String> {
        self.mails(count).await.into_iter().filter_map(|mail| mail.message_id).collect()
    }
}

pub(crate) fn ids(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| format!("{name}@consumer.example")).collect()
}

async fn a_mailbox_is_read_from_now_on_and_across_restarts(queues: Queues) {
    let mut dovecot = dovecot();
    put_old(&dovecot, 500);
    let world = World::with(settings(queues, &dovecot, None)).await;
    world.mailbox(true).await;
    put(&dovecot, "one");
    assert_eq!(world.ids(1).await, ids(&["one"]), "nothing old");
    // While the bridge is away mail still comes, and its server is killed with all connections.
    let world = world
        .reopened(async |_| {
            put(&dovecot, "two");
        })
        .await;
    assert_eq!(world.ids(2).await, ids(&["one", "two"]));
    block_in_place(|| dovecot.kill());
    world.mailbox(false).await;
    put(&dovecot, "three");
    block_in_place(|| dovecot.restart());
    assert_eq!(world.ids(3).await, ids(&["one", "two", "three"]));
    // The mailbox is restored: every mail has a number it never had.
    block_in_place(|| {
        dovecot.kill();
        dovecot.forget_uids(USER);
        dovecot.restart();
    });
    world.mailbox(true).await;
    put(&dovecot, "four");
    assert_eq!(world.ids(4).await, ids(&["one", "two", "three", "four"]), "nothing twice and nothing old");
    world.end().await;
}

async fn a_mail_by_both_ways_arrives_once(queues: Queues) {
    let (at, dovecot) = (address(), dovecot());
    put_old(&dovecot, 1);
    let world = World::with(settings(queues, &dovecot, Some(at))).await;
    world.mailbox(true).await;
    for id in ["one", "two", "three"] {
        put(&dovecot, id);
        assert!(hand_over(at, ANN, HELP, &plain(id, "by the other way")).await.starts_with("250 "));
    }
    put(&dovecot, "last");
    let mut seen = world.ids(4).await;
    // Whatever else came in stood before the last one, in the same lane.
    world
        .until("the last", async |world| {
            world
                .genesys
                .messages()
                .last()
                .filter(|mail| mail.message_id.as_deref() == Some("last@consumer.example"))
                .map(|_| ())
        })
        .await;
    seen.sort_unstable();
    assert_eq!(seen, ids(&["last", "one", "three", "two"]));
    world.end().await;
}

/// A mail that is larger than is taken stays in its mailbox, and a dead letter says which it is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mail_that_is_too_large_is_told_of() {
    let dovecot = dovecot();
    put_old(&dovecot, 1);
    let settings = settings(Queues::Embedded, &dovecot, None);
    let more = settings.more.replace("every = \"29m\"", "every = \"29m\", mail_limit = \"64 KiB\"");
    let world = World::with(Settings { more, ..settings }).await;
    world.mailbox(true).await;
    let large = format!("{}{}", plain("large", "x"), "many lines\n".repeat(10_000)).replace('\n', "\r\n");
    block_in_place(|| dovecot.put(USER, large.as_bytes()));
    put(&dovecot, "small");
    assert_eq!(world.ids(1).await, ids(&["small"]));
    assert!(world.dropped("too-large").await);
    world.end_with_dead_letters(&[model::Family::Inbound]).await;
}
