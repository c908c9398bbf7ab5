//! The database goes away and comes back.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use ledger::contract::effect;
use ledger::{AttemptId, Begin, Ledger, LedgerError, Outcome};
use model::Family;
use runtime::Clock;
use test_support::{PostgresServer, postgres_sql, shared_postgres};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::{CALL, config, open};

/// No call takes longer, whatever happens to the database.
const FAST: Duration = Duration::from_secs(2);
const PATIENCE: Duration = Duration::from_secs(60);
const LANES: usize = 16;
const EACH: usize = 150;

/// What the lanes saw.
#[derive(Default)]
struct Seen {
    done: AtomicUsize,
    failed: AtomicUsize,
}

/// Asks until there is an answer, each time within [`FAST`].
async fn insist<T, F: Future<Output = Result<T, LedgerError>>>(seen: &Seen, ask: impl Fn() -> F) -> T {
    let began = Instant::now();
    let mut again = tokio::time::interval(Duration::from_millis(5));
    loop {
        let asked = Instant::now();
        let answer = ask().await;
        assert!(asked.elapsed() < FAST, "a call took {:?}", asked.elapsed());
        match answer {
            Ok(answer) => return answer,
            Err(LedgerError::Unavailable(_)) => seen.failed.fetch_add(1, Ordering::Relaxed),
            Err(other) => panic!("{other}"),
        };
        assert!(began.elapsed() < PATIENCE, "it never answers again");
        again.tick().await;
    }
}

/// Makes effects one after the other; every attempt it was ever given.
async fn lane(ledger: Ledger, seen: Arc<Seen>, lane: usize) -> Vec<(String, AttemptId)> {
    let mut firsts = Vec::new();
    for number in 0..EACH {
        let id = format!("{lane}-{number}");
        let effect = effect(&id);
        let attempt = match insist(&seen, || ledger.begin(effect.clone(), CALL)).await {
            Begin::First(attempt) => attempt,
            other => panic!("{id}: nobody else begins it, and {other:?} was found"),
        };
        let outcome = Outcome::Sent { foreign_id: Some(id.clone()) };
        insist(&seen, || ledger.finish(&effect, &attempt, outcome.clone())).await;
        firsts.push((id, attempt));
        seen.done.fetch_add(1, Ordering::Relaxed);
    }
    firsts
}

