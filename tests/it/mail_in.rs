//! Consumers' mail, from a mail server to the agent.

use std::net::SocketAddr;
use std::path::PathBuf;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use email::listen::{ListenConfig, Refusals, SmtpLimits};
use sandbox::ReceivedMessage;
use test_support::{Postfix, RabbitNode, Version, own_nodes};
use tokio::task::block_in_place;

use crate::conversation::alarms;
use crate::neighbours::SOON;
use crate::settings::{MAIL_DOMAIN, MAIL_SECRET, Queues, Settings};
use crate::smtp_client::{SmtpClient, hand_over};
use crate::town::{Town, address};
use crate::world::{World, on_both_brokers};

on_both_brokers!(
    a_mail_reaches_the_agent_through_a_mail_server,
    a_mail_reaches_the_agent_as_a_text,
    attachments_are_uploaded_or_told_of,
    what_no_person_wrote_reaches_nobody,
    too_many_mails_of_one_sender_are_held,
    mails_that_come_during_a_restart_arrive_once,
    mails_become_tasks_of_their_threads,
);

pub(crate) const ANN: &str = "ann@consumer.example";
pub(crate) const HELP: &str = "help@company.com";

pub(crate) fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../crates/runtime/fixtures/tls").join(name)
}

/// A mail provider and its channel; the keys are more of each.
pub(crate) fn mail_settings(queues: Queues, provider: &str, channel: &str) -> Settings {
    let more = format!(
        r#"
        [[provider]]
        name = "mail"
        kind = "email"
        delivered_when = "accepted"
        {provider}
        [[channel]]
        id = "{MAIL_DOMAIN}"
        name = "company-mail"
        kind = "email"
        provider = "mail"
        secrets = ["{MAIL_SECRET}"]
        {channel}
        "#
    );
    Settings { more, ..Settings::on(queues) }
}

/// How consumers' mail server listens in a test that is that server.
pub(crate) fn consumers_server(limits: SmtpLimits) -> ListenConfig {
    ListenConfig {
        name: "mx.consumer.example".to_owned(),
        allowed: vec!["127.0.0.1/32".parse().expect("a network")],
        domains: vec!["consumer.example".to_owned()],
        bounce_address: None,
        refusals: Refusals::new("mail"),
        tls: None,
        require_tls: false,
        spool: std::env::temp_dir(),
        limits,
    }
}

fn listening(queues: Queues, at: SocketAddr, channel: &str) -> Settings {
    let spool = std::env::temp_dir();
    let provider = format!("listen = \"{at}\"\nmax_per_sender = 0\nspool = \"{}\"", spool.display());
    mail_settings(queues, &provider, channel)
}

pub(crate) fn postfix(inbound: SocketAddr) -> Postfix {
    block_in_place(|| Postfix::start(inbound.port(), &fixture("server.pem"), &fixture("server.key")))
}

/// Where a Postfix of a test takes mail.
pub(crate) fn door(postfix: &Postfix) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], postfix.port()))
}

pub(crate) fn plain(id: &str, text: &str) -> String {
    format!(
        "From: Ann Example <{ANN}>\nTo: {HELP}\nSubject: Order 42\nMessage-ID: <{id}@consumer.example>\n\
         Date: Fri, 20 Nov 2026 10:15:30 +0000\n\n{text}\n"
    )
}

/// Text, HTML and files; each file is its type, its name and its bytes.
fn with_files(id: &str, files: &[(&str, &str, &[u8])]) -> String {
    let files = files.iter().map(|(media_type, name, bytes)| {
        let bytes = STANDARD.encode(bytes);
        let lines: Vec<&str> = bytes.as_bytes().chunks(76).filter_map(|line| std::str::from_utf8(line).ok()).collect();
        format!(
            "--m\nContent-Type: {media_type}\nContent-Disposition: attachment; filename=\"{name}\"\n\
             Content-Transfer-Encoding: base64\n\n{}\n",
            lines.join("\n")
        )
    });
    format!(
        "From: Ann Example <{ANN}>\nTo: {HELP}\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\nMessage-ID: <{id}@consumer.example>\n\
         MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=m\n\n\
         --m\nContent-Type: multipart/alternative; boundary=a\n\n\
         --a\nContent-Type: text/plain; charset=iso-8859-1\nContent-Transfer-Encoding: quoted-printable\n\nSch=F6ne Sache\n\n\
         On Fri, 20 Nov 2026 at 09:00, Help <help@company.com> wrote:\n> an earlier line\n\
         --a\nContent-Type: text/html; charset=utf-8\n\n<p>Schöne Sache</p><script>alert(1)</script>\n--a--\n\
         {}--m--\n",
        files.collect::<String>()
    )
}

