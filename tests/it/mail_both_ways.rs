//! What mail to consumers and mail from them have to do with each other: threads, bounces, and leaving.

use std::net::SocketAddr;

use test_support::Postfix;

use crate::mail_in::{ANN, HELP, door, fixture, mail_settings, plain, postfix};
use crate::settings::{MAIL_DOMAIN, Queues};
use crate::smtp_client::hand_over;
use crate::town::{Town, address};
use crate::world::{World, on_both_brokers};

on_both_brokers!(
    an_answer_stands_in_the_thread_of_its_mail,
    an_answer_that_lost_its_headers_is_known_by_its_address,
    a_mail_that_comes_back_is_told_to_its_agent,
    who_asks_for_it_by_mail_is_left_alone,
    mail_survives_a_kill,
);

/// A bridge whose company's mail server takes its mail and brings it mail.
async fn company(queues: Queues, channel: &str) -> (World, Postfix, SocketAddr) {
    let at = address();
    let postfix = postfix(at);
    let provider = format!(
        "listen = \"{at}\"\nmax_per_sender = 0\nspool = \"{}\"\nsmtp = {{ url = \"smtp://localhost:{}\" }}\n\
         ca_files = [\"{}\"]\nhello = \"bridge.company.com\"\nbounce_address = \"bounces@company.com\"",
        std::env::temp_dir().display(),
        postfix.port(),
        fixture("authority.pem").display()
    );
    let world = World::with(mail_settings(queues, &provider, channel)).await;
    world.genesys.set_webhook(MAIL_DOMAIN, format!("http://{}/genesys/company-mail", world.bridge()));
    (world, postfix, at)
}

impl World {
    /// The agent writes a mail; its id.
    fn writes(&self, to: &str, subject: &str) -> String {
        self.genesys.agent_sends_mail(MAIL_DOMAIN, HELP, to, subject, "An answer")
    }

    /// The mails in a consumer's mailbox, once there are so many.
    async fn mailbox_of(&self, postfix: &Postfix, user: &str, count: usize) -> Vec<String> {
        let mails = self
            .until("mails in a mailbox", async |_| Some(postfix.mails(user)).filter(|mails| mails.len() >= count))
            .await;
        mails.into_iter().map(|mail| String::from_utf8_lossy(&mail).into_owned()).collect()
    }

    /// Waits until a reply has these receipts.
    async fn told(&self, id: &str, expected: &[(&str, &[i64])]) {
        let expected: Vec<_> = expected.iter().map(|(status, codes)| ((*status).to_owned(), codes.to_vec())).collect();
        self.until("receipts", async |world| (world.receipts(id) == expected).then_some(())).await;
    }
}

/// A header of a mail, unfolded.
fn header(mail: &str, name: &str) -> String {
    let unfolded = mail.replace("\r\n", "\n").replace("\n ", " ").replace("\n\t", " ");
    let line = unfolded.lines().take_while(|line| !line.is_empty()).find_map(|line| {
        let (known, value) = line.split_once(':')?;
        known.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
    });
    line.unwrap_or_else(|| panic!("no {name} in:\n{mail}"))
}

async fn an_answer_stands_in_the_thread_of_its_mail(queues: Queues) {
    let (world, postfix, at) = company(queues, "").await;
    let second = plain("second", "Where is it?").replace(
        "Subject:",
        "In-Reply-To: <first@company.com>\nReferences: <zeroth@company.com> <first@company.com>\nSubject:",
    );
    assert!(hand_over(at, ANN, HELP, &second).await.starts_with("250 "));
    world.mails(1).await;
    let id = world.writes(ANN, "Re: Order 42");
    let mail = world.mailbox_of(&postfix, "ann", 1).await.remove(0);
    assert_eq!(header(&mail, "In-Reply-To"), "<second@consumer.example>");
    assert_eq!(header(&mail, "References"), "<zeroth@company.com> <first@company.com> <second@consumer.example>");
    world.told(&id, &[("Delivered", &[])]).await;
    world.end().await;
}

