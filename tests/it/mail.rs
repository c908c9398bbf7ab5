//! Mail to consumers, through a real mail server: receipts, refusals, bounces, order, and what survives a crash.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use bytes::Bytes;
use email::LeaveKeys;
use email::read::{Context, Limits, Mail, read};
use http::{HeaderMap, Method};
use model::{Address, ChannelName, Family};
use serde_json::{Value, json};
use tempfile::TempDir;
use test_support::Postfix;
use tokio::task::block_in_place;

use crate::mail_in::{ANN, HELP, fixture, mail_settings, plain};
use crate::settings::{MAIL_CHANNEL, MAIL_DOMAIN, Queues, Settings};
use crate::smtp_client::hand_over;
use crate::town::address;
use crate::world::{World, on_both_brokers};

on_both_brokers!(
    two_recipients_of_whom_one_bounces,
    what_was_only_accepted_may_still_come_back,
    who_unsubscribed_is_sent_nothing,
);

/// A bridge whose company has a mail server.
pub(crate) struct Company {
    pub(crate) world: World,
    pub(crate) postfix: Postfix,
    /// Where the bridge takes mail.
    at: SocketAddr,
}

/// The keys of a provider that sends through a server of this machine, which brings it mail.
fn keys(smtp: u16, at: SocketAddr, more: &str) -> String {
    let (authority, spool) = (fixture("authority.pem"), std::env::temp_dir());
    format!(
        r#"
        smtp = {{ url = "smtp://localhost:{smtp}" }}
        ca_files = ["{}"]
        hello = "bridge.company.com"
        bounce_address = "bounces@{MAIL_DOMAIN}"
        listen = "{at}"
        spool = "{}"
        {more}
        "#,
        authority.display(),
        spool.display()
    )
}

pub(crate) fn settings(queues: Queues, delivered_when: &str, keys: &str, channel: &str) -> Settings {
    let mut settings = mail_settings(queues, keys, channel);
    let told = format!("delivered_when = \"{delivered_when}\"");
    settings.more = settings.more.replace("delivered_when = \"accepted\"", &told);
    settings
}

impl Company {
    async fn open(queues: Queues, delivered_when: &str, provider: &str, channel: &str) -> Self {
        Self::with(|keys| settings(queues, delivered_when, keys, channel), provider).await
    }

    /// With settings that are made of the keys of its provider.
    pub(crate) async fn with(settings: impl FnOnce(&str) -> Settings, provider: &str) -> Self {
        let at = address();
        let postfix = block_in_place(|| Postfix::start(at.port(), &fixture("server.pem"), &fixture("server.key")));
        let world = World::with(settings(&keys(postfix.port(), at, provider))).await;
        Self { world, postfix, at }
    }

    /// The agent writes a mail; its webhook is answered with its id.
    pub(crate) async fn writes(&self, id: &str, from: &str, to: &[&str], more: Value) {
        let to: Vec<Value> = to.iter().map(|to| json!({ "id": to, "name": "Dear Consumer" })).collect();
        let mut body = json!({
            "channel": { "id": MAIL_DOMAIN, "type": "email", "from": { "id": from, "name": "Help Désk" }, "to": to, "messageId": id,
                "context": { "replyTo": { "id": "answers@company.com", "name": "Answers" } } },
            "type": "Email", "subject": "Your order",
            "content": [{ "type": "text", "text": "It is on its way." }, { "type": "html", "text": "<p>It is on its way.</p>" }],
        });
        let (Value::Object(body_fields), Value::Object(more)) = (&mut body, more) else { panic!("they are objects") };
        body_fields.extend(more);
        let answer = self.world.genesys.agent_sends_raw(MAIL_DOMAIN, body).await.expect("the bridge answers");
        assert_eq!(answer.status, 200, "{answer:?}");
    }

    /// What was told of a mail: recipient, status and code.
    fn told(&self, id: &str) -> Vec<(String, String, Option<i64>)> {
        let receipts = self.world.genesys.receipts().into_iter().filter(|receipt| receipt.message_id == id);
        let mut told: Vec<_> = receipts
            .map(|receipt| {
                assert_eq!(receipt.channel_id, MAIL_DOMAIN, "the path is the channel's");
                let raw: Value = serde_json::from_slice(&receipt.raw).expect("it is JSON");
                assert!(raw["messages"][0]["channel"]["to"].is_object(), "one recipient, an object: {raw}");
                (receipt.to, receipt.status, receipt.reasons.first().map(|(code, _)| *code))
            })
            .collect();
        told.sort();
        told
    }