fn png() -> Vec<u8> {
    let mut bytes = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x10\0\0\0\x10".to_vec();
    bytes.resize(200_000, 7);
    bytes
}

impl World {
    /// What the agent was given on the mail channel, once there is so much.
    pub(crate) async fn mails(&self, count: u64) -> Vec<ReceivedMessage> {
        self.agent_sees(count).await;
        self.genesys.messages()
    }

    /// A counter of dropped mails.
    pub(crate) async fn dropped(&self, cause: &str) -> bool {
        let counted = format!("cause=\"{cause}\"");
        let metrics = self.metrics().await;
        metrics.lines().any(|line| line.starts_with("causeway_events_dropped_total") && line.contains(&counted))
    }
}

async fn a_mail_reaches_the_agent_through_a_mail_server(queues: Queues) {
    let at = address();
    let world = World::with(listening(queues, at, "")).await;
    let postfix = postfix(at);
    let picture = png();
    let files: [(&str, &str, &[u8]); 2] =
        [("image/png", "door.png", &picture), ("text/plain", "../../etc/x.txt", b"hello")];
    let answer = hand_over(door(&postfix), ANN, HELP, &with_files("one", &files)).await;
    assert!(answer.starts_with("250 "), "{answer}");
    let mail = world.mails(1).await.remove(0);
    assert_eq!((mail.channel_id.as_str(), mail.from.as_str(), mail.to.as_str()), (MAIL_DOMAIN, ANN, HELP));
    assert_eq!(mail.message_id.as_deref(), Some("one@consumer.example"));
    let email = mail.email.expect("it came as a mail");
    assert_eq!((email.subject.as_str(), email.from_name.as_deref()), ("Grüße", Some("Ann Example")));
    assert!(email.html.expect("its HTML").contains("<script>"), "data, passed on as it is");
    let lines: Vec<&str> = mail.text.lines().collect();
    let [text, left_out, door, text_file] = lines[..] else { panic!("{}", mail.text) };
    assert_eq!((text, left_out), ("Schöne Sache", "[Earlier messages were quoted below and are left out.]"));
    assert!(door.starts_with("door.png: http://") && text_file.starts_with("x.txt: http://"), "{door} {text_file}");
    let (_, token) = door.split_once("/media/").expect("a link");
    let answer = world.http.get(format!("http://{}/media/{token}", world.bridge())).await.expect("an answer");
    assert_eq!((answer.status.as_u16(), answer.body.as_ref()), (200, picture.as_slice()));
    world.end().await;
}

/// Pictures in the text come beside it, under names: what the HTML calls them by opens nothing for the agent.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pictures_in_the_text_reach_the_agent_beside_it() {
    let at = address();
    let world = World::with(listening(Queues::Embedded, at, "")).await;
    let picture = STANDARD.encode(png());
    let lines: Vec<&str> = picture.as_bytes().chunks(76).filter_map(|line| std::str::from_utf8(line).ok()).collect();
    let inline = |id: &str, more: &str| {
        format!(
            "--r\nContent-Type: image/png{more}\nContent-ID: <{id}>\nContent-Disposition: inline\n\
             Content-Transfer-Encoding: base64\n\n{}\n",
            lines.join("\n")
        )
    };
    let mail = format!(
        "From: {ANN}\nTo: {HELP}\nSubject: Look\nMessage-ID: <look@consumer.example>\nMIME-Version: 1.0\n\
         Content-Type: multipart/related; boundary=r\n\n--r\nContent-Type: text/html\n\n\
         <p>The door <img src=\"cid:one\" alt=\"(the green one)\"> and its key <img src=\"cid:two\"></p>\n{}{}--r--\n",
        inline("one", "; name=door.png"),
        inline("two", "")
    );
    assert!(hand_over(at, ANN, HELP, &mail).await.starts_with("250 "));
    let seen = world.mails(1).await.remove(0);
    assert!(
        seen.email.as_ref().is_some_and(|email| email.html.as_deref().is_some_and(|html| html.contains("cid:one")))
    );
    let lines: Vec<&str> = seen.text.lines().collect();
    let [text, door, key] = lines[..] else { panic!("{}", seen.text) };
    assert_eq!(text, "The door (the green one) and its key");
    assert!(door.starts_with("door.png: http://") && key.starts_with("attachment.png: http://"), "{door} {key}");
    world.end().await;
}

