//! A server that does on demand what a real one does only on a bad day.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use email::listen::StoreError;
use email::mailbox::{Cursor, ImapConfig, ImapError, Skipped};
use jiff::SignedDuration;
use runtime::{Clock, ManualClock};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::task::AbortOnDropHandle;

use super::{Seen, Watch, is, login, mail};

/// What is done instead of answering well.
#[derive(Debug, Clone, Copy)]
enum Fault {
    /// Refused, with the word of the refusal.
    Refuse(&'static str),
    /// OK, with nothing before it.
    Nothing,
    /// The mail is removed by somebody before it is given.
    Remove,
    /// The connection is closed.
    Close,
}

#[derive(Debug, Default)]
struct Script {
    mails: Vec<(u32, Vec<u8>)>,
    /// Done once each, by the first command that holds the words.
    once: VecDeque<(&'static str, Fault)>,
    /// Done whenever a command holds the words.
    always: Vec<(String, Fault)>,
}

impl Script {
    fn fault(&mut self, command: &str) -> Option<Fault> {
        if let Some(at) = self.once.iter().position(|(words, _)| command.contains(words)) {
            return self.once.remove(at).map(|(_, fault)| fault);
        }
        self.always.iter().find(|(words, _)| command.contains(words.as_str())).map(|(_, fault)| *fault)
    }

    /// The untagged answers to a command.
    fn answer(&self, command: &str) -> Vec<u8> {
        let words: Vec<&str> = command.split(' ').collect();
        let next = self.mails.last().map_or(1, |(uid, _)| uid + 1);
        let listed = |from: u32| {
            let uids = self.mails.iter().filter(|(uid, _)| *uid >= from).map(|(uid, _)| format!(" {uid}"));
            format!("* SEARCH{}\r\n", uids.collect::<String>()).into_bytes()
        };
        match words.as_slice() {
            ["EXAMINE", ..] => {
                let count = self.mails.len();
                format!("* {count} EXISTS\r\n* OK [UIDVALIDITY 9] .\r\n* OK [UIDNEXT {next}] .\r\n").into_bytes()
            }
            ["CAPABILITY"] => b"* CAPABILITY IMAP4rev1\r\n".to_vec(),
            ["UID", "SEARCH", "SINCE", _] => listed(0),
            ["UID", "SEARCH", "UID", uids] => match uids.split_once(':') {
                Some((first, _)) => listed(first.parse().expect("a number")),
                None if self.mail(uids).is_some() => format!("* SEARCH {uids}\r\n").into_bytes(),
                None => b"* SEARCH\r\n".to_vec(),
            },
            ["UID", "FETCH", uid, "(UID", what @ ..] => {
                let Some(mail) = self.mail(uid) else { return Vec::new() };
                let Some(piece) = what[0].strip_prefix("BODY.PEEK[]<") else {
                    let size = mail.len();
                    return format!(
                        "* 1 FETCH (UID {uid} RFC822.SIZE {size} INTERNALDATE \"20-Nov-2026 15:35:30 +0000\")\r\n"
                    )
                    .into_bytes();
                };
                let (start, count) = piece.trim_end_matches(">)").split_once('.').expect("start and count");
                let (start, count): (usize, usize) =
                    (start.parse().expect("a number"), count.parse().expect("a number"));
                let bytes = &mail[start.min(mail.len())..(start + count).min(mail.len())];
                let head = format!("* 1 FETCH (UID {uid} BODY[]<{start}> {{{}}}\r\n", bytes.len());
                [head.as_bytes(), bytes, b")\r\n"].concat()
            }
            _ => Vec::new(),
        }
    }

