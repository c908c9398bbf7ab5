//! Databases that are no ledger for this build, and what is told of them: never a user, a password, a host or a name.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ledger::contract::effect;
use ledger::{Begin, Config, Ledger, LedgerError, PostgresConfig, TimeSource};
use runtime::Clock;
use test_support::{GUARDED_USER, PostgresServer, free_port, postgres_sql, shared_postgres};
use tokio::task::JoinSet;

use super::{CALL, config, open};

const PATIENCE: Duration = Duration::from_secs(20);

async fn refused(config: Config) -> String {
    match Ledger::open(config, Clock::system()).await {
        Err(error @ LedgerError::Open { .. }) => error.to_string(),
        Err(other) => panic!("refused for another reason: {other}"),
        Ok(_) => panic!("it was opened"),
    }
}

#[tokio::test]
async fn a_schema_from_the_future_is_refused_and_the_next_one_is_not() {
    let url = shared_postgres();
    open(&url).await.close().await;
    postgres_sql(&url, "UPDATE causeway.schema_version SET version = 8");
    assert_eq!(Ledger::migrate(config(&url), Clock::system()).await.unwrap(), 8);
    open(&url).await.begin(effect("1"), CALL).await.unwrap();
    postgres_sql(&url, "UPDATE causeway.schema_version SET version = 9");
    let error = refused(config(&url)).await;
    assert!(error.contains("has schema 9") && error.contains("use a newer build"), "{error}");
}

#[tokio::test]
async fn a_look_makes_no_ledger_and_changes_no_schema() {
    let url = shared_postgres();
    let look = async || Ledger::open_as_it_is(config(&url), Clock::system()).await.map(drop);
    for _ in 0..2 {
        let none = look().await;
        assert!(matches!(none, Err(LedgerError::NotThere { .. })), "{none:?}");
    }
    open(&url).await.close().await;
    look().await.unwrap();
    postgres_sql(&url, "UPDATE causeway.schema_version SET version = 6");
    for _ in 0..2 {
        let older = look().await;
        assert!(matches!(older, Err(LedgerError::Older { found: 6, ours: 7, .. })), "{older:?}");
    }
}

#[tokio::test]
async fn one_migrates_and_the_others_wait() {
    let url = shared_postgres();
    let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.unwrap();
    let mut driver = JoinSet::new();
    driver.spawn(connection);
    let lock = 0x0063_6175_7365_7761_i64;
    client.execute("SELECT pg_advisory_lock($1)", &[&lock]).await.unwrap();
    let mut opening = JoinSet::new();
    for _ in 0..4 {
        let url = url.clone();
        opening.spawn(async move { Ledger::migrate(config(&url), Clock::system()).await });
    }
    let waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    let (asked, mut again) = (Instant::now(), tokio::time::interval(Duration::from_millis(20)));
    while client.query_one(waiting, &[]).await.unwrap().get::<_, i64>(0) < 4 {
        assert!(asked.elapsed() < PATIENCE, "they do not wait for the lock");
        again.tick().await;
    }
    assert!(opening.try_join_next().is_none(), "they wait");
    client.execute("SELECT pg_advisory_unlock($1)", &[&lock]).await.unwrap();
    assert!(opening.join_all().await.into_iter().all(|schema| schema.unwrap() == 7));
    // What is up to date needs no lock.
    client.execute("SELECT pg_advisory_lock($1)", &[&lock]).await.unwrap();
    open(&url).await.begin(effect("1"), CALL).await.unwrap();
}

#[tokio::test]
async fn a_user_without_a_connection_left_holds_and_goes_on() {
    let url = shared_postgres();
    let user = format!("u{}", uuid::Uuid::new_v4().simple());
    postgres_sql(&url, &format!("CREATE ROLE {user} LOGIN PASSWORD 'pw' CONNECTION LIMIT 1"));
    let database = url.rsplit('/').next().expect("it names one").split('?').next().expect("it is before its options");
    postgres_sql(&url, &format!("GRANT CREATE ON DATABASE {database} TO {user}"));
    let at = url.find('@').expect("it names a user");
    let theirs = format!("postgresql://{user}:pw{}", &url[at..]);
    let (first, second) = (open(&theirs).await, open(&theirs).await);
    first.begin(effect("1"), CALL).await.unwrap();
    let told = second.begin(effect("2"), CALL).await.expect_err("one connection is all").to_string();
    assert!(told.contains("no connection left (53300)"), "{told}");
    first.close().await;
    let (asked, mut again) = (Instant::now(), tokio::time::interval(Duration::from_millis(20)));
    let begun = loop {
        assert!(asked.elapsed() < PATIENCE, "the connection that is free is not taken");
        match second.begin(effect("1"), CALL).await {
            Ok(begun) => break begun,
            Err(LedgerError::Unavailable(why)) => assert!(why.contains("no connection left"), "{why}"),
            Err(other) => panic!("{other}"),
        }
        again.tick().await;
    };
    assert!(matches!(begun, Begin::Interrupted { .. }));
}