async fn a_mail_reaches_the_agent_as_a_text(queues: Queues) {
    let at = address();
    let world = World::with(listening(queues, at, "email_as = \"text\"")).await;
    let second =
        "Message-ID: <two@consumer.example>\nFrom: ann@consumer.example\nReply-To: bob@consumer.example\n\n.dot\n";
    for content in [&plain("one", "Where is it?"), second] {
        assert!(hand_over(at, ANN, HELP, content).await.starts_with("250 "));
    }
    let texts: Vec<String> = world.mails(2).await.into_iter().map(|mail| mail.text).collect();
    assert_eq!(texts, ["Subject: Order 42\n\nWhere is it?", ".dot\n[Answers are wanted at bob@consumer.example.]"]);
    world.end().await;
}

async fn attachments_are_uploaded_or_told_of(queues: Queues) {
    let at = address();
    let world = World::with(listening(queues, at, "media = \"rich-media\"")).await;
    let picture = png();
    let files: [(&str, &str, &[u8]); 3] = [
        ("image/png", "door.png", &picture),
        ("application/pdf", "lie.pdf", b"MZ\x90\0 not at all"),
        ("application/octet-stream", "tool.exe", b"MZ\x90\0 a program"),
    ];
    assert!(hand_over(at, ANN, HELP, &with_files("one", &files)).await.starts_with("250 "));
    let mail = world.mails(1).await.remove(0);
    let [attachment] = mail.attachments.try_into().expect("one was passed on");
    let [media] = world.genesys.media().try_into().expect("one upload");
    assert_eq!((media.url(), media.filename.as_str()), (attachment.url, "door.png"));
    assert_eq!(media.bytes.as_ref(), picture.as_slice());
    for why in ["it is not what it was said to be", "files of its type are not passed on"] {
        assert!(mail.text.contains(why), "{}", mail.text);
    }
    // A tenant that knows no such shape is given a text once.
    world.genesys.faults().refuse_email(1);
    assert!(hand_over(at, ANN, HELP, &with_files("two", &files[..1])).await.starts_with("250 "));
    let mail = world.mails(2).await.remove(1);
    assert!(mail.email.is_none() && mail.text.starts_with("Subject: Grüße\n\nSchöne Sache"), "{}", mail.text);
    assert!(mail.text.contains("door.png: http://"), "{}", mail.text);
    assert_eq!(world.genesys.refusals().len(), 1);
    world.end_with_dead_letters(&[]).await;
}

async fn what_no_person_wrote_reaches_nobody(queues: Queues) {
    let at = address();
    let world = World::with(listening(queues, at, "")).await;
    let with = |header: &str| format!("{header}\n{}", plain("machine", "I am away until Monday"));
    for (cause, sender, content) in [
        ("auto-submitted", ANN, with("Auto-Submitted: auto-replied")),
        ("precedence", ANN, with("Precedence: bulk")),
        ("mailing-list", ANN, with("List-Id: <news.consumer.example>")),
        ("null-sender", "", plain("machine", "nobody to answer")),
        ("own-mail", ANN, with("X-Causeway-Domain: company.com")),
        ("too-many-hops", ANN, with("Received: from a by b; Fri, 20 Nov 2026 10:15:30 +0000\n".repeat(60).trim_end())),
    ] {
        let answer = hand_over(at, sender, HELP, &content).await;
        assert!(answer.starts_with("250 "), "{cause}: {answer}");
        assert!(world.dropped(cause).await, "{cause} is counted");
    }
    let expected = [("loop".to_owned(), "mail".to_owned())];
    assert_eq!(alarms(&world.readyz().await.1), expected, "what comes back to us is told");
    let foreign = hand_over(at, ANN, "help@elsewhere.example", &plain("x", "x")).await;
    assert!(foreign.starts_with("550 5.7.1"), "{foreign}");
    assert!(world.dropped("unknown-domain").await, "a mail server that relays the wrong domain is seen");
    // One that tries to smuggle a second mail in, one that never says a line, one that says nothing sensible.
    let mut smuggler = SmtpClient::connect(at).await;
    assert!(smuggler.mail(ANN, HELP, "Subject: x\n\nx\r.\rMAIL FROM:<x@y.example>").await.starts_with('5'));
    let mut endless = SmtpClient::connect(at).await;
    endless.send("x".repeat(200_000)).await;
    assert!(endless.answer().await.starts_with('5'));
    let mut odd = SmtpClient::connect(at).await;
    odd.send([0u8, 255, 13, 10]).await;
    assert!(odd.answer().await.starts_with('5'));
    assert!(hand_over(at, ANN, HELP, &plain("person", "I wrote this")).await.starts_with("250 "));
    assert_eq!(world.mails(1).await.len(), 1, "a person's mail alone arrives");
    world.end().await;
}