    fn mail(&self, uid: &str) -> Option<&[u8]> {
        let uid: u32 = uid.parse().expect("a number");
        self.mails.iter().find(|(known, _)| *known == uid).map(|(_, mail)| mail.as_slice())
    }
}

struct Scripted {
    port: u16,
    script: Arc<Mutex<Script>>,
    _serving: AbortOnDropHandle<()>,
}

impl Scripted {
    #[expect(clippy::disallowed_methods, reason = "the task is owned by the server of the test")]
    async fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let script: Arc<Mutex<Script>> = Arc::default();
        let shared = Arc::clone(&script);
        let serving = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let script = Arc::clone(&shared);
                // A client that goes away in the middle is what some of the tests are about.
                connections.spawn(async move { converse(stream, &script).await.unwrap_or_default() });
                while connections.try_join_next().is_some() {}
            }
        });
        Self { port, script, _serving: AbortOnDropHandle::new(serving) }
    }

    fn with<T>(&self, change: impl FnOnce(&mut Script) -> T) -> T {
        change(&mut self.script.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn put(&self, uid: u32, mail: Vec<u8>) {
        self.with(|script| script.mails.push((uid, mail)));
    }

    fn once(&self, words: &'static str, fault: Fault) {
        self.with(|script| script.once.push_back((words, fault)));
    }

    fn always(&self, words: impl Into<String>, fault: Fault) {
        self.with(|script| script.always.push((words.into(), fault)));
    }

    fn config(&self) -> ImapConfig {
        ImapConfig {
            port: self.port,
            host: "127.0.0.1".to_owned(),
            login: login(email::LoginKind::Password, "ann", "secret"),
            every: Duration::from_millis(50),
            ..super::settings(self.port, "ann")
        }
    }
}

async fn converse(stream: TcpStream, script: &Mutex<Script>) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    stream.write_all(b"* OK ready\r\n").await?;
    let mut line = String::new();
    while stream.read_line(&mut line).await? > 0 {
        let (tag, command) = line.trim_end().split_once(' ').expect("a tag and a command");
        let (fault, answer) = {
            let mut script = script.lock().unwrap_or_else(PoisonError::into_inner);
            let fault = script.fault(command);
            if matches!(fault, Some(Fault::Remove)) {
                let uid = command.split(' ').nth(2).and_then(|uid| uid.parse().ok());
                script.mails.retain(|(known, _)| Some(*known) != uid);
            }
            (fault, script.answer(command))
        };
        let answer = match fault {
            None | Some(Fault::Remove) => [answer, format!("{tag} OK done\r\n").into_bytes()].concat(),
            Some(Fault::Refuse(word)) => format!("{tag} {word} not now\r\n").into_bytes(),
            Some(Fault::Nothing) => format!("{tag} OK done\r\n").into_bytes(),
            Some(Fault::Close) => return Ok(()),
        };
        stream.write_all(&answer).await?;
        line.clear();
    }
    Ok(())
}

fn clock() -> (Clock, ManualClock) {
    Clock::manual("2026-11-21T10:00:00Z".parse().expect("a time"))
}

async fn watched(server: &Scripted) -> (Watch, ManualClock) {
    server.put(1, mail("old"));
    let (clock, hand) = clock();
    let mut watch = Watch::by(server.config(), None, None, Vec::new(), clock);
    assert!(matches!(watch.next().await, Seen::Begin(Cursor { uid: 1, .. })));
    (watch, hand)
}