    async fn receipts(&self, count: u64) {
        self.world.receipts_told(count).await;
    }

    /// The mails in a mailbox, read, once there are so many.
    pub(crate) async fn mails(&self, user: &str, count: usize) -> Vec<(Mail, String)> {
        let look = async |_: &World| Some(self.postfix.mails(user)).filter(|mails| mails.len() >= count);
        let mails = self.world.until("mails in a mailbox", look).await;
        let read_back = |mail: Vec<u8>| {
            let raw = String::from_utf8_lossy(&mail).replace("\r\n", "\n");
            (read(mail.as_slice(), &Context::default(), &Limits::default()).expect("it can be read"), raw)
        };
        mails.into_iter().map(read_back).collect()
    }

    pub(crate) async fn close(self) {
        self.world.end().await;
    }
}

fn said(to: &str, status: &str, code: Option<i64>) -> (String, String, Option<i64>) {
    (to.to_owned(), status.to_owned(), code)
}

/// The overview's mail flow: one mail to two, one arrives and one comes back.
async fn two_recipients_of_whom_one_bounces(queues: Queues) {
    let company = Company::open(queues, "dsn", "", "").await;
    company.writes("m-1", "no-reply@company.com", &["Ann@consumer.example", "gone@consumer.example"], json!({})).await;
    company.receipts(2).await;
    let expected =
        [said("Ann@consumer.example", "Delivered", None), said("gone@consumer.example", "Failed", Some(530))];
    assert_eq!(company.told("m-1"), expected, "{}", company.postfix.log());
    let mails = company.mails("ann", 1).await;
    let (mail, raw) = &mails[0];
    assert_eq!(mail.text.expose(), "It is on its way.");
    assert!(mail.html.is_some() && raw.contains("multipart/alternative"), "{raw}");
    assert_eq!(mail.subject.expose(), "Your order");
    assert_eq!(mail.from.as_ref().map(|from| from.name.expose().as_str()), Some("Help Désk"));
    assert_eq!(mail.to.iter().map(|to| to.address.expose().as_str()).collect::<Vec<_>>(), ["Ann@consumer.example"]);
    assert_eq!(mail.reply_to[0].address.expose(), "answers@company.com");
    assert!(raw.contains("Return-Path: <bounces+"), "each has an envelope of its own: {raw}");
    company.close().await;
}

/// The server took it and told so; later it says that nobody is there.
async fn what_was_only_accepted_may_still_come_back(queues: Queues) {
    let company = Company::open(queues, "accepted", "", "").await;
    company.writes("m-1", "no-reply@company.com", &["gone@consumer.example"], json!({})).await;
    company.receipts(2).await;
    let expected =
        [said("gone@consumer.example", "Delivered", None), said("gone@consumer.example", "Failed", Some(530))];
    assert_eq!(company.told("m-1"), expected);
    company.close().await;
}

/// Each refusal has its code, and what can never be sent reaches no server.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusals_are_told_with_their_codes() {
    let company = Company::open(Queues::Embedded, "accepted", "", "").await;
    let file = json!({ "attachments": [{ "url": "genesys://nexus/../x", "filename": "a.pdf" }] });
    let large = json!({ "content": [{ "type": "text", "text": "x".repeat(1_100_000) }] });
    for (id, from, to, more, code) in [
        ("unknown", "help@company.com", "nobody@consumer.example", json!({}), 530),
        ("no-address", "help@company.com", "nobody", json!({}), 530),
        ("foreign", "ceo@bank.example", "ann@consumer.example", json!({}), 350),
        ("empty", "help@company.com", "ann@consumer.example", json!({ "content": [] }), 520),
        ("file", "help@company.com", "ann@consumer.example", file, 510),
        ("large", "help@company.com", "ann@consumer.example", large, 510),
    ] {
        company.writes(id, from, &[to], more).await;
        company
            .world
            .until(&format!("a receipt of {id}"), async |_| (!company.told(id).is_empty()).then_some(()))
            .await;
        assert_eq!(company.told(id), [said(to, "Failed", Some(code))], "{id}\n{}", company.postfix.log());
    }
    company.writes("fine", "help@company.com", &["ann@consumer.example"], json!({})).await;
    company.receipts(7).await;
    assert_eq!(company.mails("ann", 1).await.len(), 1, "nothing but this one arrived");
    company.close().await;
}