#[tokio::test]
async fn errors_quote_nothing_of_the_url() {
    let server = PostgresServer::start();
    server.sql("postgres", &format!("CREATE ROLE {GUARDED_USER} LOGIN PASSWORD 'right'"));
    server.sql("postgres", "CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0");
    let port = server.port();
    let nobody = free_port();
    for (url, told) in [
        (format!("postgresql://{GUARDED_USER}:hunter2@127.0.0.1:{port}/postgres"), "refuses the user or the password"),
        (format!("postgresql://causeway@127.0.0.1:{port}/atlantis"), "does not exist"),
        (format!("postgresql://causeway@127.0.0.1:{port}/latin"), "has the encoding LATIN1"),
        (format!("postgresql://causeway@127.0.0.1:{port}/postgres?sslmode=require"), "speaks no TLS"),
        (format!("postgresql://causeway@127.0.0.1:{port}/postgres?sslmode=verify-full"), "speaks no TLS"),
        (format!("postgresql://causeway:hunter2@127.0.0.1:{port}/postgres?atlantis=hunter2"), "cannot be read"),
        ("mysql://causeway:hunter2@atlantis/".to_owned(), "cannot be read"),
        ("postgresql://".to_owned(), "names no host"),
    ] {
        let error = refused(config(&url)).await;
        assert!(error.contains(told), "{error} does not say {told}");
        let private = [GUARDED_USER, "hunter2", "atlantis", "127.0.0.1", &port.to_string()];
        assert!(private.iter().all(|word| !error.contains(word)), "{error}");
    }
    let away = config(&format!("postgresql://causeway:hunter2@127.0.0.1:{nobody}/atlantis"));
    assert!(!format!("{away:?}").contains("hunter2"));
    let error = Ledger::migrate(away, Clock::system()).await.expect_err("nobody listens").to_string();
    assert_eq!(error, "the ledger does not answer: it refuses connections");
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../runtime/fixtures/tls").join(name)
}

#[tokio::test]
async fn a_certificate_counts_when_its_authority_is_known_and_its_name_is_right() {
    let file = |name| PostgresServer::settings_file(&std::fs::read(fixture(name)).expect("it is there"));
    let (certificate, key) = (file("server.pem"), file("server.key"));
    let settings =
        format!("ssl = on\nssl_cert_file = '{}'\nssl_key_file = '{}'\n", certificate.display(), key.display());
    let server = PostgresServer::start_with(&settings);
    let config = |host: &str, ca_file: Option<PathBuf>, mode: &str| {
        let url = format!("postgresql://causeway@{host}:{}/postgres?sslmode={mode}", server.port()).into();
        Config::Postgres(PostgresConfig {
            url,
            ca_file,
            retain: Duration::from_secs(86_400),
            time: TimeSource::Database,
        })
    };
    let known = || Some(fixture("authority.pem"));
    for mode in ["prefer", "require", "verify-ca", "verify-full"] {
        let ledger = Ledger::open(config("localhost", known(), mode), Clock::system()).await.unwrap();
        ledger.check().await.unwrap();
        let encrypted = "SELECT count(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE ssl
            AND application_name = 'causeway'";
        assert_eq!(server.sql("postgres", encrypted), "1", "{mode}");
        ledger.close().await;
        let error = refused(config("localhost", None, mode)).await;
        assert!(error.contains("signed by nobody known here"), "{error}");
        let error = refused(config("127.0.0.1", known(), mode)).await;
        assert!(error.contains("of another name"), "{error}");
    }
    Ledger::open(config("127.0.0.1", None, "disable"), Clock::system()).await.unwrap().check().await.unwrap();
    let missing = refused(config("localhost", Some(fixture("server.key")), "require")).await;
    assert!(missing.contains("holds no certificate"), "{missing}");
}
