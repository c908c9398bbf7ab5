//! A mail server that wants to know who we are, by a token (XOAUTH2): taken, refused, and taken again once it was renewed.

use std::fs;

use test_support::{Dovecot, Postfix};
use tokio::task::block_in_place;

use crate::conversation::alarms;
use crate::mail_in::{HELP, fixture, mail_settings};
use crate::settings::{MAIL_DOMAIN, Queues};
use crate::world::{World, on_both_brokers};

on_both_brokers!(a_refused_token_pauses_the_account_until_it_is_renewed);

const CONSUMERS: [&str; 2] = ["ann@consumer.example", "bob@consumer.example"];
/// Each stands in a lane of its own or behind another one.
const WAITING: usize = 12;

async fn a_refused_token_pauses_the_account_until_it_is_renewed(queues: Queues) {
    let dovecot = block_in_place(|| Dovecot::start(&fixture("server.pem"), &fixture("server.key")));
    let (pem, key) = (fixture("server.pem"), fixture("server.key"));
    let mut postfix = block_in_place(|| Postfix::start_with(9, &pem, &key, Some(&dovecot.login_socket())));
    let folder = tempfile::TempDir::new().expect("a folder");
    let token = folder.path().join("token");
    fs::write(&token, format!("{}\n", Dovecot::access_token("help"))).expect("its folder takes files");
    let provider = format!(
        "smtp = {{ url = \"smtp://help@localhost:{}\", token_file = \"{}\" }}\nca_files = [\"{}\"]\n\
         hello = \"bridge.company.com\"\nbounce_address = \"bounces@{MAIL_DOMAIN}\"",
        postfix.port(),
        token.display(),
        fixture("authority.pem").display()
    );
    let world = World::with(mail_settings(queues, &provider, "")).await;
    let write = |number: usize| {
        let (to, text) = (CONSUMERS[number % 2], number.to_string());
        world.genesys.agent_sends_mail(MAIL_DOMAIN, HELP, to, "Order 42", &text)
    };
    let first = write(0);
    world.receipts_told(1).await;
    assert_eq!(world.receipts(&first), [("Delivered".to_owned(), Vec::new())], "{}", postfix.log());

    // It has expired, and no connection from before is left.
    fs::write(&token, "expired\n").expect("its folder takes files");
    block_in_place(|| postfix.restart());
    let waiting: Vec<String> = (1..=WAITING).map(write).collect();
    let paused = [("account-paused".to_owned(), "mail".to_owned())];
    world.until("the alarm", async |world| (alarms(&world.readyz().await.1) == paused).then_some(())).await;
    for id in &waiting {
        world.webhook_answered(id).await;
    }
    assert_eq!(world.genesys.receipt_count(), 1, "they wait");
    let failures = || postfix.log().matches("authentication failed").count();
    assert!((1..=2).contains(&failures()), "nobody keeps trying:\n{}", postfix.log());

    fs::write(&token, Dovecot::access_token("help")).expect("its folder takes files");
    world.receipts_told(1 + WAITING as u64).await;
    for id in &waiting {
        assert_eq!(world.receipts(id), [("Delivered".to_owned(), Vec::new())]);
    }
    assert!(failures() <= 2, "{}", postfix.log());
    world.until("the end of the alarm", async |world| alarms(&world.readyz().await.1).is_empty().then_some(())).await;
    world.end().await;
}