/// Waits until a trouble was told so often.
async fn troubles(watch: &Watch, expected: usize) {
    let waiting = async {
        while watch.troubles.lock().expect("nobody panics here").len() < expected {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(super::SOON, waiting).await.expect("troubles in time");
}

#[tokio::test]
async fn a_fetch_that_is_refused_is_no_mail_that_was_removed() {
    let server = Scripted::start().await;
    let (mut watch, _hand) = watched(&server).await;
    for words in ["RFC822.SIZE", "BODY.PEEK"] {
        for fault in [Fault::Refuse("NO"), Fault::Refuse("BAD"), Fault::Nothing, Fault::Close] {
            server.once(words, fault);
        }
    }
    server.put(2, mail("two"));
    server.put(3, mail("three"));
    assert!(is(&watch.next().await, "two"));
    assert!(is(&watch.next().await, "three"));
    assert!(server.with(|script| script.once.is_empty()));
    watch.end().await;
}

#[tokio::test]
async fn a_mail_that_was_removed_is_passed_over() {
    let server = Scripted::start().await;
    let (mut watch, _hand) = watched(&server).await;
    for words in ["RFC822.SIZE", "BODY.PEEK"] {
        server.once(words, Fault::Remove);
    }
    server.with(|script| script.mails.extend([(2, mail("two")), (3, mail("three")), (4, mail("four"))]));
    assert!(is(&watch.next().await, "four"));
    assert!(watch.troubles.lock().expect("nobody panics here").is_empty());
    watch.end().await;
}

#[tokio::test]
async fn half_a_mail_is_not_given() {
    let server = Scripted::start().await;
    let (mut watch, _hand) = watched(&server).await;
    let long = "line of text\r\n".repeat(2500);
    for fault in [Fault::Refuse("NO"), Fault::Refuse("BAD"), Fault::Nothing, Fault::Close] {
        server.once("<20000.", fault);
    }
    server.put(2, [mail("long"), long.clone().into_bytes()].concat());
    let seen = watch.next().await;
    assert!(is(&seen, "long"));
    assert_eq!(seen.text().len(), mail("long").len() + long.len());
    assert!(server.with(|script| script.once.is_empty()));
    watch.end().await;
}

#[tokio::test]
async fn a_search_that_is_refused_found_not_nothing() {
    let server = Scripted::start().await;
    server.put(1, mail("one"));
    server.once("SEARCH SINCE", Fault::Refuse("NO"));
    server.once("SEARCH SINCE", Fault::Refuse("BAD"));
    // The mail was taken at the very second.
    let mut watch = Watch::start(server.config(), None, Some(1_795_188_930));
    assert!(is(&watch.next().await, "one"));
    assert!(matches!(watch.next().await, Seen::Begin(Cursor { uid: 1, .. })));
    server.once("SEARCH UID 2:*", Fault::Refuse("NO"));
    server.put(2, mail("two"));
    assert!(is(&watch.next().await, "two"));
    watch.end().await;
}

#[tokio::test]
async fn a_mail_is_given_up_after_tries_that_lie_minutes_apart() {
    let server = Scripted::start().await;
    let (mut watch, hand) = watched(&server).await;
    server.put(2, mail("good"));
    assert!(is(&watch.next().await, "good"));
    server.always("UID FETCH 3 (UID BODY", Fault::Close);
    server.put(3, mail("poison"));
    server.put(4, mail("behind"));
    troubles(&watch, 8).await;
    assert!(watch.seen.try_recv().is_err(), "a restart takes longer than that");
    hand.advance(SignedDuration::from_secs(150));
    let known = watch.troubles.lock().expect("nobody panics here").len();
    troubles(&watch, known + 2).await;
    assert!(watch.seen.try_recv().is_err(), "the second try that counts is not the last one");
    hand.advance(SignedDuration::from_secs(150));
    let seen = watch.next().await;
    assert!(matches!(seen, Seen::Skipped(Cursor { uid: 3, .. }, Skipped::Poison)), "{seen:?}");
    assert!(is(&watch.next().await, "behind"));
    watch.end().await;
}

#[tokio::test]
async fn a_server_that_gives_no_mail_at_all_loses_none() {
    let server = Scripted::start().await;
    let (mut watch, hand) = watched(&server).await;
    server.put(2, mail("good"));
    assert!(is(&watch.next().await, "good"));
    server.always("BODY.PEEK", Fault::Refuse("NO"));
    server.put(3, mail("three"));
    for round in 1..10 {
        hand.advance(SignedDuration::from_secs(150));
        troubles(&watch, 2 * round).await;
    }
    assert!(watch.seen.try_recv().is_err(), "nothing is skipped while nothing can be fetched");
    server.with(|script| script.always.clear());
    assert!(is(&watch.next().await, "three"));
    watch.end().await;
}

#[tokio::test]
async fn a_disk_that_is_full_loses_no_mail() {
    let server = Scripted::start().await;
    let folder = tempfile::tempdir().expect("a folder");
    let spool = folder.path().join("spool");
    let (clock, hand) = clock();
    let config = ImapConfig { spool: spool.clone(), ..server.config() };
    let mut watch = Watch::by(config, None, None, vec![StoreError::Later; 5], clock);
    assert!(matches!(watch.next().await, Seen::Begin(_)));
    server.put(1, [mail("long"), "line of text\r\n".repeat(2500).into_bytes()].concat());
    for round in 1..10 {
        hand.advance(SignedDuration::from_secs(150));
        troubles(&watch, 2 * round).await;
    }
    assert!(
        watch.troubles.lock().expect("nobody panics here").iter().all(|error| matches!(error, ImapError::Spool { .. }))
    );
    std::fs::create_dir(&spool).expect("it was missing");
    assert!(is(&watch.next().await, "long"), "after five times that it was not stored");
    watch.end().await;
}