async fn an_answer_that_lost_its_headers_is_known_by_its_address(queues: Queues) {
    let open_media = "inbound = \"open-media\"\nopen_media_service = \"email-in\"\nreply_token = true";
    let (world, postfix, at) = company(queues, open_media).await;
    let tasks = async |count: usize| {
        let look = |sim: &sandbox::GenesysSim| Some(sim.interactions()).filter(|tasks| tasks.len() == count);
        world.genesys.until(crate::neighbours::SOON, look).await.expect("tasks")
    };
    assert!(hand_over(at, ANN, HELP, &plain("first", "Where is it?")).await.starts_with("250 "));
    let first = tasks(1).await.remove(0);
    let id = world.writes(ANN, "On its way");
    world.told(&id, &[("Delivered", &[])]).await;
    let mail = world.mailbox_of(&postfix, "ann", 1).await.remove(0);
    assert!(header(&mail, "From").ends_with(&format!("<{HELP}>")), "the sender is the sender: {mail}");
    let answers = header(&mail, "Reply-To");
    let address = answers.split(['<', '>']).find(|part| part.contains('@')).expect("an address");
    let token = address.strip_prefix("help+").and_then(|rest| rest.strip_suffix("@company.com"));
    assert!(token.is_some_and(|token| token.len() == 20), "{answers}");
    // Of the mail it answers nothing is left but where it goes, through a real server.
    let bare = plain("second", "Thank you").replace("Order 42", "Something else").replace(HELP, address);
    assert!(hand_over(door(&postfix), ANN, address, &bare).await.starts_with("250 "));
    let second = tasks(2).await.remove(1);
    assert_eq!(second.parent, Some(first.id), "{:?}", second.user_data);
    let shown = |key: &str| second.user_data.get(key).map_or("", String::as_str);
    assert_eq!((shown("To"), shown("Mailbox")), (HELP, HELP), "the token is nobody's business");
    // Another mail of the same consumer begins anew.
    let other = plain("third", "And now?").replace("Order 42", "News");
    assert!(hand_over(at, ANN, HELP, &other).await.starts_with("250 "));
    assert_eq!(tasks(3).await.remove(2).parent, None);
    world.end().await;
}

async fn a_mail_that_comes_back_is_told_to_its_agent(queues: Queues) {
    let (world, _postfix, _) = company(queues, "").await;
    // This one's server takes the mail and then finds that nobody is there.
    let id = world.writes("gone@consumer.example", "Order 42");
    world.told(&id, &[("Delivered", &[]), ("Failed", &[530])]).await;
    assert_eq!(world.genesys.message_count(), 0, "a bounce is no consumer's mail");
    world.end().await;
}

async fn who_asks_for_it_by_mail_is_left_alone(queues: Queues) {
    let (world, postfix, at) = company(queues, "list_unsubscribe = \"mailto\"").await;
    let first = world.writes(ANN, "News");
    world.told(&first, &[("Delivered", &[])]).await;
    let mail = world.mailbox_of(&postfix, "ann", 1).await.remove(0);
    let leave = header(&mail, "List-Unsubscribe");
    let leave = leave.trim_matches(['<', '>']).strip_prefix("mailto:").expect("an address");
    let leave = leave.split('?').next().expect("an address").to_owned();
    // Somebody else who saw the address changes nothing; it is a mail like any other.
    let bob = plain("bob", "unsubscribe her").replace(ANN, "bob@consumer.example");
    assert!(hand_over(door(&postfix), "bob@consumer.example", &leave, &bob).await.starts_with("250 "));
    world.mails(1).await;
    let second = world.writes(ANN, "News");
    world.told(&second, &[("Delivered", &[])]).await;
    assert!(hand_over(at, ANN, &leave, &plain("leave", "unsubscribe")).await.starts_with("250 "));
    world
        .until("a refusal", async |world| {
            let id = world.writes(ANN, "News");
            world.webhook_answered(&id).await;
            let told = world.genesys.until(crate::neighbours::SOON, |_| world.receipts(&id).pop()).await?;
            (told == ("Failed".to_owned(), vec![350])).then_some(())
        })
        .await;
    assert_eq!(world.genesys.message_count(), 1, "the wish itself is no message");
    world.end().await;
}

async fn mail_survives_a_kill(queues: Queues) {
    let at = address();
    let spool = std::env::temp_dir();
    let provider = format!("listen = \"{at}\"\nmax_per_sender = 0\nspool = \"{}\"", spool.display());
    let town = Town::with(mail_settings(queues, &provider, "")).await;
    let postfix = postfix(at);
    let bridge = town.start().await;
    for number in 0..60 {
        let mail = plain(&format!("m{number}"), "x");
        assert!(hand_over(door(&postfix), ANN, HELP, &mail).await.starts_with("250 "));
    }
    town.agent_sees(10).await;
    bridge.kill().await;
    let bridge = town.start().await;
    let all = |sim: &sandbox::GenesysSim| {
        let mut ids: Vec<_> = sim.messages().into_iter().filter_map(|mail| mail.message_id).collect();
        ids.sort_unstable();
        ids.dedup();
        (ids.len() == 60).then_some(())
    };
    // What was under way to Genesys when the process was killed comes again, with its id.
    assert!(town.genesys.until(crate::neighbours::SOON, all).await.is_some(), "every mail arrives");
    assert!(town.genesys.message_count() <= 61);
    town.end(vec![bridge]).await;
}