async fn too_many_mails_of_one_sender_are_held(queues: Queues) {
    let at = address();
    let provider = format!("listen = \"{at}\"\nmax_per_sender = 3\nspool = \"{}\"", std::env::temp_dir().display());
    let town = Town::with(mail_settings(queues, &provider, "")).await;
    let bridge = town.start().await;
    for number in 0..5 {
        assert!(hand_over(at, ANN, HELP, &plain(&format!("m{number}"), "again")).await.starts_with("250 "));
    }
    assert!(
        hand_over(at, "bob@consumer.example", HELP, &plain("other", "me").replace("ann@", "bob@"))
            .await
            .starts_with("250 ")
    );
    let held = town.dead_of("held", 2).await;
    town.agent_sees(4).await;
    let readyz = bridge.readyz().await;
    assert!(alarms(&readyz).contains(&("loop".to_owned(), "company-mail".to_owned())), "{readyz}");
    // The operator has looked: it was a person.
    town.dead_letters(&["replay", "--cause", "held"]).await.well();
    town.agent_sees(6).await;
    assert_eq!(held.len(), 2);
    let ids = town.genesys.messages().into_iter().filter_map(|mail| mail.message_id);
    let mut ids: Vec<String> = ids.collect();
    ids.sort_unstable();
    assert_eq!(ids, ["m0", "m1", "m2", "m3", "m4", "other"].map(|id| format!("{id}@consumer.example")));
    town.end(vec![bridge]).await;
}

async fn mails_that_come_during_a_restart_arrive_once(queues: Queues) {
    let at = address();
    let world = World::with(listening(queues, at, "")).await;
    let postfix = postfix(at);
    let mails = door(&postfix);
    let send = async |numbers: std::ops::Range<usize>| {
        for number in numbers {
            let answer = hand_over(mails, ANN, HELP, &plain(&format!("m{number}"), "x")).await;
            assert!(answer.starts_with("250 "), "{answer}");
        }
    };
    send(0..10).await;
    let world = world.reopened(async |_| send(10..20).await).await;
    send(20..30).await;
    let mut ids: Vec<_> = world.mails(30).await.into_iter().filter_map(|mail| mail.message_id).collect();
    ids.sort_unstable();
    let mut expected: Vec<_> = (0..30).map(|number| format!("m{number}@consumer.example")).collect();
    expected.sort_unstable();
    assert_eq!(ids, expected);
    world.end().await;
}

/// What cannot be stored is answered 451; the mail server keeps it, and brings it again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_dies_makes_mail_wait_at_its_server() {
    if !own_nodes() {
        return;
    }
    let at = address();
    let mut node = block_in_place(|| RabbitNode::start(Version::V43));
    let world = World::with(listening(Queues::RabbitMq(node.url("/")), at, "")).await;
    let postfix = postfix(at);
    block_in_place(|| node.kill());
    world.until("an unready process", async |world| (world.readyz().await.0 == 503).then_some(())).await;
    let answer = hand_over(at, ANN, HELP, &plain("direct", "x")).await;
    assert!(answer.starts_with("451 "), "{answer}");
    for number in 0..25 {
        let answer = hand_over(door(&postfix), ANN, HELP, &plain(&format!("m{number}"), "x")).await;
        assert!(answer.starts_with("250 "), "Postfix takes it: {answer}");
    }
    world.until("a mail that was deferred", async |_| postfix.log().contains("451 4.3.0").then_some(())).await;
    block_in_place(|| node.restart());
    let mut ids: Vec<_> = world.mails(25).await.into_iter().filter_map(|mail| mail.message_id).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 25, "each once");
    world.end().await;
}