async fn until(what: &str, condition: impl Fn() -> bool) {
    let began = Instant::now();
    let mut again = tokio::time::interval(Duration::from_millis(5));
    while !condition() {
        assert!(began.elapsed() < PATIENCE, "{what} did not come about");
        again.tick().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_server_killed_under_load_loses_nothing_and_repeats_nothing() {
    let mut server = PostgresServer::start();
    let url = server.make_database();
    let ledgers = [open(&url).await, open(&url).await];
    let seen = Arc::new(Seen::default());
    let mut lanes = JoinSet::new();
    for (number, ledger) in (0..LANES).zip(ledgers.iter().cycle()) {
        lanes.spawn(lane(ledger.clone(), Arc::clone(&seen), number));
    }
    for part in 1..=2 {
        until("load", || seen.done.load(Ordering::Relaxed) >= part * LANES * EACH / 3).await;
        let before = seen.failed.load(Ordering::Relaxed);
        tokio::task::block_in_place(|| server.kill());
        until("a failure", || seen.failed.load(Ordering::Relaxed) > before + LANES).await;
        tokio::task::block_in_place(|| server.restart());
    }
    let mut firsts: BTreeMap<String, Vec<AttemptId>> = BTreeMap::new();
    for (id, attempt) in lanes.join_all().await.into_iter().flatten() {
        firsts.entry(id).or_default().push(attempt);
    }
    assert_eq!(firsts.len(), LANES * EACH);
    assert!(firsts.values().all(|attempts| attempts.len() == 1), "each was given to one lane, once");
    for (id, attempts) in &firsts {
        let found = ledgers[0].begin(effect(id), CALL).await.unwrap();
        assert_eq!(found, Begin::Done(Outcome::Sent { foreign_id: Some(id.clone()) }));
        let lines = ledgers[0].timeline(id).await.unwrap();
        let last = lines.iter().rfind(|line| line.what == ledger::What::Began).expect("it was begun");
        assert_eq!(last.detail, format!("attempt {}", attempts[0].0));
        let count = |what| lines.iter().filter(|line| line.what == what).count();
        let (began, released, sent) =
            (count(ledger::What::Began), count(ledger::What::Released), count(ledger::What::Sent));
        assert_eq!((began, sent), (released + 1, 1), "{id}: what was begun again was released before");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_opened_before_its_database_answers_as_soon_as_that_does() {
    let mut server = PostgresServer::start();
    let url = server.make_database();
    server.kill();
    let asked = Instant::now();
    let ledger =
        Ledger::open(config(&url), Clock::system()).await.expect("an absent database is no reason not to start");
    assert!(asked.elapsed() < FAST);
    let error = Ledger::migrate(config(&url), Clock::system()).await.expect_err("whoever migrates wants to know");
    assert!(matches!(error, LedgerError::Unavailable(_)), "{error}");
    let seen = Seen::default();
    for _ in 0..20 {
        let asked = Instant::now();
        let (begun, checked) = tokio::join!(ledger.begin(effect("1"), CALL), ledger.check());
        assert!(asked.elapsed() < FAST, "a call took {:?}", asked.elapsed());
        assert!(begun.is_err() && checked.is_err());
    }
    tokio::task::block_in_place(|| server.restart());
    let begun = insist(&seen, || ledger.begin(effect("1"), CALL)).await;
    assert!(matches!(begun, Begin::First(_)), "{begun:?}");
    assert!(Ledger::migrate(config(&url), Clock::system()).await.unwrap() > 0);
}

#[tokio::test]
async fn an_idle_connection_that_was_cut_is_not_noticed() {
    let url = shared_postgres();
    let ledger = open(&url).await;
    for number in 0..5 {
        let cut =
            "SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity WHERE application_name = 'causeway'
            AND datname = current_database()";
        assert_eq!(postgres_sql(&url, cut), "1");
        let seen = Seen::default();
        let begun = insist(&seen, || ledger.begin(effect(&number.to_string()), CALL)).await;
        assert!(matches!(begun, Begin::First(_)), "{begun:?}");
    }
}

#[tokio::test]
async fn tables_that_vanished_are_not_made_again() {
    let url = shared_postgres();
    let ledger = open(&url).await;
    ledger.begin(effect("1"), CALL).await.unwrap();
    postgres_sql(&url, "DROP SCHEMA causeway CASCADE");
    let began = Instant::now();
    let mut again = tokio::time::interval(Duration::from_millis(20));
    let mut told = String::new();
    // Also over a new connection.
    while began.elapsed() < Duration::from_millis(500) {
        again.tick().await;
        told = ledger.begin(effect("1"), CALL).await.expect_err("an empty ledger would send it again").to_string();
    }
    assert!(told.contains("its tables are not there"), "{told}");
    let made = postgres_sql(&url, "SELECT count(*) FROM pg_namespace WHERE nspname = 'causeway'");
    assert_eq!(made, "0");
}

/// Until its transaction ends, effects are read and locked, and none is made.
const NO_INSERT: &str = "BEGIN; LOCK TABLE causeway.effects IN SHARE MODE";

#[tokio::test(flavor = "multi_thread")]
async fn whoever_gives_up_waiting_leaves_no_attempt_behind() {
    let url = shared_postgres();
    let ledger = open(&url).await;
    let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.unwrap();
    let mut driver = JoinSet::new();
    driver.spawn(connection);
    // The insert waits for this, and nothing before it: the attempt is in hand when its caller goes.
    client.batch_execute(NO_INSERT).await.unwrap();
    let mut callers = JoinSet::new();
    let (asking, inbound) = (ledger.clone(), ledger::Effect { family: Family::Inbound, ..effect("1") });
    let one = inbound.clone();
    callers.spawn(async move { asking.begin(one, CALL).await });
    let waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    until("a wait", || postgres_sql(&url, waiting) == "1").await;
    callers.shutdown().await;
    client.batch_execute("ROLLBACK").await.unwrap();
    let begun = insist(&Seen::default(), || ledger.begin(inbound.clone(), CALL)).await;
    assert!(matches!(begun, Begin::First(_)), "nobody has the attempt before: {begun:?}");
}

/// A wire to a server that can lose the replies, and be cut.
struct Wire {
    port: u16,
    deaf: Arc<AtomicBool>,
    cut: watch::Sender<u32>,
    _tasks: JoinSet<()>,
}

impl Wire {
    async fn to(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("it has one").port();
        let (deaf, (cut, is_cut)) = (Arc::new(AtomicBool::new(false)), watch::channel(0));
        let (mut tasks, deafness) = (JoinSet::new(), Arc::clone(&deaf));
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((near, _)) = listener.accept().await {
                let far = TcpStream::connect(("127.0.0.1", server)).await.expect("it listens");
                connections.spawn(carry(near, far, Arc::clone(&deafness), is_cut.clone()));
            }
        });
        Self { port, deaf, cut, _tasks: tasks }
    }
}

async fn carry(near: TcpStream, far: TcpStream, deaf: Arc<AtomicBool>, mut cut: watch::Receiver<u32>) {
    cut.mark_unchanged();
    let ((mut from_near, mut to_near), (mut from_far, mut to_far)) = (near.into_split(), far.into_split());
    let replies = async {
        let mut buffer = vec![0; 65_536];
        while let Ok(length @ 1..) = from_far.read(&mut buffer).await {
            if !deaf.load(Ordering::SeqCst) && to_near.write_all(&buffer[..length]).await.is_err() {
                break;
            }
        }
    };
    tokio::select! {
        _ended = tokio::io::copy(&mut from_near, &mut to_far) => {}
        () = replies => {}
        _cut = cut.changed() => {}
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_whose_commit_was_never_heard_of_is_nobodys() {
    let server = PostgresServer::start();
    let url = server.make_database();
    let wire = Wire::to(server.port()).await;
    let far = url.replace(&format!(":{}/", server.port()), &format!(":{}/", wire.port));
    let ledger = open(&far).await;
    let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.unwrap();
    let mut driver = JoinSet::new();
    driver.spawn(connection);
    client.batch_execute(NO_INSERT).await.unwrap();
    let (mut callers, asking) = (JoinSet::new(), ledger.clone());
    callers.spawn(async move { asking.begin(effect("1"), CALL).await });
    let waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'causeway.effects'::regclass";
    until("a wait", || postgres_sql(&url, waiting) == "1").await;
    wire.deaf.store(true, Ordering::SeqCst);
    client.batch_execute("ROLLBACK").await.unwrap();
    until("a commit", || postgres_sql(&url, "SELECT count(*) FROM causeway.effects WHERE begun = 1") == "1").await;
    wire.cut.send_modify(|cuts| *cuts += 1);
    let told = callers.join_next().await.expect("there is one").unwrap();
    assert!(matches!(told, Err(LedgerError::Unavailable(_))), "{told:?}");
    wire.deaf.store(false, Ordering::SeqCst);
    let begun = insist(&Seen::default(), || ledger.begin(effect("1"), CALL)).await;
    assert!(matches!(begun, Begin::First(_)), "its caller was told that there is none: {begun:?}");
    let other = open(&url).await.begin(effect("1"), CALL).await.unwrap();
    assert!(matches!(other, Begin::Interrupted { begun: 1, .. }), "{other:?}");
}