/// An answer stands in the thread of what it answers, with its files, signed by the domain.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_is_in_its_thread_with_its_files_and_signed() {
    let folder = TempDir::new().expect("a folder");
    let (key, dkim) = signing(&folder);
    let company = Company::open(Queues::Embedded, "accepted", &dkim, "").await;
    let answer = hand_over(company.at, ANN, HELP, &plain("one", "Where is it?")).await;
    assert!(answer.starts_with("250 "), "{answer}");
    company.world.agent_sees(1).await;
    let pdf = Bytes::from_static(b"%PDF-1.4\n1 0 obj\n<<>>\nendobj\ntrailer\n<<>>\n%%EOF\n");
    let url = company.world.genesys.agent_uploads(MAIL_DOMAIN, "bill.pdf", "application/pdf", pdf.clone());
    let files = json!({ "attachments": [{ "url": url, "filename": "bill.pdf", "mimetype": "application/pdf" }] });
    company.writes("m-1", HELP, &[ANN], files).await;
    company.writes("m-2", HELP, &[ANN], json!({})).await;
    company.receipts(2).await;
    let mails = company.mails("ann", 2).await;
    let with_file = mails.iter().find(|(mail, _)| !mail.attachments.is_empty()).expect("one has a file");
    let file = &with_file.0.attachments[0];
    assert_eq!((file.name.expose().as_str(), file.size), ("bill.pdf", pdf.len() as u64));
    let answers = |mail: &Mail| mail.thread.answers.iter().map(|id| id.expose().clone()).collect::<Vec<_>>();
    assert_eq!(answers(&with_file.0), ["one@consumer.example"]);
    let (second, _) = mails.iter().find(|(mail, _)| mail.attachments.is_empty()).expect("and one has none");
    let first_id = with_file.0.message_id.as_ref().expect("an id").expose().clone();
    assert_eq!(answers(second), [first_id, "one@consumer.example".to_owned()], "it answers our own last mail");
    let record = public_record(&key);
    for mail in company.postfix.mails("ann") {
        assert!(verifies(&mail, &record), "{}", String::from_utf8_lossy(&mail));
    }
    company.close().await;
}

/// A new key that signs, and the line of the configuration that says so.
pub(crate) fn signing(folder: &TempDir) -> (PathBuf, String) {
    let key = folder.path().join("dkim.pem");
    let made = Command::new("openssl").args(["genpkey", "-algorithm", "ed25519", "-out"]).arg(&key).output();
    assert!(made.is_ok_and(|made| made.status.success()), "openssl makes a key");
    let line = format!("dkim = {{ selector = \"one\", key_file = \"{}\" }}", key.display());
    (key, line)
}

/// What DNS would say of a key.
pub(crate) fn public_record(key: &std::path::Path) -> String {
    let script = "openssl pkey -in \"$0\" -pubout -outform DER | tail -c 32 | base64";
    let output = Command::new("sh").args(["-c", script]).arg(key).output().expect("openssl reads it");
    format!("v=DKIM1; k=ed25519; p={}", String::from_utf8_lossy(&output.stdout).trim())
}

/// A verifier that shares nothing with us.
pub(crate) fn verifies(mail: &[u8], record: &str) -> bool {
    let script = "import re, sys, dkim\nmail = re.sub(rb'(?<!\\r)\\n', b'\\r\\n', sys.stdin.buffer.read())\n\
                  record = sys.argv[1].encode()\n\
                  sys.exit(0 if dkim.verify(mail, dnsfunc=lambda name, timeout=5: record) else 3)\n";
    let mut python = Command::new("/usr/bin/python3")
        .args(["-c", script, record])
        .stdin(Stdio::piped())
        .spawn()
        .expect("python3 is there: run scripts/install-test-deps");
    std::io::Write::write_all(&mut python.stdin.take().expect("it was piped"), mail).expect("it reads");
    let status = python.wait().expect("it ends").code();
    assert!(matches!(status, Some(0 | 3)), "the verifier failed: {status:?}");
    status == Some(0)
}