/// Nothing a consumer wrote, and no address, is in any log of a bridge that says everything.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn logs_of_mail_name_nobody() {
    let at = address();
    let settings = listening(Queues::Embedded, at, "");
    let town = Town::with(Settings { log: "debug".to_owned(), ..settings }).await;
    let bridge = town.start().await;
    let text = plain("private-id", "velvet-lighthouse");
    assert!(hand_over(at, ANN, HELP, &text).await.starts_with("250 "));
    assert!(hand_over(at, ANN, HELP, &format!("Precedence: junk\n{text}")).await.starts_with("250 "));
    town.agent_sees(1).await;
    let log = std::fs::read_to_string(town.log("all")).expect("a log");
    for private in [ANN, HELP, "velvet-lighthouse", "Order 42", "private-id", "Ann Example"] {
        assert!(!log.contains(private), "{private} is in the log");
    }
    assert!(log.contains("a consumer's mail was accepted"), "{log}");
    town.end(vec![bridge]).await;
}

async fn mails_become_tasks_of_their_threads(queues: Queues) {
    let at = address();
    let open_media = "inbound = \"open-media\"\nopen_media_service = \"email-in\"";
    let world = World::with(listening(queues, at, open_media)).await;
    let picture = png();
    let first = with_files("one", &[("image/png", "door.png", &picture)]);
    assert!(hand_over(at, ANN, HELP, &first).await.starts_with("250 "));
    world.genesys.faults().close_after_accept(1);
    let answer = plain("two", &"A long story. ".repeat(600)).replace(
        "Subject: Order 42",
        "Cc: Bob <bob@consumer.example>\nSubject: Re: Order 42\nIn-Reply-To: <one@consumer.example>",
    );
    assert!(hand_over(at, ANN, HELP, &answer).await.starts_with("250 "));
    let two = |genesys: &sandbox::GenesysSim| Some(genesys.interactions()).filter(|tasks| tasks.len() == 2);
    let [one, two] = world.genesys.until(SOON, two).await.expect("two tasks").try_into().expect("two tasks");
    let shown = |key: &str| one.user_data.get(key).map_or("", String::as_str);
    assert_eq!(
        (shown("MediaOrigin"), shown("Subject"), shown("FromAddress")),
        ("bridge-email", "Gr\u{fc}\u{df}e", ANN)
    );
    assert_eq!((shown("FromPersonal"), shown("To"), shown("Mailbox")), ("Ann Example", HELP, HELP));
    assert_eq!((shown("MessageId"), shown("BodyTruncated")), ("<one@consumer.example>", ""));
    assert!(shown("BodyText").starts_with("Sch\u{f6}ne Sache\n"), "{}", shown("BodyText"));
    let attached: serde_json::Value = serde_json::from_str(shown("AttachmentsJson")).expect("it is JSON");
    assert_eq!((&attached[0]["name"], &attached[0]["mime"]), (&"door.png".into(), &"image/png".into()));
    let link = async |url: &str| {
        let (_, path) = url.split_once("/media/").expect("a link");
        let url = format!("http://{}/media/{path}", world.bridge());
        world.http.get(url).await.expect("the public listener answers").body
    };
    assert_eq!(link(attached[0]["url"].as_str().expect("a link")).await, picture);

    assert_eq!(two.parent, Some(one.id), "it answers the first one");
    let shown = |key: &str| two.user_data.get(key).map_or("", String::as_str);
    assert_eq!((shown("InReplyTo"), shown("Cc")), ("<one@consumer.example>", "bob@consumer.example"));
    assert_eq!((shown("BodyTruncated"), shown("BodyText").len()), ("true", 4096));
    let whole = link(shown("BodyUrl")).await;
    assert_eq!(String::from_utf8(whole.to_vec()).expect("it is text").matches("A long story.").count(), 600);
    let size = two.user_data.iter().map(|(key, value)| key.len() + value.len()).sum::<usize>();
    assert!(size <= 16 << 10 && two.external_id.is_some_and(|id| id.starts_with("em-")), "{size}");
    assert_eq!(world.genesys.message_count(), 0, "nothing goes to the channel");
    world.end().await;
}