/// By a mail to the address in the header, and by the link that RFC 8058 asks for.
async fn who_unsubscribed_is_sent_nothing(queues: Queues) {
    let keys = match queues {
        Queues::RabbitMq(_) => LeaveKeys::new(vec!["Zx81mdkQ-link-key".into()]),
        Queues::Embedded => None,
    };
    let company = Company::open(queues, "accepted", "", "list_unsubscribe = \"mailto\"").await;
    company.writes("m-1", HELP, &[ANN], json!({})).await;
    let (_, raw) = company.mails("ann", 1).await.remove(0);
    let unfolded = raw.replace("\n ", " ");
    let line = unfolded.lines().find_map(|line| line.strip_prefix("List-Unsubscribe: <mailto:")).expect("the header");
    let (address, _) = line.split_once('?').expect("a subject");
    let leave =
        |from: &str| format!("From: {from}\nTo: {address}\nSubject: unsubscribe\nMessage-ID: <leave@{from}>\n\n.\n");
    // Who was not written to is no one to unsubscribe.
    let bob = "bob@consumer.example";
    assert!(hand_over(company.at, bob, address, &leave(bob)).await.starts_with("250 "));
    assert!(hand_over(company.at, ANN, address, &leave(ANN)).await.starts_with("250 "));
    company.refused("m-2", ANN).await;
    if let Some(keys) = keys {
        let bob = Address::mail(bob).expect("an address");
        let token = keys.url_token(&ChannelName::new(MAIL_CHANNEL), &bob);
        let url = format!("http://{}/unsubscribe/{token}", company.world.bridge());
        let asked = company.world.http.get(url.clone()).await.expect("an answer");
        assert!(asked.status == 200 && asked.body.windows(4).any(|part| part == b"<for"), "a page that only asks");
        company.writes("m-3", HELP, &["bob@consumer.example"], json!({})).await;
        assert_eq!(company.mails("bob", 1).await.len(), 1, "nobody clicked");
        let body = Bytes::from_static(b"List-Unsubscribe=One-Click");
        let left = company.world.http.call(Method::POST, url, HeaderMap::new(), body).await.expect("an answer");
        assert_eq!(left.status, 200);
        company.refused("m-4", "bob@consumer.example").await;
        let other = format!("http://{}/unsubscribe/{}", company.world.bridge(), "AQ".repeat(30));
        assert_eq!(company.world.http.get(other).await.expect("an answer").status, 404);
    }
    company.close().await;
}

impl Company {
    /// The agent is told that this recipient takes no more mail. The wish stands before the mail in their conversation.
    pub(crate) async fn refused(&self, id: &str, to: &str) {
        self.writes(id, HELP, &[to], json!({})).await;
        self.world.until("a refusal", async |_| (!self.told(id).is_empty()).then_some(())).await;
        assert_eq!(self.told(id), [said(to, "Failed", Some(350))]);
    }
}

/// A server says "later" of one recipient: that conversation waits, in order, and no other. In the end its agent is told what the
/// server said: it was too late, or too much.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn later_holds_up_one_conversation() {
    let impatient = |keys: &str| Settings { expire_replies: "12s", ..settings(Queues::Embedded, "accepted", keys, "") };
    let company = Company::with(impatient, "").await;
    company.writes("m-1", HELP, &["later@consumer.example"], json!({})).await;
    company.writes("m-2", HELP, &["later@consumer.example"], json!({})).await;
    company.writes("m-4", HELP, &["limited@consumer.example"], json!({})).await;
    company.writes("m-3", HELP, &["bob@consumer.example"], json!({})).await;
    company.receipts(1).await;
    assert_eq!(company.told("m-3"), [said("bob@consumer.example", "Delivered", None)], "nobody waits for another");
    company.receipts(4).await;
    for id in ["m-1", "m-2"] {
        assert_eq!(company.told(id), [said("later@consumer.example", "Failed", Some(305))]);
    }
    assert_eq!(company.told("m-4"), [said("limited@consumer.example", "Failed", Some(310))]);
    let receipts = company.world.genesys.receipts().into_iter().filter(|receipt| receipt.message_id == "m-1");
    let reasons: Vec<_> = receipts.flat_map(|receipt| receipt.reasons).filter_map(|(_, told)| told).collect();
    assert_eq!(reasons, ["The mail could not be delivered in time (answer 450 4.2.0)."]);
    assert!(company.postfix.log().matches("450 4.2.0").count() >= 2, "it was tried more than once");
    company.world.end_with_dead_letters(&[Family::Replies]).await;
}
